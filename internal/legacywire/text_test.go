package legacywire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

func TestStringsAreWrittenAsPythonWritesThem(t *testing.T) {
	tests := map[string]string{
		"":                     `""`,
		"plain ~ text /":       `"plain ~ text /"`,
		"\"\\":                 `"\"\\"`,
		"\n\r\t\f\b":           `"\n\r\t\f\b"`,
		"\x00\x01\x0b\x1f\x7f": `"\u0000\u0001\u000b\u001f\u007f"`,
		"café":                 `"caf\u00e9"`,
		"\u2028":               `"\u2028"`,
		"😀":                    `"\ud83d\ude00"`,
		"\xed\xa0\xbdx":        `"\ud83dx"`,
	}
	for text, want := range tests {
		if got := string(appendQuoted(nil, text)); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
		if back, err := unquote([]byte(want)); err != nil || back != text {
			t.Errorf("%s is read as %q, %v", want, back, err)
		}
	}
}

func TestHalfASurrogatePairIsReadAsWhatItIs(t *testing.T) {
	tests := map[string]string{
		`"\ud83d"`:             "\xed\xa0\xbd",
		`"\ude00"`:             "\xed\xb8\x80",
		`"\ud83d\ud83d\ude00"`: "\xed\xa0\xbd😀",
		`"\ud83dA"`:            "\xed\xa0\xbdA",
		`"\/"`:                 "/",
	}
	for raw, want := range tests {
		if got, err := unquote([]byte(raw)); err != nil || got != want {
			t.Errorf("%s is read as %q, %v; want %q", raw, got, err, want)
		}
	}
}

func TestEveryStringReadsBackAsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		raw := appendQuoted(nil, text)
		if strings.ContainsFunc(string(raw), func(r rune) bool { return r > '~' || r < ' ' }) {
			t.Fatalf("%q is written %q", text, raw)
		}
		var other string
		if err := json.Unmarshal(raw, &other); err != nil || other != text {
			t.Fatalf("%s is read by others as %q, %v", raw, other, err)
		}
		if back, err := unquote(raw); err != nil || back != text {
			t.Fatalf("%s is read as %q, %v", raw, back, err)
		}
	})
}

func TestTimestampsAreClocksInMicroseconds(t *testing.T) {
	at := func(milli, micro int) changeset.Clock { return changeset.Clock(milli)<<16 | changeset.Clock(micro) }
	tests := map[string]changeset.Clock{
		"1300000001.25":        at(1300000001250, 0),
		"1795396783.327817":    at(1795396783327, 817),
		"1795396783.3278179":   at(1795396783327, 817),
		"1300000001":           at(1300000001000, 0),
		"1300000001.0":         at(1300000001000, 0),
		"1.3e9":                at(1300000000000, 0),
		"0.000001":             at(0, 1),
		"0":                    1,
		"0.0000001":            1,
		"-5.5":                 1,
		"1e300":                1,
		"64000000000":          1,
		"63999999999.999":      at(63999999999999, 0),
		"99999999999999999999": 1,
	}
	for text, want := range tests {
		if got, err := ClockOf(text); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestAnAlignedClockSurvivesItsTimestampAndAPythonFloat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// To the year 2100: a double has microseconds until then.
		c := Align(changeset.Clock(rapid.Uint64Range(1, 4_100_000_000_000<<16).Draw(t, "clock")))
		text := Timestamp(c)
		if got, err := ClockOf(text); err != nil || got != c {
			t.Fatalf("clock %d is written %s, which is %d, %v", c, text, got, err)
		}
		var f float64
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
		// What Python would write of the number it reads.
		again := statement.FormatDouble(f)
		if c > 1<<40 && again != text {
			t.Fatalf("a Python float of %s is written %s", text, again)
		}
	})
}

func TestAligningNeverGoesBack(t *testing.T) {
	for _, c := range []changeset.Clock{1, 999, 1000, 65535, 1<<16 | 999, 1<<16 | 1000, 1700000000000<<16 | 40000} {
		got := Align(c)
		if got < c || got&0xffff > 999 || got-c > 1<<16 {
			t.Errorf("clock %d is aligned to %d", c, got)
		}
		if Align(got) != got {
			t.Errorf("clock %d is aligned twice", c)
		}
	}
}

func TestDoublesHaveTheTwelveDigitsOfTheOriginal(t *testing.T) {
	tests := map[float64]string{
		1.5: "1.5", 1: "1.0", 0.1 + 0.2: "0.3", 1.0 / 3: "0.333333333333", 123456789012: "1.23456789012e+11",
		1e16: "1e+16", 1e-5: "1e-05", 1795396783.327817: "1795396783.33", math.Pi: "3.14159265359", -2.0 / 3: "-0.666666666667",
		99999999999.99: "1e+11", 0: "0.0", math.MaxFloat64: "1.79769313486e+308",
	}
	for f, want := range tests {
		if got := twelve(f); got != want {
			t.Errorf("%v is written %s, want %s", f, got, want)
		}
	}
	for _, term := range []statement.Term{
		{Text: "0.12345678901234567", Type: statement.TypeLiteral}, {Text: "abc", Type: statement.XSDDouble},
		{Text: "NaN", Type: statement.XSDDouble}, {Text: "1.50", Type: statement.XSDDouble},
	} {
		if got := shortDouble(term); got != term {
			t.Errorf("%v became %v", term, got)
		}
	}
}
