package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/s2"
)

// A snapshot is a stream of bytes (numbers are big-endian):
//
//	"VSPRSNAP", version 4
//	frames: kind 1, length of the payload 4, payload, hash 32
//
// The hash is the SHA-256 of everything in the stream before it, so each frame
// is known to be whole before it is used, and the last hash names the snapshot.
// The frames are
//
//	H once:  the header, JSON; see snapshotHeader
//	B often: length of a bucket's name 1, the name, and compressed (S2) pairs of
//	         it: length of key and of value (uvarint), key, value; keys rise
//	E once:  how many pairs each bucket has, JSON
//
// A bucket's blocks follow one another. The buckets are shippedBuckets; what they
// hold is as in the file, positions included.
const (
	snapshotMagic   = "VSPRSNAP"
	snapshotVersion = 1

	frameHeader, frameBlock, frameEnd = 'H', 'B', 'E'

	// blockBytes is how much of the pairs goes into a block; one pair may be more.
	blockBytes = 1 << 20
	// maxFrame bounds what is allocated for a frame.
	maxFrame = 512 << 20
)

// shippedBuckets are what a snapshot holds: the data and nothing of whose it is.
var shippedBuckets = [][]byte{
	bucketHeads, bucketBases, bucketLog, bucketDots, bucketObjects, bucketHistory,
	bucketValues, bucketRefs, bucketConflicts, bucketFloor, bucketPast, bucketClocks,
}

// snapshotHeader says what the snapshot is of.
type snapshotHeader struct {
	// Format is the version of the store's format.
	Format    uint64         `json:"format"`
	Revision  string         `json:"revision"`
	Floor     string         `json:"floor"`
	Digest    []byte         `json:"digest"` // as in bucketMeta
	Objects   int64          `json:"objects"`
	Conflicts int64          `json:"conflicts"`
	Policy    ConflictPolicy `json:"policy"` // which the indexes follow
	// Trimmed and Last are the positions between which the log lies.
	Trimmed uint64 `json:"trimmed"`
	Last    uint64 `json:"last"`
}

// SnapshotError says that a stream is no snapshot that can be used.
type SnapshotError struct{ Err error }

// Error says why and what to do.
func (e *SnapshotError) Error() string {
	return fmt.Sprintf("the snapshot cannot be used: %v: take or fetch it again", e.Err)
}

// Unwrap returns the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

func badSnapshot(format string, args ...any) error {
	return &SnapshotError{Err: fmt.Errorf(format, args...)}
}

// frameWriter writes frames and hashes them.
type frameWriter struct {
	out  io.Writer
	hash hash.Hash
	n    int64
	sum  [32]byte
}

func newFrameWriter(out io.Writer) (*frameWriter, error) {
	w := &frameWriter{out: out, hash: sha256.New()}
	return w, w.write(binary.BigEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion))
}

func (w *frameWriter) write(p []byte) error {
	w.hash.Write(p)
	n, err := w.out.Write(p)
	w.n += int64(n)
	return err
}

func (w *frameWriter) frame(kind byte, payload []byte) error {
	if err := w.write(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))); err != nil {
		return err
	}
	if err := w.write(payload); err != nil {
		return err
	}
	w.hash.Sum(w.sum[:0])
	return w.write(w.sum[:])
}

func (w *frameWriter) json(kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.frame(kind, payload)
}

// blockWriter collects the pairs of a bucket into blocks.
type blockWriter struct {
	frames *frameWriter
	bucket []byte
	raw    []byte
	packed []byte
	counts map[string]uint64
}

func (w *blockWriter) begin(bucket []byte) error {
	err := w.flush()
	w.bucket = bucket
	w.counts[string(bucket)] = 0
	return err
}

func (w *blockWriter) add(key, value []byte) error {
	w.raw = binary.AppendUvarint(w.raw, uint64(len(key)))
	w.raw = binary.AppendUvarint(w.raw, uint64(len(value)))
	w.raw = append(append(w.raw, key...), value...)
	w.counts[string(w.bucket)]++
	if len(w.raw) < blockBytes {
		return nil
	}
	return w.flush()
}

