package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// follower is a reader of the feed of conflicts.
type follower struct {
	after uint64
	open  map[string]bool
}

// follow reads what came, a few entries at a time.
func (f *follower) follow(t *testing.T, s *Store) {
	t.Helper()
	for {
		changes, last, err := s.ConflictChanges(t.Context(), f.after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			key := c.Root + "|" + c.Subject + "|" + c.Predicate
			if c.Pos != f.after+1 || f.open[key] == c.Began {
				t.Fatalf("entry %+v after position %d, when that is open: %v", c, f.after, f.open[key])
			}
			if f.after = c.Pos; c.Began {
				f.open[key] = true
			} else {
				delete(f.open, key)
			}
		}
		if f.after == last {
			return
		}
	}
}

// listedConflicts returns the conflicts of the store's objects.
func listedConflicts(t *testing.T, s *Store) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	read(t, s, func(r *Reader) error {
		for o, err := range r.Conflicted("") {
			if err != nil {
				return err
			}
			for _, c := range o.Conflicts {
				out[o.ID+"|"+c.Subject+"|"+c.Predicate] = true
			}
		}
		return nil
	})
	return out
}

// TestFeedOfConflictsTellsEachOnceAndAddsUpToTheList: whoever follows it knows
// at any time what is in conflict, also over restarts and changes of policy.
func TestFeedOfConflictsTellsEachOnceAndAddsUpToTheList(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for round := range 12 {
		stores := []*Store{open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B"), open(t, t.TempDir(), "0C")}
		readers := []*follower{{open: map[string]bool{}}, {open: map[string]bool{}}, {open: map[string]bool{}}}
		for step := range 40 {
			at := rng.IntN(3)
			s := stores[at]
			switch rng.IntN(8) {
			case 0, 1, 2:
				do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"o%d","p%d":%d}`, rng.IntN(3), rng.IntN(2), rng.IntN(3)))
			case 3:
				do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"o%d","e":{"k%d":%d}}`, rng.IntN(3), rng.IntN(2), rng.IntN(3)))
			case 4:
				do(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":"o%d","p0":%d}`, rng.IntN(3), rng.IntN(3)))
			case 5:
				stores[at] = reopen(t, s, ConflictPolicies()[rng.IntN(3)])
				s = stores[at]
			default:
				apply(t, s, feed(t, stores[rng.IntN(3)])...)
			}
			readers[at].follow(t, s)
			if want := listedConflicts(t, s); !maps.Equal(readers[at].open, want) {
				t.Fatalf("round %d, step %d: the feed adds up to %v, the list has %v", round, step,
					slices.Sorted(maps.Keys(readers[at].open)), slices.Sorted(maps.Keys(want)))
			}
		}
	}
}

