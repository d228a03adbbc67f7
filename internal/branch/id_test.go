package branch

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// anyID draws an id of a width.
func anyID(t *rapid.T, width int) ID {
	return ID(rapid.StringMatching(fmt.Sprintf(`[0-9A-Z]{%d}[A-Z]`, width-1)).Draw(t, "id"))
}

func TestNextIsTheLeastGreaterIDOfTheWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(MinWidth, MaxWidth).Draw(t, "width")
		id, other := anyID(t, width), anyID(t, width)
		next, ok := id.Next()
		if !ok {
			if id != Last(width) {
				t.Fatalf("nothing comes after %s", id)
			}
			return
		}
		if _, err := ParseID(string(next)); err != nil || next <= id || next.Width() != width {
			t.Fatalf("after %s comes %s (%v)", id, next, err)
		}
		if other > id && other < next {
			t.Fatalf("%s lies between %s and %s", other, id, next)
		}
	})
}

func TestAllTwoCharacterIDsComeInOrderEachOnce(t *testing.T) {
	n := 1
	for id := First(2); ; n++ {
		next, ok := id.Next()
		if !ok {
			break
		}
		id = next
	}
	if n != 36*26 {
		t.Errorf("there are %d ids of two characters, want %d", n, 36*26)
	}
}

func TestBadIDsAreRefused(t *testing.T) {
	for _, id := range []string{"", "A", "00", "A0", "0a", "0-A", "é", "ABCDEFG", "0A ", " 0A", "0Ä"} {
		if _, err := ParseID(id); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
	for _, id := range []string{"0A", "AA", "ZZ", "00A", "A0A", "ABCDEF"} {
		if got, err := ParseID(id); err != nil || string(got) != id {
			t.Errorf("%q: %q, %v", id, got, err)
		}
	}
	for _, id := range []ID{"", "0", "zz", "ZZ"} {
		if next, ok := id.Next(); ok {
			t.Errorf("after %q comes %q", id, next)
		}
	}
}

func TestDotsAreOrderedByBranchThenNumber(t *testing.T) {
	dots := []Dot{{}, {"0A", 1}, {"0A", 2}, {"0A", 10}, {"0B", 1}, {"AA", 1}}
	for i, a := range dots {
		for j, b := range dots {
			if c := a.Compare(b); (c < 0) != (i < j) || (c > 0) != (i > j) {
				t.Errorf("%v compared to %v gives %d", a, b, c)
			}
		}
		if a.IsZero() != (i == 0) {
			t.Errorf("%v is zero: %v", a, a.IsZero())
		}
	}
}

func TestDotTextRoundTripsAndIsOneComponent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Dot{anyID(t, rapid.IntRange(MinWidth, MaxWidth).Draw(t, "width")), rapid.Uint64Min(1).Draw(t, "seq")}
		text, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Dot
		if err := back.UnmarshalText(text); err != nil || back != d {
			t.Fatalf("%s came back as %s (%v)", text, back, err)
		}
	})
	for _, text := range []string{"", "0", "0A00001,0B00001", "0A"} {
		if d, err := ParseDot(text); err == nil {
			t.Errorf("%q was read as dot %s", text, d)
		}
	}
}
