package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// settleTail puts all that a file holds back into the buckets, as an older
// format has it.
func settleTail(tx *bolt.Tx) error {
	held, err := loadTail(tx)
	if err != nil {
		return err
	}
	for _, e := range held.whole() {
		bucket, key := tx.Bucket(heldBack[e.key[0]]), []byte(e.key[1:])
		if e.gone {
			err = errors.Join(err, bucket.Delete(key))
		} else {
			err = errors.Join(err, bucket.Put(key, nil))
		}
	}
	return errors.Join(err, tx.DeleteBucket(bucketTail))
}

// addRecord adds a record to the tail of a file that says that a key is gone.
func addRecord(tx *bolt.Tx, place byte, key []byte) error {
	_, next, err := readTail(tx)
	if err != nil {
		return err
	}
	ops, err := appendOp(nil, place, true, key)
	at := positionKey(next)
	return errors.Join(err, tx.Bucket(bucketTail).Put(at, seal(at, s2.Encode(nil, ops))))
}

// keysOf returns the keys of an image as one text.
func keysOf(i image, bucket, from, prefix []byte) string {
	var out strings.Builder
	for k := range i.keys(bucket, from, prefix) {
		fmt.Fprintf(&out, "%s ", k)
	}
	return out.String()
}

// wantKeys compares an image with what it should hold, in every way of reading.
func wantKeys(t *rapid.T, i image, want map[string]bool, prefix, from string) {
	t.Helper()
	var all, some strings.Builder
	for _, k := range slices.Sorted(maps.Keys(want)) {
		fmt.Fprintf(&all, "%s ", k)
		if strings.HasPrefix(k, prefix) && k >= from {
			fmt.Fprintf(&some, "%s ", k)
		}
	}
	if got := keysOf(i, bucketValues, nil, nil); got != all.String() {
		t.Fatalf("there are %q, not %q", got, all.String())
	}
	if got := keysOf(i, bucketValues, []byte(from), []byte(prefix)); got != some.String() && from >= prefix {
		t.Fatalf("from %q with %q on there are %q, not %q", from, prefix, got, some.String())
	}
	if n := i.count(bucketValues); n != len(want) {
		t.Fatalf("%d are counted, not %d", n, len(want))
	}
	if i.has(bucketValues, []byte(prefix+"b")) != want[prefix+"b"] {
		t.Fatalf("%q is there or not, wrongly", prefix+"b")
	}
	if got := keysOf(i, bucketRefs, nil, nil); got != "" {
		t.Fatalf("another bucket has %q", got)
	}
}

// TestImageShowsWhatWasWrittenAtEveryLengthOfTheTail compares what is read from
// buckets and tail with a map, in the batch, after it, after opening the file
// anew, and in a reader that began long before.
func TestImageShowsWhatWasWrittenAtEveryLengthOfTheTail(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		begin := func() *Store {
			s, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", NoSync: true, Logger: quiet()})
			if err != nil {
				rt.Fatal(err)
			}
			return s
		}
		s := begin()
		defer func() { _ = s.Close() }()
		limit := rapid.SampledFrom([]int{0, 3, 40, tailLimit}).Draw(rt, "limit")
		s.tailLimit = limit
		want := map[string]bool{}
		key := rapid.StringMatching(`[a-c]{1,3}`)
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			was, before := maps.Clone(want), reader(rt, s)
			prefix, from := rapid.StringMatching(`[a-c]?`).Draw(rt, "prefix"), key.Draw(rt, "from")
			writeKeys(t, rt, s, want, key, prefix, from)
			wantKeys(rt, before.image, was, prefix, from)
			before.end()
			if rapid.IntRange(0, 4).Draw(rt, "reopen") == 0 {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = begin()
				s.tailLimit = limit
			}
			after := reader(rt, s)
			wantKeys(rt, after.image, want, prefix, from)
			stored, err := readImage(after.tx)
			if err != nil {
				rt.Fatal(err)
			}
			wantKeys(rt, stored, want, prefix, from)
			after.end()
		}
	})
}

