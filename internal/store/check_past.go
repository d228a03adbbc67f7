package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// replayCache is how many decoded changesets the replay keeps: those of one
// transaction over many objects are asked for again and again.
const replayCache = 1024

// past checks what is kept of changesets that have left the log, and that the
// history of every object ends in its record: so the log, the bases, the clocks,
// the pasts and the records agree.
func (c *checker) past() {
	if len(c.faults) > 0 {
		return
	}
	c.clocks()
	r := replayer{tx: c.tx, image: c.image, known: map[uint64]replayed{}}
	entries := 0
	err := c.tx.Bucket(bucketObjects).ForEach(func(k, v []byte) error {
		root := string(k)
		n, rec, err := r.replay(root)
		entries += n
		switch {
		case err != nil:
			c.fault("object "+root, "%w", err)
		case !bytes.Equal(rec.encode(), v):
			c.fault("object "+root, "it is not what its history makes of it")
		}
		if c.stop() {
			return errStop{}
		}
		return c.ctx.Err()
	})
	if err != nil || c.stop() {
		return
	}
	if n := c.image.count(bucketHistory); n != entries {
		c.fault("the index of the history", "it has %d entries, those of the objects are %d", n, entries)
	}
	c.pasts()
}

// errStop ends a walk through a bucket.
type errStop struct{}

// Error is never shown: who ends a walk asks the checker why.
func (errStop) Error() string { return "enough was found" }

// clocks checks that every changeset below the floor has one.
func (c *checker) clocks() {
	heads, _, err := floorHeads(c.tx)
	if err != nil {
		c.faults = append(c.faults, err)
		return
	}
	for id, h := range heads {
		var last changeset.Clock
		for seq := uint64(1); seq <= h.seq && !c.stop(); seq = seq&^(clockChunk-1) + clockChunk {
			chunk, err := clocksAt(c.tx, branch.Dot{Branch: id, Seq: seq})
			if err != nil {
				c.faults = append(c.faults, err)
				return
			}
			top := min(h.seq, seq&^(clockChunk-1)+clockChunk-1)
			if uint64(len(chunk)) != top-seq+1 || !slices.IsSorted(chunk) {
				c.fault("the clocks", "branch %s has %d from %d to %d", id, len(chunk), seq, top)
				return
			}
			last = chunk[len(chunk)-1]
		}
		if last != h.clock {
			c.fault("the clocks", "that of %d in branch %s is %d, the floor says %d", h.seq, id, last, h.clock)
		}
	}
}

// pasts checks that every past belongs to an object that has changed since.
func (c *checker) pasts() {
	for k := range keysFrom(c.image, bucketPast, nil, nil) {
		if c.stop() {
			return
		}
		if root := string(k); !changedAbove(c.image, root, 0) {
			c.fault("the past of "+root, "it is kept for an object that has not changed since the floor")
		}
	}
}

// replayer applies the changesets of objects again.
type replayer struct {
	tx    *bolt.Tx
	image image
	known map[uint64]replayed
}

// replayed is a changeset as records need it.
type replayed struct {
	write   write
	objects []changeset.ObjectChange
}

// replay returns what its changesets in the log, and how many they are, make of
// an object's past.
func (r *replayer) replay(root string) (int, *record, error) {
	rec, err := pastOf(r.image, root)
	if err != nil {
		return 0, nil, err
	}
	n := 0
	prefix := textKey(root)
	for k := range keysFrom(r.image, bucketHistory, prefix, prefix) {
		n++
		if len(k) != len(prefix)+8 {
			return n, rec, fmt.Errorf("key %x of its history has %d bytes", k, len(k))
		}
		ev, err := r.at(binary.BigEndian.Uint64(k[len(prefix):]))
		if err != nil {
			return n, rec, err
		}
		at := slices.IndexFunc(ev.objects, func(o changeset.ObjectChange) bool { return o.Root == root })
		if at < 0 {
			return n, rec, fmt.Errorf("changeset %s does not change it", ev.write.stamp.Dot)
		}
		rec.apply(ev.objects[at], ev.write)
	}
	return n, rec, nil
}

// at returns the changeset at a position.
func (r *replayer) at(pos uint64) (replayed, error) {
	if ev, ok := r.known[pos]; ok {
		return ev, nil
	}
	if len(r.known) >= replayCache {
		clear(r.known)
	}
	e, err := logAt(r.tx, pos)
	if err != nil {
		return replayed{}, err
	}
	set, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
	if err != nil {
		return replayed{}, err
	}
	base, err := basisAt(r.tx, e.Dot)
	if err != nil {
		return replayed{}, err
	}
	ev := replayed{write: write{stamp: changeset.Stamp{Clock: e.clock, Dot: e.Dot}, seen: base.seen}, objects: set.Objects}
	r.known[pos] = ev
	return ev, nil
}
