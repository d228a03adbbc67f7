package plan

import (
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/statement"
)

// inIndexOrder gives rows in the order of an index, so that no order has to be
// made, and no more is read than the limit asks for.
type inIndexOrder struct {
	answer *Answer
	source source.OrderedSource
	prop   string
	within source.Range
}

// orderedByIndex reports how an ordered index gives the rows in their order,
// where that is cheaper than to put them in order.
func (a *Answer) orderedByIndex(set *resolve.Set) *inIndexOrder {
	b := a.block
	src, ok := a.run.Source().(source.OrderedSource)
	if !ok || a.needsAll() || len(b.OrderBy) != 1 {
		return nil
	}
	key, ok := b.OrderBy[0].Value.(*resolve.Prop)
	if !ok || !isProperty(key, key.Path[0]) || key.Maybe || key.Set != b.Main || !requires(set, key.Path[0]) {
		return nil
	}
	x := &inIndexOrder{answer: a, source: src, prop: key.Path[0]}
	x.within.Desc = b.OrderBy[0].Desc
	after, err := a.run.After(b)
	if err != nil || len(after) > 1 || len(after) == 1 && after[0].IsList {
		return nil
	}
	if len(after) == 1 {
		if x.within.Desc {
			x.within.High, x.within.HighOpen = &after[0], true
		} else {
			x.within.Low, x.within.LowOpen = &after[0], true
		}
	}
	for _, f := range set.Filters {
		if f.Prop == x.prop {
			return nil // there is one value, and the index of values has it
		}
	}
	n, more, built := src.CountRange(x.prop, x.within, countAtMost)
	if !built || !x.cheaper(a.solver.est.bounded(n, more)) {
		return nil
	}
	return x
}

func requires(set *resolve.Set, name string) bool {
	for _, one := range set.Required {
		if one == name {
			return true
		}
	}
	return false
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
	skip, left := b.Offset, b.Limit
	if left == 0 {
		return nil
	}
	st := a.plan.steps[0]
	s := make(eval.Solution, 1)
	e := &execution{solver: a.solver, plan: a.plan, s: s, scope: eval.ConditionScope(s, nil)}
	st.found.Op, st.found.Detail = opOrdered, x.prop
	defer func() { st.found.Elapsed, st.joined.Elapsed = time.Since(a.solver.start), time.Since(a.solver.start) }()
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
			if skip > 0 {
				skip--
				return true, nil
			}
			row, err := a.run.Row(b, eval.RowScope(b, []eval.Solution{s.Clone()}))
			if err != nil {
				return false, err
			}
			left--
			more, err := emit(row)
			return more && left != 0, err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}
