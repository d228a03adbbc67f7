package resolve

import (
	"testing"

	"vesperdb.io/vesper/internal/jsonql/syntax"
)

func declared(t *testing.T, query string) (*scope, *syntax.Construct) {
	t.Helper()
	q, err := syntax.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	counts := map[string]int{}
	countLabels(q.Root, counts)
	s := newScope()
	s.construct(q.Root, counts)
	return s, q.Root
}

func TestConditionsBetweenIdsMakeTwoNamesOneSet(t *testing.T) {
	for _, c := range []struct {
		query string
		a, b  string // labels; "" is the set of the outermost construct
		same  bool
	}{
		{"{ * where id = ?a }", "", "a", true},
		{"{ ?a id where ?a = ?b }", "a", "b", true},
		{"{ ?a id where ?a = ?b and {?c id = ?b} }", "a", "c", true},
		{"{ * where tags = ?a }", "", "a", false},
		{"{ * where {id = ?a and x = 1} }", "", "a", false},
		{"{ ?a id where ?a.x = ?b.y }", "a", "b", false},
		{"{ ?a id where ?a != ?b }", "a", "b", false},
		{"{ ?a id where ?a = ?b or x = 1 }", "a", "b", false},
		{"{ id, 'x': {?n name where ?n = ?a} where author = ?a }", "n", "a", true},
	} {
		s, root := declared(t, c.query)
		of := func(label string) SetID {
			if label == "" {
				return s.find(s.owners[root])
			}
			id, ok := s.labels[label]
			if !ok {
				t.Fatalf("%s: no set for ?%s", c.query, label)
			}
			return s.find(id)
		}
		if got := of(c.a) == of(c.b); got != c.same {
			t.Errorf("%s: ?%s and ?%s are one set: %v, want %v", c.query, c.a, c.b, got, c.same)
		}
	}
}

func TestNestedConstructsThatShareNoLabelStandApart(t *testing.T) {
	for query, apart := range map[string]bool{
		"{ id, 'x': {name} }":                                    true,
		"{ id, 'x': {?n name where ?n.a = 1} }":                  true,
		"{ ?a id, 'x': {name where b = ?a} }":                    false,
		"{ id, 'x': {name where id = ?a} where author = ?a }":    false,
		"{ ?a id, 'x': {'y': {z where q = ?a}} }":                false,
		"{ id, 'x': {'l': ?t.label} where {?t type = 1} }":       false,
		"{ id, 'x': {?a b, 'y': {c where d = ?a}} where e = 1 }": true,
	} {
		s, root := declared(t, query)
		found := false
		for _, it := range root.Items {
			nestedIn(it.Value, func(n *syntax.Nested) {
				found = true
				if s.apart[n.Construct] != apart {
					t.Errorf("%s: apart: %v, want %v", query, !apart, apart)
				}
			})
		}
		if !found {
			t.Errorf("%s has no nested construct", query)
		}
	}
}
