package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
)

// watcher collects a session's events.
type watcher struct {
	mu     sync.Mutex
	events []stomp.Event
}

func (w *watcher) observe(e stomp.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *watcher) count(match func(stomp.Event) bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if match(e) {
			n++
		}
	}
	return n
}

func (w *watcher) states() []stomp.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []stomp.State
	for _, e := range w.events {
		out = append(out, e.State)
	}
	return out
}

func in(state stomp.State) func(stomp.Event) bool {
	return func(e stomp.Event) bool { return e.State == state }
}

// eventually polls, within the tests' patience.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// inbox is a handler that keeps bodies in the order of their first coming, and acknowledges.
type inbox struct {
	mu     sync.Mutex
	bodies []string
	twice  int
}

func (i *inbox) handle(ctx context.Context, m *stomp.Message) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if slices.Contains(i.bodies, string(m.Body)) {
		i.twice++
	} else {
		i.bodies = append(i.bodies, string(m.Body))
	}
	_ = m.Ack(ctx) // when it is lost the message comes again
}

func (i *inbox) got() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.bodies)
}

// quick is session options for tests, with short waits.
func quick(w *watcher, hosts ...string) stomp.SessionOptions {
	return stomp.SessionOptions{
		Hosts:    hosts,
		Conn:     stomp.Options{HeartBeat: 300 * time.Millisecond, ConnectTimeout: 5 * time.Second},
		Backoff:  stomp.Backoff{Min: 10 * time.Millisecond, Max: 200 * time.Millisecond},
		Observer: w.observe,
	}
}

func open(t testing.TB, o stomp.SessionOptions) *stomp.Session {
	t.Helper()
	s, err := stomp.Open(o)
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil && !t.Failed() {
			t.Log("closing:", err)
		}
		<-s.Done()
	})
	return s
}

func durableTo(topic, me string, handler func(context.Context, *stomp.Message)) []stomp.SessionSubscription {
	return []stomp.SessionSubscription{{
		SubscribeOptions: stomp.SubscribeOptions{
			Destination: topic, DurableName: me, Ack: stomp.AckClientIndividual, Selector: stomp.NotFrom(me),
		},
		Handler: handler,
	}}
}

// from sends count messages as another client would and returns their bodies.
func from(t testing.TB, addr, topic, sender string, count int) []string {
	t.Helper()
	c := dial(t, addr, stomp.Options{})
	var bodies []string
	for i := range count {
		bodies = append(bodies, fmt.Sprint(sender, " ", i))
		send(t, c, topic, bodies[i], "clientid", sender)
	}
	must(t, c.Disconnect(bounded(t)))
	return bodies
}

func TestSessionTellsItsStatesInOrder(t *testing.T) {
	b := embedded(t, broker.Options{})
	w := &watcher{}
	s := open(t, quick(w, b.Addr()))
	_, err := s.Conn(bounded(t))
	must(t, err)
	must(t, s.Close(bounded(t)))
	want := []stomp.State{stomp.StateConnecting, stomp.StateConnected, stomp.StateSubscribed, stomp.StateClosed}
	if got := w.states(); !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	var lost *stomp.ConnectionError
	if err := s.Send(bounded(t), stomp.Outgoing{Destination: "/queue/a"}); !errors.As(err, &lost) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("sending on a closed session: %v", err)
	}
	must(t, s.Close(bounded(t)))
}

func TestSessionGetsBacklogInOrderAfterTheBrokerWasKilled(t *testing.T) {
	kinds := map[string]func(t *testing.T) (addr string, crash, back func()){
		"embedded": func(t *testing.T) (string, func(), func()) {
			b := embedded(t, broker.Options{})
			return b.Addr(), b.Suspend, func() { must(t, b.Resume()) }
		},
		"activemq": func(t *testing.T) (string, func(), func()) {
			b := activemqtest.Start(t, activemqtest.Options{})
			return b.Addr(), b.Kill, func() { must(t, b.Start()) }
		},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			addr, crash, back := kind(t)
			w, box := &watcher{}, &inbox{}
			o := quick(w, addr)
			o.Conn.ClientID = "me"
			o.Subscriptions = durableTo("/topic/t", "me", box.handle)
			s := open(t, o)
			_, err := s.Conn(bounded(t))
			must(t, err)
			want := from(t, addr, "/topic/t", "before", 20)
			eventually(t, "messages before the crash", func() bool { return len(box.got()) == 20 })
			crash()
			eventually(t, "loss noticed", func() bool { return w.count(in(stomp.StateLost)) >= 1 })
			back()
			want = append(want, from(t, addr, "/topic/t", "after", 20)...)
			eventually(t, "messages after the crash", func() bool { return len(box.got()) == 40 })
			if got := box.got(); !slices.Equal(got, want) {
				t.Errorf("received %v\nwant %v", got, want)
			}
			if n := w.count(in(stomp.StateSubscribed)); n < 2 {
				t.Errorf("the session was subscribed %d times", n)
			}
		})
	}
}

