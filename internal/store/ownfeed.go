package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// OwnFeed is Feed for the changesets of the store's own branch alone: what other
// branches wrote in between is not read. upTo is the position up to which there
// are no others than those returned; with none returned, it is the end of the
// feed. A position whose successors have left the log gives a *PositionError.
func (s *Store) OwnFeed(ctx context.Context, after uint64, maxBytes int) (entries []FeedEntry, upTo uint64, err error) {
	err = s.settled(ctx, func(tx *bolt.Tx) error {
		entries, upTo, err = ownFeed(tx, s.opts.Branch, after, s.certain(tx).pos, maxBytes)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading the own changesets after position %d: %w", after, err)
	}
	return entries, upTo, nil
}

func ownFeed(tx *bolt.Tx, own branch.ID, after, last uint64, maxBytes int) (out []FeedEntry, upTo uint64, err error) {
	if trimmed, err := trimmedIn(tx); err != nil {
		return nil, 0, err
	} else if after < trimmed {
		return nil, 0, &PositionError{After: after, Floor: trimmed}
	}
	end := after
	if k, _ := tx.Bucket(bucketLog).Cursor().Last(); len(k) == 8 {
		end = max(end, min(last, binary.BigEndian.Uint64(k)))
	}
	seq, err := firstBeyond(tx, own, after)
	if err != nil {
		return nil, 0, err
	}
	for size := 0; ; seq++ {
		d := branch.Dot{Branch: own, Seq: seq}
		pos, ok := positionOf(tx, d)
		if !ok || pos > last {
			return out, end, nil
		}
		e, err := logAt(tx, pos)
		if err != nil {
			return nil, 0, err
		}
		if size += len(e.Body); len(out) > 0 && size > maxBytes {
			return out, out[len(out)-1].Pos, nil
		}
		e.Body = slices.Clone(e.Body)
		out = append(out, FeedEntry{Pos: pos, Envelope: e.Envelope})
	}
}

// firstBeyond returns the first sequence of a branch whose position is beyond
// the given one: positions rise with the sequence, and what has left the log
// has none.
func firstBeyond(tx *bolt.Tx, id branch.ID, after uint64) (uint64, error) {
	raw := tx.Bucket(bucketHeads).Get([]byte(id))
	if raw == nil {
		return 1, nil
	}
	h, err := decodeHead(raw)
	if err != nil {
		return 0, &CorruptError{What: "the head of branch " + string(id), Err: err}
	}
	first := sort.Search(int(h.seq), func(i int) bool {
		pos, ok := positionOf(tx, branch.Dot{Branch: id, Seq: uint64(i) + 1})
		return ok && pos > after
	})
	return uint64(first) + 1, nil
}
