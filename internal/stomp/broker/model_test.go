package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// model is what a durable subscription must hold: the messages that its selector lets through
// and that were not acknowledged, in order of publication.
type model struct {
	t       *testing.T
	b       *Broker
	dice    *rand.Rand
	sender  *peer
	p       *peer // the subscriber, nil while it is away
	backlog []string
	acks    map[string]string // ack ids of what was delivered on p's connection
	taken   int               // how many of the backlog, from its start, p has received
	count   int
}

func (m *model) publish() {
	m.count++
	body, author := fmt.Sprint("m", m.count), "other"
	if m.dice.IntN(4) == 0 {
		author = "me"
	} else {
		m.backlog = append(m.backlog, body)
	}
	m.sender.sendBody([]byte(body), frame.Send, "destination", "/topic/t", "clientid", author)
	m.sender.sync()
}

func (m *model) come() {
	m.p = connect(m.t, m.b, "client-id", "me")
	m.p.send(frame.Subscribe, "id", "s", "destination", "/topic/t", "ack", modeIndividual, headerDurable, "n",
		"selector", "clientid <> 'me'", headerPrefetch, "1000", "receipt", "r")
	m.p.want(frame.Receipt, "receipt-id", "r")
	m.acks, m.taken = map[string]string{}, 0
}

func (m *model) receive() {
	for ; m.taken < len(m.backlog); m.taken++ {
		f := m.p.want(frame.Message)
		if string(f.Body) != m.backlog[m.taken] {
			m.t.Fatalf("received %q, want %q of %v", f.Body, m.backlog[m.taken], m.backlog)
		}
		m.acks[string(f.Body)] = f.Header.Get("ack")
	}
}

func (m *model) ack() {
	m.receive()
	for range min(3, len(m.backlog)) {
		i := m.dice.IntN(len(m.backlog))
		m.p.send(frame.Ack, "id", m.acks[m.backlog[i]])
		m.backlog = slices.Delete(m.backlog, i, i+1)
		m.taken--
	}
	m.p.sync()
}

