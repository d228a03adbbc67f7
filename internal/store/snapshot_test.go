package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// snapshotOf returns a snapshot of a store.
func snapshotOf(t testing.TB, s *Store) ([]byte, SnapshotInfo) {
	t.Helper()
	var out bytes.Buffer
	info, err := s.WriteSnapshot(t.Context(), &out)
	if err != nil {
		t.Fatalf("writing a snapshot: %v", err)
	}
	return out.Bytes(), info
}

// restored makes a store from a snapshot.
func restored(t testing.TB, data []byte, id branch.ID) *Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	_, err := RestoreSnapshot(t.Context(), bytes.NewReader(data), Options{Dir: dir, Branch: id, Logger: quiet(), NoSync: true})
	if err != nil {
		t.Fatalf("restoring: %v", err)
	}
	return open(t, dir, id)
}

// TestRestoredStoreIsTheSameInEverything has random histories, some with a
// trimmed log, pass through a snapshot. Indexes, digest, conflicts, history and
// the order of the feed must be equal, and both must go on alike.
func TestRestoredStoreIsTheSameInEverything(t *testing.T) {
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 30 {
			return
		}
		all := rewritten(t, rt)
		s := open(t, t.TempDir(), "0Z")
		defer s.Close()
		some := rapid.IntRange(0, len(all)).Draw(rt, "in the snapshot")
		apply(t, s, all[:some]...)
		if revisions := revisionsOf(feedAfter(t, s)); len(revisions) > 0 && rapid.Bool().Draw(rt, "trims") {
			trimAll(t, s, revisions[rapid.IntRange(0, len(revisions)-1).Draw(rt, "covered")])
		}
		data, info := snapshotOf(t, s)
		if !info.Revision.Equal(s.Revision()) || info.Digest != s.Digest() || !info.Floor.Equal(s.Floor()) ||
			info.Bytes != int64(len(data)) || info.Objects != s.Stats().Objects || info.Changesets != uint64(some) {
			rt.Errorf("the snapshot says of itself %+v", info)
		}
		again, err := ReadSnapshotInfo(bytes.NewReader(data))
		if err != nil || again.SHA256 != info.SHA256 || !again.Revision.Equal(info.Revision) || again.Bytes != info.Bytes {
			rt.Errorf("read back as %+v, %v", again, err)
		}
		r := restored(t, data, "0Y")
		defer r.Close()
		for range 2 {
			wantSame(t, s, r)
			wantSound(t, r)
			buckets := append(slices.Clone(visible), bucketBases, bucketPast, bucketClocks, bucketFloor)
			if raw(t, s, buckets...) != raw(t, r, buckets...) || !r.Floor().Equal(s.Floor()) {
				rt.Errorf("the state differs")
			}
			if x, y := feedAfter(t, s), feedAfter(t, r); fmt.Sprint(x) != fmt.Sprint(y) {
				rt.Errorf("the feeds differ: %v, %v", x, y)
			}
			above := slices.DeleteFunc(revisionsOf(all[:some]), func(at branch.Revision) bool { return !at.CoversAll(s.Floor()) })
			wantSamePastAbove(t, s, r, above)
			apply(t, s, all...)
			apply(t, r, all...)
		}
	})
}

