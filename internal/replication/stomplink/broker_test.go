package stomplink_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/rabbitmqtest"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
	"vesperdb.io/vesper/internal/store"
)

// noise is a text of about n bytes that does not compress well.
func noise(n int) string {
	b := make([]byte, n*3/4)
	_, _ = rand.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// short skips where a large process would have to be started.
func short(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("short: starts a large process")
	}
}

func pair(t *testing.T, b anyBroker) (*node, *node) {
	t.Helper()
	x, y := newNode(t, b, "0A").start(), newNode(t, b, "0B").start()
	eventually(t, 60*time.Second, "two nodes ready", func() bool { return ready(x, y) }, x, y)
	return x, y
}

func TestObjectLargerThanRabbitMQsFrameArrivesInParts(t *testing.T) {
	short(t)
	x, y := pair(t, rabbitMQ{rabbitmqtest.Get(t), t})
	if err := x.tryWriteText(noise(7 << 20)); err != nil {
		t.Fatal(err)
	}
	x.write(3)
	mustConverge(t, x, y)
}

func TestBrokerWithASmallerLimitThanItsMakeIsLearnedAndNothingIsStuck(t *testing.T) {
	short(t)
	x, y := pair(t, activeMQ{activemqtest.Start(t, activemqtest.Options{MaxFrame: 300_000})})
	if err := x.tryWriteText(noise(2 << 20)); err != nil {
		t.Fatal(err)
	}
	x.write(3)
	mustConverge(t, x, y)
	// What is asked for by the sync queue passes too.
	y.stop()
	if err := x.tryWriteText(noise(1 << 20)); err != nil {
		t.Fatal(err)
	}
	y.start()
	mustConverge(t, x, y)
}

// TestWithoutAcknowledgementsNoneIsSentAndNodesConverge: send_stomp_ack: false.
func TestWithoutAcknowledgementsNoneIsSentAndNodesConverge(t *testing.T) {
	b := startEmbedded(t, broker.Options{})
	var acks atomic.Int64
	b.SetFaults(broker.Faults{Received: func(_ string, f *frame.Frame) broker.Fault {
		if f.Command == frame.Ack || f.Command == frame.Subscribe && f.Header.Get("ack") != "auto" {
			acks.Add(1)
		}
		return broker.Fault{}
	}})
	noAcks(t, b)
	if n := acks.Load(); n > 0 {
		t.Errorf("%d frames have to do with acknowledgements", n)
	}
	t.Run("activemq", func(t *testing.T) {
		short(t)
		noAcks(t, activeMQ{activemqtest.Start(t, activemqtest.Options{})})
	})
}

func noAcks(t *testing.T, b anyBroker) {
	t.Helper()
	var nodes []*node
	for _, id := range []branch.ID{"0A", "0B"} {
		n := newNode(t, b, id)
		n.options.NoSTOMPAck = true
		nodes = append(nodes, n.start())
	}
	eventually(t, 60*time.Second, "two nodes ready", func() bool { return ready(nodes...) }, nodes...)
	for _, n := range nodes {
		n.write(200)
	}
	mustConverge(t, nodes...)
	b.kill()
	nodes[0].write(20)
	nodes[1].stop()
	b.back(t)
	nodes[1].start()
	mustConverge(t, nodes...)
}

func TestLinkGoesOnAtTheNextHostWhenOneIsGone(t *testing.T) {
	// Two brokers that know nothing of each other: the nodes must find one another at either.
	first, second := startEmbedded(t, broker.Options{}), startEmbedded(t, broker.Options{})
	x, y := newNode(t, first, "0A"), newNode(t, first, "0B")
	for _, n := range []*node{x, y} {
		n.options.Hosts = []string{first.Addr(), second.Addr()}
		n.start()
	}
	at := func(addr string) func() bool {
		return func() bool {
			return ready(x, y) && x.repl.Status().Links[0].Address == addr && y.repl.Status().Links[0].Address == addr
		}
	}
	eventually(t, 30*time.Second, "at the first host", at(first.Addr()), x, y)
	x.write(5)
	mustConverge(t, x, y)
	first.kill()
	x.write(5)
	y.write(5)
	eventually(t, 30*time.Second, "at the second host", at(second.Addr()), x, y)
	mustConverge(t, x, y)
	first.back(t)
	second.kill()
	x.write(5)
	eventually(t, 30*time.Second, "back at the first host", at(first.Addr()), x, y)
	mustConverge(t, x, y)
}

// TestFullBrokerBlocksNoWriteAndNoReceiving: the store of the broker fills, since a node that has
// a durable subscription is away; its producers block for as long as it takes. Local writes go on,
// and when the node comes back it takes what is there, which frees the store. A broker that refuses
// what finds no room, instead of blocking, makes no difference.
func TestFullBrokerBlocksNoWriteAndNoReceiving(t *testing.T) {
	short(t)
	t.Run("blocking", func(t *testing.T) { full(t, activemqtest.Options{StoreLimit: "6 mb"}) })
	t.Run("refusing", func(t *testing.T) { full(t, activemqtest.Options{StoreLimit: "6 mb", FailWhenFull: time.Second}) })
}

