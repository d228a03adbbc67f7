package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// snapshotFile writes a snapshot of a store to a file.
func snapshotFile(t testing.TB, s *Store) string {
	t.Helper()
	data, _ := snapshotOf(t, s)
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func install(t testing.TB, s *Store, path string) SnapshotInfo {
	t.Helper()
	info, err := s.InstallSnapshot(t.Context(), path)
	if err != nil {
		t.Fatalf("installing: %v", err)
	}
	return info
}

// TestInstalledSnapshotAndWhatWasThereAddUp has two stores apply random parts of
// a random history, one of them trim its log and give a snapshot to the other.
// That must be what a third store is that applied both parts; its feed must have
// each changeset once; and whatever no link had published must go out again.
func TestInstalledSnapshotAndWhatWasThereAddUp(t *testing.T) {
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 40 {
			return
		}
		all := rewritten(t, rt)
		donor, s, both := open(t, t.TempDir(), "0X"), open(t, t.TempDir(), "0Y"), open(t, t.TempDir(), "0Z")
		for _, e := range all {
			if rapid.IntRange(0, 3).Draw(rt, "to the donor") > 0 {
				apply(t, donor, e)
			}
			if rapid.IntRange(0, 3).Draw(rt, "to the store") > 1 {
				apply(t, s, e)
			}
		}
		if at := s.published().pos; at > 0 {
			if err := s.SetCursor(t.Context(), "main", rapid.Uint64Range(0, at).Draw(rt, "published")); err != nil {
				rt.Fatal(err)
			}
		}
		for _, of := range []*Store{donor, s} {
			if revisions := revisionsOf(feedAfter(t, of)); len(revisions) > 0 && rapid.Bool().Draw(rt, "trims") {
				trimAll(t, of, revisions[rapid.IntRange(0, len(revisions)-1).Draw(rt, "covered")])
			}
		}
		unpublished := beyond(t, s, "main")
		before, was := everything(t, s), s.Revision()
		lost := slices.ContainsFunc(was, func(d branch.Dot) bool {
			have := donor.Revision().At(d.Branch)
			return have < d.Seq && have < s.Floor().At(d.Branch)
		})
		_, err := s.InstallSnapshot(t.Context(), snapshotFile(t, donor))
		if was.CoversAll(donor.Revision()) || lost {
			if !is[*InstallError](err) || everything(t, s) != before {
				rt.Fatalf("from %s to %s: %v", was, donor.Revision(), err)
			}
			return
		}
		if err != nil {
			rt.Fatalf("installing %s on %s: %v", donor.Revision(), was, err)
		}
		wantSound(t, s)
		again := beyond(t, s, "main")
		for _, e := range unpublished {
			if !donor.Floor().Covers(e.Dot) && !slices.ContainsFunc(again, func(o changeset.Envelope) bool { return o.Dot == e.Dot }) {
				rt.Errorf("%s was not published and will not be", e.Dot)
			}
		}
		seen := map[branch.Dot]bool{}
		for _, e := range feedAfter(t, s) {
			if seen[e.Dot] {
				rt.Errorf("%s is in the feed twice", e.Dot)
			}
			seen[e.Dot] = true
		}
		for _, e := range all { // what neither had may complete what waits
			if donor.Revision().Covers(e.Dot) || s.Revision().Covers(e.Dot) {
				apply(t, both, e)
			}
		}
		wantSame2(t, both, s)
		apply(t, s, all...)
		apply(t, both, all...)
		wantSame(t, both, s)
		wantSound(t, s)
		if raw(t, s, visible...) != raw(t, both, visible...) {
			rt.Error("the state differs")
		}
	})
}

// wantSame2 is wantSame for stores of which one has changesets that wait.
func wantSame2(t testing.TB, a, b *Store) {
	t.Helper()
	if !a.Revision().Equal(b.Revision()) || a.Digest() != b.Digest() {
		t.Errorf("%s and %s differ: digests %s, %s", a.Revision(), b.Revision(), a.Digest(), b.Digest())
	}
}

