package stomp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

const patience = 20 * time.Second

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func embedded(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func dial(t testing.TB, addr string, o stomp.Options) *stomp.Conn {
	t.Helper()
	c, err := stomp.Dial(bounded(t), addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func subscribe(t testing.TB, c *stomp.Conn, o stomp.SubscribeOptions) *stomp.Subscription {
	t.Helper()
	s, err := c.Subscribe(bounded(t), o)
	must(t, err)
	return s
}

func send(t testing.TB, c *stomp.Conn, destination, body string, kv ...string) {
	t.Helper()
	must(t, c.Send(bounded(t), stomp.Outgoing{Destination: destination, Body: []byte(body), Header: frame.New("X", kv...).Header}))
}

func receive(t testing.TB, s *stomp.Subscription) *stomp.Message {
	t.Helper()
	select {
	case m, ok := <-s.C():
		if !ok {
			t.Fatal("the subscription ended")
		}
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
	}
	return nil
}

// expect takes messages with these bodies in this order, and acknowledges them if told to.
func expect(t testing.TB, s *stomp.Subscription, ack bool, bodies ...string) {
	t.Helper()
	for _, want := range bodies {
		m := receive(t, s)
		if string(m.Body) != want {
			t.Fatalf("received %q, want %q", m.Body, want)
		}
		if ack {
			r, err := m.AckAsync(bounded(t))
			must(t, err)
			must(t, r.Wait(bounded(t)))
		}
	}
}

// peers are the brokers that the client must get on with in the same way.
func peers(t *testing.T, test func(t *testing.T, addr string)) {
	t.Run("embedded", func(t *testing.T) { test(t, embedded(t, broker.Options{}).Addr()) })
	t.Run("activemq", func(t *testing.T) { test(t, activemqtest.Get(t).Addr()) })
}

// run tells the runs of one test with -count apart, which share a broker.
var run atomic.Int64

// unique names keep tests on a shared broker apart. Every call in one test returns another.
func unique(t testing.TB, prefix string) string {
	name := strings.NewReplacer("/", ".", " ", "_", "#", "_").Replace(t.Name())
	return fmt.Sprintf("%s%s-%d", prefix, name, run.Add(1))
}

func TestEachVersionSendsReceivesAndAcknowledges(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		for _, v := range []frame.Version{frame.V10, frame.V11, frame.V12} {
			for _, mode := range []stomp.AckMode{stomp.AckAuto, stomp.AckClient, stomp.AckClientIndividual} {
				t.Run(fmt.Sprintf("%s %s", v, mode), func(t *testing.T) {
					queue := unique(t, "/queue/")
					c := dial(t, addr, stomp.Options{MaxVersion: v})
					if c.Version() != v {
						t.Fatalf("agreed on %s", c.Version())
					}
					body := "a\x00b\n:\\é"
					value := "x:\\y é"
					send(t, c, queue, body, "custom", value)
					send(t, c, queue, "")
					s := subscribe(t, c, stomp.SubscribeOptions{Destination: queue, Ack: mode})
					m := receive(t, s)
					if string(m.Body) != body || m.Header.Get("custom") != value || m.Destination != queue || m.ID == "" {
						t.Errorf("received %v %q", m, m.Header)
					}
					r, err := m.AckAsync(bounded(t))
					must(t, err)
					must(t, r.Wait(bounded(t)))
					expect(t, s, true, "")
					must(t, c.Disconnect(bounded(t)))

					again := dial(t, addr, stomp.Options{MaxVersion: v})
					send(t, again, queue, "last")
					expect(t, subscribe(t, again, stomp.SubscribeOptions{Destination: queue, Ack: mode}), true, "last")
				})
			}
		}
	})
}

func TestDurableSubscriptionKeepsBacklogInOrderAndSelectorLeavesOutOwn(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		topic, me := unique(t, "/topic/"), unique(t, "")
		o := stomp.SubscribeOptions{
			Destination: topic, DurableName: me + "-sub", Ack: stomp.AckClientIndividual, Selector: stomp.NotFrom(me),
		}
		c := dial(t, addr, stomp.Options{ClientID: me})
		subscribe(t, c, o)
		must(t, c.Disconnect(bounded(t)))

		other := dial(t, addr, stomp.Options{})
		want := make([]string, 0, 200)
		for i := range 200 {
			body := fmt.Sprint("message ", i)
			want = append(want, body)
			send(t, other, topic, body, "clientid", "other")
			send(t, other, topic, "own", "clientid", me)
			if i == 0 {
				send(t, other, topic, "without the header")
			}
		}
		c = dial(t, addr, stomp.Options{ClientID: me})
		s := subscribe(t, c, o)
		expect(t, s, true, want[:50]...)
		expect(t, s, false, want[50:60]...) // taken, not acknowledged
		c.Close()

		c = redial(t, addr, stomp.Options{ClientID: me})
		expect(t, subscribe(t, c, o), true, want[50:]...)
		must(t, c.Disconnect(bounded(t)))
	})
}

