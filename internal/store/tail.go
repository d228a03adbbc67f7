package store

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// The index entries of a new object belong in random places of B+ trees, and
// bbolt rewrites a page for each place. So they are held back: a commit appends
// one record with all its changes of entries to bucketTail, and what they come
// to is kept in memory, sorted. Whoever reads an index reads the bucket and this
// tail together (see image). When the tail has become long, it goes into the
// buckets in the order of keys, where many entries share a page; see
// tail_merge.go.
//
// Only buckets whose entries have no value can be held back: heldBack.

// heldBack are the buckets whose entries the tail holds back; the place in this
// list is part of the format.
var heldBack = [][]byte{bucketHistory, bucketValues, bucketRefs}

// heldBackAs returns the place of a bucket among those that are held back.
func heldBackAs(bucket []byte) (byte, bool) {
	for i, b := range heldBack {
		if &b[0] == &bucket[0] {
			return byte(i), true
		}
	}
	return 0, false
}

const (
	// tailLimit is how many changes of entries the tail holds before it is merged
	// into the buckets. It holds half as many more at most while that is going on;
	// with keys of 100 bytes that is about 25 MB of memory.
	tailLimit = 128 << 10
	// keyBytes is how long its keys are on average at most: those of an object with
	// a long id have thousands of bytes, and fewer of them are held back.
	keyBytes = 256
	// runLimit is how long the runs are that are made of two: nobody who writes
	// waits while a longer one is made.
	runLimit = 32 << 10
)

// tailEntry is what became of a key: it was put, or it is gone. The key begins
// with the place of its bucket among heldBack.
type tailEntry struct {
	key  string
	gone bool
}

// run is a sorted list of entries, each key once. It never changes.
type run []tailEntry

// seek returns the place of the first entry that is not before a key.
func (r run) seek(key string) int {
	at, _ := slices.BinarySearchFunc(r, key, func(e tailEntry, key string) int { return strings.Compare(e.key, key) })
	return at
}

// tail is what is held back as of one transaction of the file. It never changes:
// a commit makes another one, which shares most of it.
type tail struct {
	// old are on their way into the buckets, and older than runs; none if nothing is.
	old []run
	// runs are sorted from old to new; an entry of a later one counts. Each has at
	// least twice as many entries as the next one, or both are more than runLimit
	// together, so that there are few.
	runs []run
	// size counts the entries of runs, bytes those of the keys that came to them.
	size, bytes int
}

// noTail holds nothing back.
var noTail = &tail{}

// with returns the tail with a newer run.
func (t *tail) with(newest run) *tail {
	if len(newest) == 0 {
		return t
	}
	runs := append(slices.Clone(t.runs), newest)
	for n := len(runs); n > 1 && joins(len(runs[n-2]), len(runs[n-1])); n = len(runs) {
		runs = append(runs[:n-2], mergeRuns(runs[n-2], runs[n-1]))
	}
	next := &tail{old: t.old, runs: runs, bytes: t.bytes}
	for _, r := range runs {
		next.size += len(r)
	}
	for _, e := range newest {
		next.bytes += len(e.key)
	}
	return next
}

// long reports whether it is time to merge the tail into the buckets.
func (t *tail) long(limit int) bool { return t.size > limit || t.bytes > keyBytes*limit }

// joins reports whether runs of two lengths become one.
func joins(older, newer int) bool { return older < 2*newer && older+newer <= runLimit }

// mergeRuns makes one run of two; of a key that both have, the newer entry counts.
func mergeRuns(older, newer run) run {
	out := make(run, 0, len(older)+len(newer))
	for len(older) > 0 && len(newer) > 0 {
		c := strings.Compare(older[0].key, newer[0].key)
		if c < 0 {
			out, older = append(out, older[0]), older[1:]
			continue
		}
		if c == 0 {
			older = older[1:]
		}
		out, newer = append(out, newer[0]), newer[1:]
	}
	return append(append(out, older...), newer...)
}

// whole returns all entries as one run.
func (t *tail) whole() run {
	var out run
	for r := range t.all {
		out = mergeRuns(r, out)
	}
	return out
}

// all yields the runs, the newest first.
func (t *tail) all(yield func(run) bool) {
	for _, r := range slices.Backward(t.runs) {
		if !yield(r) {
			return
		}
	}
	for _, r := range slices.Backward(t.old) {
		if !yield(r) {
			return
		}
	}
}

// find returns what the tail knows of a key.
func (t *tail) find(key string) (e tailEntry, known bool) {
	for r := range t.all {
		if at := r.seek(key); at < len(r) && r[at].key == key {
			return r[at], true
		}
	}
	return tailEntry{}, false
}

// A record of the tail is the changes of a batch in their order, each
//
//	0 or 1 (the key is gone), length of the key with its first byte 2,
//	place of the bucket among heldBack 1, key

const opHeader = 3

// appendOp adds a change to a record; the key is what write appends.
func appendOp(record []byte, bucket byte, gone bool, key []byte) ([]byte, error) {
	if len(key) == 0 || len(key) > bolt.MaxKeySize {
		return record, fmt.Errorf("a key of %d bytes cannot be stored", len(key))
	}
	flag := byte(0)
	if gone {
		flag = 1
	}
	record = append(record, flag)
	record = binary.BigEndian.AppendUint16(record, uint16(1+len(key)))
	return append(append(record, bucket), key...), nil
}

// runOf returns the entries of a record, or part of one.
func runOf(record string) (run, error) {
	out := make(run, 0, len(record)/64+1)
	for rest := record; len(rest) > 0; {
		if len(rest) < opHeader || rest[0] > 1 {
			return nil, fmt.Errorf("a change at byte %d is damaged", len(record)-len(rest))
		}
		n := int(rest[1])<<8 | int(rest[2])
		if n < 2 || n > len(rest)-opHeader || int(rest[opHeader]) >= len(heldBack) {
			return nil, fmt.Errorf("a change at byte %d is damaged", len(record)-len(rest))
		}
		out = append(out, tailEntry{key: rest[opHeader : opHeader+n], gone: rest[0] == 1})
		rest = rest[opHeader+n:]
	}
	return out.normal(), nil
}

// normal sorts entries that are in the order of their changes; the last change
// of a key counts.
func (r run) normal() run {
	slices.SortStableFunc(r, func(a, b tailEntry) int { return cmp.Compare(a.key, b.key) })
	out := r[:0]
	for i, e := range r {
		if i+1 == len(r) || r[i+1].key != e.key {
			out = append(out, e)
		}
	}
	return out
}
