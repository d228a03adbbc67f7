// Package eval says what a resolved query is worth: what its expressions are
// for objects that its row sets are bound to, and what rows its constructs make
// of the solutions of its joins. It does not find the solutions; a Solver does.
package eval

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// Limits bound what a query may cost; all must be greater than zero.
type Limits struct {
	// MaxRows bounds the rows of the result, MaxValues the JSON values in it.
	MaxRows, MaxValues int
	// MaxObjects bounds the objects and solutions of a join that are held at once.
	MaxObjects int
	// MaxSteps bounds the objects, entries of indexes and combinations of
	// objects that are looked at.
	MaxSteps int
	// MaxBytes bounds, in about so many bytes, what is held of objects and
	// solutions until the rows are made.
	MaxBytes int
}

// Error says why a query cannot be answered, and where; Line and Col are zero
// when the fault has no place.
type Error struct {
	// Line and Col are the place in the query, counted from 1.
	Line, Col int
	// Message says what is wrong and what to do.
	Message string
}

// Error returns the place and the message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.Message)
}

// Solver finds the solutions of environments.
type Solver interface {
	// Solve calls visit with all solutions of an environment that differ in the
	// visible sets, in any order, until it returns false. A solution belongs to
	// the visitor. Expressions with names of the environments around are worth
	// what outer says.
	Solve(env *resolve.Env, visible resolve.Sets, outer *Scope, visit func(Solution) (bool, error)) error
}

// Run is one run of a query. It is not safe for use by several goroutines.
type Run struct {
	// Solver must be set before anything is evaluated.
	Solver Solver
	// ForUpdate shows the ids of anonymous objects too.
	ForUpdate bool
	// Whole reads objects wholly, also where a part would do.
	Whole bool

	ctx     context.Context //nolint:containedctx // a run lives as long as one call
	query   *resolve.Query
	src     source.Source
	limits  Limits
	bound   []binding // by name
	objects reader
	room    *room
	looks   []look // by the numbers of the sets
	writers map[string]*pjson.Writer
	subs    map[*resolve.Sub]value.Value
	apart   map[*resolve.Block][]any
	makers  map[*resolve.Block]*maker
	// lastMaker is the one that was used last; makers has those of several.
	lastMaker *maker
	visible   map[*resolve.Block][]resolve.SetID

	steps, values, held int
	// rowBytes is about what the row takes that is being made; rows how many are,
	// one within the other.
	rowBytes, rows int

	// own is what small queries need of the slices above, so that they take no
	// memory of their own.
	own struct {
		bound [2]binding
		looks [1]look
		last  [2]*Tree
		maker maker
	}
}

// NewRun prepares a run. Bindings are nil, bool, string, any Go number,
// json.Number, statement.Ref, or a []any of these.
func NewRun(ctx context.Context, q *resolve.Query, src source.Source, bindings map[string]any, l Limits) (*Run, error) {
	r := &Run{}
	return r, r.Begin(ctx, q, src, bindings, l)
}

// Begin is NewRun for a run that has its memory already.
func (r *Run) Begin(ctx context.Context, q *resolve.Query, src source.Source, bindings map[string]any, l Limits) error {
	r.ctx, r.query, r.src, r.limits = ctx, q, src, l
	r.bound = r.own.bound[:0]
	for name, v := range bindings {
		bound, err := bind(v)
		if err != nil {
			return &Error{Message: fmt.Sprintf("bind variable %s: %v", statement.Excerpt(name), err)}
		}
		r.bound = append(r.bound, binding{name, bound})
	}
	if len(r.bound) > 1 {
		slices.SortFunc(r.bound, func(a, b binding) int { return strings.Compare(a.name, b.name) })
	}
	return nil
}

// binding is the value of a bind variable.
type binding struct {
	name  string
	value value.Value
}

// boundTo returns the value of a bind variable.
func (r *Run) boundTo(name string) (value.Value, bool) {
	at, found := slices.BinarySearchFunc(r.bound, name, func(b binding, name string) int { return strings.Compare(b.name, name) })
	if !found {
		return value.Null, false
	}
	return r.bound[at].value, true
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

// Source returns what the query is asked of.
func (r *Run) Source() source.Source { return r.src }

// Query returns the query that is run.
func (r *Run) Query() *resolve.Query { return r.query }

// Limits returns what bounds the run.
func (r *Run) Limits() Limits { return r.limits }

// Fail returns an error about the place of an expression.
func (r *Run) Fail(e resolve.Expr, format string, args ...any) error {
	line, col := syntax.Position(r.query.Text, e.Place())
	return &Error{line, col, fmt.Sprintf(format, args...)}
}

// Looked accounts for an object, an entry of an index or a combination of
// objects that is looked at, and ends the query when its context has ended.
func (r *Run) Looked() error {
	if r.steps++; r.steps > r.limits.MaxSteps {
		return &Error{Message: fmt.Sprintf("the query has to look at more than %d objects, entries of indexes and combinations of objects: "+
			"add a condition such as property = value, or one that joins the row sets", r.limits.MaxSteps)}
	}
	if r.steps%64 == 0 {
		return r.ctx.Err()
	}
	return nil
}

// Ended returns the error of the query's context, if that has ended.
func (r *Run) Ended() error { return r.ctx.Err() }

// Hold accounts for bytes that are kept until the rows are made; a negative
// number lets go of them.
func (r *Run) Hold(bytes int) error {
	if r.held += bytes; bytes <= 0 || r.held <= r.limits.MaxBytes {
		return nil
	}
	return &Error{Message: fmt.Sprintf("the query has to hold more than %d bytes to join, to order or to group: "+
		"add a condition, or a limit", r.limits.MaxBytes)}
}

// HoldObjects refuses to hold too many objects or solutions at once.
func (r *Run) HoldObjects(n int) error {
	if n <= r.limits.MaxObjects {
		return nil
	}
	return &Error{Message: fmt.Sprintf("the query has to look at more than %d objects at once: add a condition", r.limits.MaxObjects)}
}

// Rows refuses to give too many rows.
func (r *Run) Rows(n int) error {
	if n <= r.limits.MaxRows {
		return nil
	}
	return &Error{Message: fmt.Sprintf("the result has more than %d rows: add a condition, or limit and offset", r.limits.MaxRows)}
}

// made accounts for a JSON value of the row that is being made.
func (r *Run) made(text string) error {
	if r.rowBytes += ValueBytes + len(text); r.rowBytes > r.limits.MaxBytes {
		return &Error{Message: fmt.Sprintf("one row takes more than %d bytes: ask for fewer properties or a lower depth", r.limits.MaxBytes)}
	}
	return r.count(1)
}

// count accounts for JSON values of the result.
func (r *Run) count(n int) error {
	before := r.values
	if r.values += n; r.values > r.limits.MaxValues {
		return &Error{Message: "the result is too large: ask for fewer rows, properties or a lower depth"}
	}
	if before/64 != r.values/64 {
		return r.ctx.Err()
	}
	return nil
}
