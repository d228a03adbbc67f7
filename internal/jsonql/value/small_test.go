package value

import (
	"cmp"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// TestSmallIntegersAreComparedAsAllNumbersAre holds the short way of comparing
// integers against the long one, which a fraction of nothing leads to.
func TestSmallIntegersAreComparedAsAllNumbersAre(t *testing.T) {
	integer := func(text string) statement.Term { return statement.Term{Text: text, Type: statement.XSDInteger} }
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.StringMatching(`-?[0-9]{0,20}[x+ ]?`)
		text := integer(texts.Draw(t, "a"))
		if _, number := numberText(text); isSmall(text) && !number {
			t.Fatalf("%q is taken for a number", text.Text)
		}
		a := rapid.Int64Range(-1e16, 1e16).Draw(t, "x")
		b := rapid.OneOf(rapid.Just(a), rapid.Int64Range(-1e16, 1e16)).Draw(t, "y")
		x, errX := statement.FromValue(a)
		y, errY := statement.FromValue(b)
		if errX != nil || errY != nil || !isSmall(x) || !isSmall(y) {
			t.Fatalf("%v and %v are not taken for small integers", x, y)
		}
		if got := compareNumbers(x, y); got != cmp.Compare(a, b) {
			t.Fatalf("%d compared with %d is %d", a, b, got)
		}
	})
}
