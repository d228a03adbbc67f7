package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// Feed returns the changesets after a position in this store's order of
// application, oldest first, at least one if there is any, and then as many as
// fit in maxBytes of bodies. A position whose successors have left the log gives
// a *PositionError.
func (s *Store) Feed(ctx context.Context, after uint64, maxBytes int) ([]FeedEntry, error) {
	var out []FeedEntry
	err := s.settled(ctx, func(tx *bolt.Tx) error {
		if trimmed, err := trimmedIn(tx); err != nil {
			return err
		} else if after < trimmed {
			return &PositionError{After: after, Floor: trimmed}
		}
		size, end := 0, s.certain(tx).pos
		c := tx.Bucket(bucketLog).Cursor()
		for k, v := c.Seek(positionKey(after + 1)); k != nil && after < math.MaxUint64 && binary.BigEndian.Uint64(k) <= end; k, v = c.Next() {
			e, err := decodeLogEntry(v)
			if err != nil {
				return &CorruptError{What: "the log", Err: err}
			}
			if size += len(e.Body); len(out) > 0 && size > maxBytes {
				return nil
			}
			e.Body = slices.Clone(e.Body)
			out = append(out, FeedEntry{Pos: binary.BigEndian.Uint64(k), Envelope: e.Envelope})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the feed after position %d: %w", after, err)
	}
	return out, nil
}

// FeedEnd returns the last position of the feed.
func (s *Store) FeedEnd() uint64 { return s.published().pos }

// Range returns the applied changesets of a branch from one sequence to another
// inclusive, ascending, at least one if there is any, and then as many as fit
// in maxBytes of bodies. Changesets that have left the log give a *CompactedError.
func (s *Store) Range(ctx context.Context, id branch.ID, from, to uint64, maxBytes int) ([]changeset.Envelope, error) {
	var out []changeset.Envelope
	err := s.settled(ctx, func(tx *bolt.Tx) error {
		size, end := 0, min(to, s.certain(tx).head(id))
		for seq := max(from, 1); seq <= end; seq++ {
			e, found, err := entryOf(tx, branch.Dot{Branch: id, Seq: seq})
			if err != nil {
				return err
			}
			if !found {
				return missing(tx, branch.Dot{Branch: id, Seq: seq})
			}
			if size += len(e.Body); len(out) > 0 && size > maxBytes {
				return nil
			}
			e.Body = slices.Clone(e.Body)
			out = append(out, e.Envelope)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading changesets %d to %d of branch %s: %w", from, to, id, err)
	}
	return out, nil
}

// missing returns a *CompactedError for a changeset that has left the log, nil
// for one that was never in it.
func missing(tx *bolt.Tx, d branch.Dot) error {
	_, floor, err := floorHeads(tx)
	if err == nil && floor.Covers(d) {
		err = &CompactedError{At: branch.Revision{d}, Floor: floor}
	}
	return err
}

// settled runs fn on what is on disk for certain.
func (s *Store) settled(ctx context.Context, fn func(*bolt.Tx) error) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	return s.snapshot(ctx, fn)
}

// certain is what is on disk for certain of what a transaction shows: it shows a
// commit as soon as that is written, while the disk has yet to say that it is
// safe. Of a file that was replaced meanwhile, everything is.
func (s *Store) certain(tx *bolt.Tx) limits {
	p := s.published()
	if p.db != tx.DB() {
		return limits{pos: math.MaxUint64}
	}
	return limits{pos: p.pos, revision: p.revision, known: true}
}

// limits are how far a reader may read.
type limits struct {
	pos      uint64
	revision branch.Revision
	known    bool
}

// head is the last sequence of a branch that may be read.
func (l limits) head(id branch.ID) uint64 {
	if !l.known {
		return math.MaxUint64
	}
	return l.revision.At(id)
}

// Cursor returns the position up to which a link has published the feed; for a
// link that is new, where the log begins or what came by a snapshot ends. It is
// never below the floor of the log. A name that starts with "!" is not a link's:
// its number is 0 until it is set.
func (s *Store) Cursor(link string) (uint64, error) {
	if err := checkLink(link); err != nil {
		return 0, err
	}
	return s.published().cursor(link), nil
}

// cursor returns the cursor of a link.
func (p published) cursor(link string) uint64 {
	pos, known := p.cursors[link]
	if !known && !strings.HasPrefix(link, "!") {
		return p.linkStart
	}
	return pos
}

// SetCursor moves a link's cursor. It returns once that is on disk. A position
// below the floor of the log gives a *PositionError: it is of the feed of content
// that was replaced since. A name that
// starts with "!" is not a link's: its number means what its owner wants.
func (s *Store) SetCursor(ctx context.Context, link string, pos uint64) error {
	if err := checkLink(link); err != nil {
		return err
	}
	err := s.submit(ctx, func(b *batch) error {
		if pos > b.st.pos && !strings.HasPrefix(link, "!") {
			return fmt.Errorf("position %d is beyond the end of the feed, %d", pos, b.st.pos)
		}
		if pos < b.st.trimmed && !strings.HasPrefix(link, "!") {
			return &PositionError{After: pos, Floor: b.st.trimmed}
		}
		b.put(bucketCursors, []byte(link), seal([]byte(link), positionKey(pos)))
		b.st.cursors[link] = pos
		return nil
	})
	if err != nil {
		return fmt.Errorf("moving the cursor of link %q to %d: %w", link, pos, err)
	}
	return nil
}

// DropCursors forgets the cursors of links that are not among those to keep, so
// that they no longer hold back Trim, and returns their names, sorted. Names that
// start with "!" stay. It returns once that is on disk. A link that comes back
// under its name is a new one: it publishes from where the log begins.
func (s *Store) DropCursors(ctx context.Context, keep []string) ([]string, error) {
	dropped := linksBeside(s.published().cursors, keep)
	if len(dropped) == 0 {
		return nil, nil
	}
	err := s.submit(ctx, func(b *batch) error {
		for _, link := range dropped {
			b.remove(bucketCursors, []byte(link))
			delete(b.st.cursors, link)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("forgetting the cursors of links that are gone: %w", err)
	}
	return dropped, nil
}

// linksBeside returns the links that have a cursor and are not to be kept, sorted.
func linksBeside(cursors map[string]uint64, keep []string) (out []string) {
	for link := range cursors {
		if !strings.HasPrefix(link, "!") && !slices.Contains(keep, link) {
			out = append(out, link)
		}
	}
	slices.Sort(out)
	return out
}

func checkLink(link string) error {
	if link == "" || len(link) > 256 {
		return fmt.Errorf("link name %q must have 1 to 256 bytes", link)
	}
	return nil
}

// Outbox returns how many changesets of the store's own branch lie beyond a
// link's cursor, and when the oldest of them was made (zero time if none).
func (s *Store) Outbox(link string) (changesets uint64, oldest time.Time) {
	cursor := s.published().cursor(link)
	err := s.snapshot(context.Background(), func(tx *bolt.Tx) error {
		raw := tx.Bucket(bucketHeads).Get([]byte(s.opts.Branch))
		if raw == nil {
			return nil
		}
		own, err := decodeHead(raw)
		if err != nil {
			return err
		}
		// Positions rise with the sequence: find the first beyond the cursor.
		first := sort.Search(int(own.seq), func(i int) bool {
			pos, ok := positionOf(tx, branch.Dot{Branch: s.opts.Branch, Seq: uint64(i) + 1})
			return ok && pos > cursor
		})
		if changesets = own.seq - uint64(first); changesets == 0 {
			return nil
		}
		e, found, err := entryOf(tx, branch.Dot{Branch: s.opts.Branch, Seq: uint64(first) + 1})
		if found {
			oldest = e.clock.Time()
		}
		return err
	})
	if err != nil {
		s.opts.Logger.Error("Failed to measure the outbox", "link", link, "error", err)
	}
	return changesets, oldest
}
