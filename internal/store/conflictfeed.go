package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// Each time a property comes to hold concurrent values, or holds them no
// longer, an entry is written in the transaction that made it so. An entry is
//
//	1 if the conflict began, 0 if it ended
//	dot of the changeset (as in keys; empty when the policy was changed) NUL NUL
//	root NUL subject (empty for the root) NUL predicate NUL
//
// under a number that counts from 1. The last entry is never removed, so that a
// number is never given twice.

// ConflictChange says that a property came to hold concurrent values, or that
// it holds them no longer.
type ConflictChange struct {
	// Pos counts from 1 without holes. It means nothing on another store.
	Pos uint64
	// Dot is the changeset that made it so; zero when it was a change of the
	// conflict policy, by which other embedded objects are seen.
	Dot branch.Dot
	// Root is the object, Subject the object or embedded object that has the
	// property Predicate.
	Root, Subject, Predicate string
	// Began is true for a conflict that came, false for one that went.
	Began bool
}

// FeedGapError says that a feed cannot be resumed at a position.
type FeedGapError struct {
	// After is the position asked for, First and Last are those of the entries
	// there are (0 and 0 when there is none).
	After, First, Last uint64
}

// Error says why and what to do.
func (e *FeedGapError) Error() string {
	if e.After > e.Last {
		return fmt.Sprintf("the feed of conflicts ends at %d and does not reach %d: the store was replaced since; read all conflicts, "+
			"and follow the feed from %d", e.Last, e.After, e.Last)
	}
	return fmt.Sprintf("the feed of conflicts starts at %d, what came after %d is no longer kept: read all conflicts, and follow the feed from %d",
		e.First, e.After, e.Last)
}

// tellConflicts writes to the feed what an object's change did to its conflicts.
func (b *batch) tellConflicts(before, after view, d branch.Dot) {
	if len(before.conflicts) == 0 && len(after.conflicts) == 0 {
		return
	}
	for _, p := range before.conflicts {
		if !slices.Contains(after.conflicts, p) {
			b.tellConflict(ConflictChange{Dot: d, Root: after.root, Subject: p.subject, Predicate: p.predicate})
		}
	}
	for _, p := range after.conflicts {
		if !slices.Contains(before.conflicts, p) {
			b.tellConflict(ConflictChange{Dot: d, Root: after.root, Subject: p.subject, Predicate: p.predicate, Began: true})
		}
	}
}

func (b *batch) tellConflict(c ConflictChange) {
	if b.err != nil {
		return
	}
	next := uint64(1)
	if k, _ := b.tx.Bucket(bucketConflictLog).Cursor().Last(); len(k) == 8 {
		next = binary.BigEndian.Uint64(k) + 1
	}
	b.put(bucketConflictLog, positionKey(next), c.encode())
	if next > conflictFeedKept {
		b.trimConflictFeed(next - conflictFeedKept)
	}
}

func (c ConflictChange) encode() []byte {
	out := []byte{0}
	if c.Began {
		out[0] = 1
	}
	if !c.Dot.IsZero() {
		out = append(out, c.Dot.String()...)
	}
	subject := c.Subject
	if subject == c.Root {
		subject = ""
	}
	out = append(out, 0)
	return append(out, textKey(c.Root, subject, c.Predicate)...)
}

func decodeConflictChange(k, v []byte) (ConflictChange, error) {
	parts := bytes.Split(v[min(1, len(v)):], []byte{0})
	if len(k) != 8 || len(parts) != 5 {
		return ConflictChange{}, fmt.Errorf("entry %x has %d parts", k, len(parts))
	}
	c := ConflictChange{
		Pos: binary.BigEndian.Uint64(k), Began: v[0] == 1,
		Root: string(parts[1]), Subject: string(parts[2]), Predicate: string(parts[3]),
	}
	if c.Subject == "" {
		c.Subject = c.Root
	}
	if len(parts[0]) == 0 {
		return c, nil
	}
	var err error
	c.Dot, err = branch.ParseDot(string(parts[0]))
	return c, err
}

// ConflictChanges returns at most limit changes of conflicts after a position,
// oldest first, and the position of the last one there is: 0 when there has
// never been a conflict. Each change is there once. The error is a
// *FeedGapError when some after that position are no longer, or not yet, there.
func (s *Store) ConflictChanges(ctx context.Context, after uint64, limit int) (changes []ConflictChange, last uint64, err error) {
	err = s.settled(ctx, func(tx *bolt.Tx) error {
		changes, last, err = conflictChanges(tx, after, limit)
		return err
	})
	if gap, ok := errors.AsType[*FeedGapError](err); ok {
		return nil, last, gap
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the feed of conflicts after position %d: %w", after, err)
	}
	return changes, last, nil
}

// ConflictFeedEnd returns the position of the last change of conflicts; 0 when
// there has never been one.
func (s *Store) ConflictFeedEnd(ctx context.Context) (last uint64, err error) {
	err = s.settled(ctx, func(tx *bolt.Tx) error {
		if k, _ := tx.Bucket(bucketConflictLog).Cursor().Last(); len(k) == 8 {
			last = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("reading the end of the feed of conflicts: %w", err)
	}
	return last, nil
}

func conflictChanges(tx *bolt.Tx, after uint64, limit int) (out []ConflictChange, last uint64, err error) {
	c := tx.Bucket(bucketConflictLog).Cursor()
	var first uint64
	if k, _ := c.First(); len(k) == 8 {
		first = binary.BigEndian.Uint64(k)
	}
	if k, _ := c.Last(); len(k) == 8 {
		last = binary.BigEndian.Uint64(k)
	}
	if after > last || first > 0 && after+1 < first {
		return nil, last, &FeedGapError{After: after, First: first, Last: last}
	}
	for k, v := c.Seek(positionKey(after + 1)); k != nil && len(out) < limit; k, v = c.Next() {
		change, err := decodeConflictChange(k, v)
		if err != nil {
			return nil, 0, &CorruptError{What: "the feed of conflicts", Err: err}
		}
		out = append(out, change)
	}
	return out, last, nil
}

// conflictFeedKept is how many entries of the feed are kept.
const conflictFeedKept = 1 << 20

// trimConflictFeed removes the entries up to one, a few at a time.
func (b *batch) trimConflictFeed(upTo uint64) {
	for range 16 {
		k, _ := b.tx.Bucket(bucketConflictLog).Cursor().First()
		if len(k) != 8 || binary.BigEndian.Uint64(k) > upTo {
			return
		}
		b.remove(bucketConflictLog, slices.Clone(k))
	}
}
