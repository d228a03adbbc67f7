package store

import (
	"maps"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// pendingItem is what must be known of a changeset that waits, besides its body.
type pendingItem struct {
	hash  [32]byte
	delta branch.Revision
	size  int
}

// pendingSet knows the changesets in bucketPending. The committer changes it,
// others look.
type pendingSet struct {
	mu    sync.Mutex
	items map[branch.ID]map[uint64]pendingItem
	count int
	bytes int
	// dropped are the highest sequences that found no room.
	dropped map[branch.ID]uint64
}

func newPendingSet() *pendingSet {
	return &pendingSet{items: map[branch.ID]map[uint64]pendingItem{}, dropped: map[branch.ID]uint64{}}
}

// loadPending reads bucketPending. A body that cannot be decoded is left out: it
// was checked when it came, so the file is damaged there, and it can be fetched
// again.
func loadPending(tx *bolt.Tx) (*pendingSet, error) {
	p := newPendingSet()
	err := tx.Bucket(bucketPending).ForEach(func(k, v []byte) error {
		env, err := decodePending(k, v)
		if err != nil {
			return nil //nolint:nilerr // left out, see above
		}
		c, err := changeset.Decode(env, changeset.DefaultLimits())
		if err != nil {
			return nil //nolint:nilerr // left out, see above
		}
		p.add(env, c.Base)
		return nil
	})
	return p, err
}

func decodePending(k, v []byte) (changeset.Envelope, error) {
	dot, err := parseDotKey(k)
	if err != nil {
		return changeset.Envelope{}, err
	}
	env := changeset.Envelope{Dot: dot}
	copy(env.Hash[:], v)
	if len(v) > len(env.Hash) {
		env.Body = slices.Clone(v[len(env.Hash):])
	}
	return env, nil
}

func encodePending(e changeset.Envelope) []byte {
	return append(append(make([]byte, 0, len(e.Hash)+len(e.Body)), e.Hash[:]...), e.Body...)
}

func (p *pendingSet) add(e changeset.Envelope, delta branch.Revision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.items[e.Dot.Branch]
	if of == nil {
		of = map[uint64]pendingItem{}
		p.items[e.Dot.Branch] = of
	}
	of[e.Dot.Seq] = pendingItem{hash: e.Hash, delta: delta, size: len(e.Body)}
	p.count++
	p.bytes += len(e.Body)
}

func (p *pendingSet) remove(d branch.Dot) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	item, ok := p.items[d.Branch][d.Seq]
	if !ok || mutant.On("pending-kept") {
		return false
	}
	delete(p.items[d.Branch], d.Seq)
	if len(p.items[d.Branch]) == 0 {
		delete(p.items, d.Branch)
	}
	p.count--
	p.bytes -= item.size
	return true
}

// drop remembers a changeset that found no room.
func (p *pendingSet) drop(d branch.Dot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped[d.Branch] = max(p.dropped[d.Branch], d.Seq)
}

func (p *pendingSet) get(d branch.Dot) (pendingItem, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	item, ok := p.items[d.Branch][d.Seq]
	return item, ok
}

// has reports whether anything of a branch waits.
func (p *pendingSet) has(id branch.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.items[id]) > 0
}

// of returns what waits of a branch, sorted, and forgets what found no room.
func (p *pendingSet) of(id branch.ID) []branch.Dot {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dropped, id)
	out := make([]branch.Dot, 0, len(p.items[id]))
	for _, seq := range slices.Sorted(maps.Keys(p.items[id])) {
		out = append(out, branch.Dot{Branch: id, Seq: seq})
	}
	return out
}

func (p *pendingSet) branches() []branch.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.items))
}

func (p *pendingSet) size() (count, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, p.bytes
}

// missing returns the dots that something waits for and that are neither
// applied nor pending, sorted: the predecessors in the branch, the components
// of the base, and what was dropped.
func (p *pendingSet) missing(applied branch.Revision) []branch.Dot {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := map[branch.Dot]bool{}
	lack := func(d branch.Dot) {
		if _, waits := p.items[d.Branch][d.Seq]; d.Seq > 0 && !waits && !applied.Covers(d) {
			want[d] = true
		}
	}
	for id, of := range p.items {
		for seq, item := range of {
			lack(branch.Dot{Branch: id, Seq: seq - 1})
			for _, d := range item.delta {
				lack(d)
			}
		}
	}
	for id, seq := range p.dropped {
		lack(branch.Dot{Branch: id, Seq: seq})
	}
	return slices.SortedFunc(maps.Keys(want), branch.Dot.Compare)
}

// beyond returns the highest sequence of each branch that waits, that something
// waits for, or that was dropped, where that is not applied.
func (p *pendingSet) beyond(applied branch.Revision) (out branch.Revision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	take := func(d branch.Dot) {
		if d.Seq > max(applied.At(d.Branch), out.At(d.Branch)) {
			out = out.With(d)
		}
	}
	for id, of := range p.items {
		for seq, item := range of {
			take(branch.Dot{Branch: id, Seq: seq})
			for _, d := range item.delta {
				take(d)
			}
		}
	}
	for id, seq := range p.dropped {
		take(branch.Dot{Branch: id, Seq: seq})
	}
	return out
}
