package replication

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
)

func TestHeldLinkMovesNoDataEitherWayShowsWhyAndLocalWritesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		const mismatch = nodestatus.Reason("PolicyMismatch")
		x.repl.links[0].hold(mismatch, "0B chooses the earliest value, this node the latest")
		before := b.messages()
		x.write(3)
		y.write(2)
		time.Sleep(2 * time.Minute)
		if got := x.store.Revision().String(); got != "0A00003" {
			t.Errorf("the held node applied: %s", got)
		}
		if got := y.store.Revision().String(); got != "0B00002" {
			t.Errorf("the held node published: %s", got)
		}
		if n := b.messages() - before; n != 1 {
			t.Errorf("%d messages of changesets, want only the other's", n)
		}
		if s := x.status(); s.Ready || s.Reason != mismatch || !strings.Contains(s.Message, "link main") || !strings.Contains(s.Message, "the earliest") || !s.Writable {
			t.Errorf("status %+v", s)
		}
		x.repl.links[0].release()
		eventually(t, time.Minute, "converged", func() bool { return converged(x, y) && x.ready() })
		stopAll(x, y)
	})
}

func TestHoldingOneLinkLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, site := newFakeBroker(1), newFakeBroker(2)
		a, relay, leaf := newTestNode(t, core, "0A", Options{Seed: 1}), newTestNode(t, core, "0B", Options{Seed: 2}), newTestNode(t, site, "0C", Options{Seed: 3})
		relay.more = []*fakeBroker{site}
		startAll(a, relay, leaf)
		eventually(t, time.Minute, "ready", func() bool { return a.ready() && relay.ready() && leaf.ready() })
		relay.repl.links[1].hold("PolicyMismatch", "why")
		a.write(2)
		leaf.write(1)
		eventually(t, time.Minute, "arrived over the link that is not held", func() bool { return relay.store.Revision().At("0A") == 2 })
		time.Sleep(time.Minute)
		if got := leaf.store.Revision().String() + " " + a.store.Revision().String(); got != "0C00001 0A00002" {
			t.Errorf("passed the held link: %s", got)
		}
		relay.repl.links[1].release()
		eventually(t, time.Minute, "converged", func() bool { return converged(a, relay, leaf) })
		stopAll(a, relay, leaf)
	})
}