func TestUnreceiptedSendsFailAtTheLossAndTheSessionGoesOn(t *testing.T) {
	b := embedded(t, broker.Options{})
	w := &watcher{}
	s := open(t, quick(w, b.Addr()))
	_, err := s.Conn(bounded(t))
	must(t, err)
	b.SetFaults(broker.Faults{Received: func(_ string, f *frame.Frame) broker.Fault {
		return broker.Fault{Drop: f.Command == frame.Send}
	}})
	var receipts []*stomp.Receipt
	for range 50 {
		r, err := s.SendAsync(bounded(t), stomp.Outgoing{Destination: "/queue/a"})
		must(t, err)
		receipts = append(receipts, r)
	}
	b.SetFaults(broker.Faults{})
	b.Disconnect()
	var lost *stomp.ConnectionError
	for _, r := range receipts {
		if err := r.Wait(bounded(t)); !errors.As(err, &lost) {
			t.Fatalf("a receipt that cannot come: %v", err)
		}
	}
	eventually(t, "send after the loss", func() bool {
		return s.Send(bounded(t), stomp.Outgoing{Destination: "/queue/a"}) == nil
	})
}

func TestUnackedMessagesComeAgainInOrderAfterALoss(t *testing.T) {
	b := embedded(t, broker.Options{})
	w := &watcher{}
	o := quick(w, b.Addr())
	o.Conn.ClientID = "me"
	var mu sync.Mutex
	var seen []string
	hold := true
	o.Subscriptions = durableTo("/topic/t", "me", func(ctx context.Context, m *stomp.Message) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, string(m.Body))
		if !hold {
			_ = m.Ack(ctx)
		}
	})
	s := open(t, o)
	_, err := s.Conn(bounded(t))
	must(t, err)
	want := from(t, b.Addr(), "/topic/t", "x", 5)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(seen) }
	eventually(t, "first delivery", func() bool { return count() == 5 })
	mu.Lock()
	hold = false
	mu.Unlock()
	b.Disconnect()
	eventually(t, "second delivery", func() bool { return count() == 10 })
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, append(slices.Clone(want), want...)) {
		t.Errorf("seen %v", seen)
	}
}

func TestFailoverGoesToTheNextHostAndComesBack(t *testing.T) {
	first, second := embedded(t, broker.Options{}), embedded(t, broker.Options{})
	w := &watcher{}
	s := open(t, quick(w, first.Addr(), second.Addr()))
	at := func(addr string) func() bool {
		return func() bool {
			c, err := s.Conn(bounded(t))
			return err == nil && c.Addr() == addr && c.Err() == nil
		}
	}
	eventually(t, "connection to the first host", at(first.Addr()))
	first.Suspend()
	eventually(t, "failover", at(second.Addr()))
	must(t, first.Resume())
	second.Suspend()
	eventually(t, "failover back", at(first.Addr()))
}

func TestClientIDConflictIsRetriedAndReportedOnlyWhenItLasts(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		me := unique(t, "")
		holder := redial(t, addr, stomp.Options{ClientID: me})
		w := &watcher{}
		o := quick(w, addr)
		o.Conn.ClientID = me
		o.ConflictPatience = 400 * time.Millisecond
		begin := time.Now()
		s := open(t, o)
		suspicious := func(e stomp.Event) bool { return e.PossibleSecondCopy }
		eventually(t, "report of a second copy", func() bool { return w.count(suspicious) > 0 })
		if d := time.Since(begin); d < o.ConflictPatience {
			t.Errorf("a second copy was reported after %v", d)
		}
		if w.count(func(e stomp.Event) bool { return stomp.IsClientIDInUse(e.Err) && !e.PossibleSecondCopy }) == 0 {
			t.Error("the first refusal was reported as a second copy")
		}
		holder.Close()
		_, err := s.Conn(bounded(t))
		must(t, err)
	})
}

