package replication

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// fakeBroker is a broker in memory that misbehaves on demand. Durable
// subscriptions and queues keep messages; other topics do not.
type fakeBroker struct {
	mu    sync.Mutex
	rng   *rand.Rand
	boxes map[string]*box
	conns map[*fakeConn]bool
	down  bool
	cut   map[branch.ID]bool
	// lose and repeat are the chances that a message to one subscriber is lost or doubled,
	// shuffle that it overtakes the one before it.
	lose, repeat, shuffle float64
	// delay bounds the random delay of each delivery.
	delay time.Duration
	// blocked brokers take no persistent message and say nothing.
	blocked chan struct{}
	// filter, when set, loses the messages for which it returns true.
	filter func(to Destination, m Message) bool
	// sent counts messages by destination name.
	sent map[string]int
	// published lists the persistent messages taken.
	published []Message
}

func newFakeBroker(seed uint64) *fakeBroker {
	return &fakeBroker{
		rng: rand.New(rand.NewPCG(seed, 7)), boxes: map[string]*box{}, conns: map[*fakeConn]bool{},
		cut: map[branch.ID]bool{}, sent: map[string]int{}, delay: 2 * time.Millisecond,
	}
}

// box holds what one subscription has not acknowledged.
type box struct {
	sub   Subscription
	queue []Message
	// taken is how many of queue are handed out on the present connection.
	taken int
	keep  bool
	wake  chan struct{}
}

func (b *box) put(m Message) {
	b.queue = append(b.queue, m)
	b.signal()
}

func (b *box) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// fakeConn is one connection of one transport.
type fakeConn struct {
	me   branch.ID
	ctx  context.Context
	end  context.CancelCauseFunc
	subs []*box
}

func (b *fakeBroker) route(to Destination, m Message) {
	b.sent[to.Name]++
	if m.Persistent {
		b.published = append(b.published, m)
	}
	for _, x := range b.boxes {
		if x.sub.Destination != to || x.sub.Except != "" && x.sub.Except == m.From {
			continue
		}
		if b.filter != nil && b.filter(to, m) || b.rng.Float64() < b.lose {
			continue
		}
		x.put(m)
		if b.rng.Float64() < b.repeat {
			x.put(m)
		}
		if n := len(x.queue); b.rng.Float64() < b.shuffle && n-2 >= x.taken {
			x.queue[n-1], x.queue[n-2] = x.queue[n-2], x.queue[n-1]
		}
	}
	if to.Kind == Queue {
		b.keepForLater(to, m)
	}
}

// keepForLater makes a queue exist before somebody listens to it.
func (b *fakeBroker) keepForLater(to Destination, m Message) {
	if _, exists := b.boxes["queue "+to.Name]; !exists {
		b.boxes["queue "+to.Name] = &box{sub: Subscription{Destination: to}, keep: true, wake: make(chan struct{}, 1), queue: []Message{m}}
	}
}

