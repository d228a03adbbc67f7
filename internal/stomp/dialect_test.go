package stomp_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/rabbitmqtest"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/frame"
)

func TestSendSpeaksEachBrokersDialect(t *testing.T) {
	at := time.Now().Add(time.Hour)
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	for server, check := range map[string]func(*frame.Frame){
		"ActiveMQ/5.17.2": func(f *frame.Frame) {
			has(t, f, "persistent", "true", "expires", ms)
			lacks(t, f, "expiration", "destination-type")
		},
		"ActiveMQ-Artemis/2": func(f *frame.Frame) { has(t, f, "persistent", "true", "expires", ms, "destination-type", "MULTICAST") },
		"RabbitMQ/3.10.8": func(f *frame.Frame) {
			left, err := strconv.Atoi(f.Header.Get("expiration"))
			if err != nil || left < 3_500_000 || left > 3_600_000 {
				t.Errorf("%v: expiration of an hour is not in milliseconds", f)
			}
			has(t, f, "persistent", "true")
			lacks(t, f, "expires", "message-id") // RabbitMQ refuses a message-id
		},
		"coilmq/1.0.1": func(f *frame.Frame) { lacks(t, f, "persistent", "expires", "expiration") },
	} {
		coil := strings.HasPrefix(server, "coilmq")
		addr := script(t, func(s *scripted) {
			s.accept(server, map[bool]string{true: "1.1", false: "1.2"}[coil])
			f := s.want(frame.Send)
			check(f)
			s.receipt(f)
			s.end()
		})
		c := dial(t, addr, stomp.Options{})
		must(t, c.Send(bounded(t), stomp.Outgoing{Destination: "/topic/t", Body: []byte("x"), Expires: at}))
		c.Close()
	}
}

func TestQueueOnArtemisIsAskedForAsAQueue(t *testing.T) {
	addr := script(t, func(s *scripted) {
		s.accept("ActiveMQ-Artemis/2.31", "1.2")
		f := s.want(frame.Subscribe)
		has(t, f, "subscription-type", "ANYCAST")
		lacks(t, f, "consumer-window-size") // nothing would open it again
		s.receipt(f)
		f = s.want(frame.Send)
		has(t, f, "destination-type", "ANYCAST")
		s.receipt(f)
		s.end()
	})
	c := dial(t, addr, stomp.Options{})
	subscribe(t, c, stomp.SubscribeOptions{Destination: "/queue/q"})
	send(t, c, "/queue/q", "x")
	c.Close()
}

// refuse answers one CONNECT with an ERROR and closes, as brokers do.
func refuse(s *scripted, message, body string) *frame.Frame {
	nc, err := s.l.Accept()
	if err != nil {
		s.t.Error(err)
		return frame.New("")
	}
	s.nc = nc
	_ = nc.SetDeadline(time.Now().Add(patience))
	s.d = frame.NewDecoder(nc, frame.Limits{})
	f := s.want(frame.Connect)
	s.send(frame.New(frame.Error, "message", message), body)
	_ = nc.Close()
	return f
}

func TestBrokerThatRefusesTheHostIsAskedAgainInItsOwnWay(t *testing.T) {
	addr := script(t, func(s *scripted) {
		has(t, refuse(s, "Bad CONNECT", "Virtual host '127.0.0.1' access denied"), "host", "127.0.0.1")
		has(t, s.accept("RabbitMQ/3.10.8", "1.2"), "host", "/")
		s.end()
	})
	c := dial(t, addr, stomp.Options{})
	if c.Profile().Name != "rabbitmq" {
		t.Errorf("profile %s", c.Profile().Name)
	}
	c.Close()
	addr = script(t, func(s *scripted) {
		why := "Virtual hosting is not supported or host is unknown"
		has(t, refuse(s, why, why), "accept-version", "1.0,1.1,1.2")
		nc, err := s.l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		s.nc, s.d = nc, frame.NewDecoder(nc, frame.Limits{})
		has(t, s.want(frame.Connect), "accept-version", "1.0,1.1")
		s.send(frame.New(frame.Connected, "version", "1.1", "session", "s"), "") // it does not name itself
		s.end()
	})
	c = dial(t, addr, stomp.Options{})
	if c.Profile().Name != "coilmq" || c.Version() != frame.V11 {
		t.Errorf("profile %s, version %s", c.Profile().Name, c.Version())
	}
	c.Close()
}

