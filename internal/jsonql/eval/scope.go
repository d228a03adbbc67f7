package eval

import (
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
)

// Solution has the object of each set of an environment; nil for a set of an
// outer join that has none.
type Solution []*Object

// Scope is what the names in an expression mean: some solutions of the join.
type Scope struct {
	list  []Solution
	outer *Scope
	// whole: properties have all their values, not those that filters selected.
	whole bool
	// main is the set that the rows are about, all what aggregates are over.
	main resolve.SetID
	all  []Solution
	// grouped: the solutions are those of a group, which agree in keys. totals
	// are what is known already of its aggregates and lists of values.
	grouped bool
	keys    []resolve.Expr
	agreed  []value.Value
	totals  map[resolve.Expr]*total
}

// ConditionScope is the scope in which conditions are checked.
func ConditionScope(s Solution, outer *Scope) *Scope {
	return &Scope{list: []Solution{s}, outer: outer, whole: true}
}

// RowScope is the scope of a row that some solutions make.
func RowScope(b *resolve.Block, list []Solution) *Scope { return &Scope{list: list, main: b.Main} }

// SetRow makes a scope that of a row that some solutions make.
func (s *Scope) SetRow(b *resolve.Block, list []Solution) { *s = Scope{list: list, main: b.Main} }

// Let gives the scope of a row the solutions of the next row.
func (s *Scope) Let(list []Solution) { s.list = list }

// at returns the scope up environments out.
func (s *Scope) at(up int) *Scope {
	for ; up > 0 && s != nil; up-- {
		s = s.outer
	}
	return s
}

// objects returns the different objects that a set has in the scope.
func (s *Scope) objects(set resolve.SetID, up int) []*Object {
	s = s.at(up)
	if s == nil || set == resolve.NoSet {
		return nil
	}
	if len(s.list) == 1 {
		if o := s.list[0][set]; o != nil {
			return []*Object{o}
		}
		return nil
	}
	return distinct(s.list, set)
}

// only returns the object of a set where there is one solution.
func (s *Scope) only(set resolve.SetID, up int) (o *Object, single bool) {
	s = s.at(up)
	if s == nil || set == resolve.NoSet || len(s.list) == 0 {
		return nil, true
	}
	return s.list[0][set], len(s.list) == 1
}

func distinct(list []Solution, set resolve.SetID) (out []*Object) {
	seen := make(map[string]bool, len(list))
	for _, one := range list {
		if o := one[set]; o != nil && !seen[o.subject] {
			seen[o.subject] = true
			out = append(out, o)
		}
	}
	return out
}

// agreedIn returns the value that the solutions of a group agree in, if an
// expression is one of its keys.
func (s *Scope) agreedIn(e resolve.Expr) (value.Value, bool) {
	if s == nil {
		return value.Null, false
	}
	if i, is := s.agreedAs(e); is {
		return s.agreed[i], true
	}
	return value.Null, false
}

// aboutKeys reports whether an expression of a group is about nothing that its
// members may differ in.
func (s *Scope) aboutKeys(e resolve.Expr) bool {
	only := true
	resolve.Walk(e, func(e resolve.Expr) bool {
		switch e.(type) {
		case *resolve.ID, *resolve.Prop:
			_, isKey := s.agreedAs(e)
			only = only && isKey
		case *resolve.Sub, *resolve.Nested, *resolve.Whole:
			only = only && len(resolve.SetsOf(e)) == 0
		}
		return only
	})
	return only
}

// agreedAs reports whether an expression is one of the keys, and which.
func (s *Scope) agreedAs(e resolve.Expr) (int, bool) {
	for i, key := range s.keys {
		if sameName(key, e) {
			return i, true
		}
	}
	return 0, false
}

// sameName reports whether two expressions are the id or a property of one set.
func sameName(key, e resolve.Expr) bool {
	switch e := e.(type) {
	case *resolve.ID:
		key, ok := key.(*resolve.ID)
		return ok && key.Set == e.Set && e.Up == 0
	case *resolve.Prop:
		key, ok := key.(*resolve.Prop)
		return ok && key.Set == e.Set && e.Up == 0 && !e.EndID && len(e.Path) == 1 && len(key.Path) == 1 && key.Path[0] == e.Path[0]
	default:
		return false
	}
}

// narrow returns the scope of one member of a group.
func (s *Scope) narrow(one Solution) *Scope {
	inner := *s
	inner.list, inner.grouped, inner.totals = []Solution{one}, false, nil
	return &inner
}
