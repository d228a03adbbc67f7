package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
)

// wantOrdered holds the index of n against the objects, in both directions.
func wantOrdered(t testing.TB, s *Store, properties ...string) {
	t.Helper()
	waitBuilt(t, s)
	wantSound(t, s)
	read(t, s, func(r *Reader) error {
		for _, p := range properties {
			if err := errors.Join(checkOrdered(r, p, ValueRange{}), checkOrdered(r, p, ValueRange{Desc: true})); err != nil {
				return err
			}
		}
		return nil
	})
}

// again closes a store and opens it with other declared indexes: nil for those
// that it has.
func again(t testing.TB, s *Store, properties ...string) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts := s.opts
	opts.Indexes = properties
	next, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.Abandon() })
	return next
}

// orderedEntries counts the entries of all indexes, and says whether the file
// knows of any.
func orderedEntries(t testing.TB, s *Store) (n int, known bool) {
	t.Helper()
	err := s.snapshot(t.Context(), func(tx *bolt.Tx) error {
		n, known = tx.Bucket(bucketOrdered).Stats().KeyN, tx.Bucket(bucketMeta).Get(metaOrdered) != nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, known
}

// TestIndexIsBuiltAndRemovedWhileEverybodyWrites: writers and readers go on, what
// is read in between is right or said to be unknown, and the file is sound all
// the time.
func TestIndexIsBuiltAndRemovedWhileEverybodyWrites(t *testing.T) {
	s := declaring(t, t.TempDir(), "0A", &Hooks{TailLimit: 500, BuildObjects: 5})
	numbered(t, s, 0, 600)
	for _, declared := range [][]string{{"n"}, {"text", "n"}, {"text"}, {}} {
		s = again(t, s, declared...)
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		for w := range 2 {
			busy.Go(func() {
				for i := w; ctx.Err() == nil; i += 2 {
					changeNumber(t, s, i)
				}
			})
		}
		busy.Go(func() {
			for ctx.Err() == nil {
				if err := s.View(t.Context(), checkIfBuilt); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for range 3 {
			wantObjectsIndexed(t, s)
		}
		waitBuilt(t, s)
		stop()
		busy.Wait()
		wantOrdered(t, s, declared...)
	}
	if n, known := orderedEntries(t, s); n > 0 || known {
		t.Errorf("%d entries are left of indexes that nobody declares: %v", n, known)
	}
}

// wantObjectsIndexed checks all indexes against the objects, in the middle of
// writes: bbolt's own check of the pages cannot.
func wantObjectsIndexed(t testing.TB, s *Store) {
	t.Helper()
	err := s.snapshot(t.Context(), func(tx *bolt.Tx) error {
		i, err := readImage(tx)
		if err != nil {
			return err
		}
		c := checker{ctx: t.Context(), tx: tx, image: i}
		c.objects()
		return c.result()
	})
	if err != nil {
		t.Error(err)
	}
}

func checkIfBuilt(r *Reader) error {
	if _, ok := r.Ordered("n", ValueRange{}); !ok {
		return nil
	}
	return checkOrdered(r, "n", ValueRange{Desc: true})
}

// changeNumber writes one of the objects of numbered, or deletes it.
func changeNumber(t testing.TB, s *Store, i int) {
	id := fmt.Sprintf("o%04d", i*37%600)
	d, err := pjson.Parse(fmt.Appendf(nil, `{"id":%q,"n":%d,"text":["a",%d]}`, id, i, i), pjson.Options{})
	if err != nil {
		t.Error(err)
		return
	}
	_, err = s.Update(t.Context(), WriteOptions{}, func(tx *Tx) error {
		if i%5 == 0 {
			_, err := tx.Delete(id)
			return err
		}
		return tx.Update(d.Objects)
	})
	if err != nil && !errors.Is(err, errDisk) {
		t.Error(err)
	}
}

// TestBuildingGoesOnWhereItWasCutOff: the process ends after every few pieces, and
// nothing is done twice.
func TestBuildingGoesOnWhereItWasCutOff(t *testing.T) {
	dir := t.TempDir()
	s := declaring(t, dir, "0A", nil)
	numbered(t, s, 0, 200)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	done, opens := "", 0
	for ; done != "built"; opens++ {
		if opens > 100 {
			t.Fatal("it is never built")
		}
		var commits atomic.Int64
		s := declaring(t, dir, "0A", &Hooks{BuildObjects: 10, BeforeCommit: func() error {
			if commits.Add(1) > 4 {
				return errDisk
			}
			return nil
		}}, "n")
		for i := s.published().declared[0]; i.State == indexBuilding && commits.Load() <= 4; i = s.published().declared[0] {
			time.Sleep(time.Millisecond)
		}
		wantObjectsIndexed(t, s)
		now := s.published().declared[0]
		if string(now.Done) < done && now.State != indexBuilt {
			t.Errorf("it was at %s and is at %s", done, now.Done)
		}
		if done = string(now.Done); now.State == indexBuilt {
			done = "built"
		}
		if err := s.Abandon(); err != nil {
			t.Fatal(err)
		}
	}
	if opens < 5 {
		t.Errorf("it took %d opens: nothing was cut off", opens)
	}
	wantOrdered(t, declaring(t, dir, "0A", nil, "n"), "n")
}

// TestIndexIsThatOfTheObjectsWhateverFails has commits fail before and after the
// disk took them, while an index is built and objects are written, and the file
// is replaced.
func TestIndexIsThatOfTheObjectsWhateverFails(t *testing.T) {
	dir := t.TempDir()
	s := declaring(t, dir, "0A", nil)
	numbered(t, s, 0, 300)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for round, declared := range [][]string{{"n"}, {"n", "text"}, {"text"}, {"n", "text"}} {
		var commits atomic.Int64
		fails := func(every, at int64) func() error {
			return func() error {
				if n := commits.Add(1); n > 4 && n%every == at {
					return errDisk
				}
				return nil
			}
		}
		s := declaring(t, dir, "0A", &Hooks{TailLimit: 60, BuildObjects: 40, BeforeCommit: fails(7, 3), AfterCommit: fails(11, 5)}, declared...)
		for i := range 60 {
			changeNumber(t, s, 60*round+i)
			if i%20 == 19 {
				if _, err := s.Compact(t.Context(), 0); err != nil && !errors.Is(err, errDisk) {
					t.Fatal(err)
				}
			}
		}
		wantOrdered(t, s, declared...)
		if err := s.Abandon(); err != nil {
			t.Fatal(err)
		}
	}
}

// meddle changes the file of a closed store without its program.
func meddle(t testing.TB, dir string, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, FileName), 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestIndexThatAnOlderProgramLeftBehindIsMadeAnew: such a one writes objects,
// follows another policy, or compacts the file, and knows nothing of the index.
func TestIndexThatAnOlderProgramLeftBehindIsMadeAnew(t *testing.T) {
	for name, older := range map[string]func(t *testing.T, s *Store) *Store{
		"writes": func(t *testing.T, s *Store) *Store {
			do(t, s, (*Tx).Update, `{"id":"o0001","n":"older"}`)
			return s
		},
		"follows another policy": func(t *testing.T, s *Store) *Store { return reopen(t, s, PolicyEarliest) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := declaring(t, dir, "0A", nil, "n")
			numbered(t, s, 0, 30)
			other := open(t, t.TempDir(), "0B")
			do(t, other, (*Tx).Update, `{"id":"o0002","n":"a conflict"}`)
			apply(t, s, feed(t, other)...)
			wantOrdered(t, s, "n")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			said := ""
			meddle(t, dir, func(tx *bolt.Tx) error { // take away what the older one would not see
				said = string(tx.Bucket(bucketMeta).Get(metaOrdered))
				return tx.Bucket(bucketMeta).Delete(metaOrdered)
			})
			keys := entriesIn(t, dir)
			meddle(t, dir, emptyOrdered)
			s = older(t, open(t, dir, "0A"))
			policy := s.opts.ConflictPolicy
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			meddle(t, dir, func(tx *bolt.Tx) error {
				for _, k := range keys {
					if err := tx.Bucket(bucketOrdered).Put(k, nil); err != nil {
						return err
					}
				}
				return tx.Bucket(bucketMeta).Put(metaOrdered, []byte(said))
			})
			s, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true, ConflictPolicy: policy, Indexes: []string{"n"}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			wantOrdered(t, s, "n")
		})
	}
}

func entriesIn(t testing.TB, dir string) (keys [][]byte) {
	t.Helper()
	meddle(t, dir, func(tx *bolt.Tx) error {
		for k := range storedKeys(tx.Bucket(bucketOrdered), nil, nil) {
			keys = append(keys, bytes.Clone(k))
		}
		return nil
	})
	return keys
}

// TestFileWithoutTheBucketOfIndexesGetsThemAnew: one that an older program made,
// or has compacted, where what is said of indexes has stayed.
func TestFileWithoutTheBucketOfIndexesGetsThemAnew(t *testing.T) {
	dir := t.TempDir()
	s := declaring(t, dir, "0A", nil, "n")
	numbered(t, s, 0, 30)
	wantOrdered(t, s, "n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	meddle(t, dir, func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketOrdered) })
	wantOrdered(t, declaring(t, dir, "0A", nil, "n"), "n")
}

// TestCheckFindsWhatIsWrongWithAnIndex: an entry that is missing, one too many,
// one of another value, and entries of nothing that is declared.
func TestCheckFindsWhatIsWrongWithAnIndex(t *testing.T) {
	for name, wrong := range map[string]func(*bolt.Bucket) error{
		"missing": func(b *bolt.Bucket) error { k, _ := b.Cursor().First(); return b.Delete(k) },
		"too many": func(b *bolt.Bucket) error {
			k, _ := b.Cursor().First()
			return b.Put(append(bytes.Clone(k[:len(k)-1]), "x\x00"...), nil)
		},
		"not declared": func(b *bolt.Bucket) error { return b.Put([]byte("other\x00\x01\x00o\x00\x00"), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := declaring(t, dir, "0A", nil, "n")
			do(t, s, (*Tx).Add, `[{"id":"o1","n":1},{"id":"o2","n":2}]`)
			wantOrdered(t, s, "n")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			meddle(t, dir, func(tx *bolt.Tx) error { return wrong(tx.Bucket(bucketOrdered)) })
			if err := open(t, dir, "0A").Check(t.Context()); err == nil || !strings.Contains(err.Error(), "index") {
				t.Errorf("the check says %v", err)
			}
		})
	}
}

// TestIndexLeavesSnapshotAndDigestAsTheyAre: what others get of a store is the
// same byte by byte, whether it has an index or not.
func TestIndexLeavesSnapshotAndDigestAsTheyAre(t *testing.T) {
	with, without := declaring(t, t.TempDir(), "0A", nil, "n"), open(t, t.TempDir(), "0B")
	numbered(t, with, 0, 50)
	waitBuilt(t, with)
	changeNumber(t, with, 3)
	apply(t, without, feed(t, with)...)
	a, _ := snapshotOf(t, with)
	b, _ := snapshotOf(t, without)
	if !bytes.Equal(a, b) || with.Digest() != without.Digest() {
		t.Error("the snapshot or the digest depends on the index")
	}
}

// TestIndexOutlivesCompactionInstallationAndTrimming, and is left alone by who
// opens the store without saying what is declared.
func TestIndexOutlivesCompactionInstallationAndTrimming(t *testing.T) {
	s := declaring(t, t.TempDir(), "0A", &Hooks{BuildObjects: 7}, "n")
	numbered(t, s, 0, 60)
	waitBuilt(t, s)
	if _, err := s.Compact(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	changeNumber(t, s, 1)
	wantOrdered(t, s, "n")

	donor := open(t, t.TempDir(), "0B")
	apply(t, donor, feed(t, s)...)
	for i := range 10 {
		changeNumber(t, donor, i)
	}
	do(t, s, (*Tx).Update, `{"id":"own","n":-1}`)
	install(t, s, snapshotFile(t, donor))
	wantOrdered(t, s, "n")
	changeNumber(t, s, 2)
	wantOrdered(t, s, "n")

	trimAll(t, s, branch.Revision{{Branch: "0A", Seq: 2}})
	wantOrdered(t, s, "n")
	if s = again(t, s); len(s.Indexes()) != 1 || !s.Indexes()[0].Built {
		t.Errorf("the indexes are %+v", s.Indexes())
	}
	changeNumber(t, s, 4)
	wantOrdered(t, s, "n")
}

// TestIndexFollowsTheConflictPolicy: what is read of concurrent values is what is
// in the index.
func TestIndexFollowsTheConflictPolicy(t *testing.T) {
	s := again(t, conflicted(t, t.TempDir(), policyPiece+20), "v", "x")
	for _, policy := range []ConflictPolicy{PolicyEarliest, PolicyKeepBoth, PolicyLatest} {
		s = reopen(t, s, policy)
		wantOrdered(t, s, "v", "x")
	}
}

// TestIndexesSayWhetherTheyAreBuilt: nobody is sent to one that is not.
func TestIndexesSayWhetherTheyAreBuilt(t *testing.T) {
	dir := t.TempDir()
	s := declaring(t, dir, "0A", nil)
	numbered(t, s, 0, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	var commits atomic.Int64
	s = declaring(t, dir, "0A", &Hooks{BuildObjects: 5, BeforeCommit: func() error {
		if commits.Add(1) > 3 { // opening takes two
			<-hold
		}
		return nil
	}}, "n")
	var let sync.Once
	release := func() { let.Do(func() { close(hold) }) }
	defer release()
	if got := s.Indexes(); len(got) != 1 || got[0] != (IndexStatus{Property: "n"}) {
		t.Errorf("while it is built the index is %+v", got)
	}
	read(t, s, func(r *Reader) error {
		if _, ok := r.Ordered("n", ValueRange{}); ok {
			t.Error("an index is read that is not built")
		}
		return nil
	})
	release()
	wantOrdered(t, s, "n")
	if got := s.Indexes(); len(got) != 1 || got[0] != (IndexStatus{Property: "n", Built: true}) {
		t.Errorf("once it is built the index is %+v", got)
	}
}
