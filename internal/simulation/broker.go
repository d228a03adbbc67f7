package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
)

// heartbeat is how long a connection lives over which nothing comes through.
const heartbeat = 20 * time.Second

// inUseAfter is how long a client id must be taken before a transport says that
// a second copy may be running.
const inUseAfter = time.Minute

// rates are the chances that a message to one subscriber is lost, doubled, or
// overtaken, and the longest delay of each delivery.
type rates struct {
	lose, repeat, shuffle float64
	delay                 time.Duration
}

// broker is a broker in memory that misbehaves as it is told. Durable
// subscriptions and queues keep messages, other subscriptions do not.
type broker struct {
	name  string
	trace *trace

	mu    sync.Mutex
	rng   *rand.Rand
	boxes []*box
	conns []*conn
	down  bool
	// cut, deaf and mute are the nodes that cannot reach the broker, get nothing
	// from it, and can send nothing to it.
	cut, deaf, mute map[branch.ID]bool
	rates           rates
	// blocked brokers take no persistent message, and say nothing.
	blocked bool
	// most is the greatest number of persistent messages ever that one node sent
	// within one confirmTimeout and that were not confirmed.
	most int
}

func newBroker(name string, seed uint64, tr *trace) *broker {
	return &broker{
		name: name, trace: tr, rng: rand.New(rand.NewPCG(seed, 7)), rates: rates{delay: 2 * time.Millisecond},
		cut: map[branch.ID]bool{}, deaf: map[branch.ID]bool{}, mute: map[branch.ID]bool{},
	}
}

// parcel is one message on its way to one subscriber.
type parcel struct{ replication.Message }

// box holds what one subscription has not acknowledged.
type box struct {
	key   string
	sub   replication.Subscription
	queue []*parcel
	// taken is how many of queue are handed out on the present connection.
	taken int
	keep  bool
	wake  chan struct{}
}

func (x *box) put(m replication.Message) {
	x.queue = append(x.queue, &parcel{m})
	x.signal()
}

func (x *box) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// remove forgets a message.
func (x *box) remove(p *parcel) {
	if at := slices.Index(x.queue, p); at >= 0 {
		x.queue = slices.Delete(x.queue, at, at+1)
		if at < x.taken {
			x.taken--
		}
	}
}

// conn is one connection of one transport.
type conn struct {
	me   branch.ID
	ctx  context.Context
	end  context.CancelCauseFunc
	subs []*box
	// hanging are the times of the persistent messages that will never be confirmed.
	hanging []time.Time
}

// set changes the broker's behavior.
func (b *broker) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// route puts a message into the boxes of its destination. The caller holds mu.
func (b *broker) route(to replication.Destination, m replication.Message) {
	b.trace.note("%s %s from %s: %x", b.name, to.Name, m.From, checksum(m.Body))
	for _, x := range b.boxes {
		if x.sub.Destination != to || x.sub.Except != "" && x.sub.Except == m.From || b.rng.Float64() < b.rates.lose {
			continue
		}
		x.put(m)
		if b.rng.Float64() < b.rates.repeat {
			x.put(m)
		}
		if n := len(x.queue); b.rng.Float64() < b.rates.shuffle && n-2 >= x.taken {
			x.queue[n-1], x.queue[n-2] = x.queue[n-2], x.queue[n-1]
		}
	}
	if to.Kind == replication.Queue && !slices.ContainsFunc(b.boxes, func(x *box) bool { return x.sub.Destination == to }) {
		x := b.box("queue " + to.Name)
		x.sub, x.keep = replication.Subscription{Destination: to}, true
		x.put(m)
	}
}

// box finds or makes the box of a key. The caller holds mu.
func (b *broker) box(key string) *box {
	if at := slices.IndexFunc(b.boxes, func(x *box) bool { return x.key == key }); at >= 0 {
		return b.boxes[at]
	}
	x := &box{key: key, wake: make(chan struct{}, 1)}
	b.boxes = append(b.boxes, x)
	return x
}

// crash drops all connections; wipe loses all messages and subscriptions too.
func (b *broker) crash(wipe bool) {
	b.set(func() {
		b.down = true
		for _, c := range b.conns {
			c.end(errors.New("broker crashed"))
		}
		if wipe {
			b.boxes = nil
		}
	})
}

// isolate sets which ways between a node and the broker are cut. Where only one
// is, the connection lives on until a heart-beat is missed.
func (b *broker) isolate(id branch.ID, in, out bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut[id], b.deaf[id], b.mute[id] = in && out, in, out
	for _, c := range b.conns {
		switch {
		case c.me != id:
		case in && out:
			c.end(errors.New("network unreachable"))
		case in || out:
			time.AfterFunc(heartbeat, func() { b.missed(c) })
		default:
			for _, x := range c.subs {
				x.signal()
			}
		}
	}
}

// unsubscribe removes what is kept for a node that is no more.
func (b *broker) unsubscribe(id branch.ID) {
	b.set(func() {
		b.boxes = slices.DeleteFunc(b.boxes, func(x *box) bool {
			return strings.HasPrefix(x.key, "durable "+string(id)+"-") || strings.HasSuffix(x.key, ".sync."+string(id))
		})
	})
}

