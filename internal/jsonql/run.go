package jsonql

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// Run answers the query from a source. It returns ctx's error when ctx ends, a
// *EvaluationError for a query that cannot be computed or goes beyond the
// limits, and the source's own errors wrapped. A failed run has no rows.
func (q *Query) Run(ctx context.Context, src Source, b Bindings, l Limits) (Result, error) {
	bound, err := bind(b)
	if err != nil {
		return Result{}, err
	}
	w, err := pjson.NewWriter(pjson.Format{OmitScopes: true})
	if err != nil {
		return Result{}, err
	}
	r := &run{
		evaluator: evaluator{text: q.text, bound: bound},
		ctx:       ctx, query: q, src: src, writer: w, limits: l.withDefaults(),
	}
	rows, err := r.rows()
	if err != nil {
		return Result{}, err
	}
	return Result{Rows: rows, Errors: slices.Clone(q.skipped)}, nil
}

// run is one run of a query.
type run struct {
	evaluator
	ctx     context.Context //nolint:containedctx // a run lives as long as one call
	query   *Query
	src     Source
	writer  *pjson.Writer
	limits  Limits
	filters []boundFilter
	rest    []expr
	values  int // JSON values made so far
	cached  *object
}

// boundFilter is a filter whose constant is known.
type boundFilter struct {
	prop    string
	term    statement.Term
	negated bool
}

// row is an answer before it is put in order: made, or known by its subject.
type row struct {
	keys    []value
	subject string
	value   any
}

func (r *run) rows() ([]any, error) {
	if err := r.bindFilters(); err != nil {
		return nil, err
	}
	c, pl := r.query.root, r.query.plan
	switch {
	case pl.constant:
		return r.constantRows(c)
	case pl.aggregated:
		return r.aggregatedRows(c)
	}
	var rows []row
	var err error
	switch {
	case c.groupBy != nil:
		rows, err = r.groupedRows(c)
	case len(c.orderBy) > 0:
		rows, err = r.orderedRows(c)
	default:
		rows, err = r.objectRows(c)
	}
	if err != nil {
		return nil, err
	}
	return r.finish(c, rows)
}

// bindFilters separates the filters with one constant from those whose bind
// variable is a list: such a filter is a condition like any other.
func (r *run) bindFilters() error {
	pl := r.query.plan
	r.rest = pl.rest
	for _, f := range pl.filters {
		v, err := r.eval(f.value, nil)
		if err != nil {
			return err
		}
		if v.isList {
			op := "="
			if f.negated {
				op = "!="
			}
			n := node{f.at}
			r.rest = append(slices.Clone(r.rest), &binary{n, op, &propRef{n, f.prop}, f.value})
			continue
		}
		r.filters = append(r.filters, boundFilter{f.prop, v.term, f.negated})
	}
	return nil
}

func (r *run) constantRows(c *construct) ([]any, error) {
	if c.where != nil {
		v, err := r.eval(c.where, nil)
		if err != nil || !v.truth() {
			return []any{}, err
		}
	}
	made, err := r.make(c, nil, nil)
	if err != nil {
		return nil, err
	}
	return r.finish(c, cut([]row{{value: made}}, c.offset, c.limit))
}

// objectRows makes a row for each object, as they come, and no more than the
// limit asks for.
func (r *run) objectRows(c *construct) ([]row, error) {
	var rows []row
	skip := c.offset
	err := r.matches(func(o *object) (bool, error) {
		if len(rows) == c.limit {
			return false, nil
		}
		if skip > 0 {
			skip--
			return true, nil
		}
		made, err := r.make(c, o, o)
		if err != nil {
			return false, err
		}
		rows = append(rows, row{value: made})
		return len(rows) != c.limit, r.tooManyRows(len(rows))
	})
	return rows, err
}