func (w *blockWriter) flush() error {
	if len(w.raw) == 0 {
		return nil
	}
	name := append([]byte{byte(len(w.bucket))}, w.bucket...)
	if need := len(name) + s2.MaxEncodedLen(len(w.raw)); cap(w.packed) < need {
		w.packed = make([]byte, need)
	}
	packed := s2.Encode(w.packed[:cap(w.packed)][len(name):], w.raw)
	payload := w.packed[:len(name)+len(packed)]
	copy(payload, name)
	w.raw = w.raw[:0]
	return w.frames.frame(frameBlock, payload)
}

// frameReader reads frames and checks each before it gives it away.
type frameReader struct {
	in   io.Reader
	hash hash.Hash
	n    int64
	sum  [32]byte
	buf  bytes.Buffer
}

func newFrameReader(in io.Reader) (*frameReader, error) {
	r := &frameReader{in: in, hash: sha256.New()}
	head, err := r.take(int64(len(snapshotMagic) + 4))
	if err != nil {
		return nil, err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, badSnapshot("it does not begin as a snapshot of a Vesper store")
	}
	if v := binary.BigEndian.Uint32(head[len(snapshotMagic):]); v > snapshotVersion {
		return nil, &SnapshotError{Err: fmt.Errorf("its version is %d and this program knows up to %d: use the program that wrote it, or a newer one", v, snapshotVersion)}
	}
	return r, nil
}

// take reads so many bytes. It allocates as they come, whatever was announced.
// They are valid until the next call.
func (r *frameReader) take(n int64) ([]byte, error) {
	r.buf.Reset()
	got, err := io.CopyN(&r.buf, r.in, n)
	r.n += got
	if errors.Is(err, io.EOF) {
		return nil, badSnapshot("it is cut off after %d bytes", r.n)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the snapshot: %w", err)
	}
	r.hash.Write(r.buf.Bytes())
	return r.buf.Bytes(), nil
}

// next reads a frame. The payload is valid until the next call.
func (r *frameReader) next() (kind byte, payload []byte, err error) {
	head, err := r.take(5)
	if err != nil {
		return 0, nil, err
	}
	kind, n := head[0], binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, badSnapshot("a part of it claims to have %d bytes", n)
	}
	payload, err = r.take(int64(n))
	if err != nil {
		return 0, nil, err
	}
	r.hash.Sum(r.sum[:0])
	var sum [32]byte
	if _, err := io.ReadFull(r.in, sum[:]); err != nil {
		return 0, nil, badSnapshot("it is cut off after %d bytes", r.n)
	}
	if sum != r.sum {
		return 0, nil, badSnapshot("its part that ends at byte %d does not have the hash it was written with", r.n)
	}
	r.hash.Write(sum[:])
	r.n += int64(len(sum))
	return kind, payload, nil
}

// unpackBlock returns the bucket of a block and its pairs, in the buffer if that
// is large enough.
func unpackBlock(payload, buffer []byte) (bucket string, pairs []byte, err error) {
	if len(payload) < 1 || len(payload) < 1+int(payload[0]) {
		return "", nil, badSnapshot("a block has no name")
	}
	bucket, packed := string(payload[1:1+payload[0]]), payload[1+payload[0]:]
	if n, err := s2.DecodedLen(packed); err != nil || n > maxFrame {
		return "", nil, badSnapshot("a block of %s claims to have %d bytes (%v)", bucket, n, err)
	}
	pairs, err = s2.Decode(buffer[:cap(buffer)], packed)
	if err != nil {
		return "", nil, badSnapshot("unpacking a block of %s: %w", bucket, err)
	}
	return bucket, pairs, nil
}

// nextPair cuts a pair off the pairs of a block.
func nextPair(pairs []byte) (key, value, rest []byte, err error) {
	k, n := binary.Uvarint(pairs)
	if n <= 0 {
		return nil, nil, nil, badSnapshot("a pair is cut off")
	}
	pairs = pairs[n:]
	v, n := binary.Uvarint(pairs)
	if n <= 0 || k > uint64(len(pairs)-n) || v > uint64(len(pairs)-n)-k {
		return nil, nil, nil, badSnapshot("a pair is cut off")
	}
	pairs = pairs[n:]
	return pairs[:k:k], pairs[k : k+v : k+v], pairs[k+v:], nil
}
