package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
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

func TestPoisonMessagesAreQuarantinedAcknowledgedAndDoNotStopTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		good, err := newFakeStoreWith(t, "0C", 1).Range(t.Context(), "0C", 1, 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		flipped := good[0]
		flipped.Body = bytes.Clone(flipped.Body)
		flipped.Body[len(flipped.Body)-1] ^= 1
		b.set(func(b *fakeBroker) {
			b.route(dataTopic, Message{From: "0C", ContentType: changeset.ContentType, Body: []byte("no container")})
			b.route(dataTopic, Message{From: "0C", ContentType: "text/plain", Body: []byte("hello")})
			b.route(dataTopic, packed(t, "0C", flipped))
			b.route(Destination{Topic, "CH.beacon"}, Message{From: "0C", ContentType: BeaconContentType, Body: []byte{0xff}})
			b.route(Destination{Queue, "CH.sync.0B"}, Message{From: "0C", ContentType: SyncContentType, Body: []byte{0xff}})
		})
		x.write(1)
		eventually(t, 10*time.Second, "replicated all the same", func() bool { return converged(x, y) })
		eventually(t, 10*time.Second, "evidence", func() bool { return len(y.repl.Quarantine()) == 5 })
		eventually(t, time.Second, "acknowledged", func() bool { return b.waiting("durable 0B-CH") == 0 && b.waiting("queue CH.sync.0B") == 0 })
		for _, e := range y.repl.Quarantine() {
			if e.Error == "" || e.Hash == "" || e.From != "0C" || e.Link != "main" {
				t.Errorf("evidence %+v", e)
			}
		}
		stopAll(x, y)
	})
}

// waiting counts what a subscription has not acknowledged.
func (b *fakeBroker) waiting(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.boxes[key].queue)
}

func newFakeStoreWith(t *testing.T, id branch.ID, count int) *fakeStore {
	t.Helper()
	s := newFakeStore(id)
	for i := range count {
		if _, err := s.write(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStorageErrorHoldsBackTheAcknowledgementAndPausesTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		full := &store.StorageError{Op: "committing", Path: "vesper.db", Err: errors.New("no space left")}
		y.store.setFail(func([]changeset.Envelope) error { return full })
		x.write(3)
		time.Sleep(20 * time.Second)
		if b.waiting("durable 0B-CH") == 0 {
			t.Error("acknowledged what is not stored")
		}
		if s := y.status(); s.Reason != nodestatus.ReasonStorageFailed || !strings.Contains(s.Message, "no space left") {
			t.Errorf("status %s %q", s.Reason, s.Message)
		}
		if n := len(y.repl.Quarantine()); n > 0 {
			t.Errorf("a full disk put %d changesets into quarantine", n)
		}
		y.store.setFail(nil)
		eventually(t, time.Minute, "stored", func() bool { return converged(x, y) && y.ready() })
		eventually(t, 20*time.Second, "acknowledged", func() bool { return b.waiting("durable 0B-CH") == 0 })
		stopAll(x, y)
	})
}

func TestChangesetThatMakesTheStoreFailIsIsolatedAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := pair(t, newFakeBroker(1))
		bad := branch.Dot{Branch: "0A", Seq: 3}
		y.store.setFail(func(list []changeset.Envelope) error {
			for _, e := range list {
				if e.Dot == bad {
					return errors.New("cannot cope with " + e.Dot.String())
				}
			}
			return nil
		})
		x.write(5)
		eventually(t, time.Minute, "the others stored", func() bool { n, waiting := y.store.count(); return n == 2 && waiting == 2 })
		if q := y.repl.Quarantine(); len(q) == 0 || q[0].Dot != bad {
			t.Errorf("quarantine %+v", q)
		}
		y.store.setFail(nil)
		eventually(t, 5*time.Minute, "fetched once it can be stored", func() bool { return converged(x, y) })
		stopAll(x, y)
	})
}

