package replication

import (
	"bytes"
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

func TestPeerWhoseLogStartsLaterIsNotAskedForWhatLeftItAndAnotherHelps(t *testing.T) {
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
		if n := testutil.ToFloat64(z.repl.metrics.requests.WithLabelValues("main", "below-floor")); n != 0 {
			t.Error("the author was asked for what its beacons say has left its log")
		}
		stopAll(x, y, z)
	})
}

// failing is a disk that takes nothing.
var failing = store.StorageError{Op: "committing", Path: "vesper.db", Err: errors.New("no space left")}
