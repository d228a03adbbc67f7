package replication

import (
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// snapshotRequestsTo counts the requests for snapshots that a node sent to 0B,
// and those for ranges.
func snapshotRequestsTo(t *testing.T, tr *scripted) (snapshots, ranges int) {
	t.Helper()
	for _, m := range tr.on("CH.sync.0B") {
		s, err := DecodeSync(m.m.Body)
		switch {
		case err != nil:
			t.Fatal(err)
		case s.SnapshotRequest != nil:
			snapshots++
		case s.Request != nil:
			ranges++
		}
	}
	return snapshots, ranges
}

// TestRepairerRestsWhileASnapshotIsFetched: gaps that are due, and not asked
// for since a snapshot is to fill them, do not make it look without a pause. Once
// the donor is given up, what its log has is asked for at once, if it has it.
func TestRepairerRestsWhileASnapshotIsFetched(t *testing.T) {
	for name, tc := range map[string]struct {
		floor branch.Revision
		after int // requests for ranges
	}{
		"cheaper than the log": {nil, 1},
		"below the floor":      {branch.Revision{{Branch: "0B", Seq: 4}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fetchFromOneWhoIsSilent(t, tc.floor, tc.after) })
		})
	}
}

func fetchFromOneWhoIsSilent(t *testing.T, floor branch.Revision, after int) {
	mine, theirs := usedStore(t, 0), newFakeStoreWith(t, "0B", 10)
	_, tr := soloNode(t, mine, Options{SnapshotDir: t.TempDir(), SnapshotLag: 5})
	count := uint64(0)
	tell := func() {
		count++
		b := peerBeacon(theirs, count)
		b.Floor = floor
		hear(t, tr, b)
	}
	tell()
	waitFor(t, "a snapshot asked for", func() bool { n, _ := snapshotRequestsTo(t, tr); return n == 1 })
	before := mine.looked()
	for range 5 {
		time.Sleep(5 * time.Second)
		tell()
	}
	if n := mine.looked() - before; n > 50 {
		t.Errorf("looked %d times in 25 s in which nothing came but five beacons", n)
	}
	if snapshots, ranges := snapshotRequestsTo(t, tr); snapshots != 3 || ranges != 0 {
		t.Errorf("asked %d times for a snapshot and %d times for ranges", snapshots, ranges)
	}
	time.Sleep(6 * time.Second) // 31: three requests have timed out
	if _, ranges := snapshotRequestsTo(t, tr); ranges != after {
		t.Errorf("asked %d times for ranges a second after the donor was given up, want %d", ranges, after)
	}
}