// beyond returns what lies beyond a link's cursor.
func beyond(t testing.TB, s *Store, link string) []changeset.Envelope {
	t.Helper()
	after, err := s.Cursor(link)
	if err != nil {
		t.Fatal(err)
	}
	all := feedAfter(t, s)
	return all[after-s.published().trimmed:]
}

// TestInstallationKeepsWhatIsTheStoresOwn: the branch, unsent changesets, what
// waits, evidence, forks, that it was caught up; and it is another incarnation.
func TestInstallationKeepsWhatIsTheStoresOwn(t *testing.T) {
	donor := open(t, t.TempDir(), "0B")
	do(t, donor, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, donor, (*Tx).Add, `{"id":"y","v":1}`)
	waiting := open(t, t.TempDir(), "0C")
	do(t, waiting, (*Tx).Add, `{"id":"z","v":1}`)
	do(t, waiting, (*Tx).Add, `{"id":"z","v":2}`)
	dir := t.TempDir()
	s := open(t, dir, "0A")
	own := do(t, s, (*Tx).Add, `{"id":"mine","v":1}`)
	apply(t, s, feed(t, waiting)[1])
	if _, _, err := s.AddEvidence(t.Context(), Evidence{Cause: "test"}, []byte("body")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SetBootstrapped(t.Context()), s.SetCursor(t.Context(), "!mark", 7)); err != nil {
		t.Fatal(err)
	}
	incarnation, changed := s.Incarnation(), s.Changed()
	install(t, s, snapshotFile(t, donor))
	select {
	case <-changed:
	default:
		t.Error("nobody was told that the feed has grown")
	}
	check := func(s *Store) {
		t.Helper()
		if n, _ := s.Pending(); n != 1 || !s.Bootstrapped() || s.Copied() || s.Branch() != "0A" {
			t.Errorf("%d pending, bootstrapped %v, copied %v", n, s.Bootstrapped(), s.Copied())
		}
		if mark, err := s.Cursor("!mark"); err != nil || mark != 7 {
			t.Errorf("the mark is %d, %v", mark, err)
		}
		if s.Incarnation() == incarnation {
			t.Error("the incarnation is the same")
		}
		if n, _ := s.Outbox("main"); n != 1 {
			t.Errorf("%d of its own wait to be sent", n)
		}
		if list := beyond(t, s, "main"); len(list) != 1 || list[0].Dot != own.Dot {
			t.Errorf("to be sent: %v", list)
		}
		wantObject(t, s, "mine", "mine v 1/integer\n")
		wantObject(t, s, "y", "y v 1/integer\n")
		wantSound(t, s)
	}
	check(s)
	incarnation2 := s.Incarnation()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	check(s)
	if s.Incarnation() != incarnation2 {
		t.Error("the incarnation changed by reopening")
	}
	apply(t, s, feed(t, waiting)[0])
	if n, _ := s.Pending(); n != 0 {
		t.Errorf("%d wait", n)
	}
	if c := do(t, s, (*Tx).Add, `{"id":"mine","v":2}`); c.Dot.Seq != 2 {
		t.Errorf("the next own changeset is %s", c.Dot)
	}
}

func TestReadersOfTheOldFeedAreToldAndCannotMoveCursorsBack(t *testing.T) {
	donor, s := open(t, t.TempDir(), "0B"), open(t, t.TempDir(), "0A")
	do(t, donor, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, s, (*Tx).Add, `{"id":"y","v":1}`)
	install(t, s, snapshotFile(t, donor))
	for after := range uint64(3) {
		if _, err := s.Feed(t.Context(), after, 1); !is[*PositionError](err) {
			t.Errorf("after %d: %v", after, err)
		}
		if err := s.SetCursor(t.Context(), "main", after); !is[*PositionError](err) {
			t.Errorf("a cursor at %d: %v", after, err)
		}
	}
	if _, _, err := s.ConflictChanges(t.Context(), 0, 10); !is[*FeedGapError](err) {
		t.Errorf("the feed of conflicts: %v", err)
	}
}

