package replication

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
)

func TestNodesWithDifferentPoliciesDoNotReplicateUntilTheyAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x := newTestNode(t, b, "0A", Options{Seed: 1, Policy: "latest"})
		y := newTestNode(t, b, "0B", Options{Seed: 2, Policy: "latest"})
		startAll(x, y)
		eventually(t, time.Minute, "both ready", func() bool { return x.ready() && y.ready() })
		x.write(1)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		y.stop()
		y.o.Policy = "keepBoth"
		y.start()
		mismatch := func(n *testNode) bool { return n.status().Reason == nodestatus.ReasonPolicyMismatch }
		eventually(t, time.Minute, "both hold the link", func() bool { return mismatch(x) && mismatch(y) })
		x.write(2)
		time.Sleep(5 * time.Minute)
		if s := y.status(); s.Revision.At("0A") != 1 || s.Ready || !strings.Contains(s.Message, "node 0A has the conflict policy latest and this node keepBoth") {
			t.Errorf("revision %s, ready %v, %s: %s", s.Revision, s.Ready, s.Reason, s.Message)
		}
		if s := x.status(); !s.Writable {
			t.Errorf("local writes are refused: %s", s.WritesRefused)
		}
		y.stop()
		y.o.Policy = "latest"
		y.start()
		eventually(t, time.Minute, "agreed", func() bool { return converged(x, y) && x.ready() && y.ready() })
		stopAll(x, y)
	})
}

// TestPeerThatTellsNoPolicyOrIsGoneHoldsNothing: nodes of an older release tell
// none, and a node that was removed must not stop the others for ever.
func TestPeerThatTellsNoPolicyOrIsGoneHoldsNothing(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		policy string
		ago    time.Duration
		found  bool
	}{
		"another": {"earliest", 0, true}, "the same": {"latest", 0, false}, "none": {"", 0, false}, "another, gone": {"earliest", time.Hour, false},
	} {
		var known peers
		known.heard(now.Add(-tc.ago), Beacon{Branch: "0B", Session: "s", Count: 1, Every: time.Second, Policy: tc.policy})
		if got := known.otherPolicy(now, "latest"); (got != nil) != tc.found {
			t.Errorf("%s: found %v", name, got != nil)
		}
	}
}
