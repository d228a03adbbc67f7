package broker

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

const (
	topicPrefix = "/topic/"
	queuePrefix = "/queue/"
	deadLetters = "/queue/ActiveMQ.DLQ"
	// overhead is what a kept message costs beside its body and header.
	overhead = 200
)

type durableKey struct{ client, name string }

// durable is a topic's subscription that outlives its connections.
type durable struct {
	key      durableKey
	q        *backlog
	selector string
	active   *consumer // nil while its client is away
}

// register gives a connection its client id, which no other connection may hold.
func (b *Broker) register(c *conn, f *frame.Frame) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := f.Header.Get(frame.HeaderClientID)
	if id == "" {
		b.lastID++
		id = "ID:vesper-" + strconv.FormatUint(b.lastID, 10)
	}
	if other := b.clients[id]; other != nil {
		return refuse(f, "Broker: vesper - Client: %s already connected from tcp://%s", id, other.nc.RemoteAddr())
	}
	b.clients[id] = c
	c.clientID = id
	return nil
}

// forget ends all that belongs to a connection.
func (b *Broker) forget(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave(c)
	delete(b.conns, c)
	close(c.gone)
}

// leave frees what a connection holds. It needs b.mu, and may be called again.
func (b *Broker) leave(c *conn) {
	if b.clients[c.clientID] == c {
		delete(b.clients, c.clientID)
	}
	for _, t := range c.transactions {
		b.memory -= t.held
	}
	c.transactions = nil
	for _, s := range c.subs {
		s.detach()
	}
	c.subs = nil
}

// roomIn gives a connection more messages after it has taken some.
func (b *Broker) roomIn(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range c.subs {
		s.q.dispatch()
	}
}

// checkDestination accepts /topic/NAME and /queue/NAME.
func checkDestination(f *frame.Frame) (string, error) {
	d := f.Header.Get(frame.HeaderDestination)
	if len(d) > len(topicPrefix) && (strings.HasPrefix(d, topicPrefix) || strings.HasPrefix(d, queuePrefix)) {
		return d, nil
	}
	return "", refuse(f, "destination %q of %s is neither /topic/NAME nor /queue/NAME", d, f.Command)
}

// newMessage makes a message of a SEND frame.
func (b *Broker) newMessage(f *frame.Frame) (*message, error) {
	m := &message{body: f.Body, size: overhead + int64(len(f.Body)), header: make(frame.Header, 0, len(f.Header)+2)}
	for _, x := range f.Header {
		switch x.Key {
		case frame.HeaderDestination, frame.HeaderContentLength, frame.HeaderReceipt, frame.HeaderTransaction,
			frame.HeaderMessageID, frame.HeaderSubscription, frame.HeaderAck, "redelivered":
			continue
		}
		m.header = append(m.header, x)
		m.size += int64(len(x.Key) + len(x.Value))
	}
	if text := m.header.Get(frame.HeaderExpires); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, refuse(f, "expires %q is not a number of milliseconds", text)
		}
		if ms > 0 {
			m.expires = time.UnixMilli(ms)
		}
	}
	if _, ok := m.header.Lookup("timestamp"); !ok {
		m.header.Add("timestamp", strconv.FormatInt(time.Now().UnixMilli(), 10))
	}
	return m, nil
}

// checkMemory refuses what would go beyond the bound. It needs b.mu.
func (b *Broker) checkMemory(f *frame.Frame, size int64) error {
	if b.memory+size <= b.o.MaxMemory {
		return nil
	}
	b.stats.Refused++
	return refuse(f, "Memory of the broker is full: %d of %d octets are held by messages that were not taken",
		b.memory, b.o.MaxMemory)
}

// publish routes m. It needs b.mu.
func (b *Broker) publish(destination string, m *message) {
	b.lastID++
	m.id = fmt.Sprintf("ID:vesper-%d", b.lastID)
	b.stats.Received++
	if strings.HasPrefix(destination, queuePrefix) {
		b.queue(destination).add(m)
		return
	}
	for q := range b.topics[destination] {
		if q.match(m.header) == yes {
			q.add(m)
		}
	}
}

func (b *Broker) queue(destination string) *backlog {
	q := b.queues[destination]
	if q == nil {
		q = &backlog{b: b, destination: destination, isQueue: true}
		b.queues[destination] = q
	}
	return q
}

// tidy forgets a queue that holds nothing and that no one listens to.
func (b *Broker) tidy(q *backlog) {
	if len(q.pending) == 0 && len(q.consumers) == 0 && b.queues[q.destination] == q {
		delete(b.queues, q.destination)
	}
}

func (b *Broker) addTopic(q *backlog) {
	if b.topics[q.destination] == nil {
		b.topics[q.destination] = map[*backlog]struct{}{}
	}
	b.topics[q.destination][q] = struct{}{}
}

func (b *Broker) removeTopic(q *backlog) {
	subs := b.topics[q.destination]
	if delete(subs, q); len(subs) == 0 {
		delete(b.topics, q.destination)
	}
}

// subscription finds or makes the backlog that a SUBSCRIBE frame asks for. It needs b.mu.
func (b *Broker) subscription(c *conn, f *frame.Frame, destination string, match selector) (*backlog, *durable, error) {
	if strings.HasPrefix(destination, queuePrefix) {
		return b.queue(destination), nil, nil
	}
	q := &backlog{b: b, destination: destination, match: match, limit: slowLimit}
	name := f.Header.Get(headerDurable)
	if name == "" {
		b.addTopic(q)
		return q, nil, nil
	}
	q.limit = 0
	key := durableKey{client: c.clientID, name: name}
	text := f.Header.Get(frame.HeaderSelector)
	if old := b.durables[key]; old != nil {
		switch {
		case old.active != nil:
			return nil, nil, inUse(f, key)
		case old.selector == text && old.q.destination == destination:
			return old.q, old, nil
		}
		// As ActiveMQ does: another selector is another subscription, and the backlog is lost.
		b.deleteDurable(old)
	}
	d := &durable{key: key, q: q, selector: text}
	b.durables[key] = d
	b.addTopic(q)
	return q, d, nil
}

func inUse(f *frame.Frame, key durableKey) error {
	return refuse(f, "Durable consumer is in use for client: %s and subscriptionName: %s", key.client, key.name)
}

func (b *Broker) deleteDurable(d *durable) {
	d.q.drop()
	b.removeTopic(d.q)
	delete(b.durables, d.key)
}
