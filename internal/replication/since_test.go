package replication

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

func TestSinceGivesWhatIsLackingInAnOrderThatNeedsNoWaiting(t *testing.T) {
	a, b := newFakeStoreWith(t, "0A", 3), newFakeStore("0B")
	exchange := func(from, to *fakeStore) {
		t.Helper()
		for list, err := range Since(t.Context(), from, to.Revision(), 1) {
			if err != nil {
				t.Fatal(err)
			}
			if got, err := to.Apply(t.Context(), list); err != nil || got.Applied != len(list) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	}
	for range 5 {
		exchange(a, b)
		if _, err := b.write("b"); err != nil {
			t.Fatal(err)
		}
		exchange(b, a)
		if _, err := a.write("a"); err != nil {
			t.Fatal(err)
		}
	}
	c := newFakeStore("0C")
	exchange(a, c)
	if !c.Revision().Equal(a.Revision()) {
		t.Errorf("%s instead of %s", c.Revision(), a.Revision())
	}
	for list, err := range Since(t.Context(), a, a.Revision(), 1) {
		t.Errorf("gave what is there: %d changesets, %v", len(list), err)
	}
}

func TestSinceBelowTheFloorSaysSo(t *testing.T) {
	s := newFakeStoreWith(t, "0A", 4)
	s.floor = branch.Revision{{Branch: "0A", Seq: 2}}
	for list, err := range Since(t.Context(), s, nil, 1) {
		if _, ok := errors.AsType[*store.CompactedError](err); !ok || len(list) > 0 {
			t.Errorf("%d changesets, %v", len(list), err)
		}
	}
}

func TestRelayPassesOnWhatItImported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, site := newFakeBroker(1), newFakeBroker(2)
		a, relay, leaf := newTestNode(t, core, "0A", Options{Seed: 1}), newTestNode(t, core, "0B", Options{Seed: 2}), newTestNode(t, site, "0C", Options{Seed: 3})
		relay.more = []*fakeBroker{site}
		startAll(a, relay, leaf)
		eventually(t, time.Minute, "ready", func() bool { return a.ready() && relay.ready() && leaf.ready() })
		var list []changeset.Envelope
		for part, err := range Since(t.Context(), newFakeStoreWith(t, "0D", 5), nil, 1) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, part...)
		}
		if got, err := relay.repl.Import(t.Context(), list); err != nil || got.Applied != 5 {
			t.Fatalf("%+v, %v", got, err)
		}
		eventually(t, 5*time.Second, "passed on at once", func() bool { return a.store.Revision().At("0D") == 5 && leaf.store.Revision().At("0D") == 5 })
		for i, b := range []*fakeBroker{core, site} {
			if n := carried(t, b)["0D00003"]; n != 1 {
				t.Errorf("published %d times on broker %d", n, i)
			}
		}
		stopAll(a, relay, leaf)
	})
}

func TestImportOfOwnChangesetsThatTheStoreLacksStopsWritesUntilTheBranchIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := usedStore(t, 1)
		r, _ := soloNode(t, s, Options{})
		waitWritable(t, r)
		lost := newFakeStoreWith(t, "0A", 4)
		if got, err := r.Import(t.Context(), envelopesOf(t, lost, 2, 4)); err != nil || len(got.Rejected) > 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if s := r.Status(); s.Writable {
			t.Errorf("writes go on under a branch of which others hold more: %+v", s.Reason)
		}
	})
}
