package subscriptions

import (
	"context"
	"crypto/md5"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/rabbitmqtest"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbitmqtest.Shared(activemqtest.Shared(m))) }

// at is where the subscription of a node is, on a channel of the test's own.
func at(t *testing.T, host string, credentials stomp.CredentialSource) Subscription {
	return Subscription{Hosts: []string{host}, Flavor: "auto", Branch: "0C", Credentials: credentials,
		Channel: fmt.Sprintf("VESPER_%x", md5.Sum([]byte(t.Name())))}
}

// subscribe subscribes as a node does, and returns the connection.
func subscribe(t *testing.T, s Subscription) (*stomp.Conn, *stomp.Subscription) {
	t.Helper()
	conn := dial(t, s, ClientID(s.Branch, s.Link))
	sub, err := conn.Subscribe(t.Context(), stomp.SubscribeOptions{Destination: "/topic/" + s.Channel, DurableName: Name(s.Branch, s.Channel),
		Ack: stomp.AckClientIndividual, Selector: stomp.NotFrom(string(s.Branch))})
	if err != nil {
		t.Fatal(err)
	}
	return conn, sub
}

func dial(t *testing.T, s Subscription, id string) *stomp.Conn {
	t.Helper()
	conn, err := stomp.Dial(t.Context(), s.Hosts[0], stomp.Options{ClientID: id, Credentials: s.Credentials, HeartBeat: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func leave(t *testing.T, conn *stomp.Conn) {
	t.Helper()
	if err := conn.Disconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, s Subscription, text string) {
	t.Helper()
	conn := dial(t, s, "0A-send")
	if err := conn.Send(t.Context(), stomp.Outgoing{Destination: "/topic/" + s.Channel, Body: []byte(text), Header: frame.Header{{Key: "clientid", Value: "0A"}}}); err != nil {
		t.Fatal(err)
	}
	leave(t, conn)
}

// received returns the first message within a while.
func received(sub *stomp.Subscription, within time.Duration) string {
	select {
	case m := <-sub.C():
		if m != nil {
			return string(m.Body)
		}
	case <-time.After(within):
	}
	return ""
}

// TestADroppedSubscriptionKeepsNothingAnyMore, on each make of broker, to the node's
// own channel and over a relay's link: what was published while the node was away is
// there before, and is not after.
func TestADroppedSubscriptionKeepsNothingAnyMore(t *testing.T) {
	each := func(t *testing.T, s Subscription) {
		conn, _ := subscribe(t, s)
		leave(t, conn)
		publish(t, s, "kept")
		if err := (Client{}).Drop(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		publish(t, s, "missed")
		conn, sub := subscribe(t, s)
		publish(t, s, "new")
		if got := received(sub, 20*time.Second); got != "new" {
			t.Errorf("the first message afterwards is %q, want the one published since", got)
		}
		leave(t, conn)
		for range 2 { // it may be asked for again, and of one that never was
			if err := (Client{}).Drop(t.Context(), s); err != nil {
				t.Errorf("dropping once more: %v", err)
			}
		}
	}
	both := func(t *testing.T, s Subscription) {
		each(t, s)
		s.Link, s.Channel = "parent-core", s.Channel+"_UP"
		each(t, s)
	}
	t.Run("embedded", func(t *testing.T) {
		b, err := broker.Start(broker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		both(t, at(t, b.Addr(), nil))
	})
	t.Run("activemq", func(t *testing.T) {
		if testing.Short() {
			t.Skip("short: starts a Java process")
		}
		both(t, at(t, activemqtest.Get(t).Addr(), nil))
	})
	t.Run("rabbitmq", func(t *testing.T) {
		if testing.Short() {
			t.Skip("short: starts a large process")
		}
		both(t, at(t, rabbitmqtest.Get(t).Addr(), stomp.StaticCredentials(rabbitmqtest.Login, rabbitmqtest.Passcode)))
	})
}

// TestTheSubscriptionOfANodeThatIsConnectedIsNotDropped: whoever was wrong about a
// node that is gone does no harm to one that is there.
func TestTheSubscriptionOfANodeThatIsConnectedIsNotDropped(t *testing.T) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s := at(t, b.Addr(), nil)
	_, sub := subscribe(t, s)
	if err := (Client{}).Drop(t.Context(), s); err == nil {
		t.Error("it was dropped under a node that is connected")
	}
	publish(t, s, "new")
	if got := received(sub, 20*time.Second); got != "new" {
		t.Errorf("the node got %q, want its message", got)
	}
}

func TestDropSaysWhereAndWhyItFailed(t *testing.T) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	away := b.Addr()
	b.Close()
	for name, test := range map[string]struct {
		change func(*Subscription)
		want   string
	}{
		"away":           {func(*Subscription) {}, "dropping the durable subscription of 0C at " + away},
		"no hosts":       {func(s *Subscription) { s.Hosts = nil }, "no host of the broker is known"},
		"unknown flavor": {func(s *Subscription) { s.Flavor = "kafka" }, "kafka"},
	} {
		s := at(t, away, nil)
		test.change(&s)
		if err := (Client{}).Drop(t.Context(), s); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, test.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Client{}).Drop(ended, at(t, away, nil)); err == nil {
		t.Error("an attempt whose context has ended is a success")
	}
}
