package plan

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
)

// assign says when each condition is checked: as soon as its sets are bound.
func (d *draft) assign(p *envPlan) {
	bound, done := resolve.Sets{}, map[resolve.Expr]bool{}
	for _, st := range p.steps {
		st.alone = slices.Clone(d.alone[st.id])
		for _, c := range d.alone[st.id] {
			done[c] = true
		}
		bound[st.id] = true
		if st.optional != nil {
			st.conds = append(st.conds, st.optional)
		}
		for _, c := range d.conds {
			if !done[c] && withinAnd(d.sets[c], bound, st.id) {
				done[c] = true
				st.conds = append(st.conds, c)
			}
		}
		cheapFirst(st.alone)
		cheapFirst(st.conds)
		st.rest = slices.DeleteFunc(slices.Clone(st.conds), func(c resolve.Expr) bool { return c == st.way.Cond })
	}
}

// cheapFirst puts conditions that look at other objects last.
func cheapFirst(conds []resolve.Expr) {
	slices.SortStableFunc(conds, func(a, b resolve.Expr) int { return weight(a) - weight(b) })
}

func weight(c resolve.Expr) (n int) {
	resolve.Walk(c, func(e resolve.Expr) bool {
		switch e := e.(type) {
		case *resolve.Sub:
			n += 10
		case *resolve.Call:
			n += 2
		case *resolve.Prop:
			n += 5 * (len(e.Path) - 1)
		}
		return true
	})
	return n
}

// mark marks the sets whose objects are seen in rows, or in conditions on sets
// that are bound later: of the others any object will do.
func (p *envPlan) mark(visible resolve.Sets) {
	needed := resolve.Sets{}
	for id := range visible {
		needed[id] = true
	}
	for _, st := range slices.Backward(p.steps) {
		st.needed = needed[st.id]
		p.repeats = p.repeats || st.needed && !visible[st.id]
		for _, e := range append(slices.Clone(st.conds), st.way.Other, st.probe) {
			if e == nil {
				continue
			}
			for id := range resolve.SetsOf(e) {
				needed[id] = true
			}
		}
	}
}
