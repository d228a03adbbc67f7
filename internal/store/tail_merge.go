package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/s2"
	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/mutant"
)

// The tail goes into the buckets in pieces, each in a commit that has something
// to write anyway, so that nobody waits for it. Which pieces have gone is kept in
// memory only: after a crash all of it goes once more, and an entry that is
// there already is put there again. The records leave bucketTail, the oldest
// first, once all their entries are in the buckets; until then they and the
// buckets say the same.

const (
	// mergeTimes is how many entries go into the buckets for each that a batch
	// adds to the tail, and how many bytes for each: it is what bounds the tail.
	mergeTimes = 2
	// mergeLeast is how many do at least, if the tail may be long.
	mergeLeast = 64
	// mergeRecords bounds how many records leave in one batch besides.
	mergeRecords = 64
	// tailRecord is about how many bytes of changes go into one record.
	tailRecord = 1 << 20
)

// merge is how far the tail has come on its way into the buckets.
type merge struct {
	// next is the number of the next record.
	next uint64
	// upTo is the last record of what is on its way, rest what of it is not there
	// yet, the newest run first.
	upTo uint64
	rest []run
	// leave is the last record of which all is in the buckets.
	leave uint64
}

// hold adds a change of an index to the tail.
func (b *batch) hold(place byte, gone bool, key []byte) {
	b.dirty = true
	var err error
	if b.ops, err = appendOp(b.ops, place, gone, key); err != nil {
		b.fail(fmt.Errorf("writing to %s: %w", heldBack[place], err))
	}
	b.opCount++
}

// held implements holder: the tail with all changes so far.
func (b *batch) held() *tail {
	if b.frozen < len(b.ops) {
		r, err := runOf(string(b.ops[b.frozen:]))
		b.fail(err)
		b.st.tail, b.frozen = b.st.tail.with(r), len(b.ops)
	}
	return b.st.tail
}

// image is what the batch reads: the file with all it has written so far.
func (b *batch) image() image { return image{tx: b.tx, tail: b} }

// writeTail writes the record of the batch.
func (b *batch) writeTail() {
	if b.err != nil || len(b.ops) == 0 {
		return
	}
	b.held()
	b.opBytes += len(b.ops)
	for rest := b.ops; len(rest) > 0; {
		n := cutOps(rest)
		key := positionKey(b.st.merge.next)
		b.put(bucketTail, key, seal(key, s2.Encode(nil, rest[:n])))
		b.st.merge.next++
		rest = rest[n:]
	}
	b.ops, b.frozen = b.ops[:0], 0
}

// cutOps returns how many bytes of changes go into a record.
func cutOps(ops []byte) int {
	n := 0
	for n < len(ops) && n < tailRecord {
		n += opHeader + int(binary.BigEndian.Uint16(ops[n+1:]))
	}
	return n
}

// mergeTail has a piece of the tail go into the buckets, if it has become long.
func (b *batch) mergeTail(limit int) {
	if t := b.st.tail; len(t.old) == 0 && t.long(limit) {
		b.beginMerge()
	}
	b.mergeSome(max(min(mergeLeast, 1+limit/8), mergeTimes*b.opCount), mergeTimes*b.opBytes)
	b.dropRecords(mergeTimes + min(mergeRecords, 1+limit/8))
}

// beginMerge has all of the tail be on its way.
func (b *batch) beginMerge() {
	m := &b.st.merge
	b.st.tail = &tail{old: slices.Concat(b.st.tail.old, b.st.tail.runs)}
	m.upTo, m.rest = m.next-1, slices.Collect(b.st.tail.all)
	if mutant.On("tail-dropped-early") {
		m.leave = m.upTo
	}
}

// settleTail has all of the tail go into the buckets.
func (b *batch) settleTail() {
	b.beginMerge()
	b.mergeSome(math.MaxInt, math.MaxInt)
	b.dropRecords(math.MaxInt)
}

// mergeSome puts the next entries where they belong: as many as it is told, and
// more until they are as many bytes.
func (b *batch) mergeSome(entries, bytes int) {
	t, m := b.st.tail, &b.st.merge
	if len(t.old) == 0 {
		return
	}
	for ; b.err == nil && (entries > 0 || bytes > 0); entries-- {
		e, more := first(m.rest)
		if !more {
			b.st.tail = &tail{runs: t.runs, size: t.size, bytes: t.bytes}
			m.leave = m.upTo
			return
		}
		m.rest = behind(m.rest, e.key)
		bytes -= len(e.key)
		b.settle(e)
	}
}

// settle puts an entry where it belongs.
func (b *batch) settle(e tailEntry) {
	bucket, key := heldBack[e.key[0]], []byte(e.key[1:])
	if e.gone {
		b.removeNow(bucket, key)
	} else {
		b.putNow(bucket, key, nil)
	}
}

// dropRecords takes records away whose entries are in the buckets, the oldest
// first: were a newer one missing, an older one would speak for it.
func (b *batch) dropRecords(n int) {
	c := b.tx.Bucket(bucketTail).Cursor()
	var keys [][]byte
	for k, _ := c.First(); k != nil && len(keys) < n && len(k) == 8; k, _ = c.Next() {
		if binary.BigEndian.Uint64(k) > b.st.merge.leave {
			break
		}
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, k := range keys {
		if b.err == nil {
			b.removeNow(bucketTail, k)
		}
	}
}

// loadTail reads what a file holds back.
func loadTail(tx *bolt.Tx) (*tail, error) {
	held, _, err := readTail(tx)
	return held, err
}

// readTail also returns the number of the next record.
func readTail(tx *bolt.Tx) (held *tail, next uint64, err error) {
	held, next = noTail, 1
	for k, v := range pairsOf(tx.Bucket(bucketTail)) {
		r, err := readRecord(k, v)
		if err != nil {
			return nil, 0, err
		}
		if at := binary.BigEndian.Uint64(k); next > 1 && at != next {
			return nil, 0, &CorruptError{What: "the tail of the indexes", Err: fmt.Errorf("record %d is missing", next)}
		}
		if held, next = held.with(r), binary.BigEndian.Uint64(k)+1; mutant.On("tail-not-read") {
			held = noTail
		}
	}
	return held, next, nil
}

func readRecord(key, sealed []byte) (run, error) {
	const what = "the tail of the indexes"
	if len(key) != 8 {
		return nil, &CorruptError{What: what, Err: fmt.Errorf("the number %x of a record has %d bytes", key, len(key))}
	}
	packed, err := unseal(what, key, sealed)
	if err != nil {
		return nil, err
	}
	ops, err := s2.Decode(nil, packed)
	if err == nil {
		var r run
		if r, err = runOf(string(ops)); err == nil {
			return r, nil
		}
	}
	return nil, &CorruptError{What: what, Err: fmt.Errorf("record %d: %w", binary.BigEndian.Uint64(key), err)}
}