// redial is dial for a client id that the broker may not have let go of yet.
func redial(t testing.TB, addr string, o stomp.Options) *stomp.Conn {
	t.Helper()
	ctx := bounded(t)
	for {
		c, err := stomp.Dial(ctx, addr, o)
		if err == nil {
			t.Cleanup(c.Close)
			return c
		}
		if !stomp.IsClientIDInUse(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestDeletedDurableSubscriptionKeepsNothing(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		topic, me := unique(t, "/topic/"), unique(t, "")
		o := stomp.SubscribeOptions{Destination: topic, DurableName: me, Ack: stomp.AckClientIndividual}
		c := dial(t, addr, stomp.Options{ClientID: me})
		s := subscribe(t, c, o)
		var refused *stomp.ServerError
		if err := c.DeleteDurable(bounded(t), o); !errors.As(err, &refused) {
			t.Errorf("deleting an active durable subscription: %v", err)
		}
		must(t, s.Unsubscribe(bounded(t)))
		send(t, c, topic, "kept")
		must(t, c.DeleteDurable(bounded(t), o))
		s = subscribe(t, c, o)
		send(t, c, topic, "after")
		expect(t, s, true, "after")
	})
}

func TestDurableWithoutClientIDIsRefusedHere(t *testing.T) {
	c := dial(t, embedded(t, broker.Options{}).Addr(), stomp.Options{})
	_, err := c.Subscribe(bounded(t), stomp.SubscribeOptions{Destination: "/topic/a", DurableName: "n"})
	if err == nil || !strings.Contains(err.Error(), "client id") {
		t.Errorf("got %v", err)
	}
}

func TestRefusalReachesTheCallItAnswersAndTheConnectionLives(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		me := unique(t, "")
		c := dial(t, addr, stomp.Options{ClientID: me})
		o := stomp.SubscribeOptions{Destination: unique(t, "/topic/"), DurableName: me, Ack: stomp.AckClientIndividual}
		s := subscribe(t, c, o)
		_, err := c.Subscribe(bounded(t), o)
		var refused *stomp.ServerError
		if !errors.As(err, &refused) || !strings.Contains(refused.Message, "in use") {
			t.Fatalf("second subscription of the same name: %v", err)
		}
		send(t, c, o.Destination, "still here")
		expect(t, s, true, "still here")
	})
}

func TestSecondHolderOfAClientIDIsRefusedInKnownWords(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		o := stomp.Options{ClientID: unique(t, "")}
		c := dial(t, addr, o)
		_, err := stomp.Dial(bounded(t), addr, o)
		if !stomp.IsClientIDInUse(err) {
			t.Errorf("got %v", err)
		}
		send(t, c, unique(t, "/queue/"), "the first is untouched")
	})
}

func TestTransactionIsDoneWholeOrNotAtAll(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		queue := unique(t, "/queue/")
		c := dial(t, addr, stomp.Options{})
		for _, commit := range []bool{false, true} {
			tx, err := c.Begin(bounded(t))
			must(t, err)
			for i := range 3 {
				must(t, tx.Send(bounded(t), stomp.Outgoing{Destination: queue, Body: fmt.Append(nil, commit, i)}))
			}
			if commit {
				must(t, tx.Commit(bounded(t)))
			} else {
				must(t, tx.Abort(bounded(t)))
			}
		}
		s := subscribe(t, c, stomp.SubscribeOptions{Destination: queue, Ack: stomp.AckClientIndividual})
		expect(t, s, true, "true 0", "true 1", "true 2")
	})
}