func full(t *testing.T, o activemqtest.Options) {
	t.Helper()
	nodes := trio(t, activeMQ{activemqtest.Start(t, o)})
	nodes[2].stop()
	text := noise(100 << 10)
	blocked := func() bool {
		if err := nodes[0].tryWriteText(text); err != nil {
			t.Fatalf("a write was refused because of the broker: %v", err)
		}
		n, _ := nodes[0].store.Outbox("main")
		return n > 20
	}
	eventually(t, 120*time.Second, "the broker takes no more", blocked, nodes[:2]...)
	for range 20 {
		began := time.Now()
		nodes[0].write(1)
		nodes[1].write(1)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("two writes beside a full broker took %v", took)
		}
	}
	nodes[2].start()
	mustConverge(t, nodes...)
}

// gated is a store that applies nothing of others until its gate is opened.
type gated struct {
	*store.Store
	gate chan struct{}
}

// Apply waits for the gate.
func (g gated) Apply(ctx context.Context, list []changeset.Envelope) (store.Applied, error) {
	select {
	case <-g.gate:
	case <-ctx.Done():
		return store.Applied{}, context.Cause(ctx)
	}
	return g.Store.Apply(ctx, list)
}

// TestNodeBlockedInSendingGoesOnReceivingAndFreesTheBroker: the broker is full of what this node has
// not acknowledged, and has stopped reading from it, since it sends as well. Were its acknowledgements
// behind what it sends, neither would ever go on.
func TestNodeBlockedInSendingGoesOnReceivingAndFreesTheBroker(t *testing.T) {
	short(t)
	b := activeMQ{activemqtest.Start(t, activemqtest.Options{StoreLimit: "6 mb"})}
	x, y := newNode(t, b, "0A"), newNode(t, b, "0B")
	gate := make(chan struct{})
	y.wrap = func(s *store.Store) replication.Store { return gated{s, gate} }
	x.start()
	y.start()
	eventually(t, 60*time.Second, "two nodes ready", func() bool { return ready(x, y) }, x, y)
	text := noise(100 << 10)
	eventually(t, 120*time.Second, "the broker takes no more of either", func() bool {
		stuck := true
		for _, n := range []*node{x, y} {
			if err := n.tryWriteText(text); err != nil {
				t.Fatalf("a write was refused because of the broker: %v", err)
			}
			left, _ := n.store.Outbox("main")
			stuck = stuck && left > 20
		}
		return stuck
	}, x, y)
	close(gate)
	// A connection whose broker does not read is given up after 30 s: this must not need that.
	eventually(t, 25*time.Second, "level", func() bool { return level(x, y) }, x, y)
	mustConverge(t, x, y)
}

// TestBlockedRabbitMQBlocksNoWriteAndRecovers: past its memory mark RabbitMQ stops reading from
// connections that publish.
func TestBlockedRabbitMQBlocksNoWriteAndRecovers(t *testing.T) {
	short(t)
	r := rabbitmqtest.Get(t)
	x, y := pair(t, rabbitMQ{r, t})
	x.write(5)
	mustConverge(t, x, y)
	control(t, r, "set_vm_memory_high_watermark", "0.00001")
	eventually(t, 30*time.Second, "the broker takes no more", func() bool {
		x.write(1)
		y.write(1)
		n, _ := x.store.Outbox("main")
		return n > 50
	}, x, y)
	control(t, r, "set_vm_memory_high_watermark", "absolute", "400MB")
	mustConverge(t, x, y)
}

func control(t *testing.T, r *rabbitmqtest.Broker, args ...string) {
	t.Helper()
	if _, err := r.Control(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// TestBrokersOfLittleAbilityStillConverge: no durable topics, no selectors, no prefetch, no
// acknowledgement: what such a broker loses is repaired from peers.
func TestBrokersOfLittleAbilityStillConverge(t *testing.T) {
	for _, flavor := range []string{"coilmq", "morbidq", "generic"} {
		t.Run(flavor, func(t *testing.T) {
			b := startEmbedded(t, broker.Options{})
			p, err := stomp.ProfileNamed(flavor)
			if err != nil {
				t.Fatal(err)
			}
			b.SetFaults(broker.Faults{Received: func(_ string, f *frame.Frame) broker.Fault {
				if problem := beyond(p, f); problem != "" {
					t.Errorf("%v: %s", f, problem)
				}
				return broker.Fault{}
			}})
			x, y := newNode(t, b, "0A"), newNode(t, b, "0B")
			for _, n := range []*node{x, y} {
				n.options.Flavor = flavor
				n.start()
			}
			eventually(t, 60*time.Second, "two nodes ready", func() bool { return ready(x, y) }, x, y)
			x.write(50)
			mustConverge(t, x, y)
			y.stop()
			x.write(50) // no broker of these keeps them for the other
			y.start()
			mustConverge(t, x, y)
		})
	}
}

// beyond says what a broker of this make does not understand of a frame.
func beyond(p stomp.Profile, f *frame.Frame) string {
	switch {
	case f.Command == frame.Nack:
		return "NACK is never sent"
	case f.Command == frame.Ack && !p.ClientAck:
		return "no acknowledgements"
	case f.Header.Get("ack") == "client-individual" && !p.IndividualAck:
		return "no individual acknowledgements"
	case f.Header.Get("selector") != "" && !p.Selectors, f.Header.Get("activemq.subscriptionName") != "" && !p.DurableTopics:
		return "no selectors, no durable subscriptions"
	case f.Command == frame.Connect && strings.Contains(f.Header.Get("accept-version"), "1.2") && p.MaxVersion < frame.V12:
		return "no version 1.2"
	}
	return ""
}
