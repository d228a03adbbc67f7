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
