package broker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// Headers in which ActiveMQ extends the protocol, and the acknowledgement modes.
const (
	headerDurable  = "activemq.subscriptionName"
	headerPrefetch = "activemq.prefetchSize"

	modeAuto       = "auto"
	modeClient     = "client"
	modeIndividual = "client-individual"
)

// obey runs one command of a client. A refusal is answered and the connection goes on; any
// other error, and end, close it.
func (c *conn) obey(f *frame.Frame) (end bool, err error) {
	command, ok := commands[f.Command]
	if !ok {
		return true, refuse(f, "Unknown STOMP action: %s", f.Command)
	}
	then, err := command(c, f)
	if refusal, ok := errors.AsType[*refusalError](err); ok {
		c.put(refusal.frame(), nil)
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if id, ok := f.Header.Lookup(frame.HeaderReceipt); ok {
		c.put(frame.New(frame.Receipt, frame.HeaderReceiptID, id), nil)
	}
	if then != nil {
		then()
	}
	return f.Command == frame.Disconnect, nil
}

// commands return what is to be done after the receipt, or nil.
var commands = map[string]func(*conn, *frame.Frame) (then func(), err error){
	frame.Send:        (*conn).onSend,
	frame.Subscribe:   (*conn).onSubscribe,
	frame.Unsubscribe: (*conn).onUnsubscribe,
	frame.Ack:         (*conn).onAck,
	frame.Nack:        (*conn).onAck,
	frame.Begin:       (*conn).onBegin,
	frame.Commit:      (*conn).onEnd,
	frame.Abort:       (*conn).onEnd,
	frame.Disconnect:  (*conn).onDisconnect,
}

// transaction collects what is to be done at COMMIT.
type transaction struct {
	steps []func()
	held  int64 // octets of its messages, counted in the broker's memory
}

// transaction returns the one that f names, or nil when f names none. It needs b.mu.
func (c *conn) transaction(f *frame.Frame) (*transaction, error) {
	id, ok := f.Header.Lookup(frame.HeaderTransaction)
	if !ok {
		return nil, nil
	}
	t := c.transactions[id]
	if t == nil {
		return nil, refuse(f, "Invalid transaction id: %s", id)
	}
	return t, nil
}

func (c *conn) onSend(f *frame.Frame) (func(), error) {
	destination, err := checkDestination(f)
	if err != nil {
		return nil, err
	}
	m, err := c.b.newMessage(f)
	if err != nil {
		return nil, err
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	t, err := c.transaction(f)
	if err != nil {
		return nil, err
	}
	if err := c.b.checkMemory(f, m.size); err != nil {
		return nil, err
	}
	if t == nil {
		c.b.publish(destination, m)
		return nil, nil
	}
	t.held += m.size
	c.b.memory += m.size
	t.steps = append(t.steps, func() { c.b.publish(destination, m) })
	return nil, nil
}

func (c *conn) onSubscribe(f *frame.Frame) (func(), error) {
	destination, err := checkDestination(f)
	if err != nil {
		return nil, err
	}
	s := &consumer{c: c, id: f.Header.Get(frame.HeaderID), match: everything}
	if s.mode, s.prefetch, err = c.terms(f); err != nil {
		return nil, err
	}
	match := selector(everything)
	if text, ok := f.Header.Lookup(frame.HeaderSelector); ok {
		if match, err = parseSelector(text); err != nil {
			return nil, refuse(f, "%v", err)
		}
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	key := subscriptionKey(f)
	if c.subs[key] != nil {
		return nil, refuse(f, "Subscription %s is in use on this connection", key)
	}
	if s.q, s.durable, err = c.b.subscription(c, f, destination, match); err != nil {
		return nil, err
	}
	if s.q.isQueue {
		s.match = match
	}
	if s.durable != nil {
		s.durable.active = s
	}
	c.subs[key] = s
	return func() { c.b.attach(s, key) }, nil
}

// attach lets messages come, after the receipt of SUBSCRIBE.
func (b *Broker) attach(s *consumer, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.c.subs[key] == s {
		s.q.consumers = append(s.q.consumers, s)
		s.q.dispatch()
	}
}

// terms reads the acknowledgement mode and the prefetch of a SUBSCRIBE frame.
func (c *conn) terms(f *frame.Frame) (mode string, prefetch int, err error) {
	if _, ok := f.Header.Lookup(frame.HeaderID); !ok && c.version > frame.V10 {
		return "", 0, refuse(f, "SUBSCRIBE received without a subscription id")
	}
	prefetch = c.b.o.Prefetch
	if text, ok := f.Header.Lookup(headerPrefetch); ok {
		prefetch, err = strconv.Atoi(text)
		if err != nil || prefetch < 1 {
			return "", 0, refuse(f, "%s %q is not a number above 0", headerPrefetch, text)
		}
	}
	switch mode = f.Header.Get(frame.HeaderAck); mode {
	case "":
		return modeAuto, prefetch, nil
	case modeAuto, modeClient, modeIndividual:
		return mode, prefetch, nil
	}
	return "", 0, refuse(f, "ack mode %q is not one of auto, client, client-individual", mode)
}

// subscriptionKey names a subscription within its connection: 1.0 need not give an id.
func subscriptionKey(f *frame.Frame) string {
	if id, ok := f.Header.Lookup(frame.HeaderID); ok {
		return "id " + id
	}
	return "destination " + f.Header.Get(frame.HeaderDestination)
}

func (c *conn) onUnsubscribe(f *frame.Frame) (func(), error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if name := f.Header.Get(headerDurable); name != "" {
		return nil, c.b.unsubscribeDurable(f, durableKey{client: c.clientID, name: name})
	}
	key := subscriptionKey(f)
	s := c.subs[key]
	if s == nil {
		return nil, refuse(f, "No subscription matched: %s", key)
	}
	delete(c.subs, key)
	s.detach()
	return nil, nil
}

func (b *Broker) unsubscribeDurable(f *frame.Frame, key durableKey) error {
	d := b.durables[key]
	switch {
	case d == nil:
		return refuse(f, "No durable subscription exists for clientID: %s and subscriptionName: %s", key.client, key.name)
	case d.active != nil:
		return inUse(f, key)
	}
	b.deleteDurable(d)
	return nil
}

// onAck is for ACK and for NACK, which sends the message to the dead letters.
func (c *conn) onAck(f *frame.Frame) (func(), error) {
	if f.Command == frame.Nack && c.version == frame.V10 {
		return nil, refuse(f, "NACK is not a part of STOMP 1.0")
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	d, name := c.acknowledged(f)
	if d == nil {
		return nil, refuse(f, "Unexpected %s received for message-id [%s]", f.Command, name)
	}
	t, err := c.transaction(f)
	if err != nil {
		return nil, err
	}
	finish := func() { c.b.settle(d, f.Command == frame.Nack) }
	if t == nil {
		finish()
		return nil, nil
	}
	t.steps = append(t.steps, finish)
	return nil, nil
}

// acknowledged finds what an ACK or NACK is about, and what it called it.
func (c *conn) acknowledged(f *frame.Frame) (*delivery, string) {
	if c.version == frame.V12 {
		id := f.Header.Get(frame.HeaderID)
		return c.unacked[id], id
	}
	id := f.Header.Get(frame.HeaderMessageID)
	subscription, named := f.Header.Lookup(frame.HeaderSubscription)
	for _, d := range c.unacked {
		if d.e.m.id == id && (!named || d.to.id == subscription) {
			return d, id
		}
	}
	return nil, id
}

// settle ends a delivery, and in client mode those before it. One that was settled meanwhile,
// within a transaction, is left alone.
func (b *Broker) settle(d *delivery, refused bool) {
	s := d.to
	if !slices.Contains(s.unacked, d) {
		return
	}
	for _, x := range s.settled(d, s.mode == modeClient) {
		if refused {
			b.bury(s.q.destination, x.e.m)
		}
		b.release(x.e.m)
	}
	s.q.dispatch()
	b.tidy(s.q)
}

// bury puts a copy of m into the dead letter queue.
func (b *Broker) bury(destination string, m *message) {
	dead := *m
	dead.refs, dead.expires = 0, m.expires
	dead.header = append(frame.Header{{Key: "original-destination", Value: destination}}, m.header...)
	b.queue(deadLetters).add(&dead)
}

func (c *conn) onBegin(f *frame.Frame) (func(), error) {
	id, ok := f.Header.Lookup(frame.HeaderTransaction)
	if !ok {
		return nil, refuse(f, "BEGIN received without a transaction id")
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.transactions[id] != nil {
		return nil, refuse(f, "The transaction was already started: %s", id)
	}
	if len(c.transactions) >= maxTransactions {
		return nil, refuse(f, "More than %d transactions on one connection", maxTransactions)
	}
	c.transactions[id] = &transaction{}
	return nil, nil
}

const maxTransactions = 1000

// onEnd is for COMMIT and ABORT.
func (c *conn) onEnd(f *frame.Frame) (func(), error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	t, err := c.transaction(f)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, refuse(f, "%s received without a transaction id", f.Command)
	}
	delete(c.transactions, f.Header.Get(frame.HeaderTransaction))
	c.b.memory -= t.held
	if f.Command == frame.Abort {
		return nil, nil
	}
	for _, step := range t.steps {
		step()
	}
	return nil, nil
}

// onDisconnect frees the client id before the receipt, so that a client that waits for it can
// come back at once.
func (c *conn) onDisconnect(*frame.Frame) (func(), error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.leave(c)
	return nil, nil
}

// String names the connection in the debugger and in logs.
func (c *conn) String() string { return fmt.Sprintf("client %s at %s", c.clientID, c.nc.RemoteAddr()) }
