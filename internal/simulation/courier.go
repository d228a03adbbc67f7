package simulation

import (
	"context"
	"fmt"
	"sync"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/replication"
)

// courier is the book of one link of one node, over all its lives: what a
// broker confirmed, and what came.
type courier struct {
	mu         sync.Mutex
	sent, came map[branch.Dot]bool
	// checked is up to which position of a feed handedOver has looked.
	checked map[*witness]uint64
}

func newCourier() *courier {
	return &courier{sent: map[branch.Dot]bool{}, came: map[branch.Dot]bool{}, checked: map[*witness]uint64{}}
}

func (c *courier) note(book map[branch.Dot]bool, list []changeset.Envelope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range list {
		book[e.Dot] = true
	}
}

func (c *courier) carried(d branch.Dot) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[d] || c.came[d]
}

// receipt enters what a confirmed message carried.
type receipt struct {
	replication.Confirmation
	c     *courier
	cargo []changeset.Envelope
}

// Wait implements replication.Confirmation.
func (r *receipt) Wait(ctx context.Context) error {
	err := r.Confirmation.Wait(ctx)
	if err == nil {
		r.c.note(r.c.sent, r.cargo)
	}
	return err
}

// handedOver asserts that what lies below a link's durable cursor was confirmed
// by the broker, or came over that link: else nobody would send it any more.
func (w *world) handedOver() error {
	for _, n := range w.running() {
		v := n.volume.witness
		for i, c := range n.couriers {
			cursor, err := n.now.store.Cursor(fmt.Sprintf("link-%d", i))
			if err != nil || v.incarnation != n.now.store.Incarnation() {
				continue
			}
			for pos := max(v.first, v.given+1, c.checked[v]+1); pos <= cursor && pos < v.first+uint64(len(v.order)); pos++ {
				d := v.order[pos-v.first]
				if (d.Branch == n.id || len(n.links) > 1) && !c.carried(d) {
					return fmt.Errorf("%s takes %s for sent over link %d (cursor %d, it is at %d), and no broker confirmed it", n.id, d, i, cursor, pos)
				}
				c.checked[v] = pos
			}
		}
	}
	return nil
}

// kept asserts before an acknowledgment that what the message carried is safe:
// applied, or pending. It can tell only while nothing was refused or dropped.
func (p *process) kept(m replication.Message) {
	count, _ := p.store.Pending()
	if count > 0 || p.n.w.lost("") || m.ContentType != changeset.ContentType {
		return
	}
	revision := p.store.Revision()
	for _, e := range cargo(m) {
		if !revision.Covers(e.Dot) {
			p.n.w.fail("G1", "%s acknowledged %s to the broker, and has neither applied nor kept it", p.id, e.Dot)
		}
	}
}

// trimmedTogether asserts that nothing has left a log that a member still lacks.
// The log of one that was struck off is what came with a snapshot: who is
// connected by it alone gets a snapshot too.
func (w *world) trimmedTogether() error {
	if w.lost("") {
		return nil
	}
	for _, n := range w.running() {
		for _, o := range w.nodes {
			if w.isEvicted(n) || o == n || !n.hears(o) || w.isEvicted(o) {
				continue
			}
			for _, d := range n.now.store.Floor() {
				if !o.volume.witness.vector.Covers(d) {
					return fmt.Errorf("%s has let go of %s, and %s is at %s", n.id, d, o.id, o.volume.witness.vector)
				}
			}
		}
	}
	return nil
}
