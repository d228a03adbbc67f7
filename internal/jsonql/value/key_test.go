package value

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// whole is a limit that no key of these tests reaches.
const whole = 1 << 20

// anyNumber draws numbers of every form, many of them close to one another.
func anyNumber() *rapid.Generator[statement.Term] {
	digits := rapid.StringMatching(`0|[1-9][0-9]{0,3}|[1-9]0{0,25}[0-9]{0,2}|9{1,25}|9007199254740(99[0-9])|[1-9][0-9]{300,320}`)
	return rapid.Custom(func(t *rapid.T) statement.Term {
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		text := sign + digits.Draw(t, "digits")
		if rapid.Bool().Draw(t, "double") {
			text = sign + rapid.StringMatching(`(0|[1-9][0-9]{0,16})(\.[0-9]{1,17})?([eE](-?[1-9][0-9]?|-?[1-2][0-9]{2}|30[0-7]))?`).Draw(t, "text")
		}
		n, err := statement.FromNumber(text)
		if err != nil {
			return statement.Term{Text: "0", Type: statement.XSDInteger}
		}
		if odd := rapid.SampledFrom(append([]string{n.Type, n.Type, n.Type}, numberTypes...)).Draw(t, "type"); odd != n.Type {
			n.Type = odd // its text may be no such number at all
		}
		return n
	})
}

