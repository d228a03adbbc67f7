package store

import (
	"context"
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// A call of Apply is cut into pieces of this size, so that local writers take
// their turns between them.
const (
	applyChangesets = 1000
	applyBytes      = 4 << 20
)

// arrival is a changeset that came, decoded.
type arrival struct {
	env changeset.Envelope
	set changeset.Changeset
}

func (s *Store) apply(ctx context.Context, list []changeset.Envelope) (Applied, error) {
	var total Applied
	for len(list) > 0 {
		piece := applyPiece(list)
		list = list[len(piece):]
		arrivals, rejected := decodeAll(piece)
		total.Rejected = append(total.Rejected, rejected...)
		if len(arrivals) == 0 {
			continue
		}
		var done Applied
		err := s.submit(ctx, func(b *batch) error {
			done = Applied{}
			b.receive(arrivals, &done, s.opts)
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("applying %d changesets from %s on: %w", len(arrivals), arrivals[0].env.Dot, err)
		}
		total.add(done)
	}
	return total, nil
}

func (a *Applied) add(b Applied) {
	a.Applied += b.Applied
	a.Duplicate += b.Duplicate
	a.Pending += b.Pending
	a.Dropped += b.Dropped
	a.Rejected = append(a.Rejected, b.Rejected...)
	a.Ahead = max(a.Ahead, b.Ahead)
}

func (a *Applied) noteApplied(clock changeset.Clock, now time.Time) {
	a.Applied++
	a.Ahead = max(a.Ahead, clock.Time().Sub(now))
}

func applyPiece(list []changeset.Envelope) []changeset.Envelope {
	size := 0
	for i, e := range list {
		if size += len(e.Body); i > 0 && (i >= applyChangesets || size > applyBytes) {
			return list[:i]
		}
	}
	return list
}

// decodeAll decodes in the caller's goroutine: the committer has enough to do.
func decodeAll(list []changeset.Envelope) (arrivals []arrival, rejected []Rejection) {
	arrivals = make([]arrival, 0, len(list))
	for _, e := range list {
		c, err := changeset.Decode(e, changeset.DefaultLimits())
		if err != nil {
			rejected = append(rejected, Rejection{Dot: e.Dot, Err: err})
			continue
		}
		arrivals = append(arrivals, arrival{env: e, set: c})
	}
	return arrivals, rejected
}

// receive deals with changesets that came, and then with the pending ones that
// became ready.
func (b *batch) receive(arrivals []arrival, done *Applied, opts Options) {
	for i := range arrivals {
		if b.err != nil {
			return
		}
		b.take(&arrivals[i], done, opts)
	}
	b.drain(done)
}

func (b *batch) take(a *arrival, done *Applied, opts Options) {
	if b.settled(a, done) {
		return
	}
	if b.full(a, opts) {
		// Some of what waits may have become ready, and this one with it.
		b.drain(done)
		if b.settled(a, done) {
			return
		}
	}
	if b.full(a, opts) {
		b.st.pending.drop(a.env.Dot)
		done.Dropped++
		return
	}
	if mutant.On("pending-dropped") {
		return
	}
	b.put(bucketPending, dotKey(a.env.Dot), encodePending(a.env))
	b.st.pending.add(a.env, a.set.Base)
	done.Pending++
}

// settled deals with a changeset unless it has to wait.
func (b *batch) settled(a *arrival, done *Applied) bool {
	dot := a.env.Dot
	have := b.st.heads[dot.Branch]
	if mutant.On("duplicate-applied-twice") && dot.Seq == have.seq {
		b.advance(&a.set, a.env)
		return true
	}
	if dot.Seq <= have.seq {
		b.compare(dot, a.env.Hash, done)
		return true
	}
	if item, waits := b.st.pending.get(dot); waits && item.hash != a.env.Hash {
		b.reject(done, dot, &ForkError{Dot: dot, Have: item.hash, Got: a.env.Hash})
		return true
	} else if waits {
		done.Duplicate++
		b.drainNext(dot.Branch, done)
		return true
	}
	if fork, forked := b.st.forked(dot.Branch); forked {
		b.reject(done, dot, &ForkedError{Fork: fork})
		return true
	}
	if dot.Seq > have.seq+1 {
		return false
	}
	if err := b.admit(&a.set); err != nil {
		b.reject(done, dot, err)
		return true
	}
	if !b.st.revision.CoversAll(a.set.Base) && !mutant.On("apply-without-base-check") {
		return false
	}
	b.advance(&a.set, a.env)
	done.noteApplied(a.set.Clock, b.now())
	return true
}

func (b *batch) full(a *arrival, opts Options) bool {
	count, size := b.st.pending.size()
	if mutant.On("pending-unbounded") {
		return false
	}
	return count >= opts.PendingLimit || size+len(a.env.Body) > opts.PendingBytes
}

func (a *Applied) reject(d branch.Dot, err error) {
	a.Rejected = append(a.Rejected, Rejection{Dot: d, Err: err})
}

// compare tells a repetition from a fork.
func (b *batch) compare(dot branch.Dot, hash [32]byte, done *Applied) {
	e, found, err := entryOf(b.tx, dot)
	if err != nil {
		b.fail(err)
		return
	}
	if found && e.Hash != hash && !mutant.On("accept-fork") {
		b.reject(done, dot, &ForkError{Dot: dot, Have: e.Hash, Got: hash})
		return
	}
	done.Duplicate++
}

// admit returns an error unless the changeset continues its branch: it names the
// hash of the one before it, and has newly seen only what that one had not.
func (b *batch) admit(c *changeset.Changeset) error {
	have := b.st.heads[c.Branch]
	if c.Seq > 1 && c.Prev != have.hash {
		before := branch.Dot{Branch: c.Branch, Seq: c.Seq - 1}
		return &ForkError{Dot: before, Have: have.hash, Got: c.Prev}
	}
	known := b.basisOf(c.Branch)
	for _, d := range c.Base {
		if known.seen.Covers(d) {
			return fmt.Errorf("changeset %s says that its author has newly seen %s, which it had seen before", c.Dot(), d)
		}
	}
	return nil
}

// drain applies pending changesets as long as any is ready. One that turns out
// not to continue its branch is dropped and rejected: it can never be applied.
func (b *batch) drain(done *Applied) {
	for progress := true; progress && b.err == nil; {
		progress = false
		for _, id := range b.st.pending.branches() {
			for b.err == nil && b.drainNext(id, done) {
				progress = true
			}
		}
	}
}

// drainNext applies the next changeset of a branch if it is pending and ready.
func (b *batch) drainNext(id branch.ID, done *Applied) bool {
	dot := branch.Dot{Branch: id, Seq: b.st.heads[id].seq + 1}
	item, ok := b.st.pending.get(dot)
	if _, forked := b.st.forked(id); forked || !ok || !b.st.revision.CoversAll(item.delta) {
		return false
	}
	a, err := b.pendingAt(dot)
	if err == nil {
		err = b.admit(&a.set)
	}
	if err != nil {
		b.reject(done, dot, err)
		b.st.pending.remove(dot)
		b.remove(bucketPending, dotKey(dot))
		return false
	}
	b.advance(&a.set, a.env)
	done.noteApplied(a.set.Clock, b.now())
	return true
}

func (b *batch) pendingAt(dot branch.Dot) (arrival, error) {
	key := dotKey(dot)
	env, err := decodePending(key, b.tx.Bucket(bucketPending).Get(key))
	if err != nil {
		return arrival{}, err
	}
	c, err := changeset.Decode(env, changeset.DefaultLimits())
	return arrival{env: env, set: c}, err
}