// writeKeys changes keys in one batch, which reads what it has written so far.
func writeKeys(t *testing.T, rt *rapid.T, s *Store, want map[string]bool, key *rapid.Generator[string], prefix, from string) {
	err := s.submit(t.Context(), func(b *batch) error {
		for range rapid.IntRange(1, 60).Draw(rt, "changes") {
			k := key.Draw(rt, "key")
			if rapid.Bool().Draw(rt, "gone") {
				delete(want, k)
				b.remove(bucketValues, []byte(k))
			} else {
				want[k] = true
				b.put(bucketValues, []byte(k), nil)
			}
			if rapid.IntRange(0, 9).Draw(rt, "look") == 0 {
				wantKeys(rt, b.image(), want, prefix, from)
			}
		}
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
}

type openImage struct {
	image
	end func()
}

func reader(t *rapid.T, s *Store) openImage {
	tx, err := s.file.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	i, err := s.imageOf(tx)
	if err != nil {
		t.Fatal(err)
	}
	return openImage{image: i, end: func() { _ = tx.Rollback() }}
}

// havingN returns the subjects that the index of values knows under n.
func havingN(t *testing.T, s *Store) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := s.View(t.Context(), func(r *Reader) error {
		for id, err := range r.SubjectsHaving("n") {
			if err != nil {
				return err
			}
			out[id] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStoreIsSoundAfterACrashAtAnyCommitOfAMerge ends the store before or after
// each commit while the tail goes into the buckets all the time.
func TestStoreIsSoundAfterACrashAtAnyCommitOfAMerge(t *testing.T) {
	const writes = 24
	for at := range writes {
		for _, taken := range []bool{false, true} {
			dir := t.TempDir()
			commits, acked := 0, map[string]bool{}
			crash := func(here bool) func() error {
				return func() error {
					if here && commits >= at {
						return errors.New("the machine stops")
					}
					return nil
				}
			}
			hooks := &Hooks{BeforeCommit: crash(false), AfterCommit: crash(false)}
			s, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", NoSync: true, Logger: quiet(), Hooks: hooks})
			if err != nil {
				t.Fatal(err)
			}
			s.tailLimit = 7
			*hooks = Hooks{BeforeCommit: crash(!taken), AfterCommit: crash(taken)}
			last := ""
			for i := range writes {
				last = fmt.Sprintf("o%d", i*7%writes)
				if _, err := try(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":%q,"n":%d,"m":[1,2,3],"r":"@o1"}`, last, i)); err != nil {
					break
				}
				acked[last] = true
				commits++
			}
			if err := s.Abandon(); err != nil {
				t.Fatal(err)
			}
			again := open(t, dir, "0A")
			wantSound(t, again)
			got := havingN(t, again)
			delete(got, last) // of the last one nobody knows
			delete(acked, last)
			if !maps.Equal(got, acked) {
				t.Errorf("crash at %d: %v are found, %v were acknowledged", at, got, acked)
			}
		}
	}
}

// TestTailStaysBounded: however long a store writes, it holds back only half as
// much again as its limit, and the records of what has gone leave the file.
func TestTailStaysBounded(t *testing.T) {
	const limit = 200
	s := open(t, t.TempDir(), "0A")
	s.tailLimit = limit
	peak := 0
	for i := range 400 {
		do(t, s, (*Tx).Replace, fmt.Sprintf(`{"id":"o%d","n":%d,"m":["a","b","c"],"r":"@o1"}`, i*131%400, i))
		err := s.snapshot(t.Context(), func(tx *bolt.Tx) error {
			i, err := s.imageOf(tx)
			if err != nil {
				return err
			}
			held := i.tail.held()
			peak = max(peak, held.size+len(slices.Concat(held.old...)))
			if records := tx.Bucket(bucketTail).Stats().KeyN; records > limit {
				t.Fatalf("there are %d records", records)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if peak > limit*7/4 || peak < limit {
		t.Errorf("up to %d entries were held back", peak)
	}
	wantSound(t, s)
}

// TestReaderThatBeganBeforeAMergeSeesItsOwnTime: neither what came later nor the
// merge of the tail shows in a View that goes on.
func TestReaderThatBeganBeforeAMergeSeesItsOwnTime(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	s.tailLimit = 10
	do(t, s, (*Tx).Add, `{"id":"first","n":1}`)
	read(t, s, func(r *Reader) error {
		for i := range 60 { // more transactions than are remembered
			do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"o%d","n":1}`, i))
		}
		do(t, s, (*Tx).Remove, `{"id":"first","n":1}`)
		var got []string
		for id, err := range r.SubjectsWith("n", statement.Term{Type: statement.XSDInteger, Text: "1"}) {
			if err != nil {
				return err
			}
			got = append(got, id)
		}
		if !slices.Equal(got, []string{"first"}) {
			t.Errorf("the reader finds %q", got)
		}
		return nil
	})
	if got := havingN(t, s); len(got) != 60 || got["first"] {
		t.Errorf("now %v are found", got)
	}
}

func TestDamagedRecordOfTheTailIsRefused(t *testing.T) {
	good, _ := appendOp(nil, 1, false, []byte("key"))
	for name, record := range map[string]string{
		"cut off": string(good[:len(good)-1]), "unknown bucket": string(good[:3]) + "\x09" + string(good[4:]),
		"unknown change": "\x02" + string(good[1:]), "no key": "\x00\x00\x01\x01",
	} {
		if r, err := runOf(record); err == nil {
			t.Errorf("%s: it gives %v", name, r)
		}
	}
	if r, err := runOf(string(good)); err != nil || len(r) != 1 || r[0].key != "\x01key" || r[0].gone {
		t.Errorf("got %v, %v", r, err)
	}
	for _, n := range []int{0, bolt.MaxKeySize + 1} {
		if _, err := appendOp(nil, 1, false, make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes is taken", n)
		}
	}
}
