package value

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

func number(text string) Value {
	t, err := statement.FromNumber(text)
	if err != nil {
		panic(err)
	}
	return Of(t)
}

func literalValue(text string) Value { return Of(statement.Literal(text)) }

// inOrder are values from least to greatest; those of one line are equal.
var inOrder = [][]Value{
	{Null},
	{number("-12345678901234567890123"), number("-12345678901234567890123")},
	{number("-1.5")},
	{number("0"), number("0.0"), number("-0.0"), Bool(false)},
	{number("1"), number("1.0"), Bool(true)},
	{number("2.5"), Of(statement.Term{Text: "2.50", Type: "http://www.w3.org/2001/XMLSchema#decimal"})},
	{number("9007199254740992"), number("9007199254740992.0")},
	{number("9007199254740993")},
	{number("9007199254740994.0")},
	{number("1e300")},
	{ListOf(nil)},
	{ListOf([]Value{Null})},
	{ListOf([]Value{number("1")}), ListOf([]Value{number("1.0")})},
	{ListOf([]Value{number("1"), number("2")}), ListOf([]Value{number("2"), number("1")})},
	{ListOf([]Value{number("2")})},
	{literalValue("")},
	{literalValue("1")},
	{literalValue("10")},
	{literalValue("2")},
	{literalValue("B")},
	{literalValue("a")},
	{Of(statement.Term{Text: "a", Type: "en"})},
	{literalValue("é")},
	{literalValue("\U0001f600")},
	{Of(statement.Reference("a"))},
	{Of(statement.Reference("b"))},
}

func TestAllValuesHaveOneOrder(t *testing.T) {
	for i, left := range inOrder {
		for j, right := range inOrder {
			for _, a := range left {
				for _, b := range right {
					if got := Compare(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
						t.Errorf("Compare(%v, %v) = %d, want that of %d and %d", a, b, got, i, j)
					}
				}
			}
		}
	}
}

func TestAListEqualsWhatItContains(t *testing.T) {
	list := ListOf([]Value{number("1"), literalValue("x"), Null})
	for _, v := range []Value{number("1"), number("1.0"), Bool(true), literalValue("x"), Null} {
		if !Equal(list, v) || !Equal(v, list) {
			t.Errorf("%v and %v are not equal", list, v)
		}
	}
	for _, v := range []Value{number("2"), literalValue("1"), Of(statement.Reference("x"))} {
		if Equal(list, v) || Equal(v, list) {
			t.Errorf("%v and %v are equal", list, v)
		}
	}
	if !Equal(list, ListOf([]Value{Null, number("1"), literalValue("x")})) {
		t.Error("the order of a list's values plays a part")
	}
	if Equal(list, ListOf([]Value{number("1")})) || Equal(ListOf(nil), Null) {
		t.Error("lists of other values are equal")
	}
}

func TestTruth(t *testing.T) {
	no := []Value{Null, Bool(false), number("0"), number("0.0"), literalValue(""), ListOf(nil), Of(statement.EmptyList())}
	yes := []Value{Bool(true), number("-1"), number("0.1"), literalValue("0"), literalValue("false"),
		ListOf([]Value{Null}), Of(statement.Reference("a")), Of(statement.Term{Text: "x", Type: statement.XSDInteger})}
	for _, v := range no {
		if v.Truth() {
			t.Errorf("%v is true", v)
		}
	}
	for _, v := range yes {
		if !v.Truth() {
			t.Errorf("%v is false", v)
		}
	}
}

// closeValue draws values close to each other, so that comparisons are hard.
func closeValue() *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		flat := slices.Concat(inOrder...)
		kind := rapid.IntRange(0, 3).Draw(t, "kind")
		switch kind {
		case 0:
			return number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,3})?(e[0-9]{1,2})?`).Draw(t, "number"))
		case 1:
			return ListOf(rapid.SliceOfN(rapid.SampledFrom(flat), 0, 3).Draw(t, "list"))
		default:
			return rapid.SampledFrom(flat).Draw(t, "value")
		}
	})
}

func TestTheOrderOfValuesIsConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := closeValue().Draw(t, "a"), closeValue().Draw(t, "b"), closeValue().Draw(t, "c")
		if Compare(a, a) != 0 {
			t.Fatalf("%v differs from itself", a)
		}
		if Compare(a, b) != -Compare(b, a) {
			t.Fatalf("%v and %v: %d one way, %d the other", a, b, Compare(a, b), Compare(b, a))
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%v <= %v <= %v, but not the first and the last", a, b, c)
		}
	})
}
