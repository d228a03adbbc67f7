package statement

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func lit(subject, predicate, text string, at ...int) Statement {
	return Statement{Subject: subject, Predicate: predicate, Term: Literal(text), Positions: at}
}

func TestStatementsAreOrderedFieldByFieldByCodePoint(t *testing.T) {
	inOrder := []Statement{
		lit("a", "p", "x"),
		lit("a", "q", "10"),
		lit("a", "q", "9"),
		{Subject: "a", Predicate: "q", Term: Term{"9", TypeRef}},
		{Subject: "a", Predicate: "q", Term: Term{"9", TypeRef}, Scope: "s"},
		{Subject: "a", Predicate: "q", Term: Term{"9", TypeRef}, Scope: "s", Positions: []int{0}},
		{Subject: "a", Predicate: "q", Term: Term{"9", TypeRef}, Scope: "s", Positions: []int{0, 1}},
		{Subject: "a", Predicate: "q", Term: Term{"9", TypeRef}, Scope: "s", Positions: []int{2}},
		lit("b", "a", "a"),
		lit("é", "a", "a"),
		lit("\uffff", "a", "a"),
		lit("\U00010000", "a", "a"), // after U+FFFF, which UTF-16 order would not give
	}
	for i := range inOrder {
		for j := range inOrder {
			want := 0
			if i != j {
				want = map[bool]int{true: -1, false: 1}[i < j]
			}
			if got := Compare(inOrder[i], inOrder[j]); got != want {
				t.Errorf("Compare(%v, %v) = %d, want %d", inOrder[i], inOrder[j], got, want)
			}
			if Equal(inOrder[i], inOrder[j]) != (i == j) {
				t.Errorf("Equal(%v, %v) is wrong", inOrder[i], inOrder[j])
			}
		}
	}
	shuffled := slices.Clone(inOrder)
	slices.Reverse(shuffled)
	Sort(shuffled)
	if diff := cmp.Diff(inOrder, shuffled); diff != "" {
		t.Errorf("Sort (-want +got):\n%s", diff)
	}
}

func TestTheScopeIsPartOfAFactAndPositionsAreNot(t *testing.T) {
	a := Statement{Subject: "a", Predicate: "p", Term: Literal("x"), Scope: "s", Positions: []int{1}}
	b := a
	b.Positions = []int{2}
	if CompareFact(a, b) != 0 || a.Fact() != b.Fact() {
		t.Error("positions made two facts of one")
	}
	b.Scope = ""
	if CompareFact(a, b) == 0 || a.Fact() == b.Fact() {
		t.Error("two scopes made one fact of two")
	}
}

func TestASetHasEachFactOnceWithAllItsPositions(t *testing.T) {
	list := []Statement{lit("b", "p", "x", 3), lit("a", "p", "x"), lit("b", "p", "x", 1, 3), lit("a", "p", "x"), lit("b", "p", "x")}
	before := slices.Clone(list)
	want := []Statement{lit("a", "p", "x"), lit("b", "p", "x", 1, 3)}
	if diff := cmp.Diff(want, Set(list)); diff != "" {
		t.Errorf("Set (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, list); diff != "" {
		t.Errorf("Set changed its argument:\n%s", diff)
	}
}

func TestSetDoesNotDependOnTheOrderOfItsArgument(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(anyStatement()).Draw(t, "statements")
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		if diff := cmp.Diff(Set(list), Set(shuffled)); diff != "" {
			t.Fatalf("sets differ:\n%s", diff)
		}
		if diff := cmp.Diff(Set(list), Set(Set(list))); diff != "" {
			t.Fatalf("the set of a set differs:\n%s", diff)
		}
	})
}

// anyStatement draws from few values, so that facts repeat.
func anyStatement() *rapid.Generator[Statement] {
	word := rapid.SampledFrom([]string{"a", "b", "c"})
	return rapid.Custom(func(t *rapid.T) Statement {
		s := Statement{
			Subject: word.Draw(t, "subject"), Predicate: word.Draw(t, "predicate"),
			Term:  Term{word.Draw(t, "text"), rapid.SampledFrom([]string{TypeRef, TypeLiteral, "en"}).Draw(t, "type")},
			Scope: rapid.SampledFrom([]string{"", "s"}).Draw(t, "scope"),
		}
		places := rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 3, rapid.ID[int]).Draw(t, "positions")
		if len(places) > 0 {
			slices.Sort(places)
			s.Positions = places
		}
		return s
	})
}

func TestAPropertyReadsAsItWasWritten(t *testing.T) {
	tests := map[string]struct {
		in     []Statement
		want   []string
		isList bool
	}{
		"one value is a scalar":                    {[]Statement{lit("a", "p", "x")}, []string{"x"}, false},
		"one value with a position is a list":      {[]Statement{lit("a", "p", "x", 0)}, []string{"x"}, true},
		"several values are a list in their order": {[]Statement{lit("a", "p", "y"), lit("a", "p", "x")}, []string{"x", "y"}, true},
		"positions give the order": {
			[]Statement{lit("a", "p", "x", 1), lit("a", "p", "y", 0)}, []string{"y", "x"}, true},
		"a value may stand in several places": {
			[]Statement{lit("a", "p", "x", 0, 2), lit("a", "p", "y", 1)}, []string{"x", "y", "x"}, true},
		"values without position follow the list": {
			[]Statement{lit("a", "p", "a"), lit("a", "p", "x", 1), lit("a", "p", "b"), lit("a", "p", "y", 0)},
			[]string{"y", "x", "a", "b"}, true},
		"two values at one position are ordered by value": {
			[]Statement{lit("a", "p", "y", 0), lit("a", "p", "x", 0)}, []string{"x", "y"}, true},
		"positions may have gaps": {
			[]Statement{lit("a", "p", "x", 9), lit("a", "p", "y", 3)}, []string{"y", "x"}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, isList := InOrder(tt.in)
			var texts []string
			for _, s := range got {
				texts = append(texts, s.Text)
			}
			if !slices.Equal(texts, tt.want) || isList != tt.isList {
				t.Errorf("InOrder = %q, list %v; want %q, list %v", texts, isList, tt.want, tt.isList)
			}
		})
	}
}
