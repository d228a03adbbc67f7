package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// heldIn returns what a store holds back now, and how many records that is.
func heldIn(t *testing.T, s *Store) (held *tail, records int) {
	t.Helper()
	err := s.snapshot(t.Context(), func(tx *bolt.Tx) error {
		i, err := s.imageOf(tx)
		if err != nil {
			return err
		}
		held, records = i.tail.held(), tx.Bucket(bucketTail).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return held, records
}

// indexesOf returns all that the indexes of an image hold.
func indexesOf(i image) string {
	var out strings.Builder
	for _, bucket := range heldBack {
		fmt.Fprintf(&out, "%s\n", bucket)
		for k := range i.keys(bucket, nil, nil) {
			fmt.Fprintf(&out, "%x\n", k)
		}
	}
	return out.String()
}

// wantMemoryLikeFile compares what a reader sees with the tail that is kept in
// memory with what the file alone says.
func wantMemoryLikeFile(ctx context.Context, s *Store) error {
	return s.snapshot(ctx, func(tx *bolt.Tx) error {
		known, err := s.imageOf(tx)
		if err != nil {
			return err
		}
		stored, err := readImage(tx)
		if err != nil {
			return err
		}
		if got, want := indexesOf(known), indexesOf(stored); got != want {
			return fmt.Errorf("transaction %d: memory gives %d bytes of keys, the file %d", tx.ID(), len(got), len(want))
		}
		return nil
	})
}

// TestReadersSeeTheTailOfTheirCommitWhateverFails has commits fail before and
// after the disk took them, and the file replaced, while readers compare the
// tail in memory with that of the file all the time.
func TestReadersSeeTheTailOfTheirCommitWhateverFails(t *testing.T) {
	var commits atomic.Int64
	fails := func(every, at int64) func() error {
		return func() error {
			if n := commits.Add(1); n%every == at {
				return errDisk
			}
			return nil
		}
	}
	s := hooked(t, t.TempDir(), &Hooks{TailLimit: 60, BeforeCommit: fails(7, 3), AfterCommit: fails(11, 5)})
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := wantMemoryLikeFile(t.Context(), s); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	want, failed := map[string]bool{}, 0
	for i := range 200 {
		id := fmt.Sprintf("o%d", i*37%100)
		_, err := try(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":%q,"n":%d,"m":["a","b"],"r":"@o1"}`, id, i))
		if err == nil {
			want[id] = true
		} else if failed++; !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		if i%40 == 39 {
			if _, err := s.Compact(t.Context(), 0); err != nil && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
		}
	}
	if failed < 20 {
		t.Errorf("only %d writes failed", failed)
	}
	wantSound(t, s)
	got := havingN(t, s)
	for id := range want {
		if !got[id] {
			t.Errorf("%s was acknowledged and is not found", id)
		}
	}
}

// TestTailOfACompactedFileIsKnown: the first readers of the new file need not
// read it from there.
func TestTailOfACompactedFileIsKnown(t *testing.T) {
	s := hooked(t, t.TempDir(), &Hooks{TailLimit: 50})
	for i := range 30 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"o%d","n":%d}`, i, i))
	}
	before, _ := heldIn(t, s)
	if _, err := s.Compact(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	err := s.snapshot(t.Context(), func(tx *bolt.Tx) error {
		i, err := s.knownImageOf(tx)
		if err == nil && (i.tx == nil || i.tail.held() != before) {
			t.Error("the tail is not known")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := wantMemoryLikeFile(t.Context(), s); err != nil {
		t.Error(err)
	}
	for i := range 30 { // the merge goes on where it was
		do(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":"o%d","m":%d}`, i, i))
	}
	wantSound(t, s)
}

