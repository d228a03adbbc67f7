package replication

import (
	"bytes"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

// backupOf returns a snapshot of a node's store.
func (n *realNode) backupOf() []byte {
	n.t.Helper()
	var out bytes.Buffer
	if _, err := n.store.WriteSnapshot(n.t.Context(), &out); err != nil {
		n.t.Fatal(err)
	}
	return out.Bytes()
}

// restoredTo makes a store of a snapshot and returns its directory.
func restoredTo(t *testing.T, id branch.ID, snapshot []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	o := store.Options{Dir: dir, Branch: id, Logger: quiet(), NoSync: true}
	if _, err := store.RestoreSnapshot(t.Context(), bytes.NewReader(snapshot), o); err != nil {
		t.Fatal(err)
	}
	return dir
}

// adopted gives the store of a directory another id.
func adopted(t *testing.T, dir string, old, id branch.ID) {
	t.Helper()
	s := openReal(t, old, dir)
	if err := Adopt(t.Context(), s, id); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreUnderAFreshIDOpensByItselfAndUnderAnOldOneDoesNot, with peers and
// with nobody to hear.
func TestRestoreUnderAFreshIDOpensByItselfAndUnderAnOldOneDoesNot(t *testing.T) {
	for _, peers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeBroker(1)
			x, y := newRealNode(t, b, "0A", t.TempDir(), Options{Seed: 1}), newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
			eventually(t, time.Minute, "both ready", func() bool { return x.writable() && y.writable() })
			x.mustWrite(`{"id":"x","v":1}`)
			eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0A") == 1 })
			snapshot := y.backupOf()
			x.stop()
			y.stop()
			var broker *fakeBroker
			if peers {
				broker = b
				y = newRealNode(t, b, "0B", y.dir, Options{Seed: 3})
			}
			old := newRealNode(t, broker, "0A", restoredTo(t, "0A", snapshot), Options{Seed: 4})
			fresh := newRealNode(t, broker, "0C", restoredTo(t, "0C", snapshot), Options{Seed: 5})
			eventually(t, time.Minute, "the fresh id takes writes", fresh.writable)
			fresh.mustWrite(`{"id":"x","v":2}`)
			time.Sleep(5 * time.Minute)
			if reason := old.repl.Status().Reason; reason != nodestatus.ReasonBranchAhead && reason != nodestatus.ReasonVolumeCopied {
				t.Errorf("peers %v: under the old id it is %s", peers, reason)
			}
			old.refuses(old.repl.Status().Reason)
			fresh.stop()
			old.stop()
			if peers {
				y.stop()
			}
		})
	}
}

// TestAdoptedStoreBringsPeersWhatItsFormerBranchHadNotSent: the copy of a node
// that had written with its broker away. Its outbox is gone with its id.
func TestAdoptedStoreBringsPeersWhatItsFormerBranchHadNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		dir := t.TempDir()
		x, y := newRealNode(t, b, "0A", dir, Options{Seed: 1}), newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2})
		eventually(t, time.Minute, "both ready", func() bool { return x.writable() && y.writable() })
		x.mustWrite(`{"id":"x","v":1}`)
		eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0A") == 1 })
		x.stop()
		alone := openReal(t, "0A", dir) // it has no link
		for _, text := range []string{`{"id":"x","v":2}`, `{"id":"y","v":1}`} {
			if err := writeTo(t, alone, text); err != nil {
				t.Fatal(err)
			}
		}
		if err := alone.Close(); err != nil {
			t.Fatal(err)
		}
		copied := copyOf(t, dir)
		adopted(t, copied, "0A", "0C")
		z := newRealNode(t, b, "0C", copied, Options{Seed: 3})
		eventually(t, time.Minute, "the adopted store takes writes", z.writable)
		z.mustWrite(`{"id":"z","v":1}`)
		eventually(t, time.Minute, "the peer has all of both branches", func() bool {
			return y.store.Revision().Equal(z.store.Revision()) && y.store.Revision().At("0A") == 3 && y.store.Revision().At("0C") == 1
		})
		if y.store.Digest() != z.store.Digest() {
			t.Error("the two differ")
		}
		z.stop()
		y.stop()
	})
}

// TestAdoptedStoreUnderAnIDThatPeersKnowTakesNoWrites: the id was not fresh, and
// only peers could tell.
func TestAdoptedStoreUnderAnIDThatPeersKnowTakesNoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		dir := t.TempDir()
		x := newRealNode(t, b, "0A", dir, Options{Seed: 1})
		eventually(t, time.Minute, "ready", x.writable)
		x.mustWrite(`{"id":"x","v":1}`)
		x.stop()
		y, z := newRealNode(t, b, "0B", t.TempDir(), Options{Seed: 2}), newRealNode(t, b, "0C", t.TempDir(), Options{Seed: 3})
		eventually(t, time.Minute, "both ready", func() bool { return y.writable() && z.writable() })
		z.mustWrite(`{"id":"z","v":1}`)
		eventually(t, time.Minute, "replicated", func() bool { return y.store.Revision().At("0C") == 1 })
		z.stop()
		copied := copyOf(t, dir)
		adopted(t, copied, "0A", "0C")
		z = newRealNode(t, b, "0C", copied, Options{Seed: 4})
		time.Sleep(5 * time.Minute)
		z.refuses(nodestatus.ReasonBranchAhead)
		z.stop()
		y.stop()
	})
}
