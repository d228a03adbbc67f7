package replication

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
)

// TestOldBackupTakesNoWriteBeforeItHasAskedItsPeers: a client may be quicker
// than the first beacon, and its write would take a dot that peers know already.
func TestOldBackupTakesNoWriteBeforeItHasAskedItsPeers(t *testing.T) {
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
		eventually(t, time.Minute, "whole again", func() bool {
			if _, err := x.store.write("too early"); err == nil {
				t.Fatal("the backup issued a dot that its peers have already")
			}
			return x.store.Revision().At("0A") == 7
		})
		if len(x.repl.Quarantine())+len(y.repl.Quarantine()) > 0 {
			t.Error("changesets were refused")
		}
		stopAll(x, y)
	})
}

// TestOldBackupLearnsOfWhatAPeerOnlyHolds: what waits at a peer was issued too,
// however much the peer lacks before it.
func TestOldBackupLearnsOfWhatAPeerOnlyHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(3)
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) })
		b.set(func(b *fakeBroker) { // nothing but beacons gets through
			b.filter = func(_ Destination, m Message) bool { return m.ContentType != BeaconContentType }
		})
		x.write(2)
		backup := x.store.restoredCopy("i-0A")
		x.write(2)
		late, err := x.store.Range(t.Context(), "0A", 6, 7, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := y.store.Apply(t.Context(), late); err != nil || a.Pending != 2 {
			t.Fatalf("handing over what has to wait: %+v, %v", a, err)
		}
		x.stop()
		x.store = backup
		x.start()
		for range 30 {
			time.Sleep(time.Second)
			if dot, err := x.store.write("again"); err == nil {
				t.Fatalf("the backup issued %s, which its peer holds", dot)
			}
		}
		if s := x.status(); s.Reason != nodestatus.ReasonBranchAhead || !strings.Contains(s.WritesRefused, "up to 7") {
			t.Errorf("%s: %s", s.Reason, s.WritesRefused)
		}
		b.set(func(b *fakeBroker) { b.filter = nil })
		eventually(t, time.Minute, "whole again", func() bool { return x.store.Revision().At("0A") == 7 && converged(x, y) })
		if len(x.repl.Quarantine())+len(y.repl.Quarantine()) > 0 {
			t.Error("changesets were refused")
		}
		stopAll(x, y)
	})
}

func TestRestartedNodeTakesWritesAfterTheDiscoveryWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(1)
		x.stop()
		x.start()
		if why := refusedWrite(t, x); !strings.Contains(why, "just started") {
			t.Errorf("refused because of %q", why)
		}
		started := time.Now()
		eventually(t, time.Minute, "writable", func() bool { return x.status().Writable })
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("writes were refused for %v", took)
		}
		x.write(1)
		stopAll(x, y)
	})
}

// TestRestartedNodeWithoutABrokerTakesWritesAfterTheStartPatience: disconnected is normal.
func TestRestartedNodeWithoutABrokerTakesWritesAfterTheStartPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		x.write(1)
		x.stop()
		b.set(func(b *fakeBroker) { b.down = true })
		x.start()
		time.Sleep(8 * time.Second)
		refusedWrite(t, x)
		time.Sleep(8 * time.Second)
		x.write(1)
		b.set(func(b *fakeBroker) { b.down = false })
		eventually(t, time.Minute, "replicated", func() bool { return converged(x, y) && x.ready() })
		stopAll(x, y)
	})
}

// scriptedState is a transport that is told its state and moves nothing.
type scriptedState struct{ states chan State }

func (s scriptedState) Run(ctx context.Context, _ []Subscription, observe func(State)) error {
	for {
		select {
		case state := <-s.states:
			observe(state)
		case <-ctx.Done():
			return nil
		}
	}
}

func (scriptedState) Publish(context.Context, Destination, Message) (Confirmation, error) {
	return nil, errors.New("nothing is published here")
}

// TestNodeWhoseIDIsTakenAtTheBrokerTakesNoWrites: the patience with a broker
// that cannot be reached is not for one that has another client with our id.
func TestNodeWhoseIDIsTakenAtTheBrokerTakesNoWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeStore("0A")
		if err := s.SetBootstrapped(t.Context()); err != nil {
			t.Fatal(err)
		}
		script := scriptedState{make(chan State)}
		r, err := New(s, []LinkConfig{{Name: "main", Channel: "CH", Transport: script}}, Options{Logger: quiet(), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		taken := State{Err: errors.New("client 0A already connected"), Taken: true}
		script.states <- taken
		time.Sleep(time.Minute)
		if st := r.Status(); st.Writable || st.Reason != nodestatus.ReasonBrokerUnreachable {
			t.Errorf("with the id taken: writable %v, %s %s", st.Writable, st.Reason, st.WritesRefused)
		}
		script.states <- State{Connected: true, Subscribed: true}
		time.Sleep(10 * time.Second)
		if st := r.Status(); !st.Writable {
			t.Errorf("connected again, and writes are refused: %s", st.WritesRefused)
		}
		script.states <- taken // as after any loss, until the broker sees the end of our connection
		time.Sleep(10 * time.Second)
		if st := r.Status(); !st.Writable {
			t.Errorf("a running node stopped writing for a moment's conflict: %s", st.WritesRefused)
		}
		taken.InUse = true
		script.states <- taken
		time.Sleep(10 * time.Second)
		if st := r.Status(); st.Writable || st.Reason != nodestatus.ReasonBranchInUse {
			t.Errorf("with a second copy: writable %v, %s", st.Writable, st.Reason)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
