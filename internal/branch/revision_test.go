package branch

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyRevision draws a revision over a few branches, so that they often meet.
func anyRevision(t *rapid.T, name string) Revision {
	var r Revision
	for _, id := range []ID{"0A", "0B", "1A", "ZZ"} {
		if seq := rapid.Uint64Range(0, 4).Draw(t, name+string(id)); seq > 0 {
			r = append(r, Dot{id, seq})
		}
	}
	return r
}

// sound reports whether a revision keeps what its type promises.
func sound(r Revision) bool {
	for i, d := range r {
		if d.Seq == 0 || i > 0 && r[i-1].Branch >= d.Branch {
			return false
		}
	}
	return true
}

func TestMergeIsTheLeastRevisionAboveBoth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyRevision(t, "a"), anyRevision(t, "b"), anyRevision(t, "c")
		ab := a.Merge(b)
		switch {
		case !sound(ab):
			t.Fatalf("%s + %s = %s is no revision", a, b, ab)
		case !ab.Equal(b.Merge(a)):
			t.Fatalf("%s + %s depends on the order", a, b)
		case !ab.Merge(c).Equal(a.Merge(b.Merge(c))):
			t.Fatalf("%s + %s + %s depends on the grouping", a, b, c)
		case !a.Merge(a).Equal(a):
			t.Fatalf("%s + itself = %s", a, a.Merge(a))
		case !ab.CoversAll(a) || !ab.CoversAll(b):
			t.Fatalf("%s + %s = %s covers one of them not", a, b, ab)
		case c.CoversAll(a) && c.CoversAll(b) && !c.CoversAll(ab):
			t.Fatalf("%s + %s = %s is not the least: %s covers both", a, b, ab, c)
		}
	})
}

func TestCoversAllIsAPartialOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyRevision(t, "a"), anyRevision(t, "b"), anyRevision(t, "c")
		if !a.CoversAll(a) || !a.CoversAll(nil) {
			t.Fatalf("%s does not cover itself or nothing", a)
		}
		if a.CoversAll(b) && b.CoversAll(a) && !a.Equal(b) {
			t.Fatalf("%s and %s cover each other", a, b)
		}
		if a.CoversAll(b) && b.CoversAll(c) && !a.CoversAll(c) {
			t.Fatalf("%s covers %s covers %s, and not the last", a, b, c)
		}
		if a.CoversAll(b) != a.Merge(b).Equal(a) {
			t.Fatalf("covering and merging disagree over %s and %s", a, b)
		}
	})
}

func TestWithRaisesOneBranchAndTouchesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyRevision(t, "a")
		before := slices.Clone(a)
		d := Dot{rapid.SampledFrom([]ID{"0A", "0C", "ZZ"}).Draw(t, "branch"), rapid.Uint64Range(0, 6).Draw(t, "seq")}
		got := a.With(d)
		want := a
		if d.Seq > 0 {
			want = a.Merge(Revision{d})
		}
		if !got.Equal(want) || !sound(got) {
			t.Fatalf("%s with %s = %s, want %s", a, d, got, want)
		}
		if !a.Equal(before) {
			t.Fatalf("%s became %s in place", before, a)
		}
	})
}

func TestSinceIsWhatWasLearned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRevision(t, "a"), anyRevision(t, "b")
		since := a.Since(b)
		if !sound(since) || !b.Merge(since).Equal(b.Merge(a)) {
			t.Fatalf("%s since %s = %s", a, b, since)
		}
		for _, d := range since {
			if b.Covers(d) {
				t.Fatalf("%s since %s has %s, which was known", a, b, d)
			}
		}
		if (len(since) == 0) != b.CoversAll(a) {
			t.Fatalf("%s since %s = %s", a, b, since)
		}
	})
}

func TestBehindCountsEveryChangesetOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRevision(t, "a"), anyRevision(t, "b")
		var want uint64
		for _, d := range b {
			for seq := uint64(1); seq <= d.Seq; seq++ {
				if !a.Covers(Dot{d.Branch, seq}) {
					want++
				}
			}
		}
		if got := a.Behind(b); got != want {
			t.Fatalf("%s is %d behind %s, want %d", a, got, b, want)
		}
	})
}

func TestRevisionTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRevision(t, "r")
		if len(r) > 0 {
			r[0].Seq = rapid.Uint64Min(1).Draw(t, "seq")
		}
		got, err := ParseRevision(r.String())
		if err != nil || !got.Equal(r) {
			t.Fatalf("%s came back as %s (%v)", r, got, err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back Revision
		if err := json.Unmarshal(text, &back); err != nil || !back.Equal(r) {
			t.Fatalf("%s came back from JSON %s as %s (%v)", r, text, back, err)
		}
	})
}

func TestRevisionsAreWrittenAsTheOriginalDoes(t *testing.T) {
	for text, r := range map[string]Revision{
		"0":                      nil,
		"AA00001":                {{"AA", 1}},
		"0A00003,0B00002":        {{"0A", 3}, {"0B", 2}},
		"0A99999,0B100000":       {{"0A", 99999}, {"0B", 100000}},
		"0A18446744073709551615": {{"0A", 1<<64 - 1}},
	} {
		if got := r.String(); got != text {
			t.Errorf("%v is written %s, want %s", []Dot(r), got, text)
		}
		if got, err := ParseRevision(text); err != nil || !got.Equal(r) {
			t.Errorf("%s is read as %v (%v)", text, []Dot(got), err)
		}
	}
	if got, err := ParseRevision("0A3"); err != nil || got.At("0A") != 3 {
		t.Errorf("a short number is read as %s (%v)", got, err)
	}
}

func TestBadRevisionsAreRefusedNamingThem(t *testing.T) {
	for _, text := range []string{
		"0A", "00001", "0A00000", "0A-0001", "0A+0001", "0A 00001", "0A00001,", ",0A00001", "0A00001,,0B00001",
		"0B00001,0A00001", "0A00001,0A00002", "0a00001", "A00001", "0A18446744073709551616", "TOOLONGA00001",
	} {
		_, err := ParseRevision(text)
		if err == nil {
			t.Errorf("%q was accepted", text)
		} else if !strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error %q does not name it", text, err)
		}
	}
}

func FuzzParseRevision(f *testing.F) {
	for _, seed := range []string{"0", "", "0A00003,0B00002", "0A18446744073709551615", "0A,0B", "ZZ1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRevision(text)
		if err != nil {
			return
		}
		if !sound(r) {
			t.Fatalf("%q was read as %v", text, []Dot(r))
		}
		if back, err := ParseRevision(r.String()); err != nil || !back.Equal(r) {
			t.Fatalf("%q came back as %s (%v)", text, back, err)
		}
	})
}
