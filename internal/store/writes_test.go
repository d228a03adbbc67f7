package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// writers says of every value of an object which changeset wrote it.
func writers(t testing.TB, s *Store, id string, at branch.Revision) string {
	t.Helper()
	var out []string
	read(t, s, func(r *Reader) error {
		object, writes := r.Object, r.Writes
		if at != nil {
			past, err := r.At(at)
			if err != nil {
				return err
			}
			object, writes = past.Object, past.Writes
		}
		o, _, err := object(id)
		if err != nil {
			return err
		}
		w, err := writes(id)
		for _, st := range o.Statements {
			stamp, found := w.Of(st.Subject, st.Predicate, st.Term)
			if !found {
				t.Errorf("%s: no changeset wrote %v", id, st)
			}
			out = append(out, fmt.Sprintf("%s=%s:%s", st.Predicate, st.Text, stamp.Dot))
		}
		return err
	})
	return strings.Join(out, " ")
}

func TestEachValueHasTheChangesetThatWroteItLast(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":"a","w":1,"l":["a","b"]}`)
	do(t, s, (*Tx).Add, `{"id":"x","v":"b"}`)
	do(t, s, (*Tx).Update, `{"id":"x","w":2}`)
	if got, want := writers(t, s, "x", nil), "l=a:0A00001 l=b:0A00001 v=a:0A00001 v=b:0A00002 w=2:0A00003"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	do(t, s, drop, `{"id":"x"}`)
	do(t, s, (*Tx).Add, `{"id":"x","v":"a"}`)
	do(t, s, (*Tx).Update, `{"id":"x","v":"a"}`)
	if got := writers(t, s, "x", nil); got != "v=a:0A00005" {
		t.Errorf("after it was deleted and made anew: %s", got)
	}
	if got := writers(t, s, "x", branch.Revision{{Branch: "0A", Seq: 2}}); got != "l=a:0A00001 l=b:0A00001 v=a:0A00001 v=b:0A00002 w=1:0A00001" {
		t.Errorf("at a past revision: %s", got)
	}
	if got := writers(t, s, "x", branch.Revision{{Branch: "0A", Seq: 4}}); got != "" {
		t.Errorf("when it was deleted: %s", got)
	}
}

