package jsonql

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

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
		rows = append(rows, row)
	}
	return Result{Rows: rows, Errors: a.Errors, Plan: a.Plan}, nil
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
	// cached are the statements of the object that was read last.
	cached *tree
	// parts is where objects are read from as far as names go; nil for wholly.
	parts PartSource
	names []string

	way access
	// top, kept and found are the steps of the plan, the last first.
	top, kept, found *Plan
	start            time.Time
	emitted          int // rows given
	steps            int // entries and objects looked at
	held             int // bytes
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

// rows gives the rows of the answer to emit, until it returns false.
func (r *run) rows(emit func(any) bool) error {
	c, pl := r.query.root, r.query.plan
	if c.mergeAll {
		return r.merged(emit)
	}
	var rows []row
	var err error
	switch {
	case pl.constant:
		rows, err = r.constantRows(c)
	case pl.aggregated:
		rows, err = r.aggregatedRows(c)
	case c.groupBy != nil:
		rows, err = r.groupedRows(c)
	case len(c.orderBy) > 0:
		return r.orderedRows(c, emit)
	default:
		return r.objectRows(c, emit)
	}
	if err != nil {
		return err
	}
	for _, one := range rows {
		if more, err := r.give(one.value, emit); err != nil || !more {
			return err
		}
	}
	return nil
}

// give passes a row on, unless there have been too many.
func (r *run) give(row any, emit func(any) bool) (more bool, err error) {
	if r.emitted++; r.emitted > r.limits.MaxRows {
		return false, r.tooManyRows(r.emitted)
	}
	return emit(row), nil
}

// merged gives the one row that all rows make.
func (r *run) merged(emit func(any) bool) error {
	whole, plain := *r.query, *r.query.root
	plain.mergeAll, whole.root = false, &plain
	r.query = &whole
	var rows []any
	err := r.rows(func(row any) bool {
		rows = append(rows, row)
		return true
	})
	if err == nil && len(rows) > 0 {
		emit(merge(rows))
	}
	return err
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
		if v.IsList {
			op := "="
			if f.negated {
				op = "!="
			}
			n := node{f.at}
			r.rest = append(slices.Clone(r.rest), &binary{n, op, &propRef{n, f.prop}, f.value})
			continue
		}
		r.filters = append(r.filters, boundFilter{f.prop, v.Term, f.negated})
	}
	return nil
}

func (r *run) constantRows(c *construct) ([]row, error) {
	if c.where != nil {
		v, err := r.eval(c.where, nil)
		if err != nil || !v.Truth() {
			return nil, err
		}
	}
	made, err := r.make(c, nil, nil)
	if err != nil {
		return nil, err
	}
	return cut([]row{{value: made}}, c.offset, c.limit), nil
}

// objectRows makes a row for each object, as they come, and looks no further
// than the limit asks for.
func (r *run) objectRows(c *construct, emit func(any) bool) error {
	skip, left := c.offset, c.limit
	if left == 0 {
		return nil
	}
	r.readFor(c, true)
	return r.matches(func(o *object) (bool, error) {
		if skip > 0 {
			skip--
			return true, nil
		}
		made, err := r.make(c, o, o)
		if err != nil {
			return false, err
		}
		left--
		more, err := r.give(made, emit)
		return more && left != 0, err
	})
}

// orderedRows puts the objects in order before it makes rows of those that are
// wanted, so that a small part of a large order costs little memory: no more
// than twice that part is held.
func (r *run) orderedRows(c *construct, emit func(any) bool) error {
	top := topRows{keys: c.orderBy, wanted: -1}
	if c.limit >= 0 && c.limit <= r.limits.MaxRows && c.offset <= r.limits.MaxObjects {
		top.wanted = c.offset + c.limit
	}
	r.readFor(c, false)
	err := r.matches(func(o *object) (bool, error) {
		keys, err := r.sortKeys(c, o.whole())
		if err != nil {
			return false, err
		}
		if err := r.hold(sizeOf(keys) + len(o.subject) + valueBytes); err != nil {
			return false, err
		}
		r.held -= top.add(row{keys: keys, subject: o.subject})
		return true, r.tooManyObjects(len(top.rows))
	})
	if err != nil {
		return err
	}
	order(top.rows, c.orderBy)
	rows := cut(top.rows, c.offset, c.limit)
	if err := r.tooManyRows(len(rows)); err != nil {
		return err
	}
	r.readFor(c, true)
	for _, one := range rows {
		made, err := r.makeAgain(c, one.subject)
		if err != nil {
			return err
		}
		if more, err := r.give(made, emit); err != nil || !more {
			return err
		}
	}
	return nil
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
	keys := make([]value, 0, len(c.orderBy))
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
	defer func() { r.kept.Elapsed = time.Since(r.start) }()
	return r.way.find(func(subject string) (bool, error) {
		r.found.Actual++
		r.found.Elapsed = time.Since(r.start)
		if err := r.looked(); err != nil {
			return false, err
		}
		o, err := r.load(subject)
		if err != nil || o == nil {
			return err == nil, err
		}
		ok, err := r.accepts(o)
		if err != nil || !ok {
			return err == nil, err
		}
		r.kept.Actual++
		return visit(o)
	})
}

// accepts decides whether an object is a row, and which of its values filters
// have selected.
func (r *run) accepts(o *object) (bool, error) {
	pl := r.query.plan
	for _, name := range pl.required {
		if len(o.own.of(name)) == 0 {
			return false, nil
		}
	}
	for _, name := range pl.absent {
		if len(o.own.of(name)) > 0 {
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
		if v, err := r.eval(e, o.whole()); err != nil || !v.Truth() {
			return false, err
		}
	}
	for _, e := range r.rest {
		if v, err := r.eval(e, o.whole()); err != nil || !v.Truth() {
			return false, err
		}
	}
	return true, nil
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
	for _, m := range asID(&idRef{}, v).Members() {
		if m.Term.IsRef() {
			ids = append(ids, m.Term.Text)
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

// compareSubjects orders ids by their roots: the root itself first, then what
// is embedded in it.
func compareSubjects(a, b string) int {
	rootA, rootB := statement.Root(a), statement.Root(b)
	switch {
	case rootA != rootB:
		return strings.Compare(rootA, rootB)
	case a == b:
		return 0
	case a == rootA:
		return -1
	case b == rootB:
		return 1
	}
	return strings.Compare(a, b)
}

// all yields every subject: of each object itself and what is embedded in it,
// unless the query is about owners only.
func (r *run) all(visit func(string) (bool, error)) error {
	for t, err := range r.trees() {
		if err != nil {
			return err
		}
		r.cached = t
		if more, err := visit(t.root); err != nil || !more {
			return err
		}
		if r.query.plan.ownersOnly {
			continue
		}
		for _, subject := range t.inner() {
			if more, err := visit(subject); err != nil || !more {
				return err
			}
		}
	}
	return nil
}
