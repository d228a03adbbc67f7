package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/mutant"
	"vesperdb.io/vesper/internal/statement"
)

// The past is not stored a second time: it is found by applying an object's
// changesets again, with the same function that made the present.

// event is one changeset's part in the history of one object.
type event struct {
	write           write
	author, comment string
	change          changeset.ObjectChange
}

// floor returns what has left the log of the snapshot.
func (r *Reader) floor() (branch.Revision, error) {
	_, floor, err := floorHeads(r.tx)
	return floor, err
}

// events returns the changesets of an object that a revision covers (all, when
// it is nil), in the order in which they were applied here.
func (r *Reader) events(root string, at branch.Revision) ([]event, error) {
	if root == "" {
		return nil, nil
	}
	var out []event
	prefix := textKey(root)
	for k := range keysFrom(r.image, bucketHistory, prefix, prefix) {
		if len(k) != len(prefix)+8 {
			return nil, &CorruptError{What: "the history of " + root, Err: fmt.Errorf("key %x has %d bytes", k, len(k))}
		}
		e, err := logAt(r.tx, binary.BigEndian.Uint64(k[len(prefix):]))
		if err != nil {
			return nil, err
		}
		if mutant.On("history-off-by-one") && at != nil && at.At(e.Dot.Branch) == e.Dot.Seq {
			continue
		}
		if at != nil && !at.Covers(e.Dot) {
			continue
		}
		ev, err := r.event(root, e)
		if err != nil {
			return nil, &CorruptError{What: "the history of " + root, Err: err}
		}
		out = append(out, ev)
	}
	return out, nil
}

func (r *Reader) event(root string, e logEntry) (event, error) {
	c, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
	if err != nil {
		return event{}, err
	}
	base, err := basisAt(r.tx, e.Dot)
	if err != nil {
		return event{}, err
	}
	at := slices.IndexFunc(c.Objects, func(o changeset.ObjectChange) bool { return o.Root == root })
	if at < 0 {
		return event{}, fmt.Errorf("changeset %s does not change it", e.Dot)
	}
	w := write{stamp: changeset.Stamp{Clock: e.clock, Dot: e.Dot}, seen: base.seen}
	return event{write: w, author: c.Author, comment: c.Comment, change: c.Objects[at]}, nil
}

// History returns what every changeset in the log did to an object, in the order
// of stamps. It is equal on stores of equal revision and floor; with a trimmed
// log it begins with what the object was at the floor, and what a changeset did
// is told as if all that left the log had been before it.
func (r *Reader) History(id string) ([]HistoryEntry, error) {
	root := statement.Root(id)
	events, err := r.events(root, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(events, func(a, b event) int { return a.write.stamp.Compare(b.write.stamp) })
	out := make([]HistoryEntry, 0, len(events))
	rec, err := pastOf(r.image, root)
	if err != nil {
		return nil, err
	}
	start, _ := rec.object(root, id, r.policy)
	before := start.Statements
	for _, ev := range events {
		rec.apply(ev.change, ev.write)
		o, _ := rec.object(root, id, r.policy)
		entry := HistoryEntry{Stamp: ev.write.stamp, Author: ev.author, Comment: ev.comment, Deleted: ev.change.Delete}
		entry.Added, entry.Removed = difference(before, o.Statements)
		before = o.Statements
		if id == root || len(entry.Added)+len(entry.Removed) > 0 {
			out = append(out, entry)
		}
	}
	return out, nil
}

// difference returns what is only in the second and what is only in the first
// of two sorted lists.
func difference(before, after []statement.Statement) (added, removed []statement.Statement) {
	for len(before) > 0 && len(after) > 0 {
		switch c := statement.Compare(before[0], after[0]); {
		case c < 0:
			removed, before = append(removed, before[0]), before[1:]
		case c > 0:
			added, after = append(added, after[0]), after[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
	return append(added, after...), append(removed, before...)
}

// ObjectAt returns an object as it was at a revision, and whether it existed.
// The revision must be covered by that of the snapshot; one that does not cover
// the floor of the log gives a *CompactedError.
func (r *Reader) ObjectAt(id string, at branch.Revision) (Object, bool, error) {
	root := statement.Root(id)
	rec, err := r.recordAt(root, at)
	if err != nil {
		return Object{}, false, err
	}
	o, ok := rec.object(root, id, r.policy)
	return o, ok, nil
}

// recordAt returns the record of an object as it was at a revision.
func (r *Reader) recordAt(root string, at branch.Revision) (*record, error) {
	if now := r.Revision(); !now.CoversAll(at) {
		return nil, &InvalidError{Err: fmt.Errorf("revision %s has not been reached here, the store is at %s", at, now)}
	}
	if len(at) == 0 {
		return &record{}, nil
	}
	floor, err := r.floor()
	if err != nil {
		return nil, err
	}
	if !at.CoversAll(floor) {
		return nil, &CompactedError{At: at, Floor: floor}
	}
	events, err := r.events(root, at)
	if err != nil {
		return nil, err
	}
	rec, err := pastOf(r.image, root)
	if err != nil {
		return nil, err
	}
	for _, ev := range events {
		rec.apply(ev.change, ev.write)
	}
	return rec, nil
}
