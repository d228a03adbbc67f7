package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// What came and can never be applied is kept for a human: what it was, why not,
// and its bytes. The oldest goes when there is too much.
const (
	// evidenceKept bounds how many are kept, evidenceBytes their bodies together,
	// and evidenceBody one of them: of a longer one the beginning is kept.
	evidenceKept  = 256
	evidenceBytes = 32 << 20
	evidenceBody  = 4 << 20
)

// Evidence is what is kept of a message or changeset that cannot be applied.
type Evidence struct {
	// ID counts from 1.
	ID uint64 `json:"id"`
	// Time is when it first came.
	Time time.Time `json:"time"`
	// Link is where it came from, From the publisher that it named, Dot the
	// changeset; each may be empty.
	Link string     `json:"link,omitempty"`
	From branch.ID  `json:"from,omitempty"`
	Dot  branch.Dot `json:"dot,omitzero"`
	// Cause is the kind of fault in one word, Error says what is wrong.
	Cause string `json:"cause"`
	Error string `json:"error"`
	// Size and Hash (SHA-256) are those of the whole body, Kept is how many bytes
	// of it are kept.
	Size int      `json:"size"`
	Hash [32]byte `json:"hash"`
	Kept int      `json:"kept"`
}

// AddEvidence keeps evidence and its body, and returns its number. One that is
// there already, with the same cause and body, is not kept again: then it
// reports that it is no news. Time, Size, Hash and Kept are filled in.
func (s *Store) AddEvidence(ctx context.Context, e Evidence, body []byte) (id uint64, news bool, err error) {
	e.Time, e.Size, e.Hash = s.opts.Now().UTC(), len(body), sha256.Sum256(body)
	kept := body[:min(len(body), evidenceBody)]
	e.Kept = len(kept)
	err = s.submit(ctx, func(b *batch) error {
		if id, news = b.findEvidence(e); !news {
			return nil
		}
		e.ID = b.nextEvidence()
		text, err := json.Marshal(e)
		b.fail(err)
		value := binary.AppendUvarint(nil, uint64(len(text)))
		b.put(bucketEvidence, positionKey(e.ID), append(append(value, text...), kept...))
		b.boundEvidence()
		id = e.ID
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("keeping evidence of what cannot be applied: %w", err)
	}
	return id, news, nil
}

// findEvidence returns the number of the same evidence, if it is there.
func (b *batch) findEvidence(e Evidence) (id uint64, news bool) {
	err := eachEvidence(b.tx, func(have Evidence, _ []byte) bool {
		if have.Hash == e.Hash && have.Cause == e.Cause && have.Dot == e.Dot {
			id = have.ID
		}
		return id == 0
	})
	b.fail(err)
	return id, id == 0
}

// nextEvidence returns a number that no evidence has had: the bucket remembers
// the last one, also when that has been removed.
func (b *batch) nextEvidence() uint64 {
	var last uint64
	if raw := b.tx.Bucket(bucketMeta).Get(metaEvidence); len(raw) == 8 {
		last = binary.BigEndian.Uint64(raw)
	}
	b.put(bucketMeta, metaEvidence, positionKey(last+1))
	return last + 1
}

func (b *batch) boundEvidence() {
	var all []Evidence
	size := 0
	b.fail(eachEvidence(b.tx, func(e Evidence, _ []byte) bool {
		all = append(all, e)
		size += e.Kept
		return true
	}))
	for len(all) > evidenceKept || size > evidenceBytes && len(all) > 1 {
		b.remove(bucketEvidence, positionKey(all[0].ID))
		size -= all[0].Kept
		all = all[1:]
	}
}

// eachEvidence yields what is kept, oldest first, until yield returns false.
func eachEvidence(tx *bolt.Tx, yield func(e Evidence, body []byte) bool) error {
	c := tx.Bucket(bucketEvidence).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		size, n := binary.Uvarint(v)
		if n <= 0 || size > uint64(len(v)-n) {
			return &CorruptError{What: "the evidence", Err: fmt.Errorf("entry %x is cut off", k)}
		}
		text, body := v[n:n+int(size)], v[n+int(size):]
		var e Evidence
		if err := json.Unmarshal(text, &e); err != nil {
			return &CorruptError{What: "the evidence", Err: fmt.Errorf("entry %x: %w", k, err)}
		}
		if !yield(e, body) {
			return nil
		}
	}
	return nil
}

// Evidence returns all that is kept, oldest first.
func (s *Store) Evidence(ctx context.Context) (out []Evidence, err error) {
	err = s.snapshot(ctx, func(tx *bolt.Tx) error {
		return eachEvidence(tx, func(e Evidence, _ []byte) bool {
			out = append(out, e)
			return true
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the evidence: %w", err)
	}
	return out, nil
}

// EvidenceBody returns what is kept of the body of one piece of evidence, and
// whether there is such evidence.
func (s *Store) EvidenceBody(ctx context.Context, id uint64) (e Evidence, body []byte, found bool, err error) {
	err = s.snapshot(ctx, func(tx *bolt.Tx) error {
		return eachEvidence(tx, func(have Evidence, kept []byte) bool {
			if found = have.ID == id; found {
				e, body = have, bytes.Clone(kept)
			}
			return !found
		})
	})
	if err != nil {
		return e, nil, false, fmt.Errorf("reading evidence %d: %w", id, err)
	}
	return e, body, found, nil
}

// DropEvidence removes one piece of evidence and reports whether it was there.
func (s *Store) DropEvidence(ctx context.Context, id uint64) (found bool, err error) {
	err = s.submit(ctx, func(b *batch) error {
		if found = b.tx.Bucket(bucketEvidence).Get(positionKey(id)) != nil; found {
			b.remove(bucketEvidence, positionKey(id))
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("removing evidence %d: %w", id, err)
	}
	return found, nil
}