func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[ab\x00\x01]{0,6}`),
		rapid.String(),
		rapid.Map(rapid.IntRange(0, 40), func(n int) string { return strings.Repeat("x", n) }),
	)
}

func anyTerm() *rapid.Generator[statement.Term] {
	return rapid.OneOf(
		anyNumber(), anyNumber(),
		rapid.Map(anyText(), statement.Literal),
		rapid.Map(anyText(), statement.Reference),
		rapid.Custom(func(t *rapid.T) statement.Term {
			types := []string{"en", "de", statement.TypePrefix + "x", statement.TypeNull, statement.XSDBoolean, statement.XSDInteger}
			return statement.Term{Text: anyText().Draw(t, "text"), Type: rapid.SampledFrom(types).Draw(t, "type")}
		}),
		rapid.SampledFrom([]statement.Term{
			statement.Null(), statement.EmptyList(), {Text: "true", Type: statement.XSDBoolean}, {Text: "false", Type: statement.XSDBoolean},
			{Text: "-0", Type: statement.XSDInteger}, {Text: "-0.0", Type: statement.XSDDouble}, {Text: "1e999", Type: statement.XSDDouble},
		}),
	)
}

func anyValue(deep int) *rapid.Generator[Value] {
	term := rapid.Map(anyTerm(), Of)
	if deep == 0 {
		return term
	}
	return rapid.OneOf(term, term, rapid.Map(rapid.SliceOfN(anyValue(deep-1), 0, 6), ListOf))
}

// checkKeys holds the keys of two values, with a limit, against their order.
func checkKeys(a, b Value, limit int) error {
	x, y := AppendKey(nil, a, limit), AppendKey([]byte("before"), b, limit)[len("before"):]
	if len(x) > limit+1 || len(y) > limit+1 {
		return fmt.Errorf("keys of %d and %d bytes, the limit is %d", len(x), len(y), limit)
	}
	got, want := bytes.Compare(x, y), Compare(a, b)
	switch {
	case got == 0 && len(x) == limit+1: // cut: nothing is known
	case got != want:
		return fmt.Errorf("keys %x and %x compare %d, %v and %v compare %d", x, y, got, a, b, want)
	case got != 0 && (bytes.HasPrefix(x, y) || bytes.HasPrefix(y, x)):
		return fmt.Errorf("of %x and %x one is the beginning of the other", x, y)
	}
	return nil
}

// TestKeysAreOrderedAsTheirValues also proves that no key is the beginning of
// another, whole or cut.
func TestKeysAreOrderedAsTheirValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyValue(2).Draw(t, "a")
		b := rapid.OneOf(rapid.Just(a), anyValue(2), anyValue(0)).Draw(t, "b")
		limit := rapid.OneOf(rapid.Just(whole), rapid.IntRange(1, 40)).Draw(t, "limit")
		if err := checkKeys(a, b, limit); err != nil {
			t.Fatal(err)
		}
	})
}

// TestKeysOfNumbersThatAreCloseKeepThemApart goes through the places where kinds
// of numbers meet.
func TestKeysOfNumbersThatAreCloseKeepThemApart(t *testing.T) {
	texts := []string{
		"-1e308", "-100000000000000000000", "-99999999999999999999", "-9007199254740993", "-9007199254740992.0", "-12", "-11.9", "-1.25", "-1.2",
		"-1e-9", "-5e-324", "0", "-0", "0.0", "5e-324", "1e-9", "0.1", "0.5", "1", "1.0", "1.2", "1.25", "2", "9", "9.5", "10", "10.0", "11", "99", "100", "1e2",
		"9007199254740991", "9007199254740992", "9007199254740992.0", "9007199254740993", "9223372036854775807", "9223372036854775808",
		"1e23", "100000000000000000000000", "100000000000000000000001", "1e308", "1" + strings.Repeat("0", 309), strings.Repeat("9", statement.MaxNumberBytes),
	}
	for _, a := range texts {
		for _, b := range texts {
			x, errX := statement.FromNumber(a)
			y, errY := statement.FromNumber(b)
			if errX != nil || errY != nil {
				t.Fatal(errX, errY)
			}
			if err := checkKeys(Of(x), Of(y), whole); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestKeyOfALongListCostsOneLookAtEachMember: of a million members the least few
// make the key, and the list is not put in order.
func TestKeyOfALongListCostsOneLookAtEachMember(t *testing.T) {
	long := make([]Value, 100_000)
	for i := range long {
		long[i] = of(t, i*7919%len(long))
	}
	key := AppendKey(nil, ListOf(long), 64)
	if len(key) != 65 {
		t.Fatalf("the key has %d bytes", len(key))
	}
	slow := ListOf(long).sorted()
	if want := AppendKey(nil, ListOf(slow[:64]), 64); !bytes.Equal(key, want) {
		t.Errorf("the key is %x, that of the least members is %x", key, want)
	}
}

// FuzzKeysAreOrderedAsTheirValues takes types and texts that nobody would write.
func FuzzKeysAreOrderedAsTheirValues(f *testing.F) {
	f.Add("1", statement.XSDInteger, "1.0", statement.XSDDouble, uint8(200))
	f.Add("a", statement.TypeLiteral, "a\x00", statement.TypeLiteral, uint8(3))
	f.Add("true", statement.XSDBoolean, "-1e5", numberTypes[3], uint8(5))
	f.Add("null", statement.TypeNull, "x", statement.TypeRef, uint8(1))
	f.Fuzz(func(t *testing.T, textA, typeA, textB, typeB string, limit uint8) {
		a, b := Of(statement.Term{Text: textA, Type: typeA}), Of(statement.Term{Text: textB, Type: typeB})
		for _, pair := range [][2]Value{{a, b}, {ListOf([]Value{a, b}), ListOf([]Value{b})}, {ListOf([]Value{b, a}), ListOf([]Value{a, b})}} {
			if err := checkKeys(pair[0], pair[1], int(limit)+1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendKey(b *testing.B) {
	for _, c := range []struct {
		name string
		v    Value
	}{
		{"integer", Of(statement.Term{Text: "1984", Type: statement.XSDInteger})},
		{"double", Of(statement.Term{Text: "19.84", Type: statement.XSDDouble})},
		{"string", Of(statement.Literal("a string of some length"))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for range b.N {
				buf = AppendKey(buf[:0], c.v, 256)
			}
		})
	}
}