// TestBatchMuchLongerThanTheTailIsMergedAndLeaves: one write of many objects is
// found at once, also after a crash, and does not stay in the tail.
func TestBatchMuchLongerThanTheTailIsMergedAndLeaves(t *testing.T) {
	dir := t.TempDir()
	s := hooked(t, dir, &Hooks{TailLimit: 100})
	var all strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&all, `{"id":"o%04d","n":%d,"m":["a","b","c"]},`, i*7919%1000, i)
	}
	do(t, s, (*Tx).Add, "["+strings.TrimSuffix(all.String(), ",")+"]")
	if err := s.Abandon(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	if n := len(havingN(t, s)); n != 1000 {
		t.Errorf("%d of 1000 are found", n)
	}
	wantSound(t, s)
	for i := range 2500 { // each takes a few entries with it
		if held, records := heldIn(t, s); len(held.old) == 0 && held.size < 100 && records < 40 {
			break
		}
		do(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":"o0000","n":%d}`, i))
	}
	if held, records := heldIn(t, s); len(held.old) > 0 && len(slices.Concat(held.old...)) > 200 || records > 100 {
		t.Errorf("%d entries and %d records are left", len(slices.Concat(held.old...)), records)
	}
	wantSound(t, s)
}

// TestLongKeysAreHeldBackInLesserNumber: what is kept in memory is bounded in
// bytes, whatever ids people choose.
func TestLongKeysAreHeldBackInLesserNumber(t *testing.T) {
	const limit = 400
	s := hooked(t, t.TempDir(), &Hooks{TailLimit: limit})
	peak, entries := 0, 0
	for i := range 400 {
		id := "short"
		if i%100 >= 20 { // short ones are on their way when long ones come
			id = strings.Repeat("long", 450)
		}
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"%s%d","n":1}`, id, i))
		held, _ := heldIn(t, s)
		bytes := 0
		for r := range held.all {
			for _, e := range r {
				bytes += len(e.key)
			}
			entries = max(entries, len(r))
		}
		peak = max(peak, bytes)
	}
	if peak > limit*keyBytes*7/4 || entries == 0 {
		t.Errorf("up to %d bytes were held back", peak)
	}
	wantSound(t, s)
}

// TestPolicyChangeLeavesNoLongTail: it looks at all objects in conflict in many
// transactions, of which each merges what is too much.
func TestPolicyChangeLeavesNoLongTail(t *testing.T) {
	s := conflicted(t, t.TempDir(), 3*policyPiece)
	for _, policy := range []ConflictPolicy{PolicyEarliest, PolicyKeepBoth, PolicyLatest} {
		s = reopen(t, s, policy)
		if held, records := heldIn(t, s); held.size > s.tailLimit || len(held.old) > 0 || records > s.tailLimit {
			t.Errorf("%s: %d entries in %d records are held back", policy, held.size, records)
		}
		wantSound(t, s)
	}
}

// TestViewOfACommitLongAgoBeginsAnewOrReadsTheFile: no reader waits for others,
// and none sees an index of another time.
func TestViewOfACommitLongAgoBeginsAnewOrReadsTheFile(t *testing.T) {
	s := hooked(t, t.TempDir(), &Hooks{TailLimit: 30})
	want := map[string]bool{}
	for i := range 40 {
		id := fmt.Sprintf("o%d", i)
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":%q,"n":1}`, id))
		want[id] = true
	}
	known := s.tails.last
	for i := range s.tails.last {
		s.tails.last[i] = tailOf{}
	}
	if got := havingN(t, s); !maps.Equal(got, want) {
		t.Errorf("%v are found", got)
	}
	if s.tails.last == known {
		t.Error("nothing was forgotten")
	}
	if done, err := s.viewOnce(t.Context(), s.knownImageOf, func(*Reader) error { return nil }); !done || err != nil {
		t.Errorf("the next reader: %v, %v", done, err)
	}
}

// TestRunsThatAreLongAreNotMadeLonger: nobody who writes waits for that, and
// there are few of them nevertheless.
func TestRunsThatAreLongAreNotMadeLonger(t *testing.T) {
	held := noTail
	for i := range 512 {
		r := make(run, 0, 256)
		for j := range 256 {
			r = append(r, tailEntry{key: fmt.Sprintf("\x01%03d%05d", i*7%512, j)})
		}
		if held = held.with(r); len(held.runs) > 40 {
			t.Fatalf("there are %d runs", len(held.runs))
		}
		for _, r := range held.runs {
			if len(r) > runLimit {
				t.Fatalf("a run has %d entries", len(r))
			}
		}
	}
	if w := held.whole(); len(w) != 512*256 || !slices.IsSortedFunc(w, func(a, b tailEntry) int { return strings.Compare(a.key, b.key) }) {
		t.Errorf("%d entries are held back, or not in order", len(w))
	}
}
