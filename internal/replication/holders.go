package replication

import (
	"context"
	"slices"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// askHolders is how often peers are asked again whether they have what somebody
// waits for: a beacon may be lost.
const askHolders = 500 * time.Millisecond

// news wakes those who wait for peers to say something.
type news struct {
	mu    sync.Mutex
	heard chan struct{}
}

// next returns a channel that is closed at the next news.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.heard == nil {
		n.heard = make(chan struct{})
	}
	return n.heard
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.heard != nil {
		close(n.heard)
		n.heard = nil
	}
}

// telling lets those who wait look again after each beacon.
func (l *link) telling(deliver func(context.Context, Delivery)) func(context.Context, Delivery) {
	return func(ctx context.Context, d Delivery) {
		deliver(ctx, d)
		l.r.news.tell()
	}
}

// Holders returns the peers that have said that they have a changeset, in order.
// Others may have it too: those behind a relay do not tell this node, and
// nobody's word is newer than the last beacon.
func (r *Replicator) Holders(d branch.Dot) []branch.ID {
	var out []branch.ID
	for _, l := range r.links {
		l.mu.Lock()
		for id, p := range l.peers.byBranch {
			if p.Revision.Covers(d) {
				out = append(out, id)
			}
		}
		l.mu.Unlock()
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// AwaitHolders waits until at least n peers have said that they have a changeset
// of this node's own branch, or ctx ends, and returns those that have. Without
// links it does not wait.
func (r *Replicator) AwaitHolders(ctx context.Context, d branch.Dot, n int) []branch.ID {
	if len(r.links) == 0 {
		return nil
	}
	again := time.NewTicker(askHolders)
	defer again.Stop()
	r.askHolders(d)
	for {
		heard := r.news.next()
		if have := r.Holders(d); len(have) >= n || ctx.Err() != nil {
			return have
		}
		select {
		case <-heard:
		case <-again.C:
			r.askHolders(d)
		case <-ctx.Done():
		}
	}
}

// askHolders asks all peers to say when they have a changeset.
func (r *Replicator) askHolders(d branch.Dot) {
	for _, l := range r.links {
		l.beaconer.await(d.Seq)
	}
}