func TestAListIsWrittenAsAWhole(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","l":["a","b"],"v":["a"]}`)
	do(t, s, (*Tx).Update, `{"id":"x","l":["a","c"],"v":["a"]}`)
	if got := writers(t, s, "x", nil); got != "l=a:0A00002 l=c:0A00002 v=a:0A00001" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsNotSeenWasWrittenByNothing(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":"a","o":{"k":1}}`)
	var inner string
	read(t, s, func(r *Reader) error {
		o, _, err := r.Object("x")
		inner = o.Statements[0].Subject
		return err
	})
	do(t, s, (*Tx).Update, `{"id":"x","v":"b","o":null}`)
	read(t, s, func(r *Reader) error {
		w, err := r.Writes("x")
		for _, gone := range []statement.Statement{
			{Subject: "x", Predicate: "v", Term: statement.Literal("a")}, {Subject: "x", Predicate: "u", Term: statement.Literal("a")},
			{Subject: "y", Predicate: "v", Term: statement.Literal("b")}, {Subject: "x", Predicate: "v", Term: statement.Reference("b")},
			{Subject: inner, Predicate: "k", Term: statement.Term{Text: "1", Type: statement.XSDInteger}},
		} {
			if stamp, found := w.Of(gone.Subject, gone.Predicate, gone.Term); found {
				t.Errorf("%v was written by %s", gone, stamp.Dot)
			}
		}
		if _, found := w.Of("x", "v", statement.Literal("b")); !found {
			t.Error("what is there was written by nothing")
		}
		nobody, _ := r.Writes("nobody")
		if _, found := nobody.Of("nobody", "v", statement.Literal("b")); found {
			t.Error("an object that is not there has values")
		}
		return err
	})
}

func TestOfConcurrentWritesTheOneThatIsReadWroteTheValue(t *testing.T) {
	equal := step{op: (*Tx).Update, text: `{"id":"x","v":"b"}`}
	other := step{op: (*Tx).Update, text: `{"id":"x","v":"c"}`}
	a, b := concurrently(t, `{"id":"x","v":"a"}`, equal, equal)
	for _, s := range []*Store{a, b} {
		if got := writers(t, s, "x", nil); got != "v=b:0B00001" {
			t.Errorf("%s: of two that wrote the same, %s", s.Branch(), got)
		}
	}
	_, b = concurrently(t, `{"id":"x","v":"a"}`, equal, other)
	for policy, want := range map[ConflictPolicy]string{
		PolicyLatest: "v=c:0B00001", PolicyEarliest: "v=b:0A00002", PolicyKeepBoth: "v=b:0A00002 v=c:0B00001",
	} {
		if b = reopen(t, b, policy); writers(t, b, "x", nil) != want {
			t.Errorf("policy %s: %s, want %s", policy, writers(t, b, "x", nil), want)
		}
	}
	before := branch.Revision{{Branch: "0A", Seq: 2}}
	if got := writers(t, b, "x", before); got != "v=b:0A00002" {
		t.Errorf("before they were merged: %s", got)
	}
}

func TestANoteGoesWithItsChangesetAndTheStampStays(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	write := func(text, comment string) {
		t.Helper()
		objects := doc(t, text).Objects
		if _, err := s.Update(t.Context(), WriteOptions{Author: "ann", Comment: comment}, func(tx *Tx) error { return tx.Update(objects) }); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"id":"x","v":"a"}`, "first")
	write(`{"id":"x","w":"a"}`, "second")
	note := func(d branch.Dot) (n Note, known bool) {
		read(t, s, func(r *Reader) (err error) {
			n, known, err = r.Note(d)
			if at, _ := r.At(r.Revision()); err == nil {
				if past, _, _ := at.Note(d); past != n {
					t.Errorf("the past has the note %v, and now it is %v", past, n)
				}
			}
			return err
		})
		return n, known
	}
	first, second := branch.Dot{Branch: "0A", Seq: 1}, branch.Dot{Branch: "0A", Seq: 2}
	if n, known := note(first); !known || n != (Note{"ann", "first"}) {
		t.Errorf("the note of the first is %v (%v)", n, known)
	}
	if trimAll(t, s, branch.Revision{first}) == 0 {
		t.Fatal("nothing left the log")
	}
	if n, known := note(first); known || n != (Note{}) {
		t.Errorf("the note of what left the log is %v (%v)", n, known)
	}
	if n, known := note(second); !known || n.Comment != "second" {
		t.Errorf("the note of what is in the log is %v (%v)", n, known)
	}
	if _, known := note(branch.Dot{Branch: "0Z", Seq: 9}); known {
		t.Error("there is a note of what never was")
	}
	if got := writers(t, s, "x", nil); got != "v=a:0A00001 w=a:0A00002" {
		t.Errorf("after the log was trimmed: %s", got)
	}
}

// TestTheWriterOfAValueAddedItAndIsTheSameEverywhere holds against the
// changesets themselves, for random writes of several authors that are merged:
// who wrote a value added it, and nobody that had seen that wrote it again. A
// store with a trimmed log, and one that is read as of the past, say the same.
func TestTheWriterOfAValueAddedItAndIsTheSameEverywhere(t *testing.T) {
	checks, values := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 30 {
			return
		}
		all := rewritten(t, rt)
		whole, trimmed := open(t, t.TempDir(), "0Y"), open(t, t.TempDir(), "0Z")
		apply(t, whole, all...)
		apply(t, trimmed, all...)
		trimAll(t, trimmed, trimmed.Revision())
		read(t, whole, func(r *Reader) error {
			for o, err := range r.Objects("") {
				if err != nil {
					return err
				}
				wroteLast(rt, r, all, o)
				values += len(o.Statements)
				now := writers(t, whole, o.ID, nil)
				if after := writers(t, trimmed, o.ID, nil); after != now {
					rt.Errorf("with a trimmed log: %s, and with the whole: %s", after, now)
				}
				if past := writers(t, whole, o.ID, r.Revision()); past != now {
					rt.Errorf("read as of the past: %s, and now: %s", past, now)
				}
			}
			return nil
		})
	})
	if values == 0 {
		t.Error("nothing was ever written")
	}
}

func wroteLast(rt *rapid.T, r *Reader, all []changeset.Envelope, o Object) {
	w, err := r.Writes(o.ID)
	if err != nil {
		rt.Fatal(err)
	}
	for _, st := range o.Statements {
		stamp, _ := w.Of(st.Subject, st.Predicate, st.Term)
		var by, later []branch.Dot
		for _, e := range all {
			c, err := changeset.Decode(e, changeset.DefaultLimits())
			if err != nil {
				rt.Fatal(err)
			}
			if !adds(c, o.ID, st) {
				continue
			}
			by = append(by, e.Dot)
			base, err := basisAt(r.tx, e.Dot)
			if err != nil {
				rt.Fatal(err)
			}
			if (write{stamp: changeset.Stamp{Dot: e.Dot}, seen: base.seen}).covers(stamp.Dot) {
				later = append(later, e.Dot)
			}
		}
		if !slices.Contains(by, stamp.Dot) || len(later) > 0 {
			rt.Errorf("%v was written by %s; it is added by %v, and by %v after that", st, stamp.Dot, by, later)
		}
	}
}

// adds reports whether a changeset adds a value.
func adds(c changeset.Changeset, root string, st statement.Statement) bool {
	for _, o := range c.Objects {
		for _, p := range o.Props {
			subject := p.Subject
			if subject == "" {
				subject = root
			}
			if o.Root == root && subject == st.Subject && p.Predicate == st.Predicate &&
				slices.ContainsFunc(p.Added, func(v changeset.Value) bool { return v.Term == st.Term }) {
				return true
			}
		}
	}
	return false
}
