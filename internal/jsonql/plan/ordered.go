package plan

import (
	"fmt"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// inIndexOrder gives rows in the order of an index, so that no order has to be
// made, and no more is read than the limit asks for.
type inIndexOrder struct {
	answer *Answer
	source source.OrderedSource
	prop   string
	within source.Range
	// after are the keys after which rows begin, nil for all.
	after []value.Value
}

// orderedByIndex reports how an ordered index gives the rows in their order,
// where that is cheaper than to put them in order.
func (a *Answer) orderedByIndex(set *resolve.Set) *inIndexOrder {
	b := a.block
	src, ok := a.run.Source().(source.OrderedSource)
	if !ok || a.needsAll() || len(b.OrderBy) == 0 {
		return nil
	}
	prop, ok := a.firstKey(set)
	after, err := a.run.After(b)
	if !ok || err != nil {
		return nil
	}
	x := &inIndexOrder{answer: a, source: src, prop: prop, after: after}
	x.within.Desc = b.OrderBy[0].Desc
	if after != nil && !after[0].IsList {
		if x.within.Desc {
			x.within.High = &after[0]
		} else {
			x.within.Low = &after[0]
		}
	}
	n, more, built := src.CountRange(x.prop, x.within, countAtMost)
	if !built || !x.cheaper(a.solver.est.bounded(n, more)) {
		return nil
	}
	return x
}

// firstKey returns the property that rows are ordered by first, if they all have
// it, and more than one value of it.
func (a *Answer) firstKey(set *resolve.Set) (string, bool) {
	key, ok := a.block.OrderBy[0].Value.(*resolve.Prop)
	if !ok || !isProperty(key, key.Path[0]) || key.Maybe || key.Set != a.block.Main || !slices.Contains(set.Required, key.Path[0]) {
		return "", false
	}
	ofOne := slices.ContainsFunc(set.Filters, func(f resolve.Filter) bool { return f.Prop == key.Path[0] })
	return key.Path[0], !ofOne
}

// cheaper compares reading in order until the limit is reached with reading what
// the plan finds.
func (x *inIndexOrder) cheaper(entries float64) bool {
	b, st := x.answer.block, x.answer.plan.steps[0]
	read := entries
	if b.Limit >= 0 {
		rows := max(x.answer.plan.rows, 1)
		read = min(entries, float64(b.Limit+b.Offset)*max(1, entries/rows))
	}
	return read*(2*costEntry+costObject) <= st.access.cost
}

func (x *inIndexOrder) rows(emit emitter) error {
	a, b := x.answer, x.answer.block
	seq, built := x.source.Ordered(x.prop, x.within)
	if !built {
		return a.sorted(emit)
	}
	if b.Limit == 0 {
		return nil
	}
	st := a.plan.steps[0]
	s := make(eval.Solution, 1)
	e := &execution{solver: a.solver, plan: a.plan, s: s, scope: eval.ConditionScope(s, nil)}
	if ok, err := e.holds(a.plan.constant); err != nil || !ok {
		return err
	}
	st.found.Op, st.found.Detail = opOrdered, x.prop
	defer func() { st.found.Elapsed, st.joined.Elapsed = time.Since(a.solver.start), time.Since(a.solver.start) }()
	equal := &equalRows{ordered: x, top: &topRows{answer: a, wanted: -1}, skip: b.Offset, left: b.Limit, emit: emit}
	for subject, err := range seq {
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", statement.Excerpt(x.prop), err)
		}
		st.found.Actual++
		more, err := e.try(st, subject, false, false, func(o *eval.Object) (bool, error) {
			s[0] = o
			if ok, err := e.holds(st.conds); err != nil || !ok {
				return err == nil, err
			}
			st.joined.Actual++
			return equal.add(s)
		})
		if err != nil || !more {
			return err
		}
	}
	_, err := equal.flush()
	return err
}

// equalRows are rows that the index does not put in order, since the first key is
// equal in all of them.
type equalRows struct {
	ordered    *inIndexOrder
	top        *topRows
	skip, left int
	emit       emitter
}

func (q *equalRows) add(s eval.Solution) (bool, error) {
	a, b := q.ordered.answer, q.ordered.answer.block
	list := []eval.Solution{s}
	keys, err := a.run.SortKeys(b, eval.RowScope(b, list))
	if err != nil || q.ordered.after != nil && eval.CompareKeys(b.OrderBy, keys, q.ordered.after) <= 0 {
		return err == nil, err
	}
	if len(q.top.rows) > 0 && value.Compare(q.top.rows[0].keys[0], keys[0]) != 0 {
		if more, err := q.flush(); err != nil || !more {
			return false, err
		}
	}
	if q.top.wanted = -1; q.left >= 0 {
		q.top.wanted = q.skip + q.left
	}
	return true, q.top.add(a.sketch(keys, list))
}

// flush gives the rows, and reports whether more are wanted.
func (q *equalRows) flush() (bool, error) {
	a, b := q.ordered.answer, q.ordered.answer.block
	q.top.sort()
	rows, held := q.top.rows, 0
	q.top.rows = nil
	for _, one := range rows {
		held += one.size()
	}
	defer func() { _ = a.run.Hold(-held) }()
	for _, one := range rows {
		if q.skip > 0 {
			q.skip--
			continue
		}
		list, err := a.restore(one)
		if err != nil {
			return false, err
		}
		q.left--
		if more, err := q.emit(a.rowOf(eval.RowScope(b, list))); err != nil || !more || q.left == 0 {
			return false, err
		}
	}
	return true, nil
}
