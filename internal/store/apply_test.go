package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
)

// feed returns all that a store has applied, in its order.
func feed(t testing.TB, s *Store) []changeset.Envelope {
	t.Helper()
	var out []changeset.Envelope
	var after uint64
	for {
		entries, err := s.Feed(t.Context(), after, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			return out
		}
		for _, e := range entries {
			if e.Pos != after+1 {
				t.Fatalf("feed has position %d after %d", e.Pos, after)
			}
			after = e.Pos
			out = append(out, e.Envelope)
		}
	}
}

func apply(t testing.TB, s *Store, list ...changeset.Envelope) Applied {
	t.Helper()
	done, err := s.Apply(t.Context(), list)
	if err != nil {
		t.Fatalf("applying: %v", err)
	}
	return done
}

// wantSame fails unless all stores are at one revision with one state.
func wantSame(t testing.TB, stores ...*Store) {
	t.Helper()
	first := stores[0]
	for _, s := range stores[1:] {
		if !s.Revision().Equal(first.Revision()) {
			t.Fatalf("%s is at %s, %s at %s", s.Branch(), s.Revision(), first.Branch(), first.Revision())
		}
		if s.Digest() != first.Digest() {
			t.Fatalf("%s and %s are both at %s, and their digests differ", s.Branch(), first.Branch(), s.Revision())
		}
		if a, b := s.Stats(), first.Stats(); a.Objects != b.Objects || a.Conflicts != b.Conflicts || a.PendingChangesets != 0 {
			t.Fatalf("%s counts %+v, %s %+v", s.Branch(), a, first.Branch(), b)
		}
	}
}

func TestChangesetsTravelAndGiveTheSameState(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":"1","list":["p","q"],"o":{"k":"v"}}`)
	apply(t, b, feed(t, a)...)
	do(t, b, (*Tx).Update, `{"id":"x","v":"2"}`)
	apply(t, a, feed(t, b)...)
	wantSame(t, a, b)
	if got := show(t, a, "x"); got != show(t, b, "x") || got == "" {
		t.Errorf("A reads %s, B %s", got, show(t, b, "x"))
	}
	wantSound(t, a)
	wantSound(t, b)
}

func TestRepetitionChangesNothing(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":"1"}`)
	do(t, a, (*Tx).Add, `{"id":"x","v":"2"}`)
	all := feed(t, a)
	got := apply(t, b, append(slices.Clone(all), all...)...)
	if got.Applied != 2 || got.Duplicate != 2 || len(got.Rejected) != 0 {
		t.Errorf("got %+v, want 2 applied and 2 duplicates", got)
	}
	if n := len(feed(t, b)); n != 2 {
		t.Errorf("the feed has %d changesets, want 2", n)
	}
	wantSame(t, a, b)
}

func TestChangesetWaitsUntilAllItsBaseIsThere(t *testing.T) {
	dir := t.TempDir()
	a, b, c := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B"), open(t, dir, "0C")
	do(t, a, (*Tx).Add, `{"id":"x","v":"1"}`)
	do(t, a, (*Tx).Update, `{"id":"x","v":"2"}`)
	apply(t, b, feed(t, a)...)
	do(t, b, (*Tx).Update, `{"id":"x","v":"3"}`)
	all := feed(t, b) // A1 A2 B1

	if got := apply(t, c, all[2]); got.Pending != 1 || got.Applied != 0 {
		t.Errorf("B1 alone: %+v, want it pending", got)
	}
	if got := apply(t, c, all[2]); got.Duplicate != 1 {
		t.Errorf("B1 again: %+v, want a duplicate", got)
	}
	if got := show(t, c, "x"); got != "" {
		t.Errorf("a changeset shows before its base: %s", got)
	}
	count, missing := c.Pending()
	if want := []branch.Dot{{Branch: "0A", Seq: 2}}; count != 1 || !slices.Equal(missing, want) {
		t.Errorf("pending %d, missing %v; want 1, %v", count, missing, want)
	}
	apply(t, c, all[1])
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir, "0C")
	if count, missing := c.Pending(); count != 2 || !slices.Equal(missing, []branch.Dot{{Branch: "0A", Seq: 1}}) {
		t.Errorf("after reopening: pending %d, missing %v", count, missing)
	}
	if got := apply(t, c, all[0]); got.Applied != 3 {
		t.Errorf("A1: %+v, want all three applied", got)
	}
	wantSame(t, b, c)
	wantSound(t, c)
}

