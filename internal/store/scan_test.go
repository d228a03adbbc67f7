package store

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// scanDoc draws an object with numbers, strings near the limit of what the
// index keeps, references, lists and embedded objects.
func scanDoc(rt *rapid.T) string {
	long := strings.Repeat("é", 150)
	value := rapid.SampledFrom([]string{
		`1`, `1.0`, `-2`, `10`, `9007199254740993`, `1e300`, `"a"`, `"ab"`, `"b"`, `"é"`, `"` + long + `"`, `"` + long + `x"`,
		`"@o1"`, `"@o2"`, `null`, `true`, `[1,"a",1]`, `[]`, `{"p":1,"q":"ab"}`, `[["a",2]]`,
	})
	return fmt.Sprintf(`{"id":"o%d","p":%s,"q":%s}`, rapid.IntRange(0, 9).Draw(rt, "id"), value.Draw(rt, "p"), value.Draw(rt, "q"))
}

// collected reads an iteration to its end.
func collected(t testing.TB, list iter.Seq2[Posting, error]) []Posting {
	t.Helper()
	var out []Posting
	for p, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// naive finds the values by reading every object.
func naive(t testing.TB, r *Reader, match func(statement.Statement) bool) []Posting {
	t.Helper()
	var out []Posting
	for o, err := range r.Objects("") {
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range o.Statements {
			p := Posting{Root: o.ID, Subject: s.Subject, Term: s.Term}
			if match(s) && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// wholly sorts postings, having read the values that the index cut.
func wholly(t testing.TB, r *Reader, list []Posting, predicate string) []Posting {
	t.Helper()
	var out []Posting
	for _, p := range list {
		if p.Cut {
			o, _, err := r.Object(p.Root)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(o.Statements, func(s statement.Statement) bool {
				return s.Subject == p.Subject && s.Predicate == predicate && keyText(s.Text) == p.Term.Text
			})
			p = Posting{Root: p.Root, Subject: p.Subject, Term: o.Statements[at].Term}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, comparePostings)
	return out
}

// sameScans compares every kind of scan with the reading of all objects.
func sameScans(t testing.TB, r *Reader) {
	t.Helper()
	all := naive(t, r, func(s statement.Statement) bool { return s.Predicate == "p" })
	slices.SortFunc(all, comparePostings)
	if got := wholly(t, r, collected(t, r.Scan("p")), "p"); !slices.Equal(got, all) {
		t.Fatalf("scan of p gives\n%v\nwant\n%v", got, all)
	}
	for _, p := range all {
		want := slices.DeleteFunc(slices.Clone(all), func(q Posting) bool { return q.Term != p.Term })
		if got := collected(t, r.ScanValue("p", p.Term)); !slices.Equal(got, want) {
			t.Fatalf("scan of p = %v gives\n%v\nwant\n%v", p.Term, got, want)
		}
	}
	sameRanges(t, r, all)
}

func sameRanges(t testing.TB, r *Reader, all []Posting) {
	t.Helper()
	within := NumberRange{Min: 1, Max: 10}
	isNumber := func(p Posting) bool {
		return p.Term.Type == statement.XSDInteger || p.Term.Type == statement.XSDDouble
	}
	want := slices.DeleteFunc(slices.Clone(all), func(p Posting) bool { return !isNumber(p) || !within.holds(asFloat(p.Term.Text)) })
	if got := wholly(t, r, collected(t, r.ScanNumbers("p", within)), "p"); !slices.Equal(got, want) {
		t.Fatalf("numbers from 1 to 10 are\n%v\nwant\n%v", got, want)
	}
	for _, prefix := range []string{"", "a", "é", strings.Repeat("é", 150)} {
		starts := func(p Posting) bool {
			return p.Term.Type == statement.TypeLiteral && strings.HasPrefix(p.Term.Text, prefix)
		}
		want := slices.DeleteFunc(slices.Clone(all), func(p Posting) bool { return !starts(p) })
		got := wholly(t, r, collected(t, r.ScanTexts("p", PrefixRange(prefix))), "p")
		got = slices.DeleteFunc(got, func(p Posting) bool { return !starts(p) })
		if !slices.Equal(got, want) {
			t.Fatalf("strings that start with %q are\n%v\nwant\n%v", prefix, got, want)
		}
	}
}

func TestScansGiveWhatReadingEveryObjectGives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t, t.TempDir(), "0A")
		for range rapid.IntRange(1, 12).Draw(rt, "writes") {
			do(t, s, (*Tx).Replace, scanDoc(rt))
		}
		read(t, s, func(r *Reader) error {
			sameScans(t, r)
			return nil
		})
		_, err := s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
			for range rapid.IntRange(1, 4).Draw(rt, "more") {
				if err := tx.Replace(doc(t, scanDoc(rt)).Objects); err != nil {
					return err
				}
			}
			sameScans(t, tx.Reader)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestCountsStopAtTheirBound(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 5 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"o%d","p":1,"r":"@o0"}`, i))
	}
	read(t, s, func(r *Reader) error {
		one := statement.Term{Text: "1", Type: statement.XSDInteger}
		for _, test := range []struct {
			got, want Count
		}{
			{r.CountValue("p", one, 3), Count{N: 3, More: true}},
			{r.CountValue("p", one, 5), Count{N: 5}},
			{r.CountPredicate("r", 10), Count{N: 5}},
			{r.CountReferences("o0", 1), Count{N: 1, More: true}},
			{r.CountReferences("o1", 1), Count{}},
		} {
			if test.got != test.want {
				t.Errorf("count is %+v, want %+v", test.got, test.want)
			}
		}
		n, err := r.CountObjects()
		if n != 5 {
			t.Errorf("%d objects, want 5", n)
		}
		return err
	})
}

func TestObjectsBetweenAreThoseOfTheRange(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for _, id := range []string{"a", "b", "b1", "c"} {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":%q,"p":1}`, id))
	}
	read(t, s, func(r *Reader) error {
		got := ""
		for o, err := range r.ObjectsBetween("b", "c") {
			if err != nil {
				return err
			}
			got += o.ID + " "
		}
		if got != "b b1 " {
			t.Errorf("from b to before c are %q", got)
		}
		return nil
	})
}
