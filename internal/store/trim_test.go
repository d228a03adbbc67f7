package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// later is after the clocks of everything that tests write.
func later() time.Time { return time.Now().Add(1000 * time.Hour) }

// trimAll takes everything off the log that may go.
func trimAll(t testing.TB, s *Store, covered branch.Revision) int {
	t.Helper()
	n := 0
	for {
		done, err := s.Trim(t.Context(), covered, later())
		if err != nil {
			t.Fatalf("trimming: %v", err)
		}
		if n += done.Changesets; !done.More {
			return n
		}
	}
}

// raw returns all keys and values of some buckets.
func raw(t testing.TB, s *Store, buckets ...[]byte) string {
	t.Helper()
	var out strings.Builder
	err := s.snapshot(context.Background(), func(tx *bolt.Tx) error {
		i, err := readImage(tx)
		if err != nil {
			return err
		}
		for _, name := range buckets {
			for k, v := range i.pairs(name) {
				fmt.Fprintf(&out, "%s %q %x\n", name, k, v)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// visible are the buckets that trimming must not change.
var visible = [][]byte{bucketObjects, bucketValues, bucketRefs, bucketConflicts, bucketHeads}

// revisionsOf returns the revision after each changeset of a causal order.
func revisionsOf(all []changeset.Envelope) []branch.Revision {
	var out []branch.Revision
	var at branch.Revision
	for _, e := range all {
		at = at.With(e.Dot)
		out = append(out, at)
	}
	return out
}

// rewritten has several stores write and exchange at random and returns all
// changesets in a causal order.
func rewritten(t *testing.T, rt *rapid.T) []changeset.Envelope {
	var stores []*Store
	for i := range rapid.IntRange(2, 3).Draw(rt, "authors") {
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
	for range rapid.IntRange(4, 24).Draw(rt, "steps") {
		s := stores[rapid.IntRange(0, len(stores)-1).Draw(rt, "who")]
		from := stores[rapid.IntRange(0, len(stores)-1).Draw(rt, "from")]
		if s != from {
			apply(t, s, feed(t, from)...)
			continue
		}
		randomWrite(rt, s)
	}
	for _, s := range stores[1:] {
		apply(t, stores[0], feed(t, s)...)
	}
	return feed(t, stores[0])
}

// TestTrimmedLogKeepsTheStateAndThePastAboveItsFloor has a store take random
// changesets in a random order, far too early some of them, and trim its log in
// between; one that never trims is the measure. State and indexes must be equal
// to the byte, and so must every object at every revision above the floor.
func TestTrimmedLogKeepsTheStateAndThePastAboveItsFloor(t *testing.T) {
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 40 {
			return
		}
		all := rewritten(t, rt)
		whole, trimmed := open(t, t.TempDir(), "0Y"), open(t, t.TempDir(), "0Z")
		mixed := slices.Clone(all)
		if rapid.Bool().Draw(rt, "shuffle") {
			rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		}
		cut := 0
		for _, e := range mixed {
			apply(t, whole, e)
			apply(t, trimmed, e)
			if rapid.IntRange(0, 2).Draw(rt, "trims") == 0 {
				revisions := append(revisionsOf(feedAfter(t, trimmed)), trimmed.Revision(), nil)
				cut += trimAll(t, trimmed, revisions[rapid.IntRange(0, len(revisions)-1).Draw(rt, "covered")].Merge(trimmed.Floor()))
				wantSound(t, trimmed)
			}
		}
		wantSame(t, whole, trimmed)
		if raw(t, whole, visible...) != raw(t, trimmed, visible...) {
			rt.Errorf("the state differs after %d changesets left the log", cut)
		}
		wantSamePastAbove(t, whole, trimmed, revisionsOf(all))
		for _, s := range []*Store{whole, trimmed} {
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// feedAfter is feed for a trimmed log.
func feedAfter(t testing.TB, s *Store) []changeset.Envelope {
	t.Helper()
	var out []changeset.Envelope
	after := s.published().trimmed
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

// wantSamePastAbove compares objects at revisions, above the floor of the second
// store and at that.
func wantSamePastAbove(t testing.TB, whole, trimmed *Store, revisions []branch.Revision) {
	t.Helper()
	floor := trimmed.Floor()
	at := func(s *Store, id string, rev branch.Revision) (string, error) {
		out := ""
		err := s.View(t.Context(), func(r *Reader) error {
			o, exists, err := r.ObjectAt(id, rev)
			out = fmt.Sprintf("%v %s %v %+v", exists, o.Revision, o.Last, o.Conflicts) + "\n" + lines(o)
			return err
		})
		return out, err
	}
	for _, rev := range append(revisions, floor) {
		for _, id := range []string{"a", "b"} {
			want, err := at(whole, id, rev)
			if err != nil {
				t.Fatal(err)
			}
			got, err := at(trimmed, id, rev)
			if gone, ok := errors.AsType[*CompactedError](err); ok != (len(rev) > 0 && !rev.CoversAll(floor)) || ok && !gone.Floor.Equal(floor) {
				t.Errorf("%s at %s with floor %s: %v", id, rev, floor, err)
			} else if !ok && got != want {
				t.Errorf("%s at %s with floor %s is\n%s\nit was\n%s", id, rev, floor, got, want)
			}
		}
	}
}

// TestOnlyWhatMayLeaveTheLogLeavesIt: each of the three conditions holds back.
func TestOnlyWhatMayLeaveTheLogLeavesIt(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 4 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i))
	}
	three := branch.Revision{{Branch: "0A", Seq: 3}}
	if done, err := s.Trim(t.Context(), three, time.Now().Add(-time.Hour)); err != nil || done.Changesets != 0 {
		t.Errorf("took %+v away that is younger than the retention (%v)", done, err)
	}
	if err := s.SetCursor(t.Context(), "main", 2); err != nil {
		t.Fatal(err)
	}
	if n := trimAll(t, s, three); n != 2 || s.Floor().String() != "0A00002" {
		t.Errorf("took %d away, the floor is %s; the link has published two", n, s.Floor())
	}
	if err := s.SetCursor(t.Context(), "main", 4); err != nil {
		t.Fatal(err)
	}
	if n := trimAll(t, s, three); n != 1 || s.Floor().String() != "0A00003" {
		t.Errorf("took %d away, the floor is %s; the members have three", n, s.Floor())
	}
	wantSound(t, s)
}

// The mark and the link that is still there stay as they are.
func TestLinkThatIsGoneHoldsTheLogBackUntilItsCursorIsDropped(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	for i := range 4 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i))
	}
	for link, pos := range map[string]uint64{"main": 3, "gone": 1, "!mark": 1} {
		if err := s.SetCursor(t.Context(), link, pos); err != nil {
			t.Fatal(err)
		}
	}
	if n := trimAll(t, s, s.Revision()); n != 1 {
		t.Fatalf("took %d away with a link at 1", n)
	}
	if dropped, err := s.DropCursors(t.Context(), []string{"main", "new"}); err != nil || !slices.Equal(dropped, []string{"gone"}) {
		t.Fatalf("dropped %v, %v", dropped, err)
	}
	if dropped, err := s.DropCursors(t.Context(), []string{"main", "new"}); err != nil || len(dropped) > 0 {
		t.Errorf("dropped %v again, %v", dropped, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	if n := trimAll(t, s, s.Revision()); n != 2 || s.Floor().String() != "0A00003" {
		t.Errorf("took %d away, the floor is %s", n, s.Floor())
	}
	// It comes back as a new link: from where the log begins, and not before it.
	for link, want := range map[string]uint64{"main": 3, "gone": 3, "!mark": 1} {
		if got, err := s.Cursor(link); err != nil || got != want {
			t.Errorf("the cursor of %s is %d, want %d (%v)", link, got, want, err)
		}
	}
	wantSound(t, s)
}

func TestWhatLeftTheLogIsRefusedWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	for i := range 3 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i))
	}
	trimAll(t, s, branch.Revision{{Branch: "0A", Seq: 2}})
	check := func(s *Store) {
		t.Helper()
		if _, err := s.Feed(t.Context(), 1, 1); !is[*PositionError](err) {
			t.Errorf("the feed from below the floor: %v", err)
		}
		if e, err := s.Feed(t.Context(), 2, 1); err != nil || len(e) != 1 || e[0].Pos != 3 {
			t.Errorf("the feed from the floor: %v, %v", e, err)
		}
		if _, err := s.Range(t.Context(), "0A", 2, 3, 1<<20); !is[*CompactedError](err) {
			t.Errorf("a range from below the floor: %v", err)
		}
		if e, err := s.Range(t.Context(), "0A", 3, 9, 1<<20); err != nil || len(e) != 1 {
			t.Errorf("a range from the floor: %v, %v", e, err)
		}
		read(t, s, func(r *Reader) error {
			if _, _, err := r.Changeset(branch.Dot{Branch: "0A", Seq: 1}); !is[*CompactedError](err) {
				t.Errorf("a changeset below the floor: %v", err)
			}
			if _, found, err := r.Changeset(branch.Dot{Branch: "0A", Seq: 4}); err != nil || found {
				t.Errorf("a changeset that never was: %v, %v", found, err)
			}
			h, err := r.History("x")
			if len(h) != 1 || len(h[0].Removed) != 1 || h[0].Removed[0].Text != "1" {
				t.Errorf("the history is %+v", h)
			}
			return err
		})
		if pos, err := s.Cursor("new"); err != nil || pos != 2 {
			t.Errorf("a new link starts at %d (%v), the log at 2", pos, err)
		}
		if n, _ := s.Outbox("new"); n != 1 {
			t.Errorf("%d wait for a new link", n)
		}
		if n := s.Stats().Changesets; n != 3 {
			t.Errorf("%d changesets are counted", n)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	check(s)
	trimAll(t, s, s.Revision())
	if err := s.Close(); err != nil { // with an empty log
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	if c := do(t, s, (*Tx).Update, `{"id":"x","v":9}`); c.Dot.Seq != 4 {
		t.Errorf("the next write is %s", c.Dot)
	}
	if e, err := s.Feed(t.Context(), 3, 1); err != nil || len(e) != 1 || e[0].Pos != 4 {
		t.Errorf("its place in the feed: %v, %v", e, err)
	}
	wantSound(t, s)
}

func is[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

// TestUnsoundClocksAreCorrectedAlikeWithATrimmedLog: the clock that counts for a
// changeset depends on those of what its author had seen, in the log or not.
func TestUnsoundClocksAreCorrectedAlikeWithATrimmedLog(t *testing.T) {
	whole, trimmed := open(t, t.TempDir(), "0Y"), open(t, t.TempDir(), "0Z")
	var all []changeset.Envelope
	var prev [32]byte
	for seq := uint64(1); seq <= 2*clockChunk+3; seq++ {
		e := encode(t, changeset.Changeset{
			Branch: "0B", Seq: seq, Clock: changeset.Clock(1000 * seq), Prev: prev, Objects: oneChange("x", fmt.Sprint(seq)),
		})
		prev = e.Hash
		all = append(all, e)
	}
	apply(t, whole, all...)
	for i, e := range all { // so that chunks grow in many ways
		apply(t, trimmed, e)
		if i%7 == 0 || i > 500 {
			trimAll(t, trimmed, trimmed.Revision())
		}
	}
	for i, seq := range []uint64{1, 2, clockChunk - 1, clockChunk, clockChunk + 1, 2*clockChunk + 3} {
		id := branch.ID(fmt.Sprintf("1%c", 'A'+i))
		e := encode(t, changeset.Changeset{
			Branch: id, Seq: 1, Clock: 1, Base: branch.Revision{{Branch: "0B", Seq: seq}}, Objects: oneChange("y", string(id)),
		})
		apply(t, whole, e)
		apply(t, trimmed, e)
	}
	wantSame(t, whole, trimmed)
	wantSound(t, trimmed)
}

// TestTrimmedStoreKeepsEachObjectOnce: an object that has not changed since the
// floor has no second record.
func TestTrimmedStoreKeepsEachObjectOnce(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 5 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x%d","v":1}`, i))
	}
	trimAll(t, s, s.Revision())
	if got := raw(t, s, bucketPast, bucketLog, bucketHistory, bucketDots); got != "" {
		t.Errorf("left over:\n%s", got)
	}
	at := s.Revision()
	do(t, s, (*Tx).Update, `{"id":"x3","v":2}`)
	read(t, s, func(r *Reader) error {
		o, _, err := r.ObjectAt("x3", at)
		if lines(o) != "x3 v 1/integer\n" {
			t.Errorf("at the floor it is %s", lines(o))
		}
		return err
	})
	trimAll(t, s, s.Revision())
	if got := raw(t, s, bucketPast, bucketHistory); got != "" {
		t.Errorf("left over:\n%s", got)
	}
	wantSound(t, s)
}

func TestDamageBelowTheFloorIsFound(t *testing.T) {
	flip := func(name []byte) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			k, v := tx.Bucket(name).Cursor().First()
			v = slices.Clone(v)
			v[len(v)-1] ^= 1
			return tx.Bucket(name).Put(slices.Clone(k), v)
		}
	}
	for name, damage := range map[string]func(*bolt.Tx) error{
		"floor": flip(bucketFloor), "past": flip(bucketPast), "clocks": flip(bucketClocks),
		"where the log begins": func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaTrimmed, positionKey(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, "0A")
			for i := range 4 {
				do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i))
			}
			trimAll(t, s, branch.Revision{{Branch: "0A", Seq: 2}})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, damage)
			s, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true})
			if err == nil {
				err = errors.Join(s.Check(t.Context()), s.Close())
			}
			if !is[*CorruptError](err) {
				t.Errorf("got %v", err)
			}
		})
	}
}
