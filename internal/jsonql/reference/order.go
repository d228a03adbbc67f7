package reference

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
)

// way leads from what is bound to the objects of a set: by their ids, or by
// the values of a property of theirs.
type way struct {
	prop     string
	other    resolve.Expr
	constant bool
}

// plan puts the sets in order: each where the most is known about it. It
// returns the conditions that are about no set.
func (v *solver) plan(visible map[resolve.SetID]bool) []resolve.Expr {
	bound := map[resolve.SetID]bool{}
	var inner, optional []resolve.SetID
	joins := map[resolve.Expr]bool{}
	for i, s := range v.env.Sets {
		if s.Optional > 0 {
			optional = append(optional, resolve.SetID(i))
			joins[v.env.Conds[s.Optional-1]] = true
		} else {
			inner = append(inner, resolve.SetID(i))
		}
	}
	var open []resolve.Expr
	for _, c := range v.env.Conds {
		if !joins[c] {
			open = append(open, c)
		}
	}
	constant, open := ready(open, bound)
	for _, group := range [][]resolve.SetID{inner, optional} {
		for len(group) > 0 {
			at := v.best(group, bound, open)
			open = v.add(group[at], bound, open)
			group = slices.Delete(group, at, at+1)
		}
	}
	v.markNeeded(visible)
	return constant
}

// ready separates the conditions whose sets are all bound.
func ready(conds []resolve.Expr, bound map[resolve.SetID]bool) (now, later []resolve.Expr) {
	for _, c := range conds {
		if within(c, bound) {
			now = append(now, c)
		} else {
			later = append(later, c)
		}
	}
	return now, later
}

func (v *solver) best(group []resolve.SetID, bound map[resolve.SetID]bool, conds []resolve.Expr) int {
	best, least := 0, 99
	for i, id := range group {
		if rank := v.rank(id, bound, conds); rank < least {
			best, least = i, rank
		}
	}
	return best
}

// rank is the lower the fewer objects a set is expected to have.
func (v *solver) rank(id resolve.SetID, bound map[resolve.SetID]bool, conds []resolve.Expr) int {
	s := v.env.Sets[id]
	if s.Optional > 0 {
		if within(v.env.Conds[s.Optional-1], with(bound, id)) {
			return 0
		}
		return 5
	}
	w := v.way(id, bound, conds)
	switch {
	case len(s.IDs) > 0:
		return 0
	case w != nil:
		return 1
	case slices.ContainsFunc(s.Filters, func(f resolve.Filter) bool { return !f.Negated }):
		return 2
	case len(s.Required) > 0:
		return 3
	default:
		return 4
	}
}

func with(bound map[resolve.SetID]bool, id resolve.SetID) map[resolve.SetID]bool {
	out := map[resolve.SetID]bool{id: true}
	for b := range bound {
		out[b] = true
	}
	return out
}

func (v *solver) add(id resolve.SetID, bound map[resolve.SetID]bool, open []resolve.Expr) []resolve.Expr {
	st := &step{set: id}
	if at := v.env.Sets[id].Optional; at > 0 {
		st.optional = v.env.Conds[at-1]
		open = append(slices.Clone(open), st.optional)
	}
	if len(v.env.Sets[id].IDs) == 0 || st.optional != nil {
		st.from = v.way(id, bound, open)
	}
	st.alone, open = ready(open, map[resolve.SetID]bool{id: true})
	bound[id] = true
	st.conds, open = ready(open, bound)
	v.steps = append(v.steps, st)
	return open
}

// way finds a condition that leads to the objects of a set.
func (v *solver) way(id resolve.SetID, bound map[resolve.SetID]bool, conds []resolve.Expr) *way {
	var byProp *way
	for _, c := range conds {
		for _, w := range waysOf(c, id) {
			if !within(w.other, bound) {
				continue
			}
			if w.prop == "" {
				return w
			}
			if byProp == nil {
				byProp = w
			}
		}
	}
	return byProp
}

func waysOf(c resolve.Expr, id resolve.SetID) (out []*way) {
	switch c := c.(type) {
	case *resolve.Binary:
		if c.Op == "=" {
			out = append(out, toward(c.Left, c.Right, id), toward(c.Right, c.Left, id))
		}
	case *resolve.In:
		if !c.Negate && len(c.Set) == 1 {
			out = append(out, toward(c.Value, c.Set[0], id))
		}
	}
	return slices.DeleteFunc(out, func(w *way) bool { return w == nil })
}

func toward(target, other resolve.Expr, id resolve.SetID) *way {
	switch target := target.(type) {
	case *resolve.ID:
		if target.Set == id && target.Up == 0 {
			return &way{other: other, constant: isConstant(other)}
		}
	case *resolve.Prop:
		if target.Set == id && target.Up == 0 && len(target.Path) == 1 && !target.EndID && !target.Maybe {
			return &way{prop: target.Path[0], other: other}
		}
	}
	return nil
}

func isConstant(e resolve.Expr) bool {
	switch e.(type) {
	case *resolve.Const, *resolve.Bind:
		return true
	default:
		return false
	}
}

// markNeeded marks the sets whose objects are seen in rows, or in conditions on
// sets that are bound later: of the others any object will do.
func (v *solver) markNeeded(visible map[resolve.SetID]bool) {
	needed := visible
	for _, st := range slices.Backward(v.steps) {
		st.needed = needed[st.set]
		exprs := slices.Clone(st.conds)
		if st.from != nil {
			exprs = append(exprs, st.from.other)
		}
		for _, e := range exprs {
			for id := range setsOf(e) {
				needed[id] = true
			}
		}
	}
}

func within(e resolve.Expr, bound map[resolve.SetID]bool) bool {
	for id := range setsOf(e) {
		if !bound[id] {
			return false
		}
	}
	return true
}

// setsOf returns the sets of its environment that an expression is about.
func setsOf(e resolve.Expr) map[resolve.SetID]bool {
	out := map[resolve.SetID]bool{}
	note(e, 0, out)
	return out
}

// note adds the sets of the environment up levels out.
func note(e resolve.Expr, up int, out map[resolve.SetID]bool) {
	resolve.Walk(e, func(e resolve.Expr) bool {
		switch e := e.(type) {
		case *resolve.ID:
			if e.Up == up && e.Set != resolve.NoSet {
				out[e.Set] = true
			}
		case *resolve.Prop:
			if e.Up == up {
				out[e.Set] = true
			}
		case *resolve.Whole:
			if up == 0 {
				out[e.Set] = true
			}
		case *resolve.Sub:
			for _, c := range e.Env.Conds {
				note(c, up+1, out)
			}
		case *resolve.Nested:
			if !e.Block.Own {
				noteBlock(e.Block, up, out)
			}
		}
		return true
	})
}

func noteBlock(b *resolve.Block, up int, out map[resolve.SetID]bool) {
	if b.Main != resolve.NoSet {
		out[b.Main] = true
	}
	for _, it := range b.Items {
		note(it.Key, up, out)
		note(it.Value, up, out)
	}
	for _, e := range b.GroupBy {
		note(e, up, out)
	}
	for _, k := range b.OrderBy {
		note(k.Value, up, out)
	}
}

// visible returns the sets that the rows of a construct are about.
func visible(b *resolve.Block) map[resolve.SetID]bool {
	out := map[resolve.SetID]bool{}
	noteBlock(b, 0, out)
	return out
}
