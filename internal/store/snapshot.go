package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// SnapshotInfo describes a snapshot.
type SnapshotInfo struct {
	// Revision is what the snapshot holds, Floor what has left its log.
	Revision, Floor branch.Revision
	// Digest is that of the objects at the revision.
	Digest Digest
	// Objects counts the visible ones, Changesets those applied.
	Objects    int64
	Changesets uint64
	// Bytes is the length of the stream, SHA256 names it: the SHA-256 of all of
	// it but the last 32 bytes, which are this hash.
	Bytes  int64
	SHA256 [32]byte
}

// WriteSnapshot writes everything that makes the state and its history, as of
// one revision, and nothing that says whose it is: no branch, no incarnation, no
// cursor, nothing pending. Writes go on meanwhile; what is freed by them cannot
// be used again before it has ended.
func (s *Store) WriteSnapshot(ctx context.Context, w io.Writer) (SnapshotInfo, error) {
	var info SnapshotInfo
	early := false
	write := func(tx *bolt.Tx) (err error) {
		if p := s.published(); p.db == tx.DB() && p.txid < tx.ID() {
			early = true // it shows a commit that is not known to be safe yet
			return nil
		}
		early = false
		info, err = writeSnapshot(ctx, tx, w)
		return err
	}
	err := s.settled(ctx, write)
	for early && err == nil {
		if err = s.Probe(ctx); err == nil { // once that is safe, so is what was before it
			err = s.settled(ctx, write)
		}
	}
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("writing a snapshot of %s: %w", s.path, err)
	}
	return info, nil
}

func writeSnapshot(ctx context.Context, tx *bolt.Tx, w io.Writer) (SnapshotInfo, error) {
	st, err := loadState(tx)
	if err != nil {
		return SnapshotInfo{}, err
	}
	frames, err := newFrameWriter(w)
	if err != nil {
		return SnapshotInfo{}, err
	}
	header := snapshotHeader{
		Format: formatVersion, Revision: st.revision.String(), Floor: st.floor.String(), Digest: st.encodeDigest(),
		Objects: st.objects, Conflicts: st.conflicts, Policy: policyOf(tx.Bucket(bucketMeta)), Trimmed: st.trimmed, Last: st.pos,
	}
	if err := frames.json(frameHeader, header); err != nil {
		return SnapshotInfo{}, err
	}
	blocks := &blockWriter{frames: frames, counts: map[string]uint64{}}
	for _, name := range shippedBuckets {
		if err := writeBucket(ctx, image{tx: tx, tail: st.tail}, name, blocks); err != nil {
			return SnapshotInfo{}, err
		}
	}
	if err := blocks.flush(); err != nil {
		return SnapshotInfo{}, err
	}
	if err := frames.json(frameEnd, blocks.counts); err != nil {
		return SnapshotInfo{}, err
	}
	info, err := header.info()
	info.Bytes, info.SHA256 = frames.n, frames.sum
	return info, err
}

func writeBucket(ctx context.Context, i image, name []byte, blocks *blockWriter) error {
	if err := blocks.begin(name); err != nil {
		return err
	}
	for k, v := range i.pairs(name) {
		if err := blocks.add(k, v); err != nil {
			return err
		}
		if len(blocks.raw) == 0 && ctx.Err() != nil { // once a block
			return context.Cause(ctx)
		}
	}
	return nil
}

// info describes the snapshot, apart from its stream.
func (h *snapshotHeader) info() (SnapshotInfo, error) {
	var info SnapshotInfo
	var err error
	if info.Revision, err = branch.ParseRevision(h.Revision); err != nil {
		return info, badSnapshot("its revision: %w", err)
	}
	if info.Floor, err = branch.ParseRevision(h.Floor); err != nil {
		return info, badSnapshot("its floor: %w", err)
	}
	if len(h.Digest) != 8*DigestBuckets {
		return info, badSnapshot("its digest has %d bytes", len(h.Digest))
	}
	for i := range info.Digest {
		info.Digest[i] = binary.BigEndian.Uint64(h.Digest[8*i:])
	}
	if h.Last < h.Trimmed || !info.Revision.CoversAll(info.Floor) {
		return info, badSnapshot("its log lies between %d and %d, its floor is %s", h.Trimmed, h.Last, info.Floor)
	}
	info.Objects, info.Changesets = h.Objects, applied(info.Revision)
	return info, nil
}

// ReadSnapshotInfo reads a whole snapshot, checks that it is complete and as it
// was written, and describes it. A stream that is not gives a *SnapshotError.
func ReadSnapshotInfo(r io.Reader) (SnapshotInfo, error) {
	_, info, err := readSnapshot(context.Background(), r, func(*snapshotHeader) (pairSink, error) { return nowhere{}, nil })
	return info, err
}

// pairSink takes the pairs of a snapshot.
type pairSink interface {
	bucket(name []byte) error
	add(key, value []byte) error
}

type nowhere struct{}

func (nowhere) bucket([]byte) error      { return nil }
func (nowhere) add([]byte, []byte) error { return nil }