func TestPendingIsBoundedAndWhatFindsNoRoomIsMissing(t *testing.T) {
	a := open(t, t.TempDir(), "0A")
	for i := range 5 {
		do(t, a, (*Tx).Add, fmt.Sprintf(`{"id":"x%d","v":1}`, i))
	}
	all := feed(t, a)
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: "0B", Logger: quiet(), NoSync: true, PendingLimit: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got := apply(t, s, all[1:]...)
	if got.Pending != 2 || got.Dropped != 2 {
		t.Errorf("got %+v, want 2 pending and 2 dropped", got)
	}
	_, missing := s.Pending()
	if want := []branch.Dot{{Branch: "0A", Seq: 1}, {Branch: "0A", Seq: 5}}; !slices.Equal(missing, want) {
		t.Errorf("missing %v, want %v", missing, want)
	}
	if beyond := s.Beyond(); beyond.String() != "0A00005" { // one that found no room was issued too
		t.Errorf("beyond what is applied the store knows of %s", beyond)
	}
	apply(t, s, all...)
	wantSame(t, a, s)
	if beyond := s.Beyond(); len(beyond) != 0 {
		t.Errorf("beyond what is applied the store knows of %s after all came", beyond)
	}
	if _, missing := s.Pending(); len(missing) != 0 {
		t.Errorf("missing %v after all came", missing)
	}
}

func TestForkedBranchIsRejectedAndNamed(t *testing.T) {
	one, two, s := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, one, (*Tx).Add, `{"id":"x","v":"one"}`)
	do(t, two, (*Tx).Add, `{"id":"x","v":"two"}`)
	do(t, two, (*Tx).Add, `{"id":"y","v":"two"}`)
	apply(t, s, feed(t, one)...)
	before := s.Digest()
	got := apply(t, s, feed(t, two)...)
	if len(got.Rejected) != 2 || got.Applied != 0 {
		t.Fatalf("got %+v, want both rejected", got)
	}
	first := branch.Dot{Branch: "0A", Seq: 1}
	if fork, ok := errors.AsType[*ForkError](got.Rejected[0].Err); !ok || fork.Dot != first || fork.Have == fork.Got {
		t.Errorf("%s is rejected with %v, want the fork at 0A00001", got.Rejected[0].Dot, got.Rejected[0].Err)
	}
	if forked, ok := errors.AsType[*ForkedError](got.Rejected[1].Err); !ok || forked.Fork.Dot != first {
		t.Errorf("%s is rejected with %v, want that 0A is forked at 0A00001", got.Rejected[1].Dot, got.Rejected[1].Err)
	}
	if s.Digest() != before {
		t.Error("a fork changed the state")
	}
}

func TestForkFoundWhilePendingIsRejectedAndDoesNotStay(t *testing.T) {
	one, two, s := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, one, (*Tx).Add, `{"id":"x","v":"one"}`)
	do(t, two, (*Tx).Add, `{"id":"x","v":"two"}`)
	do(t, two, (*Tx).Add, `{"id":"y","v":"two"}`)
	apply(t, s, feed(t, two)[1])
	got := apply(t, s, feed(t, one)...)
	if got.Applied != 1 || len(got.Rejected) != 1 {
		t.Errorf("got %+v, want one applied and the pending one rejected", got)
	}
	if count, _ := s.Pending(); count != 0 {
		t.Errorf("%d are still pending", count)
	}
}