// TestSnapshotSaysNothingOfWhoseItIs: no branch that has not written, no
// incarnation, no cursor, nothing pending; and it is equal for equal stores.
func TestSnapshotSaysNothingOfWhoseItIs(t *testing.T) {
	source := open(t, t.TempDir(), "0B")
	do(t, source, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, source, (*Tx).Add, `{"id":"secret","v":1}`)
	do(t, source, (*Tx).Add, `{"id":"secret","v":2}`)
	all := feed(t, source)
	var snapshots [][]byte
	for _, id := range []branch.ID{"0QQ", "0RR"} {
		s := open(t, t.TempDir(), id)
		apply(t, s, all[0], all[2])
		if err := s.SetCursor(t.Context(), "link-of-mine", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.SetBootstrapped(t.Context()); err != nil {
			t.Fatal(err)
		}
		data, _ := snapshotOf(t, s)
		snapshots = append(snapshots, data)
		r := restored(t, data, "0ZZ")
		if n, _ := r.Pending(); n != 0 || r.Bootstrapped() || r.Incarnation() == s.Incarnation() || r.Branch() != "0ZZ" {
			t.Errorf("restored: %d pending, bootstrapped %v, incarnation %s", n, r.Bootstrapped(), r.Incarnation())
		}
		if pos, err := r.Cursor("link-of-mine"); err != nil || pos != r.published().pos {
			t.Errorf("the link is at %d of %d (%v): what came by the snapshot is not to be sent", pos, r.published().pos, err)
		}
	}
	if !bytes.Equal(snapshots[0], snapshots[1]) {
		t.Error("two stores of equal content have different snapshots")
	}
}

// TestRestoreCountsAsACopyUnderABranchThatTheSnapshotKnowsAndUnderNoOther: the
// author of the snapshot, another author in it, and branches that are new to it.
func TestRestoreCountsAsACopyUnderABranchThatTheSnapshotKnowsAndUnderNoOther(t *testing.T) {
	author := open(t, t.TempDir(), "0B")
	do(t, author, (*Tx).Add, `{"id":"x","v":1}`)
	s := open(t, t.TempDir(), "0A")
	apply(t, s, feed(t, author)...)
	do(t, s, (*Tx).Update, `{"id":"x","v":2}`)
	data, _ := snapshotOf(t, s)
	for id, copied := range map[branch.ID]bool{"0A": true, "0B": true, "0C": false, "0AB": false} {
		r := restored(t, data, id)
		if r.Copied() != copied {
			t.Errorf("restored under %s it counts as a copy: %v", id, r.Copied())
		}
		dir := filepath.Dir(r.path)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if r = open(t, dir, id); r.Copied() != copied {
			t.Errorf("opened again under %s it counts as a copy: %v", id, r.Copied())
		}
	}
	empty, _ := snapshotOf(t, open(t, t.TempDir(), "0A"))
	if restored(t, empty, "0A").Copied() {
		t.Error("a snapshot without any changeset made a copy of the branch that it was taken on")
	}
}

// TestDamagedSnapshotLeavesNothingBehind flips one bit, cuts and lengthens.
func TestDamagedSnapshotLeavesNothingBehind(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1,"o":{"k":"v"}}`)
	do(t, s, (*Tx).Update, `{"id":"x","v":2}`)
	data, _ := snapshotOf(t, s)
	try := func(what string, bad []byte) {
		t.Helper()
		if _, err := ReadSnapshotInfo(bytes.NewReader(bad)); !is[*SnapshotError](err) {
			t.Errorf("%s: reading gives %v", what, err)
		}
		dir := t.TempDir()
		_, err := RestoreSnapshot(t.Context(), bytes.NewReader(bad), Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true})
		if !is[*SnapshotError](err) {
			t.Errorf("%s: restoring gives %v", what, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", what, left, err)
		}
	}
	for at := range data {
		bad := slices.Clone(data)
		bad[at] ^= 1 << (at % 8)
		if at%23 == 0 || at < 20 {
			try(fmt.Sprintf("bit flipped in byte %d", at), bad)
		}
		if at%97 == 0 {
			try(fmt.Sprintf("cut after %d", at), data[:at])
		}
	}
	try("letter", []byte(strings.Repeat("dear aunt, ", 100)))
}

func TestNewerSnapshotIsRefusedWithTheRemedy(t *testing.T) {
	data, _ := snapshotOf(t, open(t, t.TempDir(), "0A"))
	data[len(snapshotMagic)+3]++
	if _, err := ReadSnapshotInfo(bytes.NewReader(data)); !is[*SnapshotError](err) || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v", err)
	}
}

func TestRestoreRefusesADirectoryWithAStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	data, _ := snapshotOf(t, open(t, t.TempDir(), "0B"))
	_, err := RestoreSnapshot(t.Context(), bytes.NewReader(data), Options{Dir: dir, Branch: "0A", Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "there is a store already") {
		t.Errorf("got %v", err)
	}
	late := &Hooks{Step: func(step string) error { // a node opens the directory meanwhile
		if step == StepSynced {
			return os.WriteFile(filepath.Join(dir, "late", FileName), nil, 0o600)
		}
		return nil
	}}
	dir2 := filepath.Join(dir, "late")
	_, err = RestoreSnapshot(t.Context(), bytes.NewReader(data), Options{Dir: dir2, Branch: "0A", Logger: quiet(), Hooks: late})
	if !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that came meanwhile: %v", err)
	}
}

// TestRestoreThatIsCutOffIsNoStoreOrAWholeOne ends it at each step.
func TestRestoreThatIsCutOffIsNoStoreOrAWholeOne(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	data, info := snapshotOf(t, s)
	for _, at := range []string{StepBuilt, StepSynced, StepRenamed} {
		t.Run(at, func(t *testing.T) {
			dir := t.TempDir()
			hooks := &Hooks{Step: func(step string) error {
				if step == at {
					return errDisk
				}
				return nil
			}}
			_, err := RestoreSnapshot(t.Context(), bytes.NewReader(data), Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true, Hooks: hooks})
			if !errors.Is(err, errDisk) {
				t.Errorf("got %v", err)
			}
			want := branch.Revision(nil)
			if at == StepRenamed {
				want = info.Revision
			}
			if r := open(t, dir, "0A"); !r.Revision().Equal(want) {
				t.Errorf("the store is at %s, want %s", r.Revision(), want)
			}
		})
	}
}

func TestOpenRemovesWhatWasLeftOver(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{restoreName, installName, compactName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half a store"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, "0A")
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestPositionsOfEarlierContentAreRefused: a reader of the feed of the store
// that was before is told, and does not skip or repeat in silence.
func TestPositionsOfEarlierContentAreRefused(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	for range 3 {
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"x","v":"%s"}`, time.Now()))
	}
	data, _ := snapshotOf(t, s)
	r := restored(t, data, "0A")
	for after := range uint64(5) {
		if _, err := r.Feed(t.Context(), after, 1); !is[*PositionError](err) {
			t.Errorf("after %d: %v", after, err)
		}
	}
	if n := len(feedAfter(t, r)); n != 3 {
		t.Errorf("the feed has %d changesets", n)
	}
	if first := r.published().trimmed; first >= 1<<53 || nextEpoch(first, time.Now()) <= first || nextEpoch(first+1<<epochBits, time.Time{}) <= first+1<<epochBits {
		t.Errorf("positions begin at %d", first)
	}
}

func TestSnapshotSharesTheOrderOfApplicationWithLaterChangesets(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	data, _ := snapshotOf(t, s)
	r := restored(t, data, "0A")
	c := do(t, r, (*Tx).Update, `{"id":"x","v":2}`)
	if c.Dot != (branch.Dot{Branch: "0A", Seq: 2}) {
		t.Errorf("the next write is %s", c.Dot)
	}
	apply(t, s, feedAfter(t, r)[1])
	wantSame(t, s, r)
}

// FuzzReadSnapshot proves that no stream makes reading panic, hang or allocate
// more than it brings.
func FuzzReadSnapshot(f *testing.F) {
	s := open(f, f.TempDir(), "0A")
	if _, err := s.Apply(f.Context(), []changeset.Envelope{encode(f, changeset.Changeset{Branch: "0B", Seq: 1, Clock: 1, Objects: oneChange("x", "1")})}); err != nil {
		f.Fatal(err)
	}
	data, _ := snapshotOf(f, s)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := ReadSnapshotInfo(bytes.NewReader(data))
		if err != nil && !is[*SnapshotError](err) {
			t.Errorf("got %v", err)
		}
	})
}
