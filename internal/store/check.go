package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

const (
	// checkPageBytes is up to which size a file's pages are all checked after an
	// unclean stop; it takes about a second.
	checkPageBytes = 64 << 20
	// pagesTime bounds the look at the pages at every open.
	pagesTime = time.Second
	// checkRecent is how many of the last changesets are checked then.
	checkRecent = 1000
	// maxFaults bounds how many contradictions are reported.
	maxFaults = 20
)

// Check reads the whole file and returns the contradictions it finds, the first
// few of them, joined, each a *CorruptError. Writes go on meanwhile.
func (s *Store) Check(ctx context.Context) error {
	return s.snapshot(ctx, func(tx *bolt.Tx) error {
		i, err := readImage(tx)
		if err != nil {
			return err
		}
		c := checker{ctx: ctx, tx: tx, image: i}
		c.pages()
		c.log(1)
		c.objects()
		c.past()
		return c.result()
	})
}

// lookAtPages looks at the pages of a file before bbolt reads or writes them, for
// a bounded time: that is enough for files of some hundred megabytes.
func (s *Store) lookAtPages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pagesTime)
	defer cancel()
	err := s.checkFilePages(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // bounded on purpose
	}
	return err
}

func (s *Store) checkFilePages(ctx context.Context) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := checkPages(ctx, f, info.Size(), int64(os.Getpagesize())); err != nil && ctx.Err() == nil {
		return &CorruptError{What: "the file", Err: err}
	}
	return context.Cause(ctx)
}