func TestDamagedChangesetIsRejectedAndTheOthersApplied(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":1}`)
	all := feed(t, a)
	bad := changeset.Envelope{Dot: branch.Dot{Branch: "0C", Seq: 1}, Body: []byte("garbage")}
	got := apply(t, b, bad, all[0])
	if got.Applied != 1 || len(got.Rejected) != 1 || got.Rejected[0].Dot != bad.Dot {
		t.Errorf("got %+v, want one applied and %s rejected", got, bad.Dot)
	}
}

// TestStoreThatLostItsFileLearnsItsOwnBranchAgain also proves that it does not
// write while it knows that changesets of its own are missing.
func TestStoreThatLostItsFileLearnsItsOwnBranchAgain(t *testing.T) {
	a := open(t, t.TempDir(), "0A")
	do(t, a, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, a, (*Tx).Add, `{"id":"y","v":1}`)
	all := feed(t, a)
	again := open(t, t.TempDir(), "0A")
	apply(t, again, all[1])
	_, err := try(t, again, (*Tx).Add, `{"id":"z","v":1}`)
	if _, refused := errors.AsType[*RefusedError](err); !refused {
		t.Errorf("a write with later changesets of the own branch pending gave %v", err)
	}
	apply(t, again, all[0])
	wantSame(t, a, again)
	if c := do(t, again, (*Tx).Add, `{"id":"z","v":1}`); c.Dot.Seq != 3 {
		t.Errorf("the next dot is %s, want 0A00003", c.Dot)
	}
}

func TestBaseThatRepeatsItselfIsRejected(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":1}`)
	apply(t, b, feed(t, a)...)
	do(t, b, (*Tx).Add, `{"id":"y","v":1}`)
	last := feed(t, b)[1]
	c, err := changeset.Decode(last, changeset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	c.Seq, c.Prev, c.Clock = 2, last.Hash, c.Clock+1
	env, err := changeset.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir(), "0C")
	if got := apply(t, s, append(feed(t, b), env)...); len(got.Rejected) != 1 || got.Rejected[0].Dot != env.Dot {
		t.Errorf("got %+v, want %s rejected", got, env.Dot)
	}
}

// TestClockThatRunsBackwardIsCorrectedAlike proves that even a faulty author
// cannot make stores differ.
func TestClockThatRunsBackwardIsCorrectedAlike(t *testing.T) {
	b := branch.ID("0B")
	first := encode(t, changeset.Changeset{Branch: b, Seq: 1, Clock: 1000, Objects: oneChange("x", "1")})
	second := encode(t, changeset.Changeset{Branch: b, Seq: 2, Clock: 1, Prev: first.Hash, Objects: oneChange("x", "2")})
	other := encode(t, changeset.Changeset{Branch: "0C", Seq: 1, Clock: 500, Objects: oneChange("x", "3")})
	s1, s2 := open(t, t.TempDir(), "0D"), open(t, t.TempDir(), "0E")
	apply(t, s1, first, second, other)
	apply(t, s2, other, first, second)
	wantSame(t, s1, s2)
	wantObject(t, s1, "x", "x p 2/L\n")
}