// orderedRows puts the objects in order before it makes rows of those that are
// wanted, so that a small part of a large order costs little memory.
func (r *run) orderedRows(c *construct) ([]row, error) {
	var rows []row
	err := r.matches(func(o *object) (bool, error) {
		keys, err := r.sortKeys(c, o.whole())
		if err != nil {
			return false, err
		}
		rows = append(rows, row{keys: keys, subject: o.subject})
		return true, r.tooManyObjects(len(rows))
	})
	if err != nil {
		return nil, err
	}
	order(rows, c.orderBy)
	rows = cut(rows, c.offset, c.limit)
	if err := r.tooManyRows(len(rows)); err != nil {
		return nil, err
	}
	for i := range rows {
		if rows[i].value, err = r.makeAgain(c, rows[i].subject); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// makeAgain makes the row of an object that was found to be one before.
func (r *run) makeAgain(c *construct, subject string) (any, error) {
	o, err := r.load(subject)
	if err != nil || o == nil {
		return nil, err
	}
	if _, err := r.accepts(o); err != nil { // which selects its values
		return nil, err
	}
	return r.make(c, o, o)
}

func (r *run) tooManyRows(rows int) error {
	if rows <= r.limits.MaxRows {
		return nil
	}
	return &EvaluationError{Message: "the result has more than " + strconv.Itoa(r.limits.MaxRows) +
		" rows: add a condition, or limit and offset"}
}

func (r *run) tooManyObjects(objects int) error {
	if objects <= r.limits.MaxObjects {
		return nil
	}
	return &EvaluationError{Message: "the query has to look at more than " + strconv.Itoa(r.limits.MaxObjects) +
		" objects at once: add a condition"}
}

func (r *run) sortKeys(c *construct, s scope) ([]value, error) {
	var keys []value
	for _, k := range c.orderBy {
		v, err := r.eval(k.value, s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, v)
	}
	return keys, nil
}

// order sorts rows by their keys; equal rows keep their order.
func order(rows []row, keys []sortKey) {
	slices.SortStableFunc(rows, func(a, b row) int {
		for i, k := range keys {
			o := compare(a.keys[i], b.keys[i])
			if k.desc {
				o = -o
			}
			if o != 0 {
				return o
			}
		}
		return 0
	})
}

func cut(rows []row, offset, limit int) []row {
	rows = rows[min(offset, len(rows)):]
	if limit >= 0 {
		rows = rows[:min(limit, len(rows))]
	}
	return rows
}

func (r *run) finish(c *construct, rows []row) ([]any, error) {
	out := make([]any, 0, len(rows))
	for _, one := range rows {
		out = append(out, one.value)
	}
	if !c.mergeAll || len(out) == 0 {
		return out, nil
	}
	return []any{merge(out)}, nil
}

// merge makes one object of objects, later properties replacing earlier ones,
// or one list of lists and values.
func merge(rows []any) any {
	var object pjson.Map
	list := []any{}
	for _, one := range rows {
		switch one := one.(type) {
		case pjson.Map:
			object = append(object, one...)
		case []any:
			list = append(list, one...)
		default:
			list = append(list, one)
		}
	}
	if object == nil {
		return list
	}
	return lastOfEach(object)
}

// lastOfEach drops all but the last property of each name, in the place of the first.
func lastOfEach(m pjson.Map) pjson.Map {
	at := map[string]int{}
	out := m[:0:0]
	for _, one := range m {
		if i, known := at[one.Key]; known {
			out[i] = one
			continue
		}
		at[one.Key] = len(out)
		out = append(out, one)
	}
	return out
}

// matches calls visit for every object that is a row, in order of root and id,
// until it returns false.
func (r *run) matches(visit func(*object) (bool, error)) error {
	n := 0
	return r.candidates(func(subject string) (bool, error) {
		if n++; n%64 == 0 && r.ctx.Err() != nil {
			return false, r.ctx.Err()
		}
		o, err := r.load(subject)
		if err != nil || o == nil {
			return err == nil, err
		}
		ok, err := r.accepts(o)
		if err != nil || !ok {
			return err == nil, err
		}
		return visit(o)
	})
}

// accepts decides whether an object is a row, and which of its values filters
// have selected.
func (r *run) accepts(o *object) (bool, error) {
	pl := r.query.plan
	for _, name := range pl.required {
		if len(o.own[name]) == 0 {
			return false, nil
		}
	}
	for _, name := range pl.absent {
		if len(o.own[name]) > 0 {
			return false, nil
		}
	}
	for _, f := range r.filters {
		if !o.filter(f, pl.nullable[f.prop]) {
			return false, nil
		}
	}
	for name := range pl.shown {
		delete(o.selected, name)
	}
	for _, e := range pl.ids {
		if v, err := r.eval(e, o.whole()); err != nil || !v.truth() {
			return false, err
		}
	}
	for _, e := range r.rest {
		if v, err := r.eval(e, o.whole()); err != nil || !v.truth() {
			return false, err
		}
	}
	return true, nil
}

// candidates yields the subjects that may be rows: from an index if a
// condition has one, else all.
func (r *run) candidates(visit func(subject string) (bool, error)) error {
	pl := r.query.plan
	if len(pl.ids) > 0 {
		return r.byID(pl.ids[0], visit)
	}
	for _, f := range r.filters {
		if !f.negated && !pl.nullable[f.prop] {
			return each(r.src.SubjectsWith(f.prop, f.term), visit)
		}
	}
	if len(pl.required) > 0 {
		return each(r.src.SubjectsHaving(pl.required[0]), visit)
	}
	return r.all(visit)
}

func (r *run) byID(e *binary, visit func(string) (bool, error)) error {
	constant := e.left
	if isID(constant) {
		constant = e.right
	}
	v, err := r.eval(constant, nil)
	if err != nil {
		return err
	}
	var ids []string
	for _, m := range asID(&idRef{}, v).members() {
		if m.term.IsRef() {
			ids = append(ids, m.term.Text)
		}
	}
	slices.SortFunc(ids, compareSubjects)
	for _, id := range slices.Compact(ids) {
		if more, err := visit(id); err != nil || !more {
			return err
		}
	}
	return nil
}

// compareSubjects orders ids by their roots, then by themselves.
func compareSubjects(a, b string) int {
	if o := strings.Compare(statement.Root(a), statement.Root(b)); o != 0 {
		return o
	}
	return strings.Compare(a, b)
}

// all yields every subject: of each object itself and what is embedded in it,
// unless the query is about owners only.
func (r *run) all(visit func(string) (bool, error)) error {
	for found, err := range r.src.Objects() {
		if err != nil {
			return err
		}
		t := newTree(found.Statements)
		r.cached = &object{run: r, tree: t, root: found.ID}
		for _, subject := range t.subjects {
			if r.query.plan.ownersOnly && statement.IsEmbedded(subject) {
				continue
			}
			if more, err := visit(subject); err != nil || !more {
				return err
			}
		}
	}
	return nil
}