func TestRefusalOfAChosenHostIsNotOverridden(t *testing.T) {
	addr := script(t, func(s *scripted) {
		has(t, refuse(s, "Bad CONNECT", "Virtual host 'sales' access denied"), "host", "sales")
	})
	var refusal *stomp.ServerError
	if _, err := stomp.Dial(bounded(t), addr, stomp.Options{Host: "sales"}); !errors.As(err, &refusal) {
		t.Errorf("dialed with %v", err)
	}
}

func TestBadMessageIsHandedOnWithItsProblemAndTheConnectionLives(t *testing.T) {
	addr := script(t, func(s *scripted) {
		s.accept("ActiveMQ/5", "1.2")
		f := s.want(frame.Subscribe)
		s.receipt(f)
		head := "MESSAGE\nsubscription:" + f.Header.Get("id") + "\ndestination:/topic/t\n"
		_, _ = s.nc.Write([]byte(head + "ack:1\nmessage-id:1\ncontent-length:2000\n\n" + strings.Repeat("x", 2000) + "\x00"))
		_, _ = s.nc.Write([]byte(head + "ack:2\nmessage-id:2\nbad:a\x00b\n\nbody\x00"))
		_, _ = s.nc.Write([]byte(head + "ack:3\nmessage-id:3\n\nfine\x00"))
		for _, id := range []string{"1", "2", "3"} {
			has(t, s.want(frame.Ack), "id", id)
		}
		s.receipt(s.want(frame.Disconnect))
		s.end()
	})
	c := dial(t, addr, stomp.Options{Limits: frame.Limits{Body: 1000}})
	sub := subscribe(t, c, stomp.SubscribeOptions{Destination: "/topic/t", Ack: stomp.AckClient})
	for i, want := range []string{"over the limit", "NUL", ""} {
		m := receive(t, sub)
		if (m.Problem == nil) != (want == "") || want != "" && !strings.Contains(m.Problem.Error(), want) {
			t.Errorf("message %d has the problem %v, want one of %s", i, m.Problem, want)
		}
		must(t, m.Ack(bounded(t)))
	}
	must(t, c.Disconnect(bounded(t)))
}

func TestDurableSubscriptionPrefetchExpiryAndLimitsOnRabbitMQ(t *testing.T) {
	b := rabbitmqtest.Get(t)
	o := stomp.Options{ClientID: unique(t, "c"), Credentials: stomp.StaticCredentials(rabbitmqtest.Login, rabbitmqtest.Passcode)}
	topic := unique(t, "/topic/")
	want := stomp.SubscribeOptions{Destination: topic, DurableName: "d", Ack: stomp.AckClientIndividual, Prefetch: 2}
	c := dial(t, b.Addr(), o)
	if c.Profile().Name != "rabbitmq" {
		t.Fatalf("profile %s", c.Profile().Name)
	}
	subscribe(t, c, want)
	must(t, c.Disconnect(bounded(t)))

	o.ClientID += "-send"
	sender := dial(t, b.Addr(), o)
	must(t, sender.Send(bounded(t), stomp.Outgoing{Destination: topic, Body: []byte("old"), Expires: time.Now().Add(-time.Second)}))
	largest := bytes.Repeat([]byte{'x'}, c.Profile().MaxBody)
	must(t, sender.Send(bounded(t), stomp.Outgoing{Destination: topic, Body: largest}))
	for _, body := range []string{"a", "b", "c"} {
		must(t, sender.Send(bounded(t), stomp.Outgoing{Destination: topic, Body: []byte(body), Expires: time.Now().Add(time.Hour)}))
	}
	must(t, b.Kill())
	must(t, b.Start())

	o.ClientID = strings.TrimSuffix(o.ClientID, "-send")
	c = dial(t, b.Addr(), o)
	sub := subscribe(t, c, want)
	first, second := receive(t, sub), receive(t, sub)
	if !bytes.Equal(first.Body, largest) || string(second.Body) != "a" {
		t.Fatalf("%v, then %v", first, second)
	}
	select {
	case m := <-sub.C():
		t.Errorf("%v came past a prefetch of 2", m)
	case <-time.After(300 * time.Millisecond):
	}
	must(t, first.Ack(bounded(t)))
	must(t, second.Ack(bounded(t)))
	expect(t, sub, true, "b", "c")
	must(t, sub.Unsubscribe(bounded(t)))
	must(t, c.DeleteDurable(bounded(t), want))
	if out, err := b.Control(t.Context(), "list_queues", "name"); err != nil || strings.Contains(out, "subscription") {
		t.Errorf("after deletion the broker has %s, %v", out, err)
	}
}
