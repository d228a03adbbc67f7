package store

import (
	"testing"

	"vesperdb.io/vesper/internal/branch"
)

func TestCopyThatAdoptsANewIDKeepsItsDataAndWritesUnderThatAlone(t *testing.T) {
	dir, _ := closedStore(t)
	dir = copyStore(t, dir)
	s := open(t, dir, "0A")
	was := s.Incarnation()
	if err := s.Adopt(t.Context(), "0A"); err == nil {
		t.Error("a store adopted the id that it has")
	}
	if err := s.Adopt(t.Context(), "0B"); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, s, (*Tx).Add, `{"id":"y","v":1}`); !is[*RefusedError](err) {
		t.Errorf("a write under the former id gave %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0B")
	if s.Copied() || s.Bootstrapped() || s.Incarnation() == was || s.Revision().At("0A") != 1 {
		t.Errorf("copied %v, bootstrapped %v, incarnation %s, revision %s", s.Copied(), s.Bootstrapped(), s.Incarnation(), s.Revision())
	}
	if d := do(t, s, (*Tx).Update, `{"id":"x","v":2}`).Dot; d != (branch.Dot{Branch: "0B", Seq: 1}) {
		t.Errorf("the next write is %s", d)
	}
	if err := s.Adopt(t.Context(), "0A"); err == nil {
		t.Error("a store adopted an id under which somebody has written")
	}
}

func TestAdoptRefusesAnIDOfAnotherLengthAndAForkedBranch(t *testing.T) {
	dir, _ := closedStore(t)
	s := open(t, dir, "0A")
	if err := s.Adopt(t.Context(), "00A"); err == nil {
		t.Error("a store adopted an id of another length")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	if _, err := s.TellFork(t.Context(), branch.Dot{Branch: "0A", Seq: 1}, "0C"); err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(t.Context(), "0B"); err == nil {
		t.Error("a store whose branch is forked adopted another id")
	}
	if was, err := s.SettleFork(t.Context(), "0A"); err != nil || !was {
		t.Fatal(was, err)
	}
	if err := s.Adopt(t.Context(), "0B"); err != nil {
		t.Errorf("after the fork was settled: %v", err)
	}
}

// TestAdoptRefusesAnIDThatWaitsHereOrIsForked: what the store knows of it is not
// in its revision.
func TestAdoptRefusesAnIDThatWaitsHereOrIsForked(t *testing.T) {
	author := open(t, t.TempDir(), "0B")
	do(t, author, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, author, (*Tx).Update, `{"id":"x","v":2}`)
	s := open(t, t.TempDir(), "0A")
	apply(t, s, feed(t, author)[1]) // its first one is missing
	if _, err := s.TellFork(t.Context(), branch.Dot{Branch: "0C", Seq: 1}, "0D"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []branch.ID{"0B", "0C"} {
		if err := s.Adopt(t.Context(), id); err == nil {
			t.Errorf("a store that has no changeset of %s applied, and knows of it, adopted it", id)
		}
	}
}
