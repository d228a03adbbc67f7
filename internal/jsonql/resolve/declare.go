package resolve

import "vesperdb.io/vesper/internal/jsonql/syntax"

// scope finds out which row sets an environment has, before anything is tied
// to them: conditions such as "id = ?l" and "?a = ?b" make two names one set.
type scope struct {
	parent []SetID // of each set found so far, itself unless it was made one with another
	labels map[string]SetID
	owners map[any]SetID // *syntax.Construct and *syntax.FilterSet
	apart  map[*syntax.Construct]bool
	// outer has the labels of the environments around, which are not declared
	// again here.
	outer map[string]bool
}

func newScope() *scope {
	return &scope{labels: map[string]SetID{}, owners: map[any]SetID{}, apart: map[*syntax.Construct]bool{}}
}

func (s *scope) set(label string) SetID {
	if id, ok := s.labels[label]; ok && label != "" {
		return id
	}
	id := SetID(len(s.parent))
	s.parent = append(s.parent, id)
	if label != "" {
		s.labels[label] = id
	}
	return id
}

func (s *scope) find(id SetID) SetID {
	for s.parent[id] != id {
		id = s.parent[id]
	}
	return id
}

// unite makes two sets one, named by the one found first.
func (s *scope) unite(a, b SetID) {
	a, b = s.find(a), s.find(b)
	s.parent[max(a, b)] = min(a, b)
}

func (s *scope) construct(c *syntax.Construct, outer map[string]int) {
	main := s.set(c.Label)
	s.owners[c] = main
	s.condition(c.Where, main)
	for _, e := range expressions(c) {
		s.filterSet(e)
		nestedIn(e, func(n *syntax.Nested) {
			if !shares(n.Construct, outer) {
				s.apart[n.Construct] = true
				return
			}
			s.construct(n.Construct, outer)
		})
	}
	for _, e := range expressions(c) {
		s.mentions(e, main)
	}
}

// condition follows the conjuncts of a where clause.
func (s *scope) condition(e syntax.Expr, at SetID) {
	switch e := e.(type) {
	case *syntax.FilterSet:
		s.filterSet(e)
		return
	case *syntax.Binary:
		if e.Op == "and" {
			s.condition(e.Left, at)
			s.condition(e.Right, at)
			return
		}
		if left, right := s.alias(e.Left, at), s.alias(e.Right, at); e.Op == "=" && left != NoSet && right != NoSet {
			s.unite(left, right)
			return
		}
		if e.Op == "=" {
			s.filterSet(e.Left)
			s.filterSet(e.Right)
		}
	case *syntax.Maybe:
		if join, ok := e.Inner.(*syntax.Binary); ok && join.Op == "=" {
			s.filterSet(join.Left)
			s.filterSet(join.Right)
		}
	}
	s.mentions(e, at)
}

// filterSet gives a filter set that must hold its row set.
func (s *scope) filterSet(e syntax.Expr) {
	f, ok := e.(*syntax.FilterSet)
	if !ok || s.outer[f.Label] {
		return
	}
	set := s.set(f.Label)
	s.owners[f] = set
	s.condition(f.Where, set)
}

// alias returns the set whose id an expression is, or NoSet.
func (s *scope) alias(e syntax.Expr, at SetID) SetID {
	switch e := e.(type) {
	case *syntax.Label:
		if s.outer[e.Name] {
			return NoSet
		}
		return s.set(e.Name)
	case *syntax.ID:
		switch {
		case e.Label == "":
			return at
		case s.outer[e.Label]:
			return NoSet
		}
		return s.set(e.Label)
	default:
		return NoSet
	}
}

// mentions gives every label in an expression its set.
func (s *scope) mentions(e syntax.Expr, at SetID) {
	syntax.Walk(e, func(e syntax.Expr) bool {
		switch e := e.(type) {
		case *syntax.Label, *syntax.ID:
			s.alias(e, at)
		case *syntax.Property:
			if e.Label != "" && !s.outer[e.Label] {
				s.set(e.Label)
			}
		}
		return true
	})
}

// expressions returns all expressions of a construct but its where clause.
func expressions(c *syntax.Construct) []syntax.Expr {
	var out []syntax.Expr
	for _, it := range c.Items {
		out = append(out, it.Key, it.Value)
	}
	for _, k := range c.OrderBy {
		out = append(out, k.Value)
	}
	return append(append(out, c.GroupBy...), c.After...)
}

func nestedIn(e syntax.Expr, visit func(*syntax.Nested)) {
	syntax.Walk(e, func(e syntax.Expr) bool {
		if n, ok := e.(*syntax.Nested); ok {
			visit(n)
		}
		return true
	})
}

// shares reports whether a nested construct names a label that is named
// outside of it too; outer counts the labels of the whole environment.
func shares(c *syntax.Construct, outer map[string]int) bool {
	inner := map[string]int{}
	countLabels(c, inner)
	for label, n := range inner {
		if outer[label] > n {
			return true
		}
	}
	return false
}

// countLabels counts how often each label is named in a construct and all that
// is nested in it.
func countLabels(c *syntax.Construct, counts map[string]int) {
	if c.Label != "" {
		counts[c.Label]++
	}
	for _, e := range append(expressions(c), c.Where) {
		countIn(e, counts)
	}
}

func countIn(e syntax.Expr, counts map[string]int) {
	syntax.Walk(e, func(e syntax.Expr) bool {
		label := ""
		switch e := e.(type) {
		case *syntax.Label:
			label = e.Name
		case *syntax.ID:
			label = e.Label
		case *syntax.Property:
			label = e.Label
		case *syntax.FilterSet:
			label = e.Label
			countIn(e.Where, counts)
		case *syntax.Nested:
			countLabels(e.Construct, counts)
		}
		if label != "" {
			counts[label]++
		}
		return true
	})
}
