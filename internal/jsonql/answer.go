package jsonql

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// Plan is a step of the way in which a query is answered, with the steps that
// it takes its input from.
type Plan struct {
	// Op names the step: "all objects", "value index", "order", ...
	Op string `json:"op"`
	// Detail says what it works on, in the words of the query.
	Detail string `json:"detail,omitempty"`
	// Estimated is how many rows were expected; nil when nothing is known.
	Estimated *int `json:"estimated,omitempty"`
	// Actual is how many rows the step gave.
	Actual int `json:"actual"`
	// Elapsed is the time until the step's last row, that of its input included.
	Elapsed time.Duration `json:"-"`
	// Inputs are the steps that this one takes its rows from.
	Inputs []*Plan `json:"inputs,omitempty"`
}

// MarshalJSON writes the plan with its time in seconds, as "elapsed".
func (p *Plan) MarshalJSON() ([]byte, error) {
	type plain Plan
	return json.Marshal(struct {
		*plain
		Elapsed float64 `json:"elapsed"`
	}{(*plain)(p), p.Elapsed.Seconds()})
}

// Answer is a query that is being answered. It is not safe for use by several
// goroutines, and is of no use when its source is not any more.
type Answer struct {
	// Plan is the way in which the query is answered. The actual figures in it
	// are whole when Rows has ended.
	Plan *Plan
	// Errors are faults that did not keep the query from running, as in Result.
	Errors []string

	run  *run
	full func() ([]any, error)
}

// Start prepares the answer to a query: it chooses how to find it. Errors are
// as those of Run.
func (q *Query) Start(ctx context.Context, src Source, b Bindings, l Limits) (*Answer, error) {
	if q.full != nil {
		return q.startFull(ctx, src, b, l), nil
	}
	bound, err := bind(b)
	if err != nil {
		return nil, err
	}
	w, err := pjson.NewWriter(pjson.Format{OmitScopes: true})
	if err != nil {
		return nil, err
	}
	r := &run{
		evaluator: evaluator{text: q.text, bound: bound},
		ctx:       ctx, query: q, src: src, writer: w, limits: l.withDefaults(),
	}
	if err := r.bindFilters(); err != nil {
		return nil, err
	}
	if err := r.makePlan(); err != nil {
		return nil, err
	}
	return &Answer{Plan: r.top, Errors: slices.Clone(q.skipped), run: r}, nil
}

// makePlan chooses the steps and describes them.
func (r *run) makePlan() (err error) {
	pl, c := r.query.plan, r.query.root
	if pl.constant {
		r.top = &Plan{Op: "constant"}
		return nil
	}
	if r.way, err = r.choose(); err != nil {
		return err
	}
	r.found = &Plan{Op: r.way.kind, Detail: r.way.detail}
	if r.way.rows >= 0 {
		r.found.Estimated = &r.way.rows
	}
	r.kept = &Plan{Op: "filter", Inputs: []*Plan{r.found}}
	if c.where != nil {
		r.kept.Detail = r.describe(c.where)
	}
	op := "construct"
	switch {
	case pl.aggregated:
		op = "aggregate"
	case c.groupBy != nil:
		op = "group"
	case len(c.orderBy) > 0 && c.limit >= 0:
		op = "top " + strconv.Itoa(c.limit+c.offset)
	case len(c.orderBy) > 0:
		op = "order"
	}
	r.top = &Plan{Op: op, Inputs: []*Plan{r.kept}}
	return nil
}

// Rows yields the rows of the answer, and at most one error, which is the last:
// ctx's error, a *EvaluationError, or the source's own, as those of Run. Where
// no order, group or aggregate needs all of them first, each row is made when
// it is asked for. It can be read once.
func (a *Answer) Rows() iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		start := time.Now()
		defer func() { a.Plan.Elapsed = time.Since(start) }()
		rows := a.giveFull
		if a.run != nil {
			a.run.start = start
			rows = a.run.rows
		}
		err := rows(func(row any) bool {
			a.Plan.Actual++
			return yield(row, nil)
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// describe returns the text of an expression's place in the query, cut off.
func (r *run) describe(e expr) string {
	if e == nil {
		return ""
	}
	first := e.place()
	walk(e, func(e expr) bool {
		first = min(first, e.place())
		return true
	})
	return statement.Shorten(r.text[min(first, len(r.text)):])
}
