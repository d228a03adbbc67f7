package resolve

import "slices"

// Way leads from what is bound to the objects of a set: by their ids, or by the
// values of a property of theirs.
type Way struct {
	// Prop is the property, "" for the id.
	Prop string
	// Other is worth the ids, or the values.
	Other Expr
	// Cond is the condition that the way is made of: what it leads to may still
	// fail it.
	Cond Expr
}

// Ways returns the ways that a condition has to the objects of a set.
func Ways(c Expr, id SetID) (out []Way) {
	switch c := c.(type) {
	case *Binary:
		if c.Op == "=" {
			out = toward(out, c, c.Left, c.Right, id)
			out = toward(out, c, c.Right, c.Left, id)
		}
	case *In:
		if !c.Negate && len(c.Set) == 1 {
			out = toward(out, c, c.Value, c.Set[0], id)
		}
	}
	return out
}

func toward(out []Way, c, target, other Expr, id SetID) []Way {
	if SetsOf(other)[id] {
		return out
	}
	switch target := target.(type) {
	case *ID:
		if target.Set == id && target.Up == 0 {
			return append(out, Way{Other: other, Cond: c})
		}
	case *Prop:
		if target.Set == id && target.Up == 0 && len(target.Path) == 1 && !target.EndID {
			return append(out, Way{Prop: target.Path[0], Other: other, Cond: c})
		}
	}
	return out
}

// FollowsReferences reports whether a set may be bound to ids that have no
// object: it asks for nothing but to be referred to, by Cond.
func (e *Env) FollowsReferences(id SetID) bool {
	return e.Sets[id].Dangling && slices.ContainsFunc(e.Conds, func(c Expr) bool {
		return slices.ContainsFunc(Ways(c, id), func(w Way) bool { return w.Prop == "" })
	})
}

// Order returns the sets in the order in which they may be bound one after the
// other: those of outer joins last, each after the sets that it is joined to.
// Among inner sets any other order gives the same solutions, as long as those
// that follow references come after what refers to them.
func (e *Env) Order() (inner, outer []SetID) {
	bound := Sets{}
	var optional []SetID
	for i, s := range e.Sets {
		if s.Optional > 0 {
			optional = append(optional, SetID(i))
		} else {
			inner = append(inner, SetID(i))
			bound[SetID(i)] = true
		}
	}
	for len(optional) > 0 {
		at := max(0, slices.IndexFunc(optional, func(id SetID) bool {
			bound[id] = true
			joined := Within(e.Conds[e.Sets[id].Optional-1], bound)
			delete(bound, id)
			return joined
		}))
		bound[optional[at]] = true
		outer = append(outer, optional[at])
		optional = slices.Delete(optional, at, at+1)
	}
	return inner, outer
}

// Joins are the conditions that outer joins are made by.
func (e *Env) Joins() map[Expr]bool {
	out := map[Expr]bool{}
	for _, s := range e.Sets {
		if s.Optional > 0 {
			out[e.Conds[s.Optional-1]] = true
		}
	}
	return out
}