func encode(t testing.TB, c changeset.Changeset) changeset.Envelope {
	t.Helper()
	env, err := changeset.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func oneChange(root, text string) []changeset.ObjectChange {
	v := changeset.Value{}
	v.Text, v.Type = text, "L"
	return []changeset.ObjectChange{{Root: root, Props: []changeset.PropChange{
		{Predicate: "p", Mode: changeset.Assign, Added: []changeset.Value{v}},
	}}}
}

// randomWrite does something to one of a few objects.
func randomWrite(t *rapid.T, s *Store) {
	ops := []func(*Tx, []pjson.Object) error{(*Tx).Add, (*Tx).Update, (*Tx).Update, (*Tx).Replace, (*Tx).Remove}
	id := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "object")
	if rapid.IntRange(0, 5).Draw(t, "deletes") == 0 {
		_, err := s.Update(context.Background(), WriteOptions{}, func(tx *Tx) error { _, err := tx.Delete(id); return err })
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	value := rapid.SampledFrom([]string{`"v1"`, `"v2"`, `7`, `["l1","l2"]`, `["l2","l1"]`, `[]`, `{"k":"e1"}`, `{"k":"e2","m":[1]}`, `"@b"`, `[[1],[2]]`}).Draw(t, "value")
	text := fmt.Sprintf(`{"id":%q,%q:%s}`, id, rapid.SampledFrom([]string{"p", "q"}).Draw(t, "property"), value)
	op := ops[rapid.IntRange(0, len(ops)-1).Draw(t, "operation")]
	d, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Update(context.Background(), WriteOptions{}, func(tx *Tx) error { return op(tx, d.Objects) })
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// TestStoresConvergeWhateverTheOrder has stores with clocks that disagree write
// and exchange changesets in any order, twice and too early, and then all the
// rest: they must agree to the byte, and so must a new store, and their past.
func TestStoresConvergeWhateverTheOrder(t *testing.T) {
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 40 {
			return // each run syncs files many times
		}
		var stores []*Store
		for i := range rapid.IntRange(2, 3).Draw(rt, "stores") {
			skew := time.Duration(rapid.IntRange(-2, 2).Draw(rt, "skew")) * time.Hour
			s, err := Open(t.Context(), Options{
				Dir: t.TempDir(), Branch: branch.ID(fmt.Sprintf("0%c", 'A'+i)), Logger: quiet(), NoSync: true,
				Now: func() time.Time { return time.Now().Add(skew) },
			})
			if err != nil {
				rt.Fatal(err)
			}
			defer s.Close()
			stores = append(stores, s)
		}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			s := stores[rapid.IntRange(0, len(stores)-1).Draw(rt, "who")]
			from := stores[rapid.IntRange(0, len(stores)-1).Draw(rt, "from")]
			if s == from {
				randomWrite(rt, s)
				continue
			}
			if all := feed(t, from); len(all) > 0 {
				at := rapid.IntRange(0, len(all)-1).Draw(rt, "changeset")
				apply(t, s, all[at:]...)
			}
		}
		fresh := open(t, t.TempDir(), "0Z")
		var everything []changeset.Envelope
		for _, s := range stores {
			everything = append(everything, feed(t, s)...)
		}
		for _, s := range append(slices.Clone(stores), fresh) {
			rand.Shuffle(len(everything), func(i, j int) { everything[i], everything[j] = everything[j], everything[i] })
			apply(t, s, everything...)
			wantSound(t, s)
		}
		wantSame(t, append(stores, fresh)...)
		wantSamePast(t, stores[0], fresh)
		if err := fresh.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}

// wantSamePast compares the histories of both objects, and proves that the past
// at the present revision is the present.
func wantSamePast(t testing.TB, a, b *Store) {
	t.Helper()
	past := func(s *Store) string {
		out := ""
		read(t, s, func(r *Reader) error {
			for _, id := range []string{"a", "b"} {
				h, err := r.History(id)
				if err != nil {
					return err
				}
				out += fmt.Sprintf("%+v\n", h)
				now, exists, err := r.Object(id)
				if err != nil {
					return err
				}
				then, existed, err := r.ObjectAt(id, r.Revision())
				if err != nil {
					return err
				}
				if exists != existed || lines(now) != lines(then) || !now.Revision.Equal(then.Revision) {
					t.Errorf("%s is\n%sand its history at the same revision gives\n%s", id, lines(now), lines(then))
				}
			}
			return nil
		})
		return out
	}
	if x, y := past(a), past(b); x != y {
		t.Errorf("histories differ:\n%s\n%s", x, y)
	}
}

// branchFirst is the first changeset of a branch, which saw nothing.
func branchFirst(id branch.ID) changeset.Changeset {
	return changeset.Changeset{Branch: id, Seq: 1, Clock: 1, Objects: oneChange("of "+string(id), "1")}
}