// troubled reports whether anything is wrong with the network.
func (b *broker) troubled() (yes bool) {
	b.set(func() {
		yes = b.down || b.blocked || b.rates.lose > 0
		for _, ways := range []map[branch.ID]bool{b.cut, b.deaf, b.mute} {
			for _, is := range ways {
				yes = yes || is
			}
		}
	})
	return yes
}

// missed ends a connection over which still nothing comes through.
func (b *broker) missed(c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf[c.me] || b.mute[c.me] {
		c.end(errors.New("missed heart-beats"))
	}
}

// heal ends everything that is wrong.
func (b *broker) heal() {
	b.set(func() {
		b.down, b.blocked, b.rates = false, false, rates{delay: time.Millisecond}
		clear(b.cut)
		clear(b.deaf)
		clear(b.mute)
		for _, c := range b.conns {
			for _, x := range c.subs {
				x.signal()
			}
		}
	})
}

// connect makes a connection with its subscriptions.
func (b *broker) connect(ctx context.Context, me branch.ID, subs []replication.Subscription) (*conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down || b.cut[me] || b.deaf[me] || b.mute[me] {
		return nil, errors.New("connection refused")
	}
	if slices.ContainsFunc(b.conns, func(c *conn) bool { return c.me == me }) {
		return nil, &takenError{me}
	}
	c := &conn{me: me}
	c.ctx, c.end = context.WithCancelCause(ctx)
	for _, s := range subs {
		x := b.box(boxKey(me, s))
		x.sub, x.taken, x.keep = s, 0, s.Durable != "" || s.Destination.Kind == replication.Queue
		c.subs = append(c.subs, x)
	}
	b.conns = append(b.conns, c)
	return c, nil
}

// takenError says that a client of the same id is connected.
type takenError struct{ id branch.ID }

// Error names the id.
func (e *takenError) Error() string { return fmt.Sprintf("client %s is already connected", e.id) }

func boxKey(me branch.ID, s replication.Subscription) string {
	switch {
	case s.Destination.Kind == replication.Queue:
		return "queue " + s.Destination.Name
	case s.Durable != "":
		return "durable " + s.Durable
	}
	return "live " + string(me) + " " + s.Destination.Name
}

// serve hands out messages until the connection ends.
func (b *broker) serve(c *conn) {
	var all sync.WaitGroup
	for _, x := range c.subs {
		all.Go(func() { b.pump(c, x) })
	}
	all.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = slices.DeleteFunc(b.conns, func(o *conn) bool { return o == c })
	for _, x := range c.subs {
		if x.taken = 0; !x.keep {
			x.queue = nil
		}
	}
}

// pump hands out the messages of a box, one at a time.
func (b *broker) pump(c *conn, x *box) {
	for c.ctx.Err() == nil {
		p, delay := b.next(c, x)
		if p == nil {
			select {
			case <-x.wake:
			case <-c.ctx.Done():
			}
			continue
		}
		if sleep(c.ctx, delay) {
			x.sub.Deliver(c.ctx, b.delivery(c, x, p))
		}
	}
}

func (b *broker) next(c *conn, x *box) (*parcel, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf[c.me] || x.taken >= len(x.queue) {
		return nil, 0
	}
	p := x.queue[x.taken]
	x.taken++
	if x.sub.AutoAck {
		x.remove(p)
	}
	return p, time.Duration(b.rng.Int64N(int64(b.rates.delay) + 1))
}

func (b *broker) delivery(c *conn, x *box, p *parcel) replication.Delivery {
	d := replication.Delivery{Message: p.Message}
	if x.sub.AutoAck {
		return d
	}
	d.Ack = func(context.Context) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if c.ctx.Err() != nil || b.mute[c.me] {
			return errors.New("acknowledging on a connection that is gone")
		}
		x.remove(p)
		return nil
	}
	return d
}

// publish takes a message from a connection.
func (b *broker) publish(c *conn, to replication.Destination, m replication.Message) replication.Confirmation {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &confirmation{c: c, delay: time.Duration(b.rng.Int64N(int64(b.rates.delay) + 1))}
	if f.never = b.mute[c.me] || m.Persistent && b.blocked; !f.never {
		b.route(to, m)
	} else if m.Persistent {
		c.hanging = append(slices.DeleteFunc(c.hanging, func(at time.Time) bool { return time.Since(at) >= confirmTimeout }), time.Now())
		b.most = max(b.most, len(c.hanging))
	}
	return f
}

// confirmation is what a publisher waits for.
type confirmation struct {
	c     *conn
	delay time.Duration
	never bool
}

// Wait implements replication.Confirmation.
func (f *confirmation) Wait(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(f.c.ctx, func() { cancel(context.Cause(f.c.ctx)) })()
	if f.never {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if !sleep(ctx, f.delay) {
		return context.Cause(ctx)
	}
	return nil
}

// sleep waits, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