// readSnapshot gives the pairs of a snapshot to a sink, each once it is known to
// be as it was written. That nothing is missing is known at the end.
func readSnapshot(ctx context.Context, r io.Reader, begin func(*snapshotHeader) (pairSink, error)) (*snapshotHeader, SnapshotInfo, error) {
	frames, err := newFrameReader(r)
	if err != nil {
		return nil, SnapshotInfo{}, err
	}
	header, info, err := readHeader(frames)
	if err != nil {
		return nil, info, err
	}
	sink, err := begin(header)
	if err != nil {
		return nil, info, err
	}
	d := digester{pairSink: sink}
	if err := readBlocks(ctx, frames, &d); err != nil {
		return nil, info, err
	}
	if d.digest != info.Digest {
		return nil, info, badSnapshot("its objects do not have the digest it names")
	}
	if !d.revision.Equal(info.Revision) {
		return nil, info, badSnapshot("its heads are at %s and it names %s", d.revision, info.Revision)
	}
	info.Bytes, info.SHA256 = frames.n, frames.sum
	return header, info, nil
}

func readHeader(frames *frameReader) (*snapshotHeader, SnapshotInfo, error) {
	kind, payload, err := frames.next()
	if err != nil {
		return nil, SnapshotInfo{}, err
	}
	h := &snapshotHeader{}
	if kind != frameHeader {
		return nil, SnapshotInfo{}, badSnapshot("it does not begin with a header")
	}
	if err := json.Unmarshal(payload, h); err != nil {
		return nil, SnapshotInfo{}, badSnapshot("its header: %w", err)
	}
	if h.Format > formatVersion {
		return nil, SnapshotInfo{}, badSnapshot("it is of a store of format %d and this program knows up to %d", h.Format, formatVersion)
	}
	info, err := h.info()
	return h, info, err
}

// block is a block that has been checked and unpacked.
type block struct {
	bucket string
	pairs  []byte
	// counts come with the end of the stream.
	counts map[string]uint64
	err    error
}

// readBlocks reads and unpacks in a goroutine of its own while the sink works.
func readBlocks(ctx context.Context, frames *frameReader, sink pairSink) error {
	ctx, cancel := context.WithCancel(ctx)
	blocks, free := make(chan block, 2), make(chan []byte, 4)
	for range cap(free) {
		free <- nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		unpackAll(ctx, frames, blocks, free)
	}()
	defer func() { <-done }()
	defer cancel()
	counts := map[string]uint64{}
	for last := ""; ; {
		var b block
		select {
		case b = <-blocks:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if b.err != nil {
			return b.err
		}
		if b.counts != nil {
			if !maps.Equal(withoutZeros(b.counts), counts) {
				return badSnapshot("it has %v pairs and should have %v", counts, b.counts)
			}
			return nil
		}
		if b.bucket != last {
			if _, again := counts[b.bucket]; again || !shipped(b.bucket) {
				return badSnapshot("a block of %q is out of place", b.bucket)
			}
			if err := sink.bucket([]byte(b.bucket)); err != nil {
				return err
			}
			last = b.bucket
		}
		n, err := addPairs(sink, b.pairs)
		if err != nil {
			return err
		}
		counts[b.bucket] += n
		free <- b.pairs
	}
}

func withoutZeros(counts map[string]uint64) map[string]uint64 {
	maps.DeleteFunc(counts, func(_ string, n uint64) bool { return n == 0 })
	return counts
}

func shipped(name string) bool {
	for _, b := range shippedBuckets {
		if string(b) == name {
			return true
		}
	}
	return false
}

func addPairs(sink pairSink, pairs []byte) (n uint64, err error) {
	for len(pairs) > 0 {
		var key, value []byte
		if key, value, pairs, err = nextPair(pairs); err != nil {
			return n, err
		}
		if err := sink.add(key, value); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func unpackAll(ctx context.Context, frames *frameReader, blocks chan<- block, free <-chan []byte) {
	for last := false; !last; {
		var buffer []byte
		select {
		case buffer = <-free:
		case <-ctx.Done():
			return
		}
		b := nextBlock(frames, buffer)
		last = b.err != nil || b.counts != nil
		select {
		case blocks <- b:
		case <-ctx.Done():
			return
		}
	}
}

func nextBlock(frames *frameReader, buffer []byte) (b block) {
	kind, payload, err := frames.next()
	switch {
	case err != nil:
		b.err = err
	case kind == frameBlock:
		b.bucket, b.pairs, b.err = unpackBlock(payload, buffer)
	case kind != frameEnd:
		b.err = badSnapshot("it has a part of the unknown kind %q", kind)
	default:
		b.counts = map[string]uint64{}
		if err := json.Unmarshal(payload, &b.counts); err != nil {
			b.err = badSnapshot("its end: %w", err)
		}
	}
	return b
}

// digester works out the digest and the revision of what passes.
type digester struct {
	pairSink
	name     string
	digest   Digest
	revision branch.Revision
}

func (d *digester) bucket(name []byte) error {
	d.name = string(name)
	return d.pairSink.bucket(name)
}

func (d *digester) add(key, value []byte) error {
	switch d.name {
	case string(bucketObjects):
		root := string(key)
		d.digest[bucketOf(root)] += recordHash(root, value)
	case string(bucketHeads):
		h, err := decodeHead(value)
		if err != nil {
			return badSnapshot("the head of branch %s: %w", key, err)
		}
		d.revision = append(d.revision, branch.Dot{Branch: branch.ID(key), Seq: h.seq})
	}
	return d.pairSink.add(key, value)
}
