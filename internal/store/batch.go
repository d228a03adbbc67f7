package store

import (
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// batch is one transaction of the file, in which many transactions of the store
// run one after another. Errors of the file stick: after the first, nothing is
// written any more, and the committer gives the whole batch up.
type batch struct {
	tx  *bolt.Tx
	st  *state
	now func() time.Time
	// shape gives local changesets their final form; nil leaves them as they are.
	shape ShapeFunc
	err   error
	// dirty is set by the first write, moved when the change feed grew.
	dirty, moved bool
	// puts counts the writes to buckets, size the bytes of their keys and values.
	puts int
	size int64
	// journal takes the keys written; nil when nobody wants to know.
	journal *journal
	// heads are the branches whose heads have changed.
	heads map[branch.ID]bool
	// bytes counts the bodies written, local the local changesets.
	bytes int
	local uint64
	// ops are the changes of index entries; those up to frozen are part of the tail
	// in memory already. opCount and opBytes are how many have come in all.
	ops              []byte
	frozen           int
	opCount, opBytes int
}

// fail records an error of the file, if err is one.
func (b *batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// note counts a write, and tells it to who copies the file.
func (b *batch) note(bucket, key []byte, value int) {
	b.dirty = true
	b.puts++
	b.size += int64(len(key) + value)
	b.journal.note(bucket, key)
}

// growingFill is how full bbolt leaves the pages of a bucket that grows at its
// end only. It halves the others, for what comes between.
const growingFill = 0.95

// grows reports whether keys come to a bucket in their order.
func grows(bucket []byte) bool {
	return &bucket[0] == &bucketLog[0] || &bucket[0] == &bucketDots[0] || &bucket[0] == &bucketTail[0]
}

func (b *batch) put(bucket, key, value []byte) {
	if b.err != nil {
		return
	}
	if place, held := heldBackAs(bucket); held {
		b.hold(place, false, key)
		return
	}
	b.putNow(bucket, key, value)
}

// putNow is put for what is not held back, or no longer.
func (b *batch) putNow(bucket, key, value []byte) {
	b.note(bucket, key, len(value))
	into := b.tx.Bucket(bucket)
	if grows(bucket) {
		into.FillPercent = growingFill
	}
	if err := into.Put(key, value); err != nil {
		b.fail(fmt.Errorf("writing to %s: %w", bucket, err))
	}
}

func (b *batch) remove(bucket, key []byte) {
	if b.err != nil {
		return
	}
	if place, held := heldBackAs(bucket); held {
		b.hold(place, true, key)
		return
	}
	b.removeNow(bucket, key)
}

// removeNow is remove for what is not held back, or no longer.
func (b *batch) removeNow(bucket, key []byte) {
	b.note(bucket, key, 0)
	if err := b.tx.Bucket(bucket).Delete(key); err != nil {
		b.fail(fmt.Errorf("deleting from %s: %w", bucket, err))
	}
}

// basisOf returns what the author of a branch has seen up to its head.
func (b *batch) basisOf(id branch.ID) basis {
	if known, ok := b.st.bases[id]; ok {
		return known
	}
	var found basis
	if h := b.st.heads[id]; h.seq > 0 {
		var err error
		if found, err = basisAt(b.tx, branch.Dot{Branch: id, Seq: h.seq}); err != nil {
			b.fail(err)
			return found
		}
	}
	b.st.bases[id] = found
	return found
}

// effectiveClock returns the clock that counts for a changeset: its own, unless
// that is not greater than those of what its author had seen. No sound author
// does that; but the state must not depend on the order of arrival even then,
// and every node finds the same clock here.
func (b *batch) effectiveClock(c *changeset.Changeset) changeset.Clock {
	clock := max(c.Clock, b.st.heads[c.Branch].clock+1)
	for _, d := range c.Base {
		seen, ok, err := clockOf(b.tx, d)
		if err != nil {
			b.fail(err)
		}
		if ok {
			clock = max(clock, seen+1)
		}
	}
	return clock
}

// advance applies a changeset that is next in its branch and whose base is
// covered: the objects, the indexes, the log, the feed and the head.
func (b *batch) advance(c *changeset.Changeset, env changeset.Envelope) {
	dot := env.Dot
	known := b.basisOf(dot.Branch)
	after, entry := known.next(c.Base)
	clock := b.effectiveClock(c)
	w := write{
		stamp: changeset.Stamp{Clock: clock, Dot: dot},
		seen:  after.seen,
	}
	pos := b.st.pos + 1
	for i := range c.Objects {
		b.change(&c.Objects[i], w, pos)
	}
	if entry != nil {
		b.put(bucketBases, dotKey(dot), entry)
	}
	b.put(bucketLog, positionKey(pos), logEntry{clock: clock, Envelope: env}.encode())
	b.put(bucketDots, dotKey(dot), positionKey(pos))
	if b.st.pending.remove(dot) {
		b.remove(bucketPending, dotKey(dot))
	}
	if b.err != nil {
		return
	}
	b.st.pos = pos
	b.st.bases[dot.Branch] = after
	b.st.heads[dot.Branch] = head{seq: dot.Seq, clock: clock, hash: env.Hash}
	b.heads[dot.Branch] = true
	b.st.raise(dot)
	b.st.clock = max(b.st.clock, clock)
	b.moved = true
	b.bytes += len(env.Body)
}

// change applies what a changeset does to one object.
func (b *batch) change(c *changeset.ObjectChange, w write, pos uint64) {
	if b.err != nil {
		return
	}
	key := []byte(c.Root)
	old := b.tx.Bucket(bucketObjects).Get(key)
	rec, err := decodeRecord(old)
	if err != nil {
		b.fail(&CorruptError{What: "object " + c.Root, Err: err})
		return
	}
	before := rec.see(c.Root, b.st.policy)
	rec.apply(*c, w)
	after := rec.see(c.Root, b.st.policy)
	encoded := rec.encode()

	sum := &b.st.digest[bucketOf(c.Root)]
	if old != nil {
		*sum -= recordHash(c.Root, old)
	}
	*sum += recordHash(c.Root, encoded)
	if mutant.On("digest-off-by-one") && !b.moved {
		*sum++
	}
	b.keepPast(c.Root, old)
	b.put(bucketObjects, key, encoded)
	b.put(bucketHistory, historyKey(c.Root, pos), nil)
	b.reindex(before, after)
	b.tellConflicts(before, after, w.stamp.Dot)
}

// finish writes what is written once a batch.
func (b *batch) finish() {
	if !b.moved {
		return
	}
	for id := range b.heads {
		b.put(bucketHeads, []byte(id), b.st.heads[id].encode())
	}
	b.put(bucketMeta, metaDigest, b.st.encodeDigest())
	b.put(bucketMeta, metaCounts, b.st.encodeCounts())
	b.writeDeclaration()
}