// leave goes politely, or with no word, or with the broker's whole process suspended.
func (m *model) leave() {
	switch m.dice.IntN(3) {
	case 0:
		m.receive() // so that the receipt is next
		m.p.send(frame.Disconnect, "receipt", "bye")
		m.p.want(frame.Receipt, "receipt-id", "bye")
	case 1:
		_ = m.p.nc.Close()
		eventually(m.t, func() bool { return m.b.Stats().Connections == 1 })
	case 2:
		m.b.Suspend()
		if err := m.b.Resume(); err != nil {
			m.t.Fatal(err)
		}
		m.sender = connect(m.t, m.b)
	}
	m.p = nil
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for ctx := within(t); !ok(); {
		if ctx.Err() != nil {
			t.Fatal("never happened")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestDurableSubscriptionBehavesLikeAList checks random histories against the model.
func TestDurableSubscriptionBehavesLikeAList(t *testing.T) {
	for seed := range uint64(20) {
		b := start(t, Options{})
		m := &model{t: t, b: b, dice: rand.New(rand.NewPCG(seed, 1)), sender: connect(t, b)}
		m.come()
		for range 150 {
			switch n := m.dice.IntN(10); {
			case n < 5:
				m.publish()
			case m.p == nil:
				m.come()
			case n < 7:
				m.receive()
			case n < 9:
				m.ack()
			default:
				m.leave()
			}
		}
		if m.p == nil {
			m.come()
		}
		m.receive()
		m.p.sync() // nothing else comes
		if got := b.Stats(); got.Messages != len(m.backlog) {
			t.Errorf("seed %d: the broker holds %d messages, the model %d", seed, got.Messages, len(m.backlog))
		}
		b.Close()
	}
}

func TestSlowSubscriberThatIsNotDurableLosesTheOldest(t *testing.T) {
	b := start(t, Options{})
	slow := connect(t, b)
	slow.send(frame.Subscribe, "id", "s", "destination", "/topic/t", "ack", modeClient, headerPrefetch, "1", "receipt", "r")
	slow.want(frame.Receipt)
	sender := connect(t, b)
	const extra = 5
	for i := range slowLimit + 1 + extra {
		sender.sendBody(fmt.Append(nil, i), frame.Send, "destination", "/topic/t")
	}
	sender.sync()
	if s := b.Stats(); s.Dropped != extra || s.Messages != slowLimit+1 {
		t.Errorf("after %d messages too many: %+v", extra, s)
	}
	first := slow.want(frame.Message)
	slow.send(frame.Ack, "id", first.Header.Get("ack"))
	if f := slow.want(frame.Message); string(f.Body) != fmt.Sprint(1+extra) {
		t.Errorf("after the drop comes %q", f.Body)
	}
}

func TestHeaderThatAnOldVersionCannotSayIsLeftOut(t *testing.T) {
	b := start(t, Options{})
	old := plug(t, b)
	old.raw("CONNECT\n\n\x00")
	old.want(frame.Connected)
	old.v = frame.V10
	old.d.SetVersion(frame.V10)
	old.send(frame.Subscribe, "destination", "/topic/t", "receipt", "r")
	old.want(frame.Receipt)
	connect(t, b).sendBody([]byte("x"), frame.Send, "destination", "/topic/t", "multi", "a\nb", "plain", "c")
	f := old.want(frame.Message, "plain", "c", "destination", "/topic/t")
	if _, ok := f.Header.Lookup("multi"); ok || string(f.Body) != "x" {
		t.Errorf("got %v", f)
	}
	if _, ok := f.Header.Lookup("subscription"); ok {
		t.Errorf("a subscription without an id is named in %v", f)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	b := start(t, Options{MaxConnections: 2})
	first := connect(t, b)
	connect(t, b)
	plug(t, b).wantEnd()
	_ = first.nc.Close()
	eventually(t, func() bool { return b.Stats().Connections == 1 })
	connect(t, b).sync()
}

func TestClientThatNeverConnectsIsCut(t *testing.T) {
	b := start(t, Options{ConnectTimeout: 1})
	plug(t, b).wantEnd()
}

func TestTransactionsAreBoundedAndNamesAreChecked(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	for i := range maxTransactions {
		p.send(frame.Begin, "transaction", fmt.Sprint(i))
	}
	p.sync()
	p.send(frame.Begin, "transaction", "more", "receipt", "r")
	p.want(frame.Error, "receipt-id", "r", "message", "More than")
	p.send(frame.Begin, "transaction", "1", "receipt", "r")
	p.want(frame.Error, "message", "already started")
	p.send(frame.Abort, "transaction", "1", "receipt", "r")
	p.want(frame.Receipt)
	p.send(frame.Begin, "transaction", "1", "receipt", "r")
	p.want(frame.Receipt)
	p.send(frame.Send, "destination", "/queue/a", "transaction", "unknown", "receipt", "r")
	p.want(frame.Error, "message", "Invalid transaction id: unknown")
}

func TestAcknowledgementInAnAbortedTransactionDoesNotCount(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	p.sendBody([]byte("x"), frame.Send, "destination", "/queue/a")
	p.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "ack", modeIndividual)
	ack := p.want(frame.Message).Header.Get("ack")
	for _, end := range []string{frame.Abort, frame.Commit} {
		p.send(frame.Begin, "transaction", "t")
		p.send(frame.Ack, "id", ack, "transaction", "t")
		p.send(end, "transaction", "t")
		p.sync()
		if n, want := b.Stats().Messages, strings.Count(end, frame.Abort); n != want {
			t.Errorf("after %s the broker holds %d messages, want %d", end, n, want)
		}
	}
}

func TestUnsubscribedMessagesGoToTheOthersOfAQueue(t *testing.T) {
	b := start(t, Options{})
	first, second := connect(t, b), connect(t, b)
	first.sendBody([]byte("x"), frame.Send, "destination", "/queue/a")
	first.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "ack", modeIndividual)
	first.want(frame.Message)
	second.send(frame.Subscribe, "id", "s", "destination", "/queue/a", "ack", modeIndividual, "receipt", "r")
	second.want(frame.Receipt)
	first.send(frame.Unsubscribe, "id", "s")
	second.want(frame.Message, "redelivered", "true")
}

func TestQueueSelectorLeavesMessagesForOthers(t *testing.T) {
	b := start(t, Options{})
	p := connect(t, b)
	for _, kind := range []string{"a", "b", "a"} {
		p.sendBody([]byte(kind), frame.Send, "destination", "/queue/a", "kind", kind)
	}
	p.send(frame.Subscribe, "id", "b", "destination", "/queue/a", "selector", "kind = 'b'")
	p.want(frame.Message, "subscription", "b", "kind", "b")
	p.sync()
	p.send(frame.Subscribe, "id", "all", "destination", "/queue/a")
	p.want(frame.Message, "subscription", "all", "kind", "a")
	p.want(frame.Message, "subscription", "all", "kind", "a")
}
