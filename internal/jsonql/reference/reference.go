// Package reference answers every query of the language in the plainest way
// there is (Run): it binds the row sets of the query to objects one after the
// other, and checks each condition as soon as the sets in it are bound. It is
// small enough to be believed by reading; what answers faster is held against it.
package reference

import (
	"context"
	"fmt"
	"iter"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// Source is a consistent set of objects to query. Object is called while
// iterations are going on.
type Source interface {
	// Object returns the statements of an object that is not embedded, and of
	// all that is embedded in it; none if it does not exist.
	Object(id string) ([]statement.Statement, error)
	// Objects yields the ids and statements of all objects that are not
	// embedded, in order of their ids.
	Objects() iter.Seq2[Object, error]
	// SubjectsWith yields the subjects, embedded ones too, that have this value
	// under this predicate.
	SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error]
	// SubjectsHaving yields the subjects, embedded ones too, that have any
	// value under this predicate.
	SubjectsHaving(predicate string) iter.Seq2[string, error]
}

// Object is one object of a source, with everything embedded in it.
type Object struct {
	ID         string
	Statements []statement.Statement
}

// Limits bound what a query may cost; all must be greater than zero.
type Limits struct {
	// MaxRows bounds the rows of the result, MaxValues the JSON values in it.
	MaxRows, MaxValues int
	// MaxObjects bounds the solutions of the join that are held at once, and
	// the objects that a row set has.
	MaxObjects int
	// MaxSteps bounds the objects, entries of indexes and combinations of
	// objects that are looked at.
	MaxSteps int
	// MaxBytes bounds, in about so many bytes, what is held of objects and
	// solutions until the rows are made.
	MaxBytes int
	// ForUpdate shows the ids of anonymous objects too.
	ForUpdate bool
}

// Error says why a query cannot be answered, and where; Line and Col are zero
// when the fault has no place.
type Error struct {
	Line, Col int
	Message   string
}

// Error returns the place and the message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Message)
}

// Run answers a query: its rows are values that pjson.AppendJSON writes, in
// their order, or in that of the ids of their objects. It returns ctx's error
// when ctx ends, an *Error for a query that cannot be computed or goes beyond
// the limits, and the source's own errors wrapped.
func Run(ctx context.Context, q *resolve.Query, src Source, bindings map[string]any, l Limits) ([]any, error) {
	r := &run{
		ctx: ctx, query: q, src: src, limits: l, bound: map[string]value.Value{},
		trees: map[string]tree{}, writers: map[string]*pjson.Writer{},
		subs: map[*resolve.Sub]value.Value{}, apart: map[*resolve.Block][]any{},
	}
	for name, v := range bindings {
		bound, err := bind(v)
		if err != nil {
			return nil, &Error{Message: fmt.Sprintf("bind variable %s: %v", statement.Excerpt(name), err)}
		}
		r.bound[name] = bound
	}
	return r.independent(q.Root)
}

// bind converts a bind variable. Strings that look like references are.
func bind(v any) (value.Value, error) {
	switch v := v.(type) {
	case []any:
		list := make([]value.Value, 0, len(v))
		for _, item := range v {
			bound, err := bind(item)
			if err != nil {
				return value.Null, err
			}
			list = append(list, bound)
		}
		return value.ListOf(list), nil
	case string:
		if id, ok := pjson.ParseReference("", v); ok {
			return value.Of(statement.Reference(id)), nil
		}
	}
	t, err := statement.FromValue(v)
	return value.Of(t), err
}

// run is one run of a query.
type run struct {
	ctx           context.Context //nolint:containedctx // a run lives as long as one call
	query         *resolve.Query
	src           Source
	limits        Limits
	bound         map[string]value.Value
	trees         map[string]tree
	writers       map[string]*pjson.Writer
	subs          map[*resolve.Sub]value.Value
	apart         map[*resolve.Block][]any
	steps, values int
	held          int // bytes
}

// independent answers a construct that has an environment for itself.
func (r *run) independent(b *resolve.Block) ([]any, error) {
	if rows, done := r.apart[b]; done {
		return rows, nil
	}
	list, err := r.solve(b.Env, visible(b), nil)
	if err != nil {
		return nil, err
	}
	rows, err := r.rows(b, list)
	if err != nil {
		return nil, err
	}
	r.apart[b] = rows
	return rows, nil
}

func (r *run) fail(e resolve.Expr, format string, args ...any) error {
	line, col := syntax.Position(r.query.Text, e.Place())
	return &Error{line, col, fmt.Sprintf(format, args...)}
}

// looked accounts for an object, an entry of an index or a combination.
func (r *run) looked() error {
	if r.steps++; r.steps > r.limits.MaxSteps {
		return &Error{Message: fmt.Sprintf("the query has to look at more than %d objects and combinations of objects: "+
			"add a condition such as property = value, or one that joins the row sets", r.limits.MaxSteps)}
	}
	if r.steps%64 == 0 {
		return r.ctx.Err()
	}
	return nil
}

// hold accounts for bytes that are kept until the rows are made.
func (r *run) hold(bytes int) error {
	if r.held += bytes; r.held <= r.limits.MaxBytes {
		return nil
	}
	return &Error{Message: fmt.Sprintf("the query has to hold more than %d bytes: add a condition", r.limits.MaxBytes)}
}

// count accounts for JSON values of the result.
func (r *run) count(n int) error {
	if r.values += n; r.values > r.limits.MaxValues {
		return &Error{Message: "the result is too large: ask for fewer rows, properties or a lower depth"}
	}
	return r.ctx.Err()
}