// set changes the broker's behavior under its lock.
func (b *fakeBroker) set(change func(*fakeBroker)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// crash drops all connections and comes back when up is called. wipe loses all messages.
func (b *fakeBroker) crash(wipe bool) {
	b.set(func(b *fakeBroker) {
		b.down = true
		for c := range b.conns {
			c.end(errors.New("broker crashed"))
		}
		if wipe {
			b.boxes = map[string]*box{}
		}
	})
}

func (b *fakeBroker) up() { b.set(func(b *fakeBroker) { b.down = false }) }

func (b *fakeBroker) partition(id branch.ID, cut bool) {
	b.set(func(b *fakeBroker) {
		b.cut[id] = cut
		for c := range b.conns {
			if cut && c.me == id {
				c.end(errors.New("network unreachable"))
			}
		}
	})
}

// fakeTransport is one node's Transport to a fakeBroker.
type fakeTransport struct {
	b  *fakeBroker
	me branch.ID
	// alias distinguishes durable subscriptions of two copies with one id.
	alias string

	mu   sync.Mutex
	conn *fakeConn
}

func (t *fakeTransport) Run(ctx context.Context, subs []Subscription, observe func(State)) error {
	for ctx.Err() == nil {
		c, err := t.connect(ctx, subs)
		if err != nil {
			observe(State{Err: err})
			sleep(ctx, 20*time.Millisecond)
			continue
		}
		t.setConn(c)
		observe(State{Connected: true, Subscribed: true, Address: "fake:1", Server: "Fake/1"})
		t.serve(c)
		t.setConn(nil)
		observe(State{Err: context.Cause(c.ctx)})
	}
	return nil
}

func (t *fakeTransport) setConn(c *fakeConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn = c
}

func (t *fakeTransport) connect(ctx context.Context, subs []Subscription) (*fakeConn, error) {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.b.down || t.b.cut[t.me] {
		return nil, errors.New("connection refused")
	}
	c := &fakeConn{me: t.me}
	c.ctx, c.end = context.WithCancelCause(ctx)
	for _, s := range subs {
		c.subs = append(c.subs, t.open(s))
	}
	t.b.conns[c] = true
	return c, nil
}

// open finds or makes the box of a subscription.
func (t *fakeTransport) open(s Subscription) *box {
	key := "live " + string(t.me) + t.alias + " " + s.Destination.Name
	if s.Durable != "" {
		key = "durable " + s.Durable + t.alias
	}
	if s.Destination.Kind == Queue {
		key = "queue " + s.Destination.Name
	}
	x := t.b.boxes[key]
	if x == nil {
		x = &box{wake: make(chan struct{}, 1)}
		t.b.boxes[key] = x
	}
	x.sub, x.taken, x.keep = s, 0, s.Durable != "" || s.Destination.Kind == Queue
	return x
}

func (t *fakeTransport) serve(c *fakeConn) {
	var all sync.WaitGroup
	for _, x := range c.subs {
		all.Go(func() { t.pump(c, x) })
	}
	all.Wait()
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	delete(t.b.conns, c)
	for _, x := range c.subs {
		if !x.keep {
			x.queue = nil
		}
		x.taken = 0
	}
}

// pump hands out the messages of a box, one at a time.
func (t *fakeTransport) pump(c *fakeConn, x *box) {
	for {
		t.b.mu.Lock()
		var m *Message
		if x.taken < len(x.queue) {
			m = &x.queue[x.taken]
			d := t.delivery(c, x, *m)
			delay := time.Duration(t.b.rng.Int64N(int64(t.b.delay) + 1))
			x.taken++
			if x.sub.AutoAck {
				x.remove(m.Body)
			}
			t.b.mu.Unlock()
			if sleep(c.ctx, delay) {
				x.sub.Deliver(c.ctx, d)
			}
			if c.ctx.Err() != nil {
				return
			}
			continue
		}
		t.b.mu.Unlock()
		select {
		case <-x.wake:
		case <-c.ctx.Done():
			return
		}
	}
}

func (t *fakeTransport) delivery(c *fakeConn, x *box, m Message) Delivery {
	d := Delivery{Message: m}
	if !x.sub.AutoAck {
		d.Ack = func(context.Context) error {
			t.b.mu.Lock()
			defer t.b.mu.Unlock()
			if c.ctx.Err() != nil {
				return errors.New("acknowledging on a connection that is gone")
			}
			x.remove(m.Body)
			return nil
		}
	}
	return d
}

// remove forgets the first handed out message with that body.
func (b *box) remove(body []byte) {
	for i := range b.taken {
		if &b.queue[i].Body[0] == &body[0] {
			b.queue = append(b.queue[:i:i], b.queue[i+1:]...)
			b.taken--
			return
		}
	}
}

func (t *fakeTransport) Publish(ctx context.Context, to Destination, m Message) (Confirmation, error) {
	t.mu.Lock()
	c := t.conn
	t.mu.Unlock()
	if c == nil || c.ctx.Err() != nil {
		return nil, errors.New("not connected")
	}
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	confirmed := &fakeConfirmation{conn: c, delay: time.Duration(t.b.rng.Int64N(int64(t.b.delay) + 1)), blocked: t.b.blocked}
	if m.Persistent && t.b.blocked != nil {
		return confirmed, ctx.Err()
	}
	confirmed.blocked = nil
	t.b.route(to, m)
	return confirmed, nil
}

type fakeConfirmation struct {
	conn    *fakeConn
	delay   time.Duration
	blocked chan struct{}
}

func (f *fakeConfirmation) Wait(ctx context.Context) error {
	both, cancel := both(ctx, f.conn.ctx)
	defer cancel()
	if f.blocked != nil {
		<-both.Done()
		return context.Cause(both)
	}
	if !sleep(both, f.delay) {
		return context.Cause(both)
	}
	return nil
}
