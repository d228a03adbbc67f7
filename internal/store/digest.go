package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
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
