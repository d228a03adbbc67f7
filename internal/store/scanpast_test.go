package store

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// objectsOf returns all objects of an iteration as text.
func objectsOf(t testing.TB, r interface {
	Object(id string) (Object, bool, error)
}, ids []string) string {
	t.Helper()
	out := ""
	for _, id := range ids {
		o, _, err := r.Object(id)
		if err != nil {
			t.Fatal(err)
		}
		out += lines(o)
	}
	return out
}

func TestThePastHasTheObjectsThatExistedThen(t *testing.T) {
	ids := []string{"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9"}
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t, t.TempDir(), "0A")
		do(t, s, (*Tx).Add, `{"id":"still","p":1}`)
		if rapid.Bool().Draw(rt, "trim") {
			trimAll(t, s, s.Revision())
		}
		var at []branch.Revision
		var want []string
		for range rapid.IntRange(1, 10).Draw(rt, "writes") {
			d := doc(t, scanDoc(rt)).Objects
			op := func(tx *Tx) error { return tx.Replace(d) }
			if _, err := s.Update(t.Context(), WriteOptions{}, op); err != nil {
				t.Fatal(err)
			}
			read(t, s, func(r *Reader) error {
				at, want = append(at, r.Revision()), append(want, objectsOf(t, r, ids))
				return nil
			})
		}
		read(t, s, func(r *Reader) error {
			for i := range at {
				samePast(t, r, at[i], ids, want[i])
			}
			return nil
		})
	})
}

func samePast(t testing.TB, r *Reader, at branch.Revision, ids []string, want string) {
	t.Helper()
	past, err := r.At(at)
	if err != nil {
		t.Fatal(err)
	}
	if got := objectsOf(t, past, ids); got != want {
		t.Fatalf("at %s there was\n%s\nwant\n%s", at, got, want)
	}
	got, still := "", false
	for o, err := range past.Objects() {
		if err != nil {
			t.Fatal(err)
		}
		if still = still || o.ID == "still"; o.ID != "still" {
			got += lines(o)
		}
	}
	if got != want || !still {
		t.Fatalf("at %s all objects were\n%s\nwant\n%s(and the one that never changed: %v)", at, got, want, still)
	}
}

func TestWhatWasDeletedSinceIsFoundInThePast(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1,"e":{"v":2}}`)
	at := s.Revision()
	do(t, s, drop, `{"id":"x"}`)
	read(t, s, func(r *Reader) error {
		past, err := r.At(at)
		if err != nil {
			return err
		}
		n := 0
		for id, err := range past.SubjectsHaving("v") {
			if err != nil {
				return err
			}
			if n++; n == 1 && id != "x" {
				t.Errorf("first is %s, want x", id)
			}
		}
		if n != 2 {
			t.Errorf("%d subjects have v, want 2", n)
		}
		for id, err := range past.SubjectsWith("v", statement.Term{Text: "1", Type: statement.XSDInteger}) {
			if err != nil || id != "x" {
				t.Errorf("%s has v = 1, %v", id, err)
			}
		}
		return nil
	})
}

func TestThePastBeforeTheFloorIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	at := s.Revision()
	do(t, s, (*Tx).Replace, `{"id":"x","v":2}`)
	trimAll(t, s, s.Revision())
	read(t, s, func(r *Reader) error {
		var compacted *CompactedError
		if _, err := r.At(at); !errors.As(err, &compacted) {
			t.Errorf("the error is %v", err)
		}
		var invalid *InvalidError
		if _, err := r.At(branch.Revision{{Branch: "0A", Seq: 99}}); !errors.As(err, &invalid) {
			t.Errorf("of what has not come: %v", err)
		}
		return nil
	})
}
