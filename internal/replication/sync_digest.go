package replication

import (
	"encoding/binary"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// maxDigestObjects bounds the objects in one answer.
const maxDigestObjects = 4096

// DigestRequest asks a peer for the sums of its digest's buckets, or, with a
// Bucket, for the hashes of the objects in it, those after the id After.
type DigestRequest struct {
	ID      uint64
	From    branch.ID
	Session string
	// Bucket is nil for the sums.
	Bucket *byte
	After  string
}

// DigestAnswer says what the peer has at Revision.
type DigestAnswer struct {
	ID       uint64
	From     branch.ID
	Revision branch.Revision
	// Sums is what a request without a bucket gets.
	Sums *store.Digest
	// Bucket and Objects are for one with a bucket; Objects are in ascending
	// order of ids, and More says that there are further ones.
	Bucket  byte
	Objects []ObjectDigest
	More    bool
}

// ObjectDigest is what one object adds to its bucket.
type ObjectDigest struct {
	Root string
	Hash uint64
}

type objectWire struct {
	_    struct{} `cbor:",toarray"`
	Root string
	Hash uint64
}

// EncodeDigestRequest writes a request for parts of a digest.
func EncodeDigestRequest(r DigestRequest) ([]byte, error) {
	w := syncWire{Version: syncVersion, Kind: kindDigestRequest, ID: r.ID, From: string(r.From), Session: r.Session, After: r.After}
	if r.Bucket != nil {
		w.Bucket = uint64(*r.Bucket) + 1
	}
	return encodeWire("digest request", w)
}

func (w *syncWire) digestRequest(from branch.ID) (*DigestRequest, error) {
	if w.Bucket > store.DigestBuckets {
		return nil, fmt.Errorf("a digest has no bucket %d", w.Bucket-1)
	}
	r := &DigestRequest{ID: w.ID, From: from, Session: w.Session, After: w.After}
	if w.Bucket > 0 {
		bucket := byte(w.Bucket - 1)
		r.Bucket = &bucket
	}
	return r, nil
}

// EncodeDigestAnswer writes an answer.
func EncodeDigestAnswer(a DigestAnswer) ([]byte, error) {
	w := syncWire{
		Version: syncVersion, Kind: kindDigestAnswer, ID: a.ID, From: string(a.From), Revision: a.Revision.String(), Last: !a.More,
	}
	if a.Sums != nil {
		for _, sum := range a.Sums {
			w.Body = binary.BigEndian.AppendUint64(w.Body, sum)
		}
		return encodeWire("digest answer", w)
	}
	w.Bucket = uint64(a.Bucket) + 1
	for _, o := range a.Objects {
		w.Objects = append(w.Objects, objectWire{Root: o.Root, Hash: o.Hash})
	}
	return encodeWire("digest answer", w)
}

func (w *syncWire) digestAnswer(from branch.ID) (*DigestAnswer, error) {
	revision, err := branch.ParseRevision(w.Revision)
	if err != nil {
		return nil, err
	}
	a := &DigestAnswer{ID: w.ID, From: from, Revision: revision, More: !w.Last}
	switch {
	case w.Bucket > store.DigestBuckets:
		return nil, fmt.Errorf("a digest has no bucket %d", w.Bucket-1)
	case len(w.Objects) > maxDigestObjects:
		return nil, fmt.Errorf("%d objects in one answer, the limit is %d", len(w.Objects), maxDigestObjects)
	case w.Bucket == 0:
		a.Sums, err = w.sums()
		return a, err
	}
	a.Bucket = byte(w.Bucket - 1)
	for i, o := range w.Objects {
		if i > 0 && o.Root <= w.Objects[i-1].Root {
			return nil, fmt.Errorf("object %.100q is not after the one before it", o.Root)
		}
		a.Objects = append(a.Objects, ObjectDigest{Root: o.Root, Hash: o.Hash})
	}
	return a, nil
}

func (w *syncWire) sums() (*store.Digest, error) {
	if len(w.Body) != 8*store.DigestBuckets {
		return nil, fmt.Errorf("the sums of a digest are %d bytes, not %d", len(w.Body), 8*store.DigestBuckets)
	}
	var d store.Digest
	for i := range d {
		d[i] = binary.BigEndian.Uint64(w.Body[8*i:])
	}
	return &d, nil
}