// checkAfterUncleanStop looks where a torn write would show: at the pages, if
// they are few, and at what was written last.
func (s *Store) checkAfterUncleanStop(ctx context.Context) error {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := s.snapshot(ctx, func(tx *bolt.Tx) error {
		c := checker{ctx: ctx, tx: tx, image: image{tx: tx, tail: noTail}}
		if tx.Size() <= checkPageBytes {
			c.pages()
		}
		st, err := loadState(tx)
		if err != nil {
			return err
		}
		c.log(max(st.pos, checkRecent) - checkRecent + 1)
		return c.result()
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // bounded on purpose
	}
	s.opts.Logger.Info("Checked the store after an unclean stop", "path", s.path, "took", time.Since(started), "error", err)
	return err
}

// checker collects contradictions.
type checker struct {
	ctx    context.Context
	tx     *bolt.Tx
	image  image // what the file has, not what is known in memory
	faults []error
}

func (c *checker) fault(what string, format string, args ...any) {
	c.faults = append(c.faults, &CorruptError{What: what, Err: fmt.Errorf(format, args...)})
}

// stop reports that enough was found, or that time is up.
func (c *checker) stop() bool { return len(c.faults) >= maxFaults || c.ctx.Err() != nil }

func (c *checker) result() error {
	if len(c.faults) > 0 {
		return errors.Join(c.faults...)
	}
	return c.ctx.Err()
}

// pages has bbolt check its own structure. The channel is read to its end, or
// bbolt's goroutine would never go away.
func (c *checker) pages() {
	for err := range c.tx.Check() {
		if !c.stop() {
			c.fault("the file", "%w", err)
		}
	}
}

// log checks the changesets from a position on: no hole, each with its hash and
// at its place in its branch, each branch's head the last of it.
func (c *checker) log(from uint64) {
	if len(c.faults) > 0 {
		return // over damaged pages nothing else is worth reading
	}
	last, trimmed, err := c.below()
	if err != nil {
		c.faults = append(c.faults, err)
		return
	}
	pos := max(from, trimmed+1)
	whole := pos == trimmed+1
	if !whole {
		last = map[branch.ID]logEntry{}
	}
	for k := range keysFrom(c.image, bucketLog, positionKey(pos), nil) {
		if c.stop() {
			return
		}
		if string(k) != string(positionKey(pos)) {
			c.fault("the log", "position %d is missing", pos)
			return
		}
		e, err := logAt(c.tx, pos)
		if err != nil {
			c.faults = append(c.faults, err)
			return
		}
		c.entry(e, pos, last)
		last[e.Dot.Branch] = e
		pos++
	}
	c.heads(last, whole)
}

// below returns the last changeset of each branch below the floor of the log,
// without their bodies, and the last position there.
func (c *checker) below() (map[branch.ID]logEntry, uint64, error) {
	trimmed, err := trimmedIn(c.tx)
	if err != nil {
		return nil, 0, err
	}
	heads, _, err := floorHeads(c.tx)
	last := map[branch.ID]logEntry{}
	for id, h := range heads {
		last[id] = logEntry{clock: h.clock, Envelope: changeset.Envelope{Dot: branch.Dot{Branch: id, Seq: h.seq}, Hash: h.hash}}
	}
	return last, trimmed, err
}

func (c *checker) entry(e logEntry, pos uint64, last map[branch.ID]logEntry) {
	set, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
	if err != nil {
		c.fault("the log", "position %d: %w", pos, err)
		return
	}
	if at, ok := positionOf(c.tx, e.Dot); !ok || at != pos {
		c.fault("the log", "%s is at position %d, its index says %d", e.Dot, pos, at)
	}
	before, known := last[e.Dot.Branch]
	if known && (before.Dot.Seq+1 != e.Dot.Seq || before.Hash != set.Prev || before.clock >= e.clock) {
		c.fault("the log", "%s at position %d does not continue %s", e.Dot, pos, before.Dot)
	}
}

func (c *checker) heads(last map[branch.ID]logEntry, whole bool) {
	st := &state{heads: map[branch.ID]head{}}
	if err := st.loadHeads(c.tx); err != nil {
		c.faults = append(c.faults, err)
		return
	}
	for id, e := range last {
		if h := st.heads[id]; h.seq != e.Dot.Seq || h.hash != e.Hash || h.clock != e.clock {
			c.fault("the heads", "that of branch %s is %d, the log ends at %s", id, h.seq, e.Dot)
		}
	}
	if whole && len(last) != len(st.heads) {
		c.fault("the heads", "there are %d, the log has %d branches", len(st.heads), len(last))
	}
}

// objects checks that digest, counts and indexes are those of the records.
func (c *checker) objects() {
	if len(c.faults) > 0 {
		return
	}
	var have, want state
	if err := want.loadMeta(c.tx.Bucket(bucketMeta)); err != nil {
		c.faults = append(c.faults, err)
		return
	}
	entries, ordered := 0, c.beginOrdered()
	err := c.tx.Bucket(bucketObjects).ForEach(func(k, v []byte) error {
		rec, err := decodeRecord(v)
		if err != nil {
			c.fault("object "+string(k), "%w", err)
			return nil
		}
		root := string(k)
		have.digest[bucketOf(root)] += recordHash(root, v)
		seen := rec.see(root, want.policy)
		have.objects += exists(seen)
		have.conflicts += int64(len(seen.conflicts))
		entries += c.indexed(seen)
		ordered.object(c, seen)
		return c.ctx.Err()
	})
	if err != nil || c.stop() {
		return
	}
	if have.digest != want.digest {
		c.fault("the digest", "it is not that of the objects")
	}
	if have.objects != want.objects || have.conflicts != want.conflicts {
		c.fault("the counts", "%d objects and %d conflicts are recorded, there are %d and %d",
			want.objects, want.conflicts, have.objects, have.conflicts)
	}
	if n := c.image.count(bucketValues); n != entries {
		c.fault("the index of values", "it has %d entries, the objects have %d values", n, entries)
	}
	ordered.end(c)
}

// indexed checks that all that is seen of an object can be found, and counts it.
func (c *checker) indexed(seen view) int {
	n := 0
	diffViews(view{root: seen.root}, seen, func(s statement.Statement, _ bool) {
		n++
		key := valueKey(seen.root, s)
		if !c.image.has(bucketValues, key) {
			c.fault("the index of values", "property %s of %s is missing", s.Predicate, seen.root)
		}
	})
	for id := range seen.references() {
		key := textKey(id, seen.root)
		if !c.image.has(bucketRefs, key) {
			c.fault("the index of references", "that of %s to %s is missing", seen.root, id)
		}
	}
	return n
}