func TestSnapshotThatWouldLoseSomethingIsRefused(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for i := range 4 {
		do(t, s, (*Tx).Update, fmt.Sprintf(`{"id":"x","v":%d}`, i))
	}
	donor := open(t, t.TempDir(), "0B")
	apply(t, donor, feed(t, s)[:2]...)
	path := snapshotFile(t, donor)
	if _, err := s.InstallSnapshot(t.Context(), path); !is[*InstallError](err) || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("one that brings nothing: %v", err)
	}
	do(t, donor, (*Tx).Add, `{"id":"y","v":1}`)
	path = snapshotFile(t, donor)
	trimAll(t, s, branch.Revision{{Branch: "0A", Seq: 3}})
	if _, err := s.InstallSnapshot(t.Context(), path); !is[*InstallError](err) || !strings.Contains(err.Error(), "keeps those after 3") {
		t.Errorf("one that lacks what has left the log: %v", err)
	}
	twin := open(t, t.TempDir(), "0A")
	do(t, twin, (*Tx).Add, `{"id":"x","v":"other"}`)
	do(t, donor, (*Tx).Add, `{"id":"z","v":1}`)
	if _, err := twin.InstallSnapshot(t.Context(), snapshotFile(t, donor)); !is[*ForkError](err) {
		t.Errorf("one with another changeset of the same name: %v", err)
	}
	wantObject(t, twin, "x", "x v other/L\n")
	if err := os.WriteFile(path, []byte("dear aunt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InstallSnapshot(t.Context(), path); !is[*SnapshotError](err) {
		t.Errorf("a letter: %v", err)
	}
	wantSound(t, s)
}

// TestInstallationThatIsCutOffLeavesTheOldStoreOrTheNew ends it at each step, in
// the process and as a crash would.
func TestInstallationThatIsCutOffLeavesTheOldStoreOrTheNew(t *testing.T) {
	donor := open(t, t.TempDir(), "0B")
	do(t, donor, (*Tx).Add, `{"id":"x","v":1}`)
	path := snapshotFile(t, donor)
	for _, at := range []string{StepBuilt, StepSynced, StepRenamed} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			s := hooked(t, dir, &Hooks{Step: func(step string) error {
				if step == at {
					return errDisk
				}
				return nil
			}})
			do(t, s, (*Tx).Add, `{"id":"mine","v":1}`)
			if _, err := s.InstallSnapshot(t.Context(), path); !errors.Is(err, errDisk) {
				t.Errorf("got %v", err)
			}
			do(t, s, (*Tx).Update, `{"id":"mine","v":2}`)
			want := everything(t, s)
			if err := s.Abandon(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir, "0A")
			if everything(t, s) != want {
				t.Error("the content changed")
			}
			wantObject(t, s, "mine", "mine v 2/integer\n")
			wantSound(t, s)
			if installed := s.Revision().At("0B") == 1; installed != (at == StepRenamed) {
				t.Errorf("the snapshot is in the store: %v", installed)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// TestWritesGoOnDuringAnInstallation: every acknowledged write is in the store
// afterwards, and waits to be sent.
func TestWritesGoOnDuringAnInstallation(t *testing.T) {
	donor := open(t, t.TempDir(), "0B")
	for i := range 300 {
		do(t, donor, (*Tx).Add, fmt.Sprintf(`{"id":"d%d","v":1}`, i))
	}
	path := snapshotFile(t, donor)
	dir := t.TempDir()
	s := open(t, dir, "0A")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	var written atomic.Int64
	for w := range 3 {
		group.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				do(t, s, (*Tx).Create, fmt.Sprintf(`{"id":"w%d-%d","v":1}`, w, n))
				written.Add(1)
			}
		})
	}
	waitFor(t, func() bool { return written.Load() > 50 })
	install(t, s, path)
	more := written.Load() + 50
	waitFor(t, func() bool { return written.Load() > more })
	stop()
	group.Wait()
	if got := s.Revision().At("0A"); got != uint64(written.Load()) || s.Revision().At("0B") != 300 {
		t.Errorf("the store is at %s, %d writes were acknowledged", s.Revision(), written.Load())
	}
	if n := len(beyond(t, s, "main")); n != int(written.Load()) {
		t.Errorf("%d wait to be sent", n)
	}
	wantSound(t, s)
}

func waitFor(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
