package simulation

import (
	"context"
	"errors"
	"time"

	"vesperdb.io/vesper/internal/replication"
)

// reconnectPause is how long a transport waits between attempts to connect.
const reconnectPause = 200 * time.Millisecond

// transport is one process's connection to one broker.
type transport struct {
	p    *process
	b    *broker
	book *courier
	conn chan *conn // holds the present connection, or nil
}

func newTransport(p *process, b *broker, book *courier) *transport {
	t := &transport{p: p, b: b, book: book, conn: make(chan *conn, 1)}
	t.conn <- nil
	return t
}

func (t *transport) swap(c *conn) {
	<-t.conn
	t.conn <- c
}

func (t *transport) present() *conn {
	c := <-t.conn
	t.conn <- c
	return c
}

// Run implements replication.Transport.
func (t *transport) Run(ctx context.Context, subs []replication.Subscription, observe func(replication.State)) error {
	var refusedSince time.Time
	for ctx.Err() == nil {
		c, err := t.b.connect(ctx, t.p.id, t.guarded(subs))
		if err != nil {
			var taken *takenError
			if !errors.As(err, &taken) {
				refusedSince = time.Time{}
			} else if refusedSince.IsZero() {
				refusedSince = time.Now()
			}
			observe(replication.State{Err: err, Taken: taken != nil, InUse: taken != nil && time.Since(refusedSince) >= inUseAfter})
			sleep(ctx, reconnectPause)
			continue
		}
		refusedSince = time.Time{}
		t.swap(c)
		observe(replication.State{Connected: true, Subscribed: true, Address: t.b.name + ":1", Server: "Simulated/1"})
		t.b.serve(c)
		t.swap(nil)
		observe(replication.State{Err: context.Cause(c.ctx)})
	}
	return nil
}

// guarded lets a crash happen between a delivery and its acknowledgment.
func (t *transport) guarded(subs []replication.Subscription) []replication.Subscription {
	out := make([]replication.Subscription, len(subs))
	for i, s := range subs {
		out[i] = s
		out[i].Deliver = func(ctx context.Context, d replication.Delivery) {
			if ack := d.Ack; ack != nil {
				d.Ack = func(ctx context.Context) error {
					t.p.kept(d.Message)
					if err := t.p.pass("before an acknowledgment"); err != nil {
						return err
					}
					return errors.Join(ack(ctx), t.p.pass("after an acknowledgment"))
				}
			}
			if t.p.alive() {
				t.book.note(t.book.came, cargo(d.Message))
				s.Deliver(ctx, d)
			}
		}
	}
	return out
}

// Publish implements replication.Transport.
func (t *transport) Publish(ctx context.Context, to replication.Destination, m replication.Message) (replication.Confirmation, error) {
	if err := t.p.pass("before a frame"); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := t.present()
	if c == nil || c.ctx.Err() != nil {
		return nil, errors.New("not connected")
	}
	t.p.n.w.published(m)
	f := t.b.publish(c, to, m)
	if err := t.p.pass("after a frame"); err != nil {
		return nil, err
	}
	return &receipt{Confirmation: f, c: t.book, cargo: cargo(m)}, nil
}
