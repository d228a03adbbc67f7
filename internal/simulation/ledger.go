package simulation

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// ledger is the book of all changesets that were seen anywhere, and of the
// writes that were acknowledged.
type ledger struct {
	mu      sync.Mutex
	entries map[branch.Dot]*entry
	// acked are the acknowledged writes that must be kept.
	acked map[branch.Dot]bool
	// gone are the changesets that went down with a volume.
	gone map[branch.Dot]bool
}

// entry is one changeset.
type entry struct {
	env changeset.Envelope
	set changeset.Changeset
	sum [32]byte
	// where it was first seen.
	where string
	// seen is the revision that it makes; nil until it is asked for.
	seen branch.Revision
}

func newLedger() *ledger {
	return &ledger{entries: map[branch.Dot]*entry{}, acked: map[branch.Dot]bool{}, gone: map[branch.Dot]bool{}}
}

// note enters a changeset that was seen somewhere. The error says that its dot
// has another content already, or that it is none.
func (l *ledger) note(where string, env changeset.Envelope) error {
	sum := sha256.Sum256(env.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.entries[env.Dot]; have != nil {
		if have.sum != sum {
			return fmt.Errorf("%s has two contents: %x seen at %s, %x at %s", env.Dot, have.sum[:4], have.where, sum[:4], where)
		}
		return nil
	}
	set, err := changeset.Decode(env, changeset.DefaultLimits())
	if err != nil {
		return fmt.Errorf("%s at %s cannot be read: %w", env.Dot, where, err)
	}
	if set.Dot() != env.Dot {
		return fmt.Errorf("%s at %s says that it is %s", env.Dot, where, set.Dot())
	}
	l.entries[env.Dot] = &entry{env: env, set: set, sum: sum, where: where}
	return nil
}

// ack enters an acknowledged write.
func (l *ledger) ack(d branch.Dot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[d] = true
}

func (l *ledger) at(d branch.Dot) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[d]
}

// lastAcked is the highest sequence of a branch that was acknowledged.
func (l *ledger) lastAcked(id branch.ID) (seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range l.acked {
		if d.Branch == id {
			seq = max(seq, d.Seq)
		}
	}
	return seq
}

// last is the highest sequence of a branch.
func (l *ledger) last(id branch.ID) (seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range l.entries {
		if d.Branch == id {
			seq = max(seq, d.Seq)
		}
	}
	return seq
}

// forget strikes out the changesets of which there is no trace any more, and
// counts them. One that was struck out and seen again since, as on a disk that had
// not said that it has it, is judged anew.
func (l *ledger) forget(gone func(branch.Dot) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d := range l.acked {
		if gone(d) {
			delete(l.acked, d)
			l.gone[d] = true
		}
	}
	for d := range l.entries {
		if gone(d) {
			delete(l.entries, d)
			l.gone[d] = true
			n++
		}
	}
	return n
}

// sawGone reports whether the author of a changeset had seen one that is gone.
// The caller holds mu.
func (l *ledger) sawGone(d branch.Dot) bool {
	for g := range l.gone {
		if g.Branch == d.Branch && g.Seq < d.Seq {
			return true
		}
		for e := l.entries[d]; e != nil; e = l.entries[branch.Dot{Branch: d.Branch, Seq: e.env.Dot.Seq - 1}] {
			if e.set.Base.Covers(g) {
				return true
			}
		}
	}
	return false
}

// hopeless reports whether all of the dots are gone: what waits for them waits
// for ever. What waits for nothing is no such case.
func (l *ledger) hopeless(dots []branch.Dot) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(dots) > 0 && !slices.ContainsFunc(dots, func(d branch.Dot) bool { return !l.gone[d] })
}

// base is all that the author of a changeset had seen before it; false while
// the ledger does not have all of its earlier changesets.
func (l *ledger) base(d branch.Dot) (seen branch.Revision, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := d.Seq
	for ; first > 0; first-- {
		e := l.entries[branch.Dot{Branch: d.Branch, Seq: first}]
		if e == nil {
			return nil, false
		}
		if seen = e.seen; seen != nil {
			break
		}
	}
	for seq := first + 1; seq <= d.Seq; seq++ {
		e := l.entries[branch.Dot{Branch: d.Branch, Seq: seq}]
		seen = seen.Merge(e.set.Base).With(branch.Dot{Branch: d.Branch, Seq: seq})
		e.seen = seen
	}
	return before(seen, d), true
}

// before takes the changeset itself out of what it makes of a revision.
func before(after branch.Revision, d branch.Dot) branch.Revision {
	out := slices.Clone(after)
	for i := range out {
		if out[i].Branch == d.Branch {
			out[i].Seq--
		}
	}
	return slices.DeleteFunc(out, func(c branch.Dot) bool { return c.Seq == 0 })
}