func TestSilentPeerIsGivenUpAndAnotherIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		z := newTestNode(t, b, "0C", Options{Seed: 3})
		z.start()
		eventually(t, time.Minute, "ready", z.ready)
		b.set(func(b *fakeBroker) {
			b.filter = func(to Destination, _ Message) bool { return to.Name == "CH.sync.0A" }
		})
		b.partition("0C", true)
		b.set(func(b *fakeBroker) { delete(b.boxes, "durable 0C-CH") }) // it will miss everything
		x.write(4)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		b.partition("0C", false)
		eventually(t, time.Minute, "repaired by another than the author", func() bool { return converged(x, y, z) })
		if n := testutil.ToFloat64(z.repl.metrics.requests.WithLabelValues("main", "timeout")); n == 0 {
			t.Error("the author was not asked first")
		}
		stopAll(x, y, z)
	})
}

func TestLagThatPersistsMakesTheLinkNotCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		b.set(func(b *fakeBroker) {
			b.filter = func(to Destination, _ Message) bool { return to.Kind == Queue || to.Name == "CH" }
		})
		x.write(7)
		time.Sleep(20 * time.Second)
		if s := y.status(); !s.Ready || s.Lag.Changesets != 7 {
			t.Errorf("a short lag: ready %v, %s, lag %d", s.Ready, s.Reason, s.Lag.Changesets)
		}
		time.Sleep(30 * time.Second)
		if s := y.status(); s.Ready || s.Reason != nodestatus.ReasonCatchingUp || s.Lag.Seconds < 30 || !s.Writable {
			t.Errorf("a long lag: %s %s, %v s, writable %v", s.Reason, s.Message, s.Lag.Seconds, s.Writable)
		}
		b.set(func(b *fakeBroker) { b.filter = nil })
		eventually(t, 5*time.Minute, "closed", func() bool { return y.ready() && converged(x, y) })
		stopAll(x, y)
	})
}

func TestPeerWithTheSameRevisionAndAnotherDigestIsReportedAsDiverged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := pair(t, newFakeBroker(1))
		x.write(1)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		y.store.mu.Lock()
		y.store.digest[7]++
		y.store.mu.Unlock()
		diverged := func(n *testNode) bool { p := n.status().Peers; return len(p) == 1 && p[0].Diverged }
		eventually(t, time.Minute, "both see it", func() bool { return diverged(x) && diverged(y) })
		time.Sleep(time.Minute)
		if n := counter(x, func(m *metrics) *prometheus.CounterVec { return m.diverged }); n != 1 {
			t.Errorf("counted %v times", n)
		}
		y.store.mu.Lock()
		y.store.digest[7]--
		y.store.mu.Unlock()
		eventually(t, time.Minute, "both see the end of it", func() bool { return !diverged(x) && !diverged(y) })
		stopAll(x, y)
	})
}

func TestPeerBelowTheFloorIsToldSoAndAnotherHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(5)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		x.store.mu.Lock()
		x.store.floor = branch.Revision{{Branch: "0A", Seq: 3}}
		x.store.mu.Unlock()
		z := newTestNode(t, b, "0C", Options{Seed: 3})
		z.start()
		eventually(t, 3*time.Minute, "got all", func() bool { return converged(x, y, z) })
		if n := testutil.ToFloat64(z.repl.metrics.requests.WithLabelValues("main", "below-floor")); n == 0 {
			t.Error("the author did not say that its log starts later")
		}
		stopAll(x, y, z)
	})
}

func TestDrainReturnsWhenEverythingIsConfirmedAndSaysWhatIsLeftWhenNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(300)
		if err := x.repl.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := x.status(); s.Reason != nodestatus.ReasonDraining || s.Writable {
			t.Errorf("status %s, writable %v", s.Reason, s.Writable)
		}
		x.stop()
		if n, _ := x.store.Outbox("main"); n != 0 {
			t.Errorf("%d changesets are left after a drain", n)
		}
		b.crash(false)
		y.write(4)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := y.repl.Drain(ctx); err == nil || !strings.Contains(err.Error(), "4 changesets") {
			t.Errorf("drain without a broker gave %v", err)
		}
		stopAll(y)
	})
}

func TestDrainedNodeKeepsTheCallersRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := pair(t, newFakeBroker(1))
		x.store.RefuseWrites("stopping")
		if err := x.repl.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if why := refusedWrite(t, x); why != "stopping" {
			t.Errorf("refused because of %q", why)
		}
		stopAll(x, y)
	})
}

func TestStandaloneNodeIsReadyWritableAndBootstrapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore("0A")
		r, err := New(s, nil, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		st := r.Status()
		if !st.Ready || st.Reason != nodestatus.ReasonStandalone || !st.Writable || !s.Bootstrapped() {
			t.Errorf("status %+v", st)
		}
		if err := r.Drain(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRelayPassesOnWhatOthersWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, right := newFakeBroker(1), newFakeBroker(2)
		x, z := newTestNode(t, left, "0A", Options{Seed: 1}), newTestNode(t, right, "0C", Options{Seed: 3})
		s := newFakeStore("0B")
		r, err := New(s, []LinkConfig{
			{Name: "left", Channel: "CH", Relay: true, Transport: &fakeTransport{b: left, me: "0B"}},
			{Name: "right", Channel: "CH", Relay: true, Transport: &fakeTransport{b: right, me: "0B"}},
		}, Options{Logger: quiet(), Seed: 2})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		startAll(x, z)
		eventually(t, time.Minute, "ready", func() bool { return x.ready() && z.ready() && r.Status().Ready })
		x.write(20)
		z.write(20)
		eventually(t, 5*time.Second, "converged across the relay", func() bool { return converged(x, z) && s.Revision().Equal(x.store.Revision()) })
		time.Sleep(10 * time.Second)
		before := left.messages() + right.messages()
		time.Sleep(10 * time.Second)
		if after := left.messages() + right.messages(); after != before {
			t.Errorf("changesets go round in circles: %d, then %d messages", before, after)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stopAll(x, z)
	})
}

func (b *fakeBroker) messages() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent["CH"]
}

func TestMetricsAreRegisteredOnceAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		b := newFakeBroker(1)
		n := newTestNode(t, b, "0A", Options{Seed: 1, Registerer: reg})
		n.start()
		eventually(t, time.Minute, "ready", n.ready)
		n.write(2)
		eventually(t, time.Minute, "published", func() bool { return converged(n) })
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range families {
			got[f.GetName()] = true
		}
		for _, name := range []string{"published_changesets_total", "published_bytes_total", "beacons_total", "lag_changesets",
			"outbox_changesets", "pending_changesets", "peers", "link_up"} {
			if !got["vesper_replication_"+name] {
				t.Errorf("no metric vesper_replication_%s", name)
			}
		}
		if _, err := New(newFakeStore("0B"), nil, Options{Registerer: reg}); err == nil {
			t.Error("registered the same metrics twice")
		}
		stopAll(n)
	})
}

func TestLinksThatCannotWorkAreRefusedByName(t *testing.T) {
	ok := &fakeTransport{}
	for name, tc := range map[string]struct {
		links []LinkConfig
		want  string
	}{
		"no name":        {[]LinkConfig{{Channel: "C", Transport: ok}}, `name ""`},
		"reserved name":  {[]LinkConfig{{Name: markCursor, Channel: "C", Transport: ok}}, markCursor},
		"twice the same": {[]LinkConfig{{Name: "a", Channel: "C", Transport: ok}, {Name: "a", Channel: "D", Transport: ok}}, `named "a"`},
		"bad channel":    {[]LinkConfig{{Name: "a", Channel: "a/b", Transport: ok}}, `"a/b"`},
		"no transport":   {[]LinkConfig{{Name: "a", Channel: "C"}}, "no transport"},
	} {
		if _, err := New(newFakeStore("0A"), tc.links, Options{}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to say %s", name, err, tc.want)
		}
	}
}
