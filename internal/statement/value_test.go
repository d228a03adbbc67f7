package statement

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGoValuesBecomeTerms(t *testing.T) {
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	tests := []struct {
		in   any
		want Term
	}{
		{nil, Term{"null", TypeNull}},
		{"", Term{"", TypeLiteral}},
		{"a string", Term{"a string", TypeLiteral}},
		{"@not a reference here", Term{"@not a reference here", TypeLiteral}},
		{true, Term{"true", XSDBoolean}},
		{false, Term{"false", XSDBoolean}},
		{0, Term{"0", XSDInteger}},
		{-7, Term{"-7", XSDInteger}},
		{int8(-8), Term{"-8", XSDInteger}},
		{uint64(math.MaxUint64), Term{"18446744073709551615", XSDInteger}},
		{huge, Term{"123456789012345678901234567890", XSDInteger}},
		{1.0, Term{"1.0", XSDDouble}},
		{float32(0.5), Term{"0.5", XSDDouble}},
		{json.Number("12"), Term{"12", XSDInteger}},
		{json.Number("12.0"), Term{"12.0", XSDDouble}},
		{Ref("a"), Term{"a", TypeRef}},
		{Typed{"date", "2010-04-01"}, Term{"2010-04-01", "pjson:date"}},
		{Typed{"lang:en-US", "color"}, Term{"color", "en-US"}},
		{Typed{"http://example.com/t", "x"}, Term{"x", "http://example.com/t"}},
		{Term{"x", "en"}, Term{"x", "en"}},
	}
	for _, tt := range tests {
		got, err := FromValue(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("FromValue(%#v) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestGoValuesThatJSONDoesNotHaveAreRefused(t *testing.T) {
	for _, v := range []any{
		math.NaN(), math.Inf(1), math.Inf(-1), float32(math.Inf(1)), []any{}, map[string]any{}, struct{}{}, 1i,
		json.Number("abc"), json.Number(""), Typed{"", "x"}, Typed{"json", "x"}, Typed{"lang:", "x"},
		Typed{"lang:R", "x"}, Typed{"lang:L", "x"}, Typed{"lang:a:b", "x"},
	} {
		if got, err := FromValue(v); err == nil {
			t.Errorf("FromValue(%#v) = %v, want an error", v, got)
		}
	}
}

func TestNumbersKeepTheirValue(t *testing.T) {
	tests := map[string]Term{
		"0":                       {"0", XSDInteger},
		"-0":                      {"0", XSDInteger},
		"1262662188016":           {"1262662188016", XSDInteger},
		"9007199254740993":        {"9007199254740993", XSDInteger}, // not a double
		"-98765432109876543210":   {"-98765432109876543210", XSDInteger},
		"1.0":                     {"1.0", XSDDouble},
		"-0.0":                    {"-0.0", XSDDouble},
		"1e0":                     {"1.0", XSDDouble},
		"0.1":                     {"0.1", XSDDouble},
		"0.30000000000000004":     {"0.30000000000000004", XSDDouble},
		"1.10":                    {"1.1", XSDDouble},
		"99999999999.0":           {"99999999999.0", XSDDouble},
		"100000000000.0":          {"1e+11", XSDDouble},
		"123456789012.0":          {"1.23456789012e+11", XSDDouble},
		"1e16":                    {"1e+16", XSDDouble},
		"0.0001":                  {"0.0001", XSDDouble},
		"1e-5":                    {"1e-05", XSDDouble},
		"1e-400":                  {"0.0", XSDDouble},
		"1.7976931348623157e+308": {"1.7976931348623157e+308", XSDDouble},
		"5e-324":                  {"5e-324", XSDDouble},
	}
	for text, want := range tests {
		if got, err := FromNumber(text); err != nil || got != want {
			t.Errorf("FromNumber(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestNumbersThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", " ", "abc", "1 ", " 1", "01", "-", "+1", "1.", ".5", "1e", "0x10", "1_000",
		"Infinity", "NaN", "true", `"1"`, "[1]", "1,2", "1e999", "-1e400", "1\n",
		strings.Repeat("1", MaxNumberBytes+1)} {
		if got, err := FromNumber(text); err == nil {
			t.Errorf("FromNumber(%q) = %v, want an error", text, got)
		}
	}
	longest := strings.Repeat("1", MaxNumberBytes)
	if got, err := FromNumber(longest); err != nil || got.Text != longest {
		t.Errorf("the longest integer became %v, %v", got, err)
	}
	_, err := FromNumber("1e999")
	if err == nil || !strings.Contains(err.Error(), "beyond the range of a double") {
		t.Errorf("1e999: error %v does not say that it is out of range", err)
	}
}

// The texts that the specification of the original gives for its doubles.
func TestDoublesWithUpToTwelveDigitsHaveTheTextOfTheOriginal(t *testing.T) {
	tests := map[float64]string{
		1.5: "1.5", 1.0: "1.0", 123456789012.0: "1.23456789012e+11", 1e16: "1e+16", 1e-5: "1e-05", 0: "0.0", -2.5: "-2.5",
	}
	for f, want := range tests {
		if got := FormatDouble(f); got != want {
			t.Errorf("FormatDouble(%g) = %q, want %q", f, got, want)
		}
	}
}

func TestEveryDoubleReadsBackAsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		if math.IsNaN(f) || math.IsInf(f, 0) {
			t.Skip("not a JSON number")
		}
		text := FormatDouble(f)
		back, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Float64bits(back) != math.Float64bits(f) {
			t.Fatalf("%g was written as %q, which reads as %g, %v", f, text, back, err)
		}
		term, err := FromNumber(text)
		if err != nil || term.Text != text || term.Type != XSDDouble {
			t.Fatalf("%q as a JSON number is %v, %v", text, term, err)
		}
	})
}

func TestTermsBecomeGoValues(t *testing.T) {
	tests := []struct {
		in   Term
		want any
	}{
		{Term{"x", TypeLiteral}, "x"},
		{Term{"x", TypeRef}, Ref("x")},
		{Term{"null", TypeNull}, nil},
		{Term{"true", XSDBoolean}, true},
		{Term{"false", XSDBoolean}, false},
		{Term{"12", XSDInteger}, json.Number("12")},
		{Term{"1.5", XSDDouble}, json.Number("1.5")},
		{Term{"x", "en"}, Typed{"lang:en", "x"}},
		{Term{"x", "pjson:date"}, Typed{"date", "x"}},
		{Term{"x", "http://example.com/t"}, Typed{"http://example.com/t", "x"}},
		// Texts that this package does not write keep their type.
		{Term{"007", XSDInteger}, Typed{XSDInteger, "007"}},
		{Term{"-0", XSDInteger}, Typed{XSDInteger, "-0"}},
		{Term{"1.5", XSDInteger}, Typed{XSDInteger, "1.5"}},
		{Term{"1", XSDDouble}, Typed{XSDDouble, "1"}},
		{Term{"1.50", XSDDouble}, Typed{XSDDouble, "1.50"}},
		{Term{"yes", XSDBoolean}, Typed{XSDBoolean, "yes"}},
		{Term{"1", XSDBoolean}, Typed{XSDBoolean, "1"}},
		{Term{"", TypeNull}, Typed{"schema#null", ""}},
		{Term{"x", "pjson:json"}, Typed{"pjson:json", "x"}},
		{Term{"x", "pjson:"}, Typed{"pjson:", "x"}},
		{Term{"x", "pjson:a:b"}, Typed{"pjson:a:b", "x"}},
	}
	for _, tt := range tests {
		if got := tt.in.Value(); got != tt.want {
			t.Errorf("%v.Value() = %#v, want %#v", tt.in, got, tt.want)
		}
	}
}

func TestEveryStorableTermSurvivesBeingAGoValue(t *testing.T) {
	types := rapid.OneOf(rapid.SampledFrom([]string{
		TypeRef, TypeLiteral, TypeNull, XSDBoolean, XSDDouble, XSDInteger, "en", "pjson:date", "pjson:json", "a:b",
	}), rapid.String())
	texts := rapid.OneOf(rapid.SampledFrom([]string{"null", "true", "1", "1.0", "1e5", "007", "-0", "0.1"}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		term := Term{texts.Draw(t, "text"), types.Draw(t, "type")}
		if term.Check() != nil {
			t.Skip("not storable")
		}
		back, err := FromValue(term.Value())
		if err != nil || back != term {
			t.Fatalf("%#v became %#v and then %#v, %v", term, term.Value(), back, err)
		}
	})
}

// What the parser of JSON says decides what a number is; it accepts blanks
// around one, which are none of its text.
func TestNumbersAreThoseOfJSON(t *testing.T) {
	check := func(fail func(string, ...any), text string) {
		want := json.Valid([]byte(text)) && strings.TrimSpace(text) == text && text[0] != '"' && text[0] != '[' && text[0] != '{' &&
			text != "true" && text != "false" && text != "null"
		if got := isJSONNumber(text); got != want {
			fail("%q is a number: %t, want %t", text, got, want)
		}
		term := Term{Text: text, Type: XSDInteger}
		back, err := FromNumber(text)
		if got, want := term.IsInteger(), err == nil && back == term; got != want {
			fail("%q is an integer as it is written: %t, want %t", text, got, want)
		}
	}
	for _, text := range []string{"", "-", "0", "-0", "00", "01", "-01", "1", "-1", "1.", ".1", "1.0", "1e", "1e+", "1e+1", "1E-1", "1.0e5", "1.e5",
		"0.0", "0e0", "--1", "+1", " 1", "1 ", "1\n", "0x1", "1_0", "1.2.3", "1e5e5", "NaN", "١", strings.Repeat("1", MaxNumberBytes), strings.Repeat("1", MaxNumberBytes+1)} {
		check(t.Errorf, text)
	}
	rapid.Check(t, func(t *rapid.T) { check(t.Fatalf, rapid.StringMatching(`[-+.eE0-9 ]{0,12}`).Draw(t, "text")) })
}
