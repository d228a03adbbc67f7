package jsonql

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

func number(text string) value {
	t, err := statement.FromNumber(text)
	if err != nil {
		panic(err)
	}
	return termValue(t)
}

func literalValue(text string) value { return termValue(statement.Literal(text)) }

// inOrder are values from least to greatest; those of one line are equal.
var inOrder = [][]value{
	{null},
	{number("-12345678901234567890123"), number("-12345678901234567890123")},
	{number("-1.5")},
	{number("0"), number("0.0"), number("-0.0"), boolValue(false)},
	{number("1"), number("1.0"), boolValue(true)},
	{number("2.5"), termValue(statement.Term{Text: "2.50", Type: "http://www.w3.org/2001/XMLSchema#decimal"})},
	{number("9007199254740992"), number("9007199254740992.0")},
	{number("9007199254740993")},
	{number("9007199254740994.0")},
	{number("1e300")},
	{listValue(nil)},
	{listValue([]value{null})},
	{listValue([]value{number("1")}), listValue([]value{number("1.0")})},
	{listValue([]value{number("1"), number("2")}), listValue([]value{number("2"), number("1")})},
	{listValue([]value{number("2")})},
	{literalValue("")},
	{literalValue("1")},
	{literalValue("10")},
	{literalValue("2")},
	{literalValue("B")},
	{literalValue("a")},
	{termValue(statement.Term{Text: "a", Type: "en"})},
	{literalValue("é")},
	{literalValue("\U0001f600")},
	{termValue(statement.Reference("a"))},
	{termValue(statement.Reference("b"))},
}

func TestAllValuesHaveOneOrder(t *testing.T) {
	for i, left := range inOrder {
		for j, right := range inOrder {
			for _, a := range left {
				for _, b := range right {
					if got := compare(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
						t.Errorf("compare(%v, %v) = %d, want that of %d and %d", a, b, got, i, j)
					}
				}
			}
		}
	}
}

func TestAListEqualsWhatItContains(t *testing.T) {
	list := listValue([]value{number("1"), literalValue("x"), null})
	for _, v := range []value{number("1"), number("1.0"), boolValue(true), literalValue("x"), null} {
		if !equal(list, v) || !equal(v, list) {
			t.Errorf("%v and %v are not equal", list, v)
		}
	}
	for _, v := range []value{number("2"), literalValue("1"), termValue(statement.Reference("x"))} {
		if equal(list, v) || equal(v, list) {
			t.Errorf("%v and %v are equal", list, v)
		}
	}
	if !equal(list, listValue([]value{null, number("1"), literalValue("x")})) {
		t.Error("the order of a list's values plays a part")
	}
	if equal(list, listValue([]value{number("1")})) || equal(listValue(nil), null) {
		t.Error("lists of other values are equal")
	}
}

func TestTruth(t *testing.T) {
	no := []value{null, boolValue(false), number("0"), number("0.0"), literalValue(""), listValue(nil), termValue(statement.EmptyList())}
	yes := []value{boolValue(true), number("-1"), number("0.1"), literalValue("0"), literalValue("false"),
		listValue([]value{null}), termValue(statement.Reference("a")), termValue(statement.Term{Text: "x", Type: statement.XSDInteger})}
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

// anyValue draws values close to each other, so that comparisons are hard.
func anyValue() *rapid.Generator[value] {
	return rapid.Custom(func(t *rapid.T) value {
		flat := slices.Concat(inOrder...)
		kind := rapid.IntRange(0, 3).Draw(t, "kind")
		switch kind {
		case 0:
			return number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,3})?(e[0-9]{1,2})?`).Draw(t, "number"))
		case 1:
			return listValue(rapid.SliceOfN(rapid.SampledFrom(flat), 0, 3).Draw(t, "list"))
		default:
			return rapid.SampledFrom(flat).Draw(t, "value")
		}
	})
}

func TestTheOrderOfValuesIsConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyValue().Draw(t, "a"), anyValue().Draw(t, "b"), anyValue().Draw(t, "c")
		if compare(a, a) != 0 {
			t.Fatalf("%v differs from itself", a)
		}
		if compare(a, b) != -compare(b, a) {
			t.Fatalf("%v and %v: %d one way, %d the other", a, b, compare(a, b), compare(b, a))
		}
		if compare(a, b) <= 0 && compare(b, c) <= 0 && compare(a, c) > 0 {
			t.Fatalf("%v <= %v <= %v, but not the first and the last", a, b, c)
		}
	})
}