func TestFeedOfConflictsThatDoesNotReachThatFarSaysSo(t *testing.T) {
	s := conflicted(t, t.TempDir(), 1)
	_, last, err := s.ConflictChanges(t.Context(), 99, 10)
	if gap, ok := errors.AsType[*FeedGapError](err); !ok || gap.Last != last || last == 0 {
		t.Errorf("after 99: %v, the last is %d", err, last)
	}
	if end, err := s.ConflictFeedEnd(t.Context()); err != nil || end != last {
		t.Errorf("the feed ends at %d, %v; want %d", end, err, last)
	}
	err = s.submit(t.Context(), func(b *batch) error {
		b.trimConflictFeed(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ConflictChanges(t.Context(), 0, 10); !isGap(err) {
		t.Errorf("from a position that is gone: %v", err)
	}
	if changes, _, err := s.ConflictChanges(t.Context(), 1, 10); err != nil || len(changes) != int(last)-1 {
		t.Errorf("from the first that is there: %d changes, %v", len(changes), err)
	}
}

func isGap(err error) bool {
	_, ok := errors.AsType[*FeedGapError](err)
	return ok
}

// TestAdditionsNeverConflict: adding single values at the same time keeps all,
// under every policy, beside a value that was set at the same time.
func TestAdditionsNeverConflict(t *testing.T) {
	for _, policy := range ConflictPolicies() {
		a, b, c := reopen(t, open(t, t.TempDir(), "0A"), policy), open(t, t.TempDir(), "0B"), open(t, t.TempDir(), "0C")
		do(t, a, (*Tx).Add, `{"id":"x","tag":"first"}`)
		apply(t, b, feed(t, a)...)
		apply(t, c, feed(t, a)...)
		do(t, a, (*Tx).Add, `{"id":"x","tag":"a"}`)
		do(t, b, (*Tx).Add, `{"id":"x","tag":"b"}`)
		do(t, c, (*Tx).Update, `{"id":"x","tag":"set"}`)
		apply(t, a, feed(t, b)...)
		apply(t, a, feed(t, c)...)
		wantObject(t, a, "x", "x tag a/L\nx tag b/L\nx tag set/L\n")
		if n := a.Stats().Conflicts; n != 0 {
			t.Errorf("%s: %d conflicts", policy, n)
		}
	}
}

// TestAListIsOneValue: two lists set at the same time are in conflict as a
// whole, and one of them is read, never a mixture.
func TestAListIsOneValue(t *testing.T) {
	for policy, want := range map[ConflictPolicy]string{
		PolicyLatest: "x l c/L[0]\nx l d/L[1]\n", PolicyEarliest: "x l a/L[0]\nx l b/L[1]\n", PolicyKeepBoth: "x l c/L[0]\nx l d/L[1]\n",
	} {
		a, b := reopen(t, open(t, t.TempDir(), "0A"), policy), open(t, t.TempDir(), "0B")
		do(t, a, (*Tx).Update, `{"id":"x","l":["a","b"]}`)
		do(t, b, (*Tx).Update, `{"id":"x","l":["c","d"]}`)
		apply(t, a, feed(t, b)...)
		wantObject(t, a, "x", want)
		if n := a.Stats().Conflicts; n != 1 {
			t.Errorf("%s: %d conflicts", policy, n)
		}
		wantSound(t, a)
	}
}

// TestChosenValueComesBackWithWhatItEmbeds: the losing object is not seen, and
// is still there to be chosen.
func TestChosenValueComesBackWithWhatItEmbeds(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Update, `{"id":"x","maker":{"city":"Rome","zip":{"code":7}}}`)
	do(t, b, (*Tx).Update, `{"id":"x","maker":{"city":"Oslo"}}`)
	apply(t, a, feed(t, b)...)
	apply(t, b, feed(t, a)...)
	lost := branch.Dot{Branch: "0A", Seq: 1}
	read(t, a, func(r *Reader) error {
		o, _, err := r.Object("x")
		if len(o.Conflicts) != 1 || len(o.Conflicts[0].Values) != 2 || len(o.Conflicts[0].Values[1].Statements) != 4 {
			t.Errorf("the losing value is listed as %+v", o.Conflicts)
		}
		return err
	})
	var added []statement.Statement
	_, err := a.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
		if err := tx.Choose("x", []Choice{{Predicate: "maker", Dot: lost}}); err != nil {
			return err
		}
		var err error
		added, _, err = tx.Changes()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(added) != 4 {
		t.Errorf("the transaction says that it added %v", added)
	}
	for _, s := range []*Store{a, b} {
		apply(t, s, feed(t, a)...)
		if text := show(t, s, "x"); len(text) == 0 || s.Stats().Conflicts != 0 || len(inRome(t, s)) != 1 {
			t.Errorf("branch %s reads\n%swith %d conflicts", s.Branch(), text, s.Stats().Conflicts)
		}
		wantSound(t, s)
	}
	wantObject(t, b, "x", show(t, a, "x"))
}

// inRome finds the subjects whose city is Rome.
func inRome(t *testing.T, s *Store) (ids []string) {
	t.Helper()
	read(t, s, func(r *Reader) error {
		for id, err := range r.SubjectsWith("city", statement.Literal("Rome")) {
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	return ids
}
