package replication

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

// pair starts two nodes and waits until both are ready.
func pair(t *testing.T, b *fakeBroker) (x, y *testNode) {
	t.Helper()
	x, y = newTestNode(t, b, "0A", Options{Seed: 1}), newTestNode(t, b, "0B", Options{Seed: 2})
	startAll(x, y)
	eventually(t, time.Minute, "both ready", func() bool { return x.ready() && y.ready() })
	return x, y
}

func refusedWrite(t *testing.T, n *testNode) string {
	t.Helper()
	_, err := n.store.write("refused?")
	var refused *store.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("node %s: write gave %v, want it refused", n.store.me, err)
	}
	return refused.Reason
}

func TestNewStoreRefusesWritesUntilTheDiscoveryHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, newFakeBroker(1), "0A", Options{Seed: 1}).start()
		defer stopAll(n)
		time.Sleep(2 * time.Second)
		if why := refusedWrite(t, n); !strings.Contains(why, "is new") {
			t.Errorf("refused because of %q", why)
		}
		if s := n.status(); s.Ready || s.Reason != nodestatus.ReasonCatchingUp || s.Writable {
			t.Errorf("status during the discovery: %+v", s)
		}
		time.Sleep(2 * time.Second)
		n.write(1)
		if s := n.status(); !s.Ready || !s.Writable || !n.store.Bootstrapped() {
			t.Errorf("alone after the window: %+v", s)
		}
	})
}

func TestStoreThatLostItsVolumeFetchesItsBranchAndRefusesWritesUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(5)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		x.stop()
		x.store = newFakeStore("0A")
		x.store.incarnation = "another"
		x.start()
		eventually(t, time.Minute, "branch fetched back", func() bool { return x.store.Revision().At("0A") == 5 })
		eventually(t, time.Minute, "caught up", func() bool { return x.status().Links[0].CaughtUp })
		for range 2 { // the refusal outlives the process
			if s := x.status(); s.Reason != nodestatus.ReasonBranchAhead || s.Ready || s.Writable {
				t.Fatalf("status %s, writable %v: %s", s.Reason, s.Writable, s.Message)
			}
			if why := refusedWrite(t, x); !strings.Contains(why, "new branch id") {
				t.Errorf("the reason does not say what to do: %s", why)
			}
			x.stop()
			x.start()
			time.Sleep(10 * time.Second)
		}
		if err := x.repl.AcceptBranch(context.Background()); err != nil {
			t.Fatal(err)
		}
		dot, err := x.store.write("after")
		if err != nil || dot.Seq != 6 {
			t.Errorf("the first write after accepting is %s, %v; want 0A00006", dot, err)
		}
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) && x.ready() })
		stopAll(x, y)
	})
}

func TestOldBackupLearnsWhatPeersHaveAndRefusesWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(3)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		backup := x.store.restoredCopy("i-0A")
		x.write(4)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		x.stop()
		x.store = backup
		x.start()
		eventually(t, time.Minute, "whole again", func() bool { return x.store.Revision().At("0A") == 7 })
		x.stop()
		x.start()
		time.Sleep(10 * time.Second)
		if s := x.status(); s.Reason != nodestatus.ReasonBranchAhead {
			t.Errorf("after a restart: %s %s", s.Reason, s.Message)
		}
		refusedWrite(t, x)
		stopAll(x, y)
	})
}

func TestBranchIsNotAcceptedWhileSomethingIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(3)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		x.stop()
		x.store = newFakeStore("0A")
		b.set(func(b *fakeBroker) { // no request or answer gets through
			b.filter = func(to Destination, _ Message) bool { return to.Kind == Queue }
		})
		x.start()
		eventually(t, time.Minute, "claim heard", func() bool { return x.status().Reason == nodestatus.ReasonBranchAhead })
		if err := x.repl.AcceptBranch(context.Background()); err == nil || !strings.Contains(err.Error(), "up to 3") {
			t.Errorf("accepted with an incomplete branch: %v", err)
		}
		stopAll(x, y)
	})
}

func TestTwoLiveWritersWithOneIDAreDetectedAndBothRefuseWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(2)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		twin := newTestNode(t, b, "0A", Options{Seed: 9})
		twin.store, twin.alias = x.store.restoredCopy(x.store.incarnation), "twin" // a cloned volume: same incarnation
		twin.start()
		inUse := func(n *testNode) bool {
			return n.status().Reason == nodestatus.ReasonBranchInUse && !n.status().Writable
		}
		eventually(t, 5*time.Second, "both refuse", func() bool { return inUse(x) && inUse(twin) })
		refusedWrite(t, x)
		refusedWrite(t, twin)
		twin.stop()
		eventually(t, 2*time.Minute, "the survivor writes again", func() bool { return x.ready() && x.status().Writable })
		stopAll(x, y)
	})
}

func TestForkOfTheOwnBranchIsRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(1)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		other := newFakeStore("0A")
		if _, err := other.write("something else"); err != nil {
			t.Fatal(err)
		}
		forged, err := other.Range(t.Context(), "0A", 1, 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.set(func(b *fakeBroker) { b.route(Destination{Topic, "CH"}, packed(t, "0C", forged...)) })
		eventually(t, time.Minute, "own fork seen", func() bool { return x.status().Reason == nodestatus.ReasonBranchForked })
		eventually(t, time.Minute, "evidence kept", func() bool { return len(y.repl.Quarantine()) == 1 })
		if e := y.repl.Quarantine()[0]; e.Dot.String() != "0A00001" || e.From != "0C" || e.Size == 0 {
			t.Errorf("evidence %+v", e)
		}
		if s := y.status(); !s.Writable {
			t.Errorf("a fork of another's branch stops %s from writing: %s", y.store.me, s.Message)
		}
		stopAll(x, y)
	})
}

func TestSafetyJudgesWhatIsKnownOfTheOwnBranch(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, tc := range map[string]struct {
		s    safety
		want nodestatus.Reason
	}{
		"a store in use":                      {safety{bootstrapped: true, proven: true, head: 4, claimed: 4}, ""},
		"a store in use after the start":      {safety{bootstrapped: true, head: 4, claimed: 4}, nodestatus.ReasonCatchingUp},
		"its id is taken after the start":     {safety{bootstrapped: true, taken: true}, nodestatus.ReasonCatchingUp},
		"its id is taken for a moment":        {safety{bootstrapped: true, proven: true, taken: true}, ""},
		"its id is taken for long":            {safety{bootstrapped: true, proven: true, taken: true, inUse: true}, nodestatus.ReasonBranchInUse},
		"a new store":                         {safety{}, nodestatus.ReasonCatchingUp},
		"a new store whose branch is unused":  {safety{opened: true, proven: true}, ""},
		"peers are ahead":                     {safety{bootstrapped: true, head: 4, claimed: 5}, nodestatus.ReasonBranchAhead},
		"peers were ahead":                    {safety{bootstrapped: true, head: 5, claimed: 5, mark: 5}, nodestatus.ReasonBranchAhead},
		"a fork":                              {safety{bootstrapped: true, forked: "0A00001"}, nodestatus.ReasonBranchForked},
		"a twin heard once":                   {safety{bootstrapped: true, proven: true, twin: twin{session: "t", seen: now}}, ""},
		"a twin for sure":                     {safety{bootstrapped: true, twin: twin{session: "t", seen: now, sure: true}}, nodestatus.ReasonBranchInUse},
		"a twin that has long been silent":    {safety{bootstrapped: true, proven: true, twin: twin{session: "t", seen: now.Add(-time.Hour), sure: true}}, ""},
		"a new store that learned its branch": {safety{head: 3, mark: 3}, nodestatus.ReasonBranchAhead},
	} {
		tc.s.own, tc.s.every = "0A", 10*time.Second
		if got := tc.s.judge(now); got.Reason != tc.want || (got.Message == "") != (tc.want == "") {
			t.Errorf("%s: %+v, want %q", name, got, tc.want)
		}
	}
}

func TestMarkIsNewsOnlyWhenTheBranchIsAheadOfTheStore(t *testing.T) {
	for name, tc := range map[string]struct {
		s    safety
		want uint64
		news bool
	}{
		"level":                         {safety{bootstrapped: true, head: 4, claimed: 4}, 0, false},
		"ahead":                         {safety{bootstrapped: true, head: 4, claimed: 6}, 6, true},
		"ahead and marked":              {safety{bootstrapped: true, head: 4, claimed: 6, mark: 6}, 6, false},
		"further ahead":                 {safety{bootstrapped: true, head: 4, claimed: 8, mark: 6}, 8, true},
		"never wrote, and has its own":  {safety{head: 2}, 2, true},
		"took writes, and has its own":  {safety{head: 2, opened: true}, 0, false},
		"never wrote, and is empty too": {safety{}, 0, false},
	} {
		if got, news := tc.s.toMark(); got != tc.want || news != tc.news {
			t.Errorf("%s: %d, %v, want %d, %v", name, got, news, tc.want, tc.news)
		}
	}
}
