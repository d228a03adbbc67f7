package replication

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/nodestatus"
)

// endingTransport ends by itself.
type endingTransport struct {
	scripted
	err error
}

func (e *endingTransport) Run(context.Context, []Subscription, func(State)) error { return e.err }

func TestTransportThatCannotGoOnEndsAllLinksWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			err  error
			want string
		}{
			"with an error": {errors.New("no such profile"), "running link bad: no such profile"},
			"without one":   {nil, "ended by itself"},
		} {
			r, err := New(usedStore(t, 0), []LinkConfig{
				{Name: "good", Channel: "CH", Transport: newScripted()},
				{Name: "bad", Channel: "CH", Transport: &endingTransport{err: tc.err}},
			}, Options{Logger: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestLinkEndsAtOnceThoughItsTransportStillSaysItIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(usedStore(t, 1), []LinkConfig{{Name: "main", Channel: "CH", Transport: newScripted()}}, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		start := time.Now()
		if err := <-done; err != nil || time.Since(start) > time.Second {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
	})
}

func TestSubscriptionsAreTheThreeOfTheProtocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, tr := soloNode(t, usedStore(t, 0), Options{})
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for i, want := range []Subscription{
			{Destination: Destination{Topic, "CH"}, Durable: "0A-CH", Except: "0A"},
			{Destination: Destination{Topic, "CH.beacon"}}, // an automatic one would hide our death from ActiveMQ
			{Destination: Destination{Queue, "CH.sync.0A"}},
		} {
			got := tr.subs[i]
			if got.Destination != want.Destination || got.Durable != want.Durable || got.Except != want.Except || got.AutoAck != want.AutoAck {
				t.Errorf("subscription %d is %+v", i, got)
			}
		}
	})
}

func TestStatusFollowsTheConnectionAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, tr := soloNode(t, usedStore(t, 0), Options{})
		waitFor(t, "ready", func() bool { return r.Status().Ready })
		for name, tc := range map[string]struct {
			state   State
			reason  nodestatus.Reason
			message string
		}{
			"not connected":  {State{Err: errors.New("connection refused")}, nodestatus.ReasonBrokerUnreachable, "connection refused; local writes go on"},
			"in use":         {State{Err: errors.New("already connected"), InUse: true}, nodestatus.ReasonBranchInUse, "second copy"},
			"not subscribed": {State{Connected: true, Address: "b:1"}, nodestatus.ReasonSubscribing, "connected to b:1, waiting"},
			"discovering":    {State{Connected: true, Subscribed: true}, nodestatus.ReasonCatchingUp, "asking the peers"},
		} {
			tr.observe(State{})
			tr.observe(tc.state)
			time.Sleep(time.Second)
			s := r.Status()
			if s.Reason != tc.reason || !strings.Contains(s.Message, tc.message) || s.Ready {
				t.Errorf("%s: %s %q", name, s.Reason, s.Message)
			}
			if l := s.Links[0]; l.Connected != tc.state.Connected || l.Subscribed != tc.state.Up() || (l.Since != nil) != tc.state.Up() {
				t.Errorf("%s: link %+v", name, l)
			}
			if s.Writable == tc.state.InUse {
				t.Errorf("%s: writable %v", name, s.Writable)
			}
		}
	})
}

func TestStatusShowsLagPendingPeersAndOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := usedStore(t, 2), newFakeStoreWith(t, "0B", 9)
		r, tr := soloNode(t, mine, Options{})
		hear(t, tr, peerBeacon(theirs, 1))
		tr.deliver(t.Context(), Destination{Topic, "CH"}, packed(t, "0B", envelopesOf(t, theirs, 5, 6)...))
		waitFor(t, "pending and lag", func() bool {
			s := r.Status()
			return s.Pending.Changesets == 2 && s.Lag.Changesets == 9
		})
		s := r.Status()
		if s.Outbox.Changesets != 2 || len(s.Peers) != 1 || s.Peers[0].Branch != "0B" {
			t.Errorf("lag %+v, outbox %+v, peers %+v", s.Lag, s.Outbox, s.Peers)
		}
		if m := s.Pending.Missing; len(m) != 1 || m[0] != (branch.Dot{Branch: "0B", Seq: 4}) {
			t.Errorf("missing %v", m)
		}
	})
}

func TestDeliveriesAreRefusedOnceTheLinkHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(usedStore(t, 0), []LinkConfig{{Name: "main", Channel: "CH", Transport: newScripted()}}, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := contextThatEnded()
		defer cancel()
		deliver := r.links[0].subscriptions(ended)[0].Deliver
		for range 2 * receiveQueue { // the queue is full at some time: must not block
			deliver(t.Context(), Delivery{})
		}
	})
}

func TestMessagesAreAppliedTogetherAndEachIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := usedStore(t, 0), newFakeStoreWith(t, "0B", 12)
		held := make(chan struct{})
		mine.setFail(func([]changeset.Envelope) error {
			select {
			case <-held:
				return nil
			default:
				return errors.New("wait")
			}
		})
		_, tr := soloNode(t, mine, Options{})
		var acks []chan struct{}
		for i := uint64(1); i <= 12; i++ {
			acks = append(acks, tr.deliver(t.Context(), Destination{Topic, "CH"}, packed(t, "0B", envelopesOf(t, theirs, i, i)...)))
		}
		close(held)
		waitFor(t, "applied", func() bool { return mine.Revision().At("0B") == 12 })
		for i, acked := range acks {
			select {
			case <-acked:
			case <-time.After(time.Second):
				t.Errorf("message %d was not acknowledged", i+1)
			}
		}
		if mine.applies > 3 {
			t.Errorf("12 messages that waited took %d transactions", mine.applies)
		}
	})
}

func TestNothingIsAcknowledgedBeforeItIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := usedStore(t, 0), newFakeStoreWith(t, "0B", 1)
		mine.setFail(func([]changeset.Envelope) error { return &failing })
		_, tr := soloNode(t, mine, Options{})
		acked := tr.deliver(t.Context(), Destination{Topic, "CH"}, packed(t, "0B", envelopesOf(t, theirs, 1, 1)...))
		select {
		case <-acked:
			t.Error("acknowledged before it was stored")
		case <-time.After(time.Hour):
		}
		mine.setFail(nil)
		select {
		case <-acked:
		case <-time.After(time.Minute):
			t.Error("not acknowledged though it is stored")
		}
		if mine.Revision().At("0B") != 1 {
			t.Error("acknowledged and not applied")
		}
	})
}

func TestWhatIsNotStoredWhenTheNodeStopsIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := usedStore(t, 0), newFakeStoreWith(t, "0B", 1)
		mine.setFail(func([]changeset.Envelope) error { return &failing })
		transport := newScripted()
		r, err := New(mine, []LinkConfig{{Name: "main", Channel: "CH", Transport: transport}}, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		<-transport.running
		acked := transport.deliver(ctx, Destination{Topic, "CH"}, packed(t, "0B", envelopesOf(t, theirs, 1, 1)...))
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(acked) > 0 {
			t.Error("acknowledged what was never stored")
		}
	})
}
