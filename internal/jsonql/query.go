package jsonql

import (
	"context"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/plan"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// Query is a parsed query. It may be run many times, and by several goroutines
// at once.
type Query struct {
	// ForUpdate shows the ids of all objects in the rows, embedded ones too.
	ForUpdate bool

	resolved *resolve.Query
	prepared *plan.Prepared
}

// Parse reads a query. It returns a *SyntaxError for text that is not jsonQL,
// or that has no meaning.
func Parse(query string) (*Query, error) {
	parsed, err := syntax.Parse(query)
	if err != nil {
		return nil, err
	}
	return FromSyntax(parsed)
}

// FromSyntax is Parse for a query that has been read already.
func FromSyntax(parsed *syntax.Query) (*Query, error) {
	resolved, err := resolve.Resolve(parsed)
	if err != nil {
		return nil, err
	}
	return &Query{resolved: resolved, prepared: plan.Prepare(resolved)}, nil
}

// Row is a row of an answer that is made when it is asked for.
type Row = plan.Row

// Answer is a query that is being answered. It is not safe for use by several
// goroutines, and is of no use when its source is not any more.
type Answer struct {
	// Errors are faults that did not keep the query from running, as in Result.
	Errors []string

	answer *plan.Answer
}

// Start prepares the answer to a query: it chooses how to find it. Errors are
// as those of Run.
func (q *Query) Start(ctx context.Context, src Source, b Bindings, l Limits) (*Answer, error) {
	a, err := q.prepared.Start(ctx, src, b, l.withDefaults(), q.ForUpdate)
	if err != nil {
		return nil, err
	}
	return &Answer{Errors: slices.Clone(q.resolved.Skipped), answer: a}, nil
}

// Plan says in which way the query is answered. The actual figures in it are
// whole when Rows has ended.
func (a *Answer) Plan() *Plan { return a.answer.Plan() }

// Rows yields the rows of the answer, and at most one error, which is the last:
// ctx's error, a *EvaluationError, or the source's own, as those of Run. What
// fails when a row is made, the row says. Where no order, group or aggregate
// needs all of them first, each row is found when it is asked for. It can be
// read once.
func (a *Answer) Rows() iter.Seq2[Row, error] { return a.answer.Rows() }

// Run answers the query from a source. It returns ctx's error when ctx ends, a
// *EvaluationError for a query that cannot be computed or goes beyond the
// limits, and the source's own errors wrapped. A failed run has no rows.
func (q *Query) Run(ctx context.Context, src Source, b Bindings, l Limits) (Result, error) {
	a, err := q.Start(ctx, src, b, l)
	if err != nil {
		return Result{}, err
	}
	rows := []any{}
	for row, err := range a.Rows() {
		if err != nil {
			return Result{}, err
		}
		made, err := row.Value()
		if err != nil {
			return Result{}, err
		}
		rows = append(rows, made)
	}
	return Result{Rows: rows, Errors: a.Errors, Plan: a.Plan()}, nil
}
