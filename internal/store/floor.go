package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// A log that has been trimmed begins above its floor: for each branch the last
// changeset that has left it. The floor is a revision that was current here once,
// so all that it covers has left, and nothing else. What is still needed of it:
//
//   - heads of the floor: where each branch's chain of hashes goes on;
//   - the past: an object's record as of the floor, on which its later changesets
//     are applied again to find its history. It is kept only for objects that
//     have later changesets: of the others the present record is the past;
//   - clocks: those of the changesets that left, since the clock that counts for
//     a changeset depends on those its author had seen (see effectiveClock). A
//     few bytes each.
//
// None of this is read often, and no hash of replication covers it, so each value
// carries its own.

// sealBytes is the length of the hash before a sealed value.
const sealBytes = 8

// seal returns a value with the hash of its key and itself before it.
func seal(key, value []byte) []byte {
	sum := sealOf(key, value)
	return append(append(make([]byte, 0, sealBytes+len(value)), sum[:sealBytes]...), value...)
}

func sealOf(key, value []byte) [32]byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(key))))
	h.Write(key)
	h.Write(value)
	return [32]byte(h.Sum(nil))
}

// unseal returns the value without its hash, nil if there is none.
func unseal(what string, key, sealed []byte) ([]byte, error) {
	if sealed == nil {
		return nil, nil
	}
	if len(sealed) < sealBytes {
		return nil, &CorruptError{What: what, Err: fmt.Errorf("the value of %q is cut off", key)}
	}
	value := sealed[sealBytes:]
	if sum := sealOf(key, value); string(sum[:sealBytes]) != string(sealed[:sealBytes]) {
		return nil, &CorruptError{What: what, Err: fmt.Errorf("the value of %q does not have the hash it was written with", key)}
	}
	return value, nil
}

// floorHeads reads the heads of the floor.
func floorHeads(tx *bolt.Tx) (map[branch.ID]head, branch.Revision, error) {
	heads := map[branch.ID]head{}
	var floor branch.Revision
	err := tx.Bucket(bucketFloor).ForEach(func(k, v []byte) error {
		raw, err := unseal("the floor of the log", k, v)
		if err != nil {
			return err
		}
		h, err := decodeHead(raw)
		if err != nil {
			return &CorruptError{What: "the floor of the log", Err: fmt.Errorf("branch %s: %w", k, err)}
		}
		heads[branch.ID(k)] = h
		floor = append(floor, branch.Dot{Branch: branch.ID(k), Seq: h.seq}) // keys are sorted
		return nil
	})
	return heads, floor, err
}

// trimmedIn returns the last position that has left the log.
func trimmedIn(tx *bolt.Tx) (uint64, error) {
	return positionIn(tx, metaTrimmed)
}

// positionIn reads a position from bucketMeta, 0 if there is none.
func positionIn(tx *bolt.Tx, key []byte) (uint64, error) {
	raw, err := unseal("the description of the log", key, tx.Bucket(bucketMeta).Get(key))
	if err != nil || raw == nil {
		return 0, err
	}
	if len(raw) != 8 {
		return 0, &CorruptError{What: "the description of the log", Err: fmt.Errorf("%s has %d bytes", key, len(raw))}
	}
	return binary.BigEndian.Uint64(raw), nil
}

// pastOf returns an object's record as of the floor. Without a trimmed log that
// is the empty one.
func pastOf(i image, root string) (*record, error) {
	key := []byte(root)
	raw, err := unseal("the past of "+root, key, i.tx.Bucket(bucketPast).Get(key))
	if err != nil {
		return nil, err
	}
	if raw == nil && !changedAbove(i, root, 0) {
		raw = i.tx.Bucket(bucketObjects).Get(key)
	}
	rec, err := decodeRecord(raw)
	if err != nil {
		return nil, &CorruptError{What: "the past of " + root, Err: err}
	}
	return rec, nil
}

// changedAbove reports whether the log has a changeset of an object above a
// position.
func changedAbove(i image, root string, pos uint64) bool {
	for range keysFrom(i, bucketHistory, historyKey(root, pos+1), textKey(root)) {
		return true
	}
	return false
}

// keepPast keeps the record of an object that changes for the first time since
// all its earlier changesets left the log. Call it before anything of the change
// is written.
func (b *batch) keepPast(root string, old []byte) {
	if b.st.trimmed == 0 || old == nil || changedAbove(b.image(), root, 0) {
		return
	}
	key := []byte(root)
	b.put(bucketPast, key, seal(key, old))
}

// The clocks of a branch are kept in chunks of clockChunk: under the dot of the
// first (sequence 0 for the first chunk, which has no clock), the first clock
// and the differences to the next ones, each a uvarint. Clocks rise along a
// branch, and there is no hole.
const clockChunk = 256

func clockKey(d branch.Dot) []byte {
	return dotKey(branch.Dot{Branch: d.Branch, Seq: d.Seq &^ (clockChunk - 1)})
}

// clocksAt reads the chunk of a dot.
func clocksAt(tx *bolt.Tx, d branch.Dot) ([]changeset.Clock, error) {
	key := clockKey(d)
	raw, err := unseal("the clocks", key, tx.Bucket(bucketClocks).Get(key))
	if err != nil {
		return nil, err
	}
	var out []changeset.Clock
	var last uint64
	for len(raw) > 0 {
		delta, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil, &CorruptError{What: "the clocks", Err: errors.New("a chunk is cut off")}
		}
		raw, last = raw[n:], last+delta
		out = append(out, changeset.Clock(last))
	}
	return out, nil
}

// clockOf returns the clock of an applied changeset, in the log or not, and
// whether it is applied.
func clockOf(tx *bolt.Tx, d branch.Dot) (changeset.Clock, bool, error) {
	e, ok, err := entryOf(tx, d)
	if ok || err != nil {
		return e.clock, ok, err
	}
	chunk, err := clocksAt(tx, d)
	at := d.Seq % clockChunk
	if d.Seq < clockChunk {
		at-- // there is no sequence 0
	}
	if err != nil || d.Seq == 0 || at >= uint64(len(chunk)) {
		return 0, false, err
	}
	return chunk[at], true, nil
}

// keepClocks adds the clocks of one branch's next changesets that leave the log.
func (b *batch) keepClocks(d branch.Dot, clocks []changeset.Clock) {
	for len(clocks) > 0 && b.err == nil {
		chunk, err := clocksAt(b.tx, d)
		if err != nil {
			b.fail(err)
			return
		}
		room := clockChunk - int(d.Seq%clockChunk)
		n := min(room, len(clocks))
		chunk = append(chunk, clocks[:n]...)
		var raw []byte
		var last changeset.Clock
		for _, c := range chunk {
			raw = binary.AppendUvarint(raw, uint64(c-last))
			last = c
		}
		key := clockKey(d)
		b.put(bucketClocks, key, seal(key, raw))
		d.Seq += uint64(n)
		clocks = clocks[n:]
	}
}
