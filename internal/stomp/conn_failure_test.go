package stomp_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestDialErrorsSayWhatFailed(t *testing.T) {
	b := embedded(t, broker.Options{Users: map[string]string{"ada": "secret"}})
	_, err := stomp.Dial(bounded(t), b.Addr(), stomp.Options{Credentials: stomp.StaticCredentials("ada", "wrong-pass")})
	var refused *stomp.ServerError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "password is invalid") || strings.Contains(err.Error(), "wrong-pass") {
		t.Errorf("bad login: %v", err)
	}
	dial(t, b.Addr(), stomp.Options{Credentials: stomp.StaticCredentials("ada", "secret")})

	b.Close()
	_, err = stomp.Dial(bounded(t), b.Addr(), stomp.Options{})
	var lost *stomp.ConnectionError
	if !errors.As(err, &lost) || lost.Addr != b.Addr() {
		t.Errorf("nothing listens: %v", err)
	}

	silent := listen(t)
	start := time.Now()
	_, err = stomp.Dial(bounded(t), silent.Addr().String(), stomp.Options{ConnectTimeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "no connection within 50ms") || time.Since(start) > patience/2 {
		t.Errorf("a peer that is silent: %v after %v", err, time.Since(start))
	}
}

// listen takes connections into its backlog and never answers.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(bounded(t), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestSendToABrokerThatTakesNothingEndsWithItsContext(t *testing.T) {
	b := embedded(t, broker.Options{})
	release := make(chan struct{})
	c := dial(t, b.Addr(), stomp.Options{HeartBeat: -1})
	b.SetFaults(broker.Faults{Received: func(string, *frame.Frame) broker.Fault {
		<-release
		return broker.Fault{}
	}})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	body := make([]byte, 1<<20)
	var err error
	for range 200 { // more than the socket's buffers and the writer's queue hold
		if err = c.Send(ctx, stomp.Outgoing{Destination: "/queue/a", Body: body}); err != nil {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	closed := make(chan struct{})
	go func() { defer close(closed); c.Close() }()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("Close waits for the broker")
	}
}

func TestWriteDeadlineEndsAConnectionThatTakesNothing(t *testing.T) {
	b := embedded(t, broker.Options{})
	release := make(chan struct{})
	c := dial(t, b.Addr(), stomp.Options{HeartBeat: -1, WriteTimeout: 100 * time.Millisecond})
	b.SetFaults(broker.Faults{Received: func(string, *frame.Frame) broker.Fault {
		<-release
		return broker.Fault{}
	}})
	defer close(release)
	body := make([]byte, 8<<20)
	ctx := bounded(t)
	for {
		if _, err := c.SendAsync(ctx, stomp.Outgoing{Destination: "/queue/a", Body: body}); err != nil {
			break
		}
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "took no data") {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestEveryWaitEndsWhenTheConnectionDies(t *testing.T) {
	b := embedded(t, broker.Options{})
	c := dial(t, b.Addr(), stomp.Options{Window: 1})
	s := subscribe(t, c, stomp.SubscribeOptions{Destination: "/queue/a"})
	b.SetFaults(broker.Faults{Received: func(_ string, f *frame.Frame) broker.Fault {
		return broker.Fault{Drop: f.Command != frame.Begin, Disconnect: f.Command == frame.Begin}
	}})
	results := make(chan error, 4)
	_, err := c.SendAsync(bounded(t), stomp.Outgoing{Destination: "/queue/a"}) // its receipt never comes
	must(t, err)
	go func() { results <- c.Send(bounded(t), stomp.Outgoing{Destination: "/queue/a"}) }() // waits for the window
	go func() {
		_, err := c.Subscribe(bounded(t), stomp.SubscribeOptions{Destination: "/queue/b"})
		results <- err
	}()
	go func() { results <- s.Unsubscribe(bounded(t)) }()
	_, err = c.Begin(bounded(t)) // cuts the connection
	must(t, err)
	for range 3 {
		select {
		case err := <-results:
			if _, ok := errors.AsType[*stomp.ConnectionError](err); !ok {
				t.Errorf("a wait ended with %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a wait outlived its connection")
		}
	}
	for range s.C() {
		t.Error("a message came out of nothing")
	}
	must(t, c.Disconnect(bounded(t)))
}

func TestLateAndUnknownReceiptsHarmNothing(t *testing.T) {
	b := embedded(t, broker.Options{})
	c := dial(t, b.Addr(), stomp.Options{})
	b.SetFaults(broker.Faults{Sent: func(_ string, f *frame.Frame) broker.Fault {
		return broker.Fault{Delay: 50 * time.Millisecond, Duplicate: f.Command == frame.Receipt}
	}})
	r, err := c.SendAsync(bounded(t), stomp.Outgoing{Destination: "/queue/a"})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait given up: %v", err)
	}
	if r.Err() != nil {
		t.Errorf("giving up a wait settled the receipt: %v", r.Err())
	}
	send(t, c, "/queue/a", "after the late receipt")
	must(t, r.Wait(bounded(t)))
}

func TestSlowConsumerDelaysNeitherReceiptsNorHeartBeats(t *testing.T) {
	b := embedded(t, broker.Options{})
	c := dial(t, b.Addr(), stomp.Options{HeartBeat: 100 * time.Millisecond})
	s := subscribe(t, c, stomp.SubscribeOptions{Destination: "/queue/a", Ack: stomp.AckClientIndividual, Prefetch: 5})
	auto := subscribe(t, c, stomp.SubscribeOptions{Destination: "/topic/a"})
	until := time.Now().Add(900 * time.Millisecond) // longer than silence may last
	for time.Now().Before(until) {
		send(t, c, "/queue/a", "no one takes this")
		send(t, c, "/topic/a", "nor this")
	}
	expect(t, s, true, "no one takes this")
	for auto.Dropped() == 0 {
		send(t, c, "/topic/a", "more than the queue holds")
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
}
