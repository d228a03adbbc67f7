package replication

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// scripted is a transport that does what a test tells it. It is up from the
// start unless told otherwise, and every publication waits for its verdict.
type scripted struct {
	mu      sync.Mutex
	observe func(State)
	subs    []Subscription
	sent    []sentMessage
	// confirming confirms publications at once.
	confirming bool
	// refuse, when set, is the error of the next publications.
	refuse error
	// running is closed once Run was called.
	running chan struct{}
}

type sentMessage struct {
	to      Destination
	m       Message
	verdict chan error
}

func newScripted() *scripted { return &scripted{running: make(chan struct{})} }

func (s *scripted) Run(ctx context.Context, subs []Subscription, observe func(State)) error {
	s.mu.Lock()
	s.subs, s.observe = subs, observe
	s.mu.Unlock()
	observe(State{Connected: true, Subscribed: true, Address: "scripted:1"})
	close(s.running)
	<-ctx.Done()
	return nil
}

func (s *scripted) Publish(_ context.Context, to Destination, m Message) (Confirmation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	sent := sentMessage{to: to, m: m, verdict: make(chan error, 1)}
	if s.confirming {
		sent.verdict <- nil
	}
	s.sent = append(s.sent, sent)
	return sent, nil
}

// Wait implements Confirmation.
func (m sentMessage) Wait(ctx context.Context) error {
	select {
	case err := <-m.verdict:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// confirm lets the broker confirm everything at once from now on.
func (s *scripted) confirm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirming = true
}

// on lists what was published to a destination.
func (s *scripted) on(name string) (out []sentMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.sent {
		if m.to.Name == name {
			out = append(out, m)
		}
	}
	return out
}

func (s *scripted) setRefuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

// flap takes the link down and up again.
func (s *scripted) flap() {
	s.observe(State{Err: errors.New("flap")})
	s.observe(State{Connected: true, Subscribed: true, Address: "scripted:1"})
}

// deliver hands a message to the subscription of a destination, and returns a
// channel that gets a value when it is acknowledged.
func (s *scripted) deliver(ctx context.Context, to Destination, m Message) (acked chan struct{}) {
	s.mu.Lock()
	subs := s.subs
	s.mu.Unlock()
	acked = make(chan struct{}, 1)
	for _, sub := range subs {
		if sub.Destination == to {
			sub.Deliver(ctx, Delivery{Message: m, Ack: func(context.Context) error {
				acked <- struct{}{}
				return nil
			}})
		}
	}
	return acked
}

// soloNode runs a Replicator over a scripted transport; it ends with the test.
func soloNode(t *testing.T, s *fakeStore, o Options) (*Replicator, *scripted) {
	t.Helper()
	return soloLink(t, s, LinkConfig{}, o)
}

// soloLink does the same with a link of the test's own making.
func soloLink(t *testing.T, s *fakeStore, cfg LinkConfig, o Options) (*Replicator, *scripted) {
	t.Helper()
	return soloOver(t, s, cfg, o)
}

// soloOver does the same over a store of the test's own making.
func soloOver(t *testing.T, s Store, cfg LinkConfig, o Options) (*Replicator, *scripted) {
	t.Helper()
	transport := newScripted()
	o.Logger, o.Seed = quiet(), 1
	cfg.Name, cfg.Channel, cfg.Hosts, cfg.Transport = "main", "CH", []string{"scripted:1"}, transport
	r, err := New(s, []LinkConfig{cfg}, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-transport.running
	return r, transport
}

// usedStore is a store that was bootstrapped long ago, with some own changesets.
func usedStore(t *testing.T, count int) *fakeStore {
	t.Helper()
	s := newFakeStoreWith(t, "0A", count)
	s.bootstrapped = true
	return s
}

// waitFor polls on the virtual clock.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	eventually(t, time.Minute, what, ok)
}

// waitWritable waits until a store that was in use takes writes again.
func waitWritable(t *testing.T, r *Replicator) {
	t.Helper()
	waitFor(t, "writable", func() bool { return r.Status().Writable })
}
