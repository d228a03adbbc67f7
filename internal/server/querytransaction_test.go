package server

import (
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	jsonqlsource "vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// writes writes an object, as an author who says why.
func (n *node) writes(text, author, comment string) store.Commit {
	n.t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		n.t.Fatal(err)
	}
	opts := store.WriteOptions{Author: author, Comment: comment}
	c, err := n.store.Update(n.t.Context(), opts, func(tx *store.Tx) error { return tx.Update(doc.Objects) })
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// wroteIn returns the changeset that a source says wrote a text.
func wroteIn(t *testing.T, src jsonqlsource.TransactionSource, id, property, text string) jsonqlsource.Transaction {
	t.Helper()
	got, found, err := src.Transaction(id, property, statement.Literal(text))
	if err != nil || !found {
		t.Errorf("%s of %s: found %v, %v", property, id, found, err)
	}
	return got
}

func (n *node) wrote(id, property, text string) jsonqlsource.Transaction {
	n.t.Helper()
	var got jsonqlsource.Transaction
	err := n.store.View(n.t.Context(), func(rd *store.Reader) error {
		got = wroteIn(n.t, newSource(rd, "test:"), id, property, text)
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return got
}

func TestAQueryKnowsTheChangesetTimeAuthorAndCommentOfAValue(t *testing.T) {
	n := newNode(t)
	before := time.Now().Add(-time.Millisecond)
	first := n.writes(`{"id":"x","v":"a","w":"a"}`, "ann", "the first")
	n.writes(`{"id":"x","w":"b"}`, "bob", "")
	v, w := n.wrote("x", "v", "a"), n.wrote("x", "w", "b")
	if v.ID != "context:txn:test:;0A00001" || v.Author != "ann" || v.Comment != "the first" || w.ID != "context:txn:test:;0A00002" || w.Author != "bob" || w.Comment != "" {
		t.Errorf("v was written in %+v, w in %+v", v, w)
	}
	if at := time.UnixMilli(int64(v.Time * 1000)); at.Before(before.Truncate(time.Millisecond)) || at.After(time.Now().Add(time.Second)) || v.Time > w.Time {
		t.Errorf("written at %v, which is not between %v and now, or after %v", at, before, w.Time)
	}
	err := n.store.View(t.Context(), func(rd *store.Reader) error {
		src := newSource(rd, "test:")
		for _, gone := range []string{"a", "c"} {
			if got, found, err := src.Transaction("x", "w", statement.Literal(gone)); found || err != nil {
				t.Errorf("what is not there was written in %v, %v", got, err)
			}
		}
		past, err := rd.At(first.Revision)
		if err != nil {
			return err
		}
		if got := wroteIn(t, newPastSource(past, "test:"), "x", "w", "a"); got != v {
			t.Errorf("as of the past it was written in %+v, want %+v", got, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatATransactionHasNotCommittedHasNoChangeset(t *testing.T) {
	n := newNode(t)
	n.writes(`{"id":"x","v":"a"}`, "ann", "")
	_, err := n.store.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error {
		doc, err := pjson.Parse([]byte(`{"id":"x","v":"b"}`), pjson.Options{})
		if err != nil {
			return err
		}
		if err := tx.Update(doc.Objects); err != nil {
			return err
		}
		if got, found, err := newSource(tx.Reader, "test:").Transaction("x", "v", statement.Literal("b")); found || err != nil {
			t.Errorf("it was written in %v, %v", got, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryNodeSaysTheSameOfMergedValuesAndATrimmedLogForgetsWhoAndWhy(t *testing.T) {
	a, b := newNode(t), newNodeOf(t, "0B")
	a.writes(`{"id":"x","v":"a","u":"a"}`, "ann", "there")
	trade(t, a.store, b.store)
	a.writes(`{"id":"x","v":"b"}`, "ann", "mine")
	b.writes(`{"id":"x","v":"b","w":"b"}`, "bob", "mine too")
	trade(t, a.store, b.store)
	for _, p := range [][2]string{{"u", "a"}, {"v", "b"}, {"w", "b"}} {
		if at, other := a.wrote("x", p[0], p[1]), b.wrote("x", p[0], p[1]); at != other {
			t.Errorf("%s: %+v on one node, %+v on the other", p[0], at, other)
		}
	}
	if got := b.wrote("x", "v", "b"); got.ID != "context:txn:test:;0B00001" || got.Comment != "mine too" {
		t.Errorf("of two that wrote the same value, the later is told: %+v", got)
	}
	known := a.wrote("x", "u", "a")
	for more := true; more; {
		done, err := a.store.Trim(t.Context(), a.store.Revision(), time.Now().Add(24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		more = done.More
	}
	known.Author, known.Comment = "", ""
	if got := a.wrote("x", "u", "a"); got != known {
		t.Errorf("after the log was trimmed: %+v, want %+v", got, known)
	}
}

func TestWhatAQueryKeepsInMindOfChangesetsIsBoundedAndRight(t *testing.T) {
	n := newNode(t)
	n.writes(`{"id":"x","v":"a"}`, "ann", "one")
	n.writes(`{"id":"y","v":"a"}`, "bob", "two")
	err := n.store.View(t.Context(), func(rd *store.Reader) error {
		src := newSource(rd, "test:")
		for range 3 {
			x, y := wroteIn(t, src, "x", "v", "a"), wroteIn(t, src, "y", "v", "a")
			if x.Comment != "one" || y.Comment != "two" {
				t.Errorf("got %v and %v", x, y)
			}
			for i := range maxNotes {
				src.notes[branch.Dot{Branch: "0Z", Seq: uint64(i)}] = store.Note{}
			}
			delete(src.notes, branch.Dot{Branch: "0A", Seq: 1})
		}
		wroteIn(t, src, "x", "v", "a")
		if len(src.notes) > maxNotes {
			t.Errorf("it keeps %d changesets in mind", len(src.notes))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
