package replication

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
)

// packed is a message of the data topic.
func packed(t *testing.T, from branch.ID, envelopes ...changeset.Envelope) Message {
	t.Helper()
	body, err := changeset.Pack(envelopes)
	if err != nil {
		t.Fatal(err)
	}
	return Message{From: from, ContentType: changeset.ContentType, Persistent: true, Body: body}
}

var dataTopic = Destination{Topic, "CH"}

// counter sums a metric of a node over its labels.
func counter(n *testNode, c func(*metrics) *prometheus.CounterVec) float64 {
	var sum float64
	out := make(chan prometheus.Metric, 16)
	c(n.repl.metrics).Collect(out)
	close(out)
	for m := range out {
		sum += testutil.ToFloat64(collected{m})
	}
	return sum
}

// collected is a collector of one metric.
type collected struct{ prometheus.Metric }

func (c collected) Describe(d chan<- *prometheus.Desc) { d <- c.Desc() }
func (c collected) Collect(m chan<- prometheus.Metric) { m <- c.Metric }

func TestLoneWriteReachesThePeerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := pair(t, newFakeBroker(1))
		start := time.Now()
		x.write(1)
		eventually(t, time.Second, "applied", func() bool { return y.store.Revision().At("0A") == 1 })
		if took := time.Since(start); took > 20*time.Millisecond {
			t.Errorf("took %v", took)
		}
		stopAll(x, y)
	})
}

func TestWritesWhileTheBrokerIsBusyArePackedIntoFewMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.set(func(b *fakeBroker) { b.delay = 20 * time.Millisecond })
		for range 1000 {
			x.write(1)
			time.Sleep(100 * time.Microsecond)
		}
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		b.set(func(b *fakeBroker) {
			if n := len(b.published); n > 60 {
				t.Errorf("1000 changesets went out in %d messages", n)
			}
		})
		stopAll(x, y)
	})
}

func TestMessagesStayWithinTheFlushSizeAndTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.stop()
		x.o.FlushBytes, x.o.Window = 2000, 4
		x.write(500)
		blocked := make(chan struct{})
		b.set(func(b *fakeBroker) { b.published, b.blocked = nil, blocked })
		x.start()
		time.Sleep(30 * time.Second)
		next, confirmed := x.repl.links[0].sender.position()
		if handed := next - confirmed; handed == 0 || handed > 4*26 {
			t.Errorf("%d changesets are in flight with a window of 4 messages of about 25", handed)
		}
		b.set(func(b *fakeBroker) { b.blocked = nil })
		b.crash(false)
		b.up()
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		b.set(func(b *fakeBroker) {
			for _, m := range b.published {
				if list, err := changeset.Unpack(m.Body, changeset.DefaultLimits()); err != nil || len(list) > 26 {
					t.Errorf("a message has %d changesets, %v", len(list), err)
				}
			}
		})
		stopAll(x, y)
	})
}

func TestBlockedBrokerDoesNotBlockWritesAndGetsThemAllLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.set(func(b *fakeBroker) { b.blocked = make(chan struct{}) })
		x.write(200)
		time.Sleep(time.Second)
		if s := x.status(); s.Outbox.Changesets != 200 || !s.Writable {
			t.Errorf("outbox %d, writable %v", s.Outbox.Changesets, s.Writable)
		}
		b.set(func(b *fakeBroker) { b.blocked = nil })
		eventually(t, 5*time.Minute, "sent again after the timeout", func() bool { return converged(x, y) })
		stopAll(x, y)
	})
}

func TestWritesWithoutABrokerAreKeptAndReplicateWhenItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.crash(false)
		x.write(50)
		y.write(50)
		time.Sleep(time.Minute)
		if s := x.status(); s.Reason != nodestatus.ReasonBrokerUnreachable || s.Outbox.Changesets != 50 || !s.Writable {
			t.Errorf("status while the broker is down: %s %q, outbox %d", s.Reason, s.Message, s.Outbox.Changesets)
		}
		b.up()
		eventually(t, 5*time.Second, "converged", func() bool { return converged(x, y) })
		eventually(t, 10*time.Second, "ready", func() bool { return x.ready() && y.ready() })
		if got := x.status().Links[0].Reconnects; got != 1 {
			t.Errorf("%d reconnects", got)
		}
		stopAll(x, y)
	})
}

func TestMessageLostByTheBrokerIsRepairedFromPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.set(func(b *fakeBroker) { b.lose = 1 })
		x.write(3)
		time.Sleep(time.Second)
		b.set(func(b *fakeBroker) { b.lose = 0 })
		x.write(2) // these wait for the lost ones
		eventually(t, time.Second, "pending", func() bool { _, waiting := y.store.count(); return waiting == 2 })
		eventually(t, 30*time.Second, "repaired", func() bool { return converged(x, y) })
		stopAll(x, y)
	})
}

func TestNewNodeGetsAllTheOldDataAndSaysWhenItHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		for range 40 {
			x.write(25)
			y.write(25)
			time.Sleep(50 * time.Millisecond)
		}
		z := newTestNode(t, b, "0C", Options{Seed: 5, ChunkBytes: 10000, Credits: 3})
		z.start()
		for !z.ready() {
			if z.store.Bootstrapped() {
				t.Fatal("bootstrapped before it was ready")
			}
			time.Sleep(time.Millisecond)
		}
		if n, _ := z.store.count(); n != 2000 {
			t.Errorf("ready with %d of 2000 changesets", n)
		}
		eventually(t, time.Second, "bootstrapped", z.store.Bootstrapped)
		if err := z.store.check(); err != nil {
			t.Error(err)
		}
		if held := counter(z, func(m *metrics) *prometheus.CounterVec { return m.held }); held > 0 {
			t.Errorf("%v changesets came before what they depend on", held)
		}
		stopAll(x, y, z)
	})
}

func TestReturningNodePublishesWhatItNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.partition("0A", true)
		x.write(10)
		x.crash()
		y.write(10)
		b.crash(true) // and the broker lost all it had
		b.up()
		b.partition("0A", false)
		x.start()
		eventually(t, time.Minute, "converged", func() bool { return converged(x, y) })
		stopAll(x, y)
	})
}

func TestCursorMovesOnlyOverWhatIsConfirmedAndTheRestIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.set(func(b *fakeBroker) { b.delay = 5 * time.Second })
		x.write(5)
		time.Sleep(10 * time.Millisecond) // handed over, not confirmed
		x.crash()
		if cursor, err := x.store.Cursor("main"); cursor != 0 || err != nil {
			t.Errorf("cursor %d, %v before any confirmation", cursor, err)
		}
		b.set(func(b *fakeBroker) { b.delay = time.Millisecond })
		x.start()
		eventually(t, time.Minute, "converged", func() bool { return converged(x, y) })
		eventually(t, time.Minute, "sent again", func() bool {
			return counter(y, func(m *metrics) *prometheus.CounterVec { return m.duplicate }) > 0
		})
		if err := y.store.check(); err != nil {
			t.Error(err)
		}
		stopAll(x, y)
	})
}
