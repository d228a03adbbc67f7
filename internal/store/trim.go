package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
)

// Bounds of what one call of Trim takes away, so that nobody waits long for it.
const (
	trimChangesets = 512
	trimBytes      = 2 << 20
)

// Trimmed says what a call of Trim did.
type Trimmed struct {
	// Changesets left the log, with Bytes of bodies.
	Changesets int
	Bytes      int64
	// More says that a further call would take away more.
	More bool
}

// CompactedError says that something was asked for which has left the log.
type CompactedError struct {
	// At is what was asked for, Floor where the log begins.
	At, Floor branch.Revision
}

// Error says so, and what can be asked for.
func (e *CompactedError) Error() string {
	return fmt.Sprintf("what was asked for, %s, is older than this node keeps: its history begins at %s; ask for a revision that covers this",
		e.At, e.Floor)
}

// PositionError says that the feed cannot be resumed at a position: what came
// after it has left the log, or the store's content was replaced since.
type PositionError struct {
	// After is the position asked for, Floor is the first that can be.
	After, Floor uint64
}

// Error says how to go on.
func (e *PositionError) Error() string {
	return fmt.Sprintf("the feed of changes no longer has what came after position %d: it begins after %d; read all objects, "+
		"and follow the feed from %d on", e.After, e.Floor, e.Floor)
}

// Trim takes the oldest changesets off the log: those that the revision covers,
// whose clock is before the given time and which every link has published, as
// far as nothing else lies before them. Objects, digest and conflicts stay as
// they are, and so does the history at every revision that covers the new floor.
// The work of one call is bounded; More asks for another.
func (s *Store) Trim(ctx context.Context, covered branch.Revision, before time.Time) (Trimmed, error) {
	var done Trimmed
	err := s.submit(ctx, func(b *batch) error {
		done = b.trim(covered, before)
		return nil
	})
	if err != nil {
		return Trimmed{}, fmt.Errorf("trimming the log: %w", err)
	}
	return done, nil
}

// Floor returns for each branch the last sequence that has left the log.
func (s *Store) Floor() branch.Revision { return s.published().floor }

// leaving is a changeset that leaves the log.
type leaving struct {
	pos   uint64
	entry logEntry
	set   changeset.Changeset
}

func (b *batch) trim(covered branch.Revision, before time.Time) Trimmed {
	list, done := b.leave(covered, before)
	if len(list) == 0 || b.err != nil {
		return Trimmed{}
	}
	cut := list[len(list)-1].pos
	b.fold(list, cut)
	for _, l := range list {
		b.remove(bucketLog, positionKey(l.pos))
		b.remove(bucketDots, dotKey(l.entry.Dot))
	}
	b.raiseLogFloor(list)
	b.put(bucketMeta, metaTrimmed, seal(metaTrimmed, positionKey(cut)))
	b.st.trimmed = cut
	return done
}

// leave returns the changesets at the beginning of the log that may leave it.
func (b *batch) leave(covered branch.Revision, before time.Time) (list []leaving, done Trimmed) {
	last := b.st.pos
	for link, pos := range b.st.cursors {
		if !strings.HasPrefix(link, "!") {
			last = min(last, pos)
		}
	}
	for pos := b.st.trimmed + 1; pos <= last; pos++ {
		e, err := logAt(b.tx, pos)
		if err != nil {
			b.fail(err)
			return nil, done
		}
		if !covered.Covers(e.Dot) && !mutant.On("trim-too-much") || !e.clock.Time().Before(before) {
			return list, done
		}
		if len(list) >= trimChangesets || done.Bytes >= trimBytes {
			done.More = true
			return list, done
		}
		set, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
		if err != nil {
			b.fail(&CorruptError{What: "the log", Err: fmt.Errorf("position %d: %w", pos, err)})
			return nil, done
		}
		list = append(list, leaving{pos: pos, entry: e, set: set})
		done.Changesets++
		done.Bytes += int64(len(e.Body))
	}
	return list, done
}

// fold makes what leaves the log part of the objects' pasts.
func (b *batch) fold(list []leaving, cut uint64) {
	pasts := map[string]*record{}
	for i := range list {
		l := &list[i]
		base, err := basisAt(b.tx, l.entry.Dot)
		if err != nil {
			b.fail(err)
			return
		}
		w := write{stamp: changeset.Stamp{Clock: l.entry.clock, Dot: l.entry.Dot}, seen: base.seen}
		for _, c := range l.set.Objects {
			if past := b.pastToFold(pasts, c.Root, cut); past != nil {
				past.apply(c, w)
			}
		}
	}
	for i := range list {
		for _, c := range list[i].set.Objects {
			b.remove(bucketHistory, historyKey(c.Root, list[i].pos))
		}
	}
	for root, past := range pasts {
		key := []byte(root)
		if past == nil {
			b.remove(bucketPast, key)
		} else {
			b.put(bucketPast, key, seal(key, past.encode()))
		}
	}
}

// pastToFold returns the past of an object, nil if none is needed because all
// its changesets leave the log.
func (b *batch) pastToFold(pasts map[string]*record, root string, cut uint64) *record {
	if past, known := pasts[root]; known || b.err != nil {
		return past
	}
	pasts[root] = nil
	if changedAbove(b.image(), root, cut) {
		past, err := pastOf(b.image(), root)
		if err != nil {
			b.fail(err)
			return nil
		}
		pasts[root] = past
	}
	return pasts[root]
}

// raiseLogFloor keeps what is needed of each branch at the floor.
func (b *batch) raiseLogFloor(list []leaving) {
	clocks := map[branch.ID][]changeset.Clock{}
	tops := map[branch.ID]head{}
	for _, l := range list {
		id := l.entry.Dot.Branch
		clocks[id] = append(clocks[id], l.entry.clock)
		tops[id] = head{seq: l.entry.Dot.Seq, clock: l.entry.clock, hash: l.entry.Hash}
	}
	for id, top := range tops {
		first := top.seq - uint64(len(clocks[id])) + 1
		b.keepClocks(branch.Dot{Branch: id, Seq: first}, clocks[id])
		b.put(bucketFloor, []byte(id), seal([]byte(id), top.encode()))
		dot := branch.Dot{Branch: id, Seq: top.seq}
		b.st.floor = b.st.floor.With(dot)
		b.trimBases(dot)
	}
}

// trimBases makes the basis at a dot complete and drops the entries before it.
func (b *batch) trimBases(d branch.Dot) {
	known, err := basisAt(b.tx, d)
	if err != nil {
		b.fail(err)
		return
	}
	var old [][]byte
	for k := range keysFrom(b.image(), bucketBases, textKey(string(d.Branch)), textKey(string(d.Branch))) {
		at, err := parseDotKey(k)
		if err != nil || at.Seq > d.Seq {
			break
		}
		old = append(old, k)
	}
	for _, k := range old {
		b.remove(bucketBases, k)
	}
	if len(known.seen) > 0 {
		b.put(bucketBases, dotKey(d), completeBasis(known.seen))
	}
}
