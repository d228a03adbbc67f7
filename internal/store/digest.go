package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// DigestBuckets is the number of buckets of a Digest.
const DigestBuckets = 256

// Digest is a hash of the whole state. Bucket i is the sum modulo 2^64 of the
// hashes of the records of all objects whose id hashes to i, deleted ones that
// still matter included. Stores of equal revision have equal digests; where
// two differ, the buckets say which objects to look at.
type Digest [DigestBuckets]uint64

// Sum returns the SHA-256 over the buckets: what a beacon carries.
func (d Digest) Sum() [32]byte {
	var b [8 * DigestBuckets]byte
	for i, v := range d {
		binary.BigEndian.PutUint64(b[8*i:], v)
	}
	return sha256.Sum256(b[:])
}

// String returns Sum in hexadecimal.
func (d Digest) String() string {
	sum := d.Sum()
	return hex.EncodeToString(sum[:])
}

// bucketOf returns the bucket of an object.
func bucketOf(root string) byte {
	return sha256.Sum256([]byte(root))[0]
}

// recordHash is what an object adds to its bucket.
func recordHash(root string, record []byte) uint64 {
	h := sha256.New()
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(root)))
	h.Write(size[:])
	h.Write([]byte(root))
	h.Write(record)
	var sum [32]byte
	return binary.BigEndian.Uint64(h.Sum(sum[:0]))
}

// ObjectDigest is what one object adds to its bucket of the digest.
type ObjectDigest struct {
	Root string
	Hash uint64
}

// DigestObjects returns what every object of a bucket of the digest adds to it,
// sorted by root: where two stores of equal revision differ in a bucket, these
// say in which objects. It reads the names of all objects.
func (s *Store) DigestObjects(ctx context.Context, bucket byte) ([]ObjectDigest, error) {
	var out []ObjectDigest
	err := s.snapshot(ctx, func(tx *bolt.Tx) error {
		for k, v := range pairsOf(tx.Bucket(bucketObjects)) {
			if root := string(k); bucketOf(root) == bucket {
				out = append(out, ObjectDigest{Root: root, Hash: recordHash(root, v)})
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing bucket %d of the digest: %w", bucket, err)
	}
	return out, nil
}
