package replication

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vesperdb.io/vesper/internal/nodestatus"
)

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

func TestDrainWithNothingToSendDoesNotWaitForABrokerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBroker(1)
		x, y := pair(t, b)
		y.write(3)
		eventually(t, time.Minute, "the peer's writes", func() bool { return converged(x, y) })
		b.crash(false)
		began := time.Now()
		if err := x.repl.Drain(t.Context()); err != nil {
			t.Errorf("drain of a node that wrote nothing: %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("waited %v for a broker that is away, with nothing to send", took)
		}
		stopAll(x, y)
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
