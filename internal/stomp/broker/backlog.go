package broker

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// slowLimit is how many messages wait for a topic's subscriber that is not durable before the
// oldest are dropped.
const slowLimit = 10000

// message is a message that at least one backlog keeps.
type message struct {
	header  frame.Header // without what belongs to one delivery
	body    []byte
	id      string
	expires time.Time // zero: never
	size    int64
	refs    int
}

func (m *message) expired(now time.Time) bool {
	return !m.expires.IsZero() && now.After(m.expires)
}

// entry is a message's place in a backlog.
type entry struct {
	m     *message
	seq   uint64 // order in the backlog, also after redelivery
	again bool   // was delivered before
}

// backlog keeps messages in order for the consumers of a queue, or for the one consumer of a
// topic's subscription. All methods need b.mu.
type backlog struct {
	b           *Broker
	destination string
	isQueue     bool
	match       selector // of a topic's subscription, asked when a message is published
	limit       int      // of pending; 0 is none
	seq         uint64
	pending     []entry // by seq
	consumers   []*consumer
	turn        int // index of the consumer that is next, among those of a queue
}

// consumer is one connection's subscription.
type consumer struct {
	c        *conn
	id       string
	q        *backlog
	mode     string
	match    selector // of a queue's consumer, asked when a message is delivered
	prefetch int
	durable  *durable // nil when it is not
	unacked  []*delivery
}

// delivery is a message on its way to a consumer, until it is acknowledged.
type delivery struct {
	e     entry
	to    *consumer
	ackID string
}

func (q *backlog) size() int {
	n := len(q.pending)
	for _, c := range q.consumers {
		n += len(c.unacked)
	}
	return n
}

func (q *backlog) add(m *message) {
	if q.limit > 0 && len(q.pending) >= q.limit {
		q.b.release(q.remove(0).m)
		q.b.stats.Dropped++
	}
	q.seq++
	q.b.retain(m)
	q.pending = append(q.pending, entry{m: m, seq: q.seq})
	q.dispatch()
}

func (q *backlog) remove(i int) entry {
	e := q.pending[i]
	if i > 0 {
		q.pending = slices.Delete(q.pending, i, i+1)
		return e
	}
	q.pending[0] = entry{}
	if q.pending = q.pending[1:]; len(q.pending) == 0 {
		q.pending = nil
	}
	return e
}

// dispatch gives pending messages to consumers for as long as these have room.
func (q *backlog) dispatch() {
	now := time.Now()
	for i := 0; i < len(q.pending) && q.anyRoom(); {
		if q.pending[i].m.expired(now) {
			q.b.release(q.remove(i).m)
			q.b.stats.Expired++
			continue
		}
		to := q.consumerFor(q.pending[i].m)
		if to == nil {
			i++
			continue
		}
		to.deliver(q.remove(i))
	}
}

func (q *backlog) anyRoom() bool {
	return slices.ContainsFunc(q.consumers, (*consumer).hasRoom)
}

// consumerFor takes turns among the consumers that have room and want m.
func (q *backlog) consumerFor(m *message) *consumer {
	for range q.consumers {
		q.turn = (q.turn + 1) % len(q.consumers)
		if c := q.consumers[q.turn]; c.hasRoom() && c.match(m.header) == yes {
			return c
		}
	}
	return nil
}

// drop forgets all pending messages.
func (q *backlog) drop() {
	for _, e := range q.pending {
		q.b.release(e.m)
	}
	q.pending = nil
}

func (s *consumer) hasRoom() bool {
	return len(s.unacked) < s.prefetch && s.c.hasRoom()
}

// deliver makes the MESSAGE frame. A message to an auto consumer is acknowledged when it is
// written to the socket, whether or not it arrives: that is what the mode means.
func (s *consumer) deliver(e entry) {
	b := s.q.b
	b.lastID++
	d := &delivery{e: e, to: s, ackID: "a" + strconv.FormatUint(b.lastID, 10)}
	s.unacked = append(s.unacked, d)
	b.stats.Delivered++
	f := &frame.Frame{Command: frame.Message, Body: e.m.body, Header: make(frame.Header, 0, len(e.m.header)+5)}
	f.Header.Add(frame.HeaderDestination, s.q.destination)
	f.Header.Add(frame.HeaderMessageID, e.m.id)
	if s.id != "" {
		f.Header.Add(frame.HeaderSubscription, s.id)
	}
	if s.c.version == frame.V12 && s.mode != modeAuto {
		f.Header.Add(frame.HeaderAck, d.ackID)
	}
	if e.again && s.q.isQueue {
		f.Header.Add("redelivered", "true")
	}
	f.Header = append(f.Header, e.m.header...)
	if s.mode != modeAuto {
		s.c.unacked[d.ackID] = d
		s.c.put(f, nil)
		return
	}
	s.c.put(f, func() { b.written(d) })
}

// written acknowledges what was sent to an auto consumer.
func (b *Broker) written(d *delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(d.to.unacked, d); i >= 0 {
		d.to.unacked = slices.Delete(d.to.unacked, i, i+1)
		b.release(d.e.m)
	}
}

// settled takes out d, or all of its consumer's deliveries up to d, and lets more come.
func (s *consumer) settled(d *delivery, cumulative bool) []*delivery {
	last := slices.Index(s.unacked, d)
	first := last
	if cumulative {
		first = 0
	}
	out := slices.Clone(s.unacked[first : last+1])
	s.unacked = slices.Delete(s.unacked, first, last+1)
	for _, x := range out {
		delete(s.c.unacked, x.ackID)
	}
	return out
}

// detach ends a consumer; what it did not acknowledge goes back to its old place.
func (s *consumer) detach() {
	q := s.q
	q.consumers = slices.DeleteFunc(q.consumers, func(x *consumer) bool { return x == s })
	back := make([]entry, 0, len(s.unacked)+len(q.pending))
	for _, d := range s.unacked {
		delete(s.c.unacked, d.ackID)
		d.e.again = true
		back = append(back, d.e)
	}
	s.unacked = nil
	q.pending = append(back, q.pending...)
	slices.SortFunc(q.pending, func(a, b entry) int { return cmp.Compare(a.seq, b.seq) })
	switch {
	case s.durable != nil:
		s.durable.active = nil
	case q.isQueue:
		q.dispatch()
		q.b.tidy(q)
	default:
		q.drop()
		q.b.removeTopic(q)
	}
}

// retain and release count the memory of a message while any backlog keeps it.
func (b *Broker) retain(m *message) {
	if m.refs++; m.refs == 1 {
		b.memory += m.size
	}
}

func (b *Broker) release(m *message) {
	if m.refs--; m.refs == 0 {
		b.memory -= m.size
	}
}
