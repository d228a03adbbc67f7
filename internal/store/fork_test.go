package store

import (
	"errors"
	"testing"

	"vesperdb.io/vesper/internal/branch"
)

// forked returns a store of branch 0B that holds the first of two writers of
// branch 0A, and has met the other; and what the two wrote after that.
func forkedStore(t *testing.T, dir string) (s, one, two *Store) {
	t.Helper()
	one, two, s = open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0A"), open(t, dir, "0B")
	do(t, one, (*Tx).Add, `{"id":"x","v":"one"}`)
	do(t, two, (*Tx).Add, `{"id":"x","v":"two"}`)
	apply(t, s, feed(t, one)...)
	apply(t, s, feed(t, two)...)
	do(t, one, (*Tx).Add, `{"id":"y","v":"one"}`)
	do(t, two, (*Tx).Add, `{"id":"y","v":"two"}`)
	return s, one, two
}

func TestNothingMoreOfAForkedBranchIsAppliedAlsoAfterReopening(t *testing.T) {
	dir := t.TempDir()
	s, one, two := forkedStore(t, dir)
	for range 2 {
		forks := s.Forks()
		if len(forks) != 1 || forks[0].Dot != (branch.Dot{Branch: "0A", Seq: 1}) || forks[0].Have == forks[0].Got || forks[0].Seen.IsZero() {
			t.Fatalf("unexpected forks %+v", forks)
		}
		for _, writer := range []*Store{one, two} {
			if got := apply(t, s, feed(t, writer)[1:]...); got.Applied+got.Pending != 0 || len(got.Rejected) != 1 {
				t.Errorf("of a forked branch came %+v", got)
			}
		}
		wantSound(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, "0B")
	}
	if count, missing := s.Pending(); count != 0 || len(missing) != 0 {
		t.Errorf("%d are pending, %v is missing: it would be asked for for ever", count, missing)
	}
}

func TestForkDropsWhatWaitsOfTheBranch(t *testing.T) {
	s, one, two := open(t, t.TempDir(), "0B"), open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0A")
	for _, text := range []string{`{"id":"x","v":1}`, `{"id":"y","v":1}`, `{"id":"z","v":1}`} {
		do(t, one, (*Tx).Add, text)
	}
	do(t, two, (*Tx).Add, `{"id":"x","v":2}`)
	apply(t, s, feed(t, one)[0], feed(t, one)[2])
	if count, missing := s.Pending(); count != 1 || len(missing) != 1 {
		t.Fatalf("%d pending, missing %v", count, missing)
	}
	apply(t, s, feed(t, two)...)
	if count, missing := s.Pending(); count != 0 || len(missing) != 0 {
		t.Errorf("after the fork %d are pending and %v is missing", count, missing)
	}
	wantSound(t, s)
}

func TestSettledForkGoesOnWithWhatTheStoreHolds(t *testing.T) {
	s, one, two := forkedStore(t, t.TempDir())
	if was, err := s.SettleFork(t.Context(), "0A"); err != nil || !was {
		t.Fatalf("settling: %v, %v", was, err)
	}
	if len(s.Forks()) != 0 {
		t.Errorf("still forked: %+v", s.Forks())
	}
	if news, err := s.TellFork(t.Context(), branch.Dot{Branch: "0A", Seq: 1}, "0C"); news || err != nil {
		t.Errorf("a peer that still tells of the fork opens it again: %v, %v", news, err)
	}
	if got := apply(t, s, feed(t, two)...); got.Applied != 0 || len(s.Forks()) != 0 {
		t.Errorf("of the other writer came %+v, forks %+v", got, s.Forks())
	}
	if got := apply(t, s, feed(t, one)...); got.Applied != 1 {
		t.Errorf("of the writer that was decided for came %+v", got)
	}
	if got := apply(t, s, feed(t, two)...); got.Applied != 0 || len(s.Forks()) != 1 || s.Forks()[0].Dot.Seq != 2 {
		t.Errorf("a fork after the decision is not found: %+v", s.Forks())
	}
	if was, err := s.SettleFork(t.Context(), "0Z"); err != nil || was {
		t.Errorf("a branch that is not forked was settled: %v, %v", was, err)
	}
}

func TestAuthorThatIsToldOfItsForkWritesNoMore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	for _, want := range []bool{true, false} {
		if news, err := s.TellFork(t.Context(), branch.Dot{Branch: "0A", Seq: 1}, "0C"); news != want || err != nil {
			t.Errorf("news: %v, %v, want %v", news, err, want)
		}
	}
	for range 2 {
		_, err := try(t, s, (*Tx).Add, `{"id":"x","v":2}`)
		if refused, ok := errors.AsType[*RefusedError](err); !ok {
			t.Errorf("the write gave %v", err)
		} else if want := "branch 0A is forked at 0A00001"; len(refused.Reason) < len(want) || refused.Reason[:len(want)] != want {
			t.Errorf("refused because of %q", refused.Reason)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, "0A")
	}
	if f := s.Forks(); len(f) != 1 || f[0].Told != "0C" {
		t.Errorf("unexpected forks %+v", f)
	}
	if _, err := s.SettleFork(t.Context(), "0A"); err != nil {
		t.Fatal(err)
	}
	do(t, s, (*Tx).Add, `{"id":"x","v":2}`)
}
