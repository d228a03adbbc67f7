package store

import (
	"bytes"
	"iter"
	"strings"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// image is the content of the file as of one transaction: its buckets, and the
// index entries that are held back. All that reads an index reads an image.
type image struct {
	tx   *bolt.Tx
	tail holder
	// opened are buckets that were asked for before; nil to open them each time.
	opened *openBuckets
}

// openBuckets are those that one reader asks for again and again.
type openBuckets struct {
	values *bolt.Bucket
	// idle are cursors of values that no iteration uses.
	idle []*bolt.Cursor
}

// bucket opens a bucket, if it is not open.
func (i image) bucket(name []byte) *bolt.Bucket {
	if i.opened == nil || &name[0] != &bucketValues[0] {
		return i.tx.Bucket(name)
	}
	if i.opened.values == nil {
		i.opened.values = i.tx.Bucket(name)
	}
	return i.opened.values
}

// holder knows what is held back. Of a batch that is in progress this is more
// with each change.
type holder interface{ held() *tail }

func (t *tail) held() *tail { return t }

// keys yields the keys of a bucket that start with prefix, from the given one
// on. They are valid until the transaction ends.
func (i image) keys(bucket, from, prefix []byte) iter.Seq[[]byte] {
	return keysFrom(i, bucket, from, prefix)
}

// pairs yields the pairs of a bucket.
func (i image) pairs(bucket []byte) iter.Seq2[[]byte, []byte] {
	if _, held := heldBackAs(bucket); !held {
		return pairsOf(i.tx.Bucket(bucket))
	}
	return func(yield func(k, v []byte) bool) {
		for k := range i.keys(bucket, nil, nil) {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// has reports whether a bucket has a key.
func (i image) has(bucket, key []byte) bool {
	if place, held := heldBackAs(bucket); held {
		if e, known := i.tail.held().find(string(place) + string(key)); known {
			return !e.gone
		}
	}
	k, _ := i.tx.Bucket(bucket).Cursor().Seek(key)
	return k != nil && bytes.Equal(k, key)
}

// count returns how many keys a bucket has. It reads all its pages.
func (i image) count(bucket []byte) int {
	n := i.tx.Bucket(bucket).Stats().KeyN
	place, held := heldBackAs(bucket)
	if !held {
		return n
	}
	t := i.tail.held()
	c := i.tx.Bucket(bucket).Cursor()
	for _, e := range t.whole().with(place) {
		k, _ := c.Seek([]byte(e.key[1:]))
		switch stored := k != nil && string(k) == e.key[1:]; {
		case stored && e.gone:
			n--
		case !stored && !e.gone:
			n++
		}
	}
	return n
}

// with returns the entries of one bucket.
func (r run) with(place byte) run {
	return r[r.seek(string(rune(place))):r.seek(string(rune(place+1)))]
}

// from returns the entries of a run whose keys start with prefix, from a key on.
func (r run) from(from, prefix string) run {
	r = r[r.seek(max(from, prefix)):]
	if len(r) == 0 || !strings.HasPrefix(r[0].key, prefix) {
		return nil
	}
	if strings.HasPrefix(r[len(r)-1].key, prefix) {
		return r
	}
	end, _ := after(prefix) // there is one, since there are keys behind it
	return r[:r.seek(end)]
}

// after returns the first text that is behind all that start with a prefix.
func after(prefix string) (string, bool) {
	b := []byte(prefix)
	for n := len(b); n > 0; n-- {
		if b[n-1] < 0xFF {
			b[n-1]++
			return string(b[:n]), true
		}
	}
	return "", false
}

// keysFrom yields the keys of a bucket that start with prefix, from the given
// one on: the one place where an index is read.
func keysFrom(i image, bucket, from, prefix []byte) iter.Seq[[]byte] {
	place, held := heldBackAs(bucket)
	if !held {
		return storedKeys(i.bucket(bucket), from, prefix)
	}
	return func(yield func([]byte) bool) {
		var runs []run // the newest first
		placedPrefix := string(place) + string(prefix)
		placedFrom := placedPrefix
		if !bytes.Equal(from, prefix) {
			placedFrom = string(place) + string(from)
		}
		for r := range i.tail.held().all {
			if part := r.from(placedFrom, placedPrefix); len(part) > 0 {
				runs = append(runs, part)
			}
		}
		c, done := i.cursor(bucket)
		defer done()
		stored := keysAt(c, from, prefix)
		if len(runs) == 0 {
			stored(yield)
			return
		}
		mergeKeys(stored, runs, yield)
	}
}

// cursor returns a cursor of a bucket, and what lets go of it.
func (i image) cursor(name []byte) (c *bolt.Cursor, done func()) {
	if i.opened == nil || &name[0] != &bucketValues[0] || i.tx.Writable() {
		return i.bucket(name).Cursor(), func() {}
	}
	if n := len(i.opened.idle); n > 0 {
		c, i.opened.idle = i.opened.idle[n-1], i.opened.idle[:n-1]
	} else {
		c = i.bucket(name).Cursor()
	}
	return c, func() { i.opened.idle = append(i.opened.idle, c) }
}

func storedKeys(bucket *bolt.Bucket, from, prefix []byte) iter.Seq[[]byte] {
	return keysAt(bucket.Cursor(), from, prefix)
}

func keysAt(c *bolt.Cursor, from, prefix []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for k, _ := c.Seek(from); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			if !yield(k) {
				return
			}
		}
	}
}

// mergeKeys yields stored keys and those of runs, the newest of which comes
// first, in order.
func mergeKeys(stored iter.Seq[[]byte], runs []run, yield func([]byte) bool) {
	next, more := first(runs)
	take := func() tailEntry {
		e := next
		runs = behind(runs, e.key)
		next, more = first(runs)
		return e
	}
	for k := range stored {
		for more && next.key[1:] < string(k) {
			if e := take(); !e.gone && !yield([]byte(e.key[1:])) {
				return
			}
		}
		if more && next.key[1:] == string(k) && take().gone {
			continue
		}
		if !yield(k) {
			return
		}
	}
	for more {
		if e := take(); !e.gone && !yield([]byte(e.key[1:])) {
			return
		}
	}
}

// first returns the entry with the least key, of the newest run that has it.
func first(runs []run) (least tailEntry, ok bool) {
	for _, r := range runs {
		if len(r) > 0 && (!ok || r[0].key < least.key) {
			least, ok = r[0], true
		}
	}
	return least, ok
}

// behind takes a key, which none has less than, off the runs.
func behind(runs []run, key string) []run {
	for i, r := range runs {
		if len(r) > 0 && r[0].key == key {
			runs[i] = r[1:]
		}
	}
	return runs
}

// tails are those of the last few transactions of the file. A reader may begin
// in the middle of a commit, or a moment before one, so it looks for the one
// that belongs to what it sees.
type tails struct {
	mu   sync.Mutex
	last [16]tailOf
	next int
}

type tailOf struct {
	db   *bolt.DB
	txid int
	tail *tail
}

func (t *tails) set(db *bolt.DB, txid int, held *tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.last {
		if t.last[i].db == db && t.last[i].txid == txid {
			t.last[i].tail = held
			return
		}
	}
	t.last[t.next] = tailOf{db: db, txid: txid, tail: held}
	t.next = (t.next + 1) % len(t.last)
}

func (t *tails) get(db *bolt.DB, txid int) *tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.last {
		if l.db == db && l.txid == txid {
			return l.tail
		}
	}
	return nil
}

// forget drops the tail of a transaction that came to nothing.
func (t *tails) forget(db *bolt.DB, txid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, l := range t.last {
		if l.db == db && l.txid == txid {
			t.last[i] = tailOf{}
		}
	}
}

// knownImageOf returns the image of a read transaction of the store's file if its
// tail is known, else none. It is not of one that began so slowly that some
// commits have gone by, or when nothing was committed since another part of the
// program wrote the file.
func (s *Store) knownImageOf(tx *bolt.Tx) (image, error) {
	if held := s.tails.get(tx.DB(), tx.ID()); held != nil {
		return image{tx: tx, tail: held}, nil
	}
	return image{}, nil
}

// imageOf returns the image of a read transaction of the store's file.
func (s *Store) imageOf(tx *bolt.Tx) (image, error) {
	if i, err := s.knownImageOf(tx); i.tx != nil || err != nil {
		return i, err
	}
	i, err := readImage(tx)
	if err == nil {
		s.tails.set(tx.DB(), tx.ID(), i.tail.held())
	}
	return i, err
}

// readImage returns the image that a file has, whatever is known in memory.
func readImage(tx *bolt.Tx) (image, error) {
	held, err := loadTail(tx)
	return image{tx: tx, tail: held}, err
}