func TestCloseLetsTheHandlerFinishAndItsAcknowledgementCounts(t *testing.T) {
	b := embedded(t, broker.Options{})
	w := &watcher{}
	o := quick(w, b.Addr())
	o.Conn.ClientID = "me"
	started, finish := make(chan struct{}), make(chan struct{})
	o.Subscriptions = durableTo("/topic/t", "me", func(ctx context.Context, m *stomp.Message) {
		close(started)
		<-finish
		if err := m.Ack(ctx); err != nil {
			t.Error(err)
		}
	})
	s := open(t, o)
	_, err := s.Conn(bounded(t))
	must(t, err)
	from(t, b.Addr(), "/topic/t", "x", 1)
	<-started
	closed := make(chan error, 1)
	go func() { closed <- s.Close(bounded(t)) }()
	select {
	case err := <-closed:
		t.Errorf("Close did not wait for the handler: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	must(t, <-closed)
	if n := b.Stats().Messages; n != 0 {
		t.Errorf("%d messages are still unacknowledged", n)
	}
}

func TestCloseEndsWithItsContextWhateverTheBrokerDoes(t *testing.T) {
	b := embedded(t, broker.Options{})
	w := &watcher{}
	s := open(t, quick(w, b.Addr()))
	_, err := s.Conn(bounded(t))
	must(t, err)
	b.SetFaults(broker.Faults{Received: func(_ string, f *frame.Frame) broker.Fault {
		return broker.Fault{Drop: f.Command == frame.Disconnect}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err == nil {
		t.Error("Close says that a broker confirmed which did not")
	}
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Error("the session outlived its Close")
	}
}

func TestRotatedCredentialsAreUsedAtTheNextConnect(t *testing.T) {
	old := embedded(t, broker.Options{Users: map[string]string{"u": "old"}})
	rotated := embedded(t, broker.Options{Users: map[string]string{"u": "new"}})
	var passcode atomic.Value
	passcode.Store("old")
	w := &watcher{}
	o := quick(w, old.Addr(), rotated.Addr())
	o.Conn.Credentials = func(context.Context) (stomp.Credentials, error) {
		return stomp.Credentials{Login: "u", Passcode: passcode.Load().(string)}, nil
	}
	s := open(t, o)
	_, err := s.Conn(bounded(t))
	must(t, err)
	old.Suspend()
	eventually(t, "refusal of the old passcode", func() bool {
		return w.count(func(e stomp.Event) bool {
			return e.Err != nil && strings.Contains(e.Err.Error(), "password is invalid")
		}) > 0
	})
	passcode.Store("new")
	c, err := s.Conn(bounded(t))
	must(t, err)
	if c.Addr() != rotated.Addr() {
		t.Errorf("connected to %s", c.Addr())
	}
}

func TestFailedSubscriptionKeepsTheSessionFromReady(t *testing.T) {
	b := embedded(t, broker.Options{})
	w := &watcher{}
	o := quick(w, b.Addr())
	o.Subscriptions = []stomp.SessionSubscription{{
		SubscribeOptions: stomp.SubscribeOptions{Destination: "/topic/t", Selector: "no selector at all"},
		Handler:          func(context.Context, *stomp.Message) {},
	}}
	s := open(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := s.Conn(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "selector") {
		t.Errorf("the wait for a session that cannot subscribe: %v", err)
	}
	if w.count(in(stomp.StateSubscribed)) != 0 {
		t.Error("the session said that it was subscribed")
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	for want, o := range map[string]stomp.SessionOptions{
		"hosts":       {},
		"handler":     {Hosts: []string{"h:1"}, Subscriptions: []stomp.SessionSubscription{{}}},
		"2.0":         {Hosts: []string{"h:1"}, Conn: stomp.Options{MaxVersion: "2.0"}},
		"heart-beat ": {Hosts: []string{"h:1"}, Conn: stomp.Options{HeartBeat: time.Microsecond}},
	} {
		if _, err := stomp.Open(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
}

// warnings counts what is logged at the level of a warning.
type warnings struct {
	slog.Handler
	n atomic.Int64
}

// Handle counts.
func (w *warnings) Handle(context.Context, slog.Record) error {
	w.n.Add(1)
	return nil
}

// Enabled takes warnings and worse.
func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func TestBrokerThatIsAwayForLongIsNotLoggedAtEveryAttempt(t *testing.T) {
	w, log := &watcher{}, &warnings{Handler: slog.DiscardHandler}
	o := quick(w, "127.0.0.1:1")
	o.Backoff = stomp.Backoff{Min: time.Millisecond, Max: time.Millisecond}
	o.Conn.Logger = slog.New(log)
	s := open(t, o)
	eventually(t, "forty attempts", func() bool { return s.Last().Attempt >= 40 })
	if n := log.n.Load(); n < 5 || n > 12 {
		t.Errorf("%d warnings for some forty attempts", n)
	}
}
