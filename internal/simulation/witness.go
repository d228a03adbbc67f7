package simulation

import (
	"context"
	"errors"
	"math"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// witness is the book of one volume: what its change feed has told so far, and
// what follows from that.
type witness struct {
	w    *world
	name string

	incarnation string
	// order has the dots of the feed from position first on.
	first uint64
	order []branch.Dot
	seen  map[branch.Dot]uint64
	// given is up to which position the feed came with a snapshot.
	given uint64
	// vector is what the feed adds up to.
	vector branch.Revision
}

func newWitness(w *world, name string) *witness {
	return &witness{w: w, name: name, first: 1, seen: map[branch.Dot]uint64{}}
}

// reopened compares the feed after a start with what it told before, and goes on.
func (v *witness) reopened(n *node, st *store.Store) {
	if v.renewed(n, st) {
		v.follow(n, st)
		return
	}
	if uint64(len(v.order)) > 0 {
		v.compare(n, st)
	}
	v.follow(n, st)
}

// renewed begins a new book when the store has begun a new life: it has installed
// a snapshot, and must still have all that it had.
func (v *witness) renewed(n *node, st *store.Store) bool {
	if v.incarnation == st.Incarnation() {
		return false
	}
	first := v.incarnation == ""
	if own := v.w.ledger.lastAcked(n.id); !first && !v.w.lost(n.id) && st.Revision().At(n.id) < own {
		v.w.fail("G9", "%s has acknowledged its changesets up to %d, and has those up to %d after it has installed a snapshot",
			n.id, own, st.Revision().At(n.id))
	}
	if now := st.Revision(); !now.CoversAll(v.vector) {
		v.w.fail("G9", "%s was at %s, and is at %s after it has installed a snapshot", n.id, v.vector, now)
	}
	*v = *newWitness(v.w, v.name)
	v.incarnation = st.Incarnation()
	if !first {
		v.given = math.MaxUint64 // until all of it was read
	}
	return true
}

// compare reads the feed again from its beginning.
func (v *witness) compare(n *node, st *store.Store) {
	end := v.first + uint64(len(v.order))
	for after := uint64(0); ; {
		entries, err := st.Feed(context.Background(), after, 1<<20)
		if trimmed, ok := errors.AsType[*store.PositionError](err); ok && trimmed.Floor > after {
			after = trimmed.Floor
			continue
		}
		if err != nil || len(entries) == 0 {
			if after+1 < end && err == nil {
				v.w.fail("G6", "the feed of %s ends at %d after a restart, it had %d entries", n.id, after, end-1)
			}
			return
		}
		for _, e := range entries {
			after = e.Pos
			if e.Pos >= v.first && e.Pos < end && v.order[e.Pos-v.first] != e.Dot {
				v.w.fail("G6", "position %d of the feed of %s was %s and is %s after a restart", e.Pos, n.id, v.order[e.Pos-v.first], e.Dot)
				return
			}
		}
	}
}

// follow reads what is new in the feed.
func (v *witness) follow(n *node, st *store.Store) {
	v.renewed(n, st)
	shown := st.Revision()
	for {
		next := v.first + uint64(len(v.order))
		entries, err := st.Feed(context.Background(), next-1, 1<<20)
		if trimmed, ok := errors.AsType[*store.PositionError](err); ok && trimmed.Floor >= next {
			v.skip(n, st, next, trimmed.Floor+1)
			continue
		}
		if err != nil {
			return // the disk or the process is dead
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			v.take(n, st, e)
		}
	}
	if v.given == math.MaxUint64 {
		v.given = v.first + uint64(len(v.order)) - 1
	}
	if !v.vector.CoversAll(shown) && v.incarnation == st.Incarnation() {
		v.w.fail("G6", "%s shows revision %s, its feed adds up to %s", n.id, shown, v.vector)
		v.vector = v.vector.Merge(shown)
	}
}

// take enters one entry of the feed.
func (v *witness) take(n *node, st *store.Store, e store.FeedEntry) {
	if next := v.first + uint64(len(v.order)); e.Pos != next {
		v.skip(n, st, next, e.Pos)
	}
	if pos, twice := v.seen[e.Dot]; twice {
		v.w.fail("G6", "the feed of %s has %s at %d and at %d", n.id, e.Dot, pos, e.Pos)
	}
	if have := v.vector.At(e.Dot.Branch); e.Dot.Seq != have+1 {
		v.w.fail("G7", "%s applied %s after %d of that branch", n.id, e.Dot, have)
	}
	v.w.seen(n.id, e.Envelope)
	if base, known := v.w.ledger.base(e.Dot); known && !v.vector.CoversAll(base) {
		v.w.fail("G5", "%s applied %s, whose author had seen %s, at %s", n.id, e.Dot, base, v.vector)
	}
	v.w.trace.note("%s feed %d %s", n.id, e.Pos, e.Dot)
	v.order, v.seen[e.Dot] = append(v.order, e.Dot), e.Pos
	v.vector = v.vector.With(e.Dot)
}

// skip passes over positions that have left the log. A store that has got its
// content as a snapshot counts from somewhere else.
func (v *witness) skip(n *node, st *store.Store, from, to uint64) {
	floor := st.Floor()
	if begins := from == 1 && len(v.vector) == 0; to < from || len(floor) == 0 && !begins {
		v.w.fail("G6", "the feed of %s goes on at %d after %d", n.id, to, from-1)
	}
	v.vector = v.vector.Merge(floor)
	v.first, v.order = to, nil
}