func TestPrefetchBoundsWhatIsUnacknowledged(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		queue := unique(t, "/queue/")
		c := dial(t, addr, stomp.Options{})
		for i := range 10 {
			send(t, c, queue, fmt.Sprint(i))
		}
		s := subscribe(t, c, stomp.SubscribeOptions{Destination: queue, Ack: stomp.AckClientIndividual, Prefetch: 2})
		first := receive(t, s)
		expect(t, s, false, "1")
		send(t, c, queue, "round trip") // whatever the broker would send ahead is here by now
		select {
		case m := <-s.C():
			t.Fatalf("beyond a prefetch of 2 came %v %q", m, m.Body)
		default:
		}
		must(t, first.Ack(bounded(t)))
		expect(t, s, false, "2")
	})
}

func TestThousandsOfAsyncSendsKeepOrderWithinTheWindow(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		const n = 3000
		topic, me := unique(t, "/topic/"), unique(t, "")
		c := dial(t, addr, stomp.Options{ClientID: me, Window: 100})
		s := subscribe(t, c, stomp.SubscribeOptions{Destination: topic, DurableName: me, Ack: stomp.AckClient})
		receipts := make(chan *stomp.Receipt, n)
		var sender sync.WaitGroup
		sender.Go(func() {
			defer close(receipts)
			for i := range n {
				r, err := c.SendAsync(bounded(t), stomp.Outgoing{Destination: topic, Body: fmt.Append(nil, i)})
				if err != nil {
					t.Error(err)
					return
				}
				receipts <- r
			}
		})
		for i := range n {
			m := receive(t, s)
			if string(m.Body) != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, m.Body)
			}
			if i%20 == 19 || i == n-1 {
				must(t, m.Ack(bounded(t)))
			}
		}
		sender.Wait()
		for r := range receipts {
			must(t, r.Wait(bounded(t)))
		}
	})
}

func TestLargeBodiesArriveWhole(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		queue := unique(t, "/queue/")
		c := dial(t, addr, stomp.Options{})
		body := strings.Repeat("0123456789abcdef", 256<<10/16*9)
		send(t, c, queue, body)
		s := subscribe(t, c, stomp.SubscribeOptions{Destination: queue})
		if got := receive(t, s); string(got.Body) != body {
			t.Errorf("%d octets came of %d", len(got.Body), len(body))
		}
		_, err := c.SendAsync(bounded(t), stomp.Outgoing{Destination: queue, Body: make([]byte, frame.DefaultBody+1)})
		if _, ok := errors.AsType[*frame.LimitError](err); !ok {
			t.Errorf("a body over the limit: %v", err)
		}
		send(t, c, queue, "the connection lives")
	})
}

func TestExpiredMessagesAreNotDelivered(t *testing.T) {
	peers(t, func(t *testing.T, addr string) {
		queue := unique(t, "/queue/")
		c := dial(t, addr, stomp.Options{})
		must(t, c.Send(bounded(t), stomp.Outgoing{Destination: queue, Body: []byte("old"), Expires: time.Now().Add(-time.Minute)}))
		must(t, c.Send(bounded(t), stomp.Outgoing{Destination: queue, Body: []byte("new"), Expires: time.Now().Add(time.Hour)}))
		expect(t, subscribe(t, c, stomp.SubscribeOptions{Destination: queue}), true, "new")
	})
}

func TestNackSendsToTheDeadLettersAtOnce(t *testing.T) {
	// On the embedded broker only: the real one's dead letter queue is shared by all tests.
	c := dial(t, embedded(t, broker.Options{}).Addr(), stomp.Options{})
	send(t, c, "/queue/a", "refused")
	must(t, receive(t, subscribe(t, c, stomp.SubscribeOptions{Destination: "/queue/a", Ack: stomp.AckClientIndividual})).Nack(bounded(t)))
	m := receive(t, subscribe(t, c, stomp.SubscribeOptions{Destination: "/queue/ActiveMQ.DLQ"}))
	if string(m.Body) != "refused" || m.Header.Get("original-destination") != "/queue/a" {
		t.Errorf("dead letter %v %q", m, m.Header)
	}
}

func TestCredentialsNeverShow(t *testing.T) {
	secret := stomp.Credentials{Login: "ada", Passcode: "s3cret"}
	text, err := secret.MarshalText()
	must(t, err)
	shown := fmt.Sprintf("%v %+v %#v %s %q %d", secret, secret, secret, secret, secret, secret) +
		fmt.Sprintf("%v %+v", struct{ C stomp.Credentials }{secret}, &secret) + string(text) + secret.LogValue().String()
	if strings.Contains(shown, "ada") || strings.Contains(shown, "s3cret") {
		t.Errorf("credentials show in %s", shown)
	}
}
