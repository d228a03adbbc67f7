package vesperwire

import (
	"fmt"
	"sync"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/store"
)

// recentMessages bounds the messages that are remembered until they are sent,
// and recentRows their statements.
const (
	recentMessages = 1024
	recentRows     = 100_000
)

// Form is the form that the transactions of a store must have whose link has
// such a wire. It remembers the messages that it has made, since making them
// again takes the history of the objects. It is safe for concurrent use.
type Form struct {
	trunk branch.ID
	codec legacywire.Codec

	mu     sync.Mutex
	recent map[branch.Dot]remembered
	order  []branch.Dot
	rows   int
}

// remembered is the message of the changeset with this hash.
type remembered struct {
	hash    [32]byte
	message legacywire.Message
}

// NewForm returns the form of the transactions of a node in a system with this
// trunk.
func NewForm(trunk branch.ID, codec legacywire.Codec) *Form {
	return &Form{trunk: trunk, codec: codec, recent: map[branch.Dot]remembered{}}
}

// Shape is a store.ShapeFunc. A store that has nothing of the trunk refuses
// writes unless it is the trunk: nodes of the original would stop at the first
// such changeset.
func (f *Form) Shape(c changeset.Changeset, before *store.Reader) (changeset.Changeset, error) {
	if c.Branch != f.trunk && before.Revision().At(f.trunk) == 0 {
		return c, &store.RefusedError{Reason: fmt.Sprintf("the channel is one that nodes of the original Vesper share, and there the trunk "+
			"writes first: nothing of branch %s has arrived yet", f.trunk)}
	}
	p, known, err := before.Predecessor(c.Dot())
	if err != nil || !known {
		return c, fmt.Errorf("finding what comes before changeset %s: %w", c.Dot(), err)
	}
	out, m, err := f.codec.Shape(c, legacywire.Predecessor(p), once(before.Object))
	if err != nil {
		return c, &store.InvalidError{Err: err}
	}
	return out, f.remember(out, m)
}

// remember keeps the message of a changeset that is about to be committed. If
// it is not, another one will take its dot, with another hash.
func (f *Form) remember(c changeset.Changeset, m legacywire.Message) error {
	if len(c.Objects) == 0 || len(m.Rows) > recentRows {
		return nil
	}
	e, err := changeset.Encode(c)
	if err != nil {
		return &store.InvalidError{Err: err}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(e.Dot)
	f.recent[e.Dot] = remembered{hash: e.Hash, message: m}
	f.order = append(f.order, e.Dot)
	f.rows += len(m.Rows)
	for len(f.recent) > recentMessages || f.rows > recentRows {
		f.forget(f.order[0])
	}
	return nil
}

// forget drops what is remembered under a dot. The caller holds mu.
func (f *Form) forget(d branch.Dot) {
	r, ok := f.recent[d]
	if !ok {
		return
	}
	delete(f.recent, d)
	f.rows -= len(r.message.Rows)
	for i := range f.order {
		if f.order[i] == d {
			f.order = append(f.order[:i], f.order[i+1:]...)
			return
		}
	}
}

// take returns the message of an envelope if it is remembered, and forgets it.
func (f *Form) take(e changeset.Envelope) (legacywire.Message, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.recent[e.Dot]
	if !ok || r.hash != e.Hash {
		return legacywire.Message{}, false
	}
	f.forget(e.Dot)
	return r.message, true
}
