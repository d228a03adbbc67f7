package store

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// edit changes a closed store's file behind its back.
func edit(t *testing.T, dir string, fn func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, FileName), 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// closed makes a store with a little in it and closes it.
func closed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir, "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, s, (*Tx).Add, `{"id":"y","v":"@x"}`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openError(t *testing.T, dir string, id branch.ID) error {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Branch: id, Logger: quiet(), LockTimeout: 50 * time.Millisecond})
	if err == nil {
		_ = s.Close()
		t.Fatal("the store opened")
	}
	return err
}

func TestStoreOfAnotherBranchIsRefusedNamingBoth(t *testing.T) {
	err := openError(t, closed(t), "0B")
	b, ok := errors.AsType[*BranchError](err)
	if !ok || b.File != "0A" || b.Want != "0B" || !strings.Contains(err.Error(), "branchId") {
		t.Errorf("got %v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := closed(t)
	edit(t, dir, func(tx *bolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(metaFormat, binary.AppendUvarint(nil, formatVersion+1))
	})
	err := openError(t, dir, "0A")
	if f, ok := errors.AsType[*FormatError](err); !ok || !strings.Contains(f.Detail, "newer program") {
		t.Errorf("got %v", err)
	}
}

func TestFilesThatAreNoStoreAreRefusedAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	garbage := strings.Repeat("this is a letter to my aunt\n", 1000)
	if err := os.WriteFile(path, []byte(garbage), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*FormatError](openError(t, dir, "0A")); !ok {
		t.Error("a letter was taken for a store")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != garbage {
		t.Errorf("the file was changed (%v)", err)
	}
	foreign := t.TempDir()
	edit(t, foreign, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
	if _, ok := errors.AsType[*FormatError](openError(t, foreign, "0A")); !ok {
		t.Error("another program's file was taken for a store")
	}
}

func TestStoreInUseIsRefusedAfterABoundedWait(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, "0A")
	if err := openError(t, dir, "0A"); !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("got %v", err)
	}
}

func TestBadOptionsAreRefusedBeforeAnythingIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	for _, o := range []Options{{Dir: dir, Branch: "A"}, {Dir: dir, Branch: "0a"}, {Branch: "0A"}} {
		if s, err := Open(t.Context(), o); err == nil {
			t.Errorf("%+v was accepted", o)
			_ = s.Close()
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a directory was made")
	}
}

// TestDamageIsFoundAfterAnUncleanStop damages one thing at a time in a file that
// was not closed.
func TestDamageIsFoundAfterAnUncleanStop(t *testing.T) {
	for name, damage := range map[string]func(*bolt.Tx) error{
		"changeset changed": func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketLog)
			raw := append([]byte(nil), b.Get(positionKey(1))...)
			raw[len(raw)-1] ^= 1
			return b.Put(positionKey(1), raw)
		},
		"changeset gone": func(tx *bolt.Tx) error { return tx.Bucket(bucketLog).Delete(positionKey(1)) },
		"index gone":     func(tx *bolt.Tx) error { return tx.Bucket(bucketDots).Delete(dotKey(branch.Dot{Branch: "0A", Seq: 1})) },
		"tail changed": func(tx *bolt.Tx) error {
			k, v := tx.Bucket(bucketTail).Cursor().First()
			v = append([]byte(nil), v...)
			v[len(v)-1] ^= 1
			return tx.Bucket(bucketTail).Put(append([]byte(nil), k...), v)
		},
		"head moved back": func(tx *bolt.Tx) error { return tx.Bucket(bucketHeads).Put([]byte("0A"), head{seq: 1}.encode()) },
		"head cut":        func(tx *bolt.Tx) error { return tx.Bucket(bucketHeads).Put([]byte("0A"), []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := closed(t)
			edit(t, dir, damage)
			edit(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaOpen, []byte{1}) })
			if _, ok := errors.AsType[*CorruptError](openError(t, dir, "0A")); !ok {
				t.Error("the error is not that of a damaged store")
			}
		})
	}
}

func TestCheckFindsWhatContradictsTheObjects(t *testing.T) {
	for name, damage := range map[string]func(*bolt.Tx) error{
		"record changed": func(tx *bolt.Tx) error { return tx.Bucket(bucketObjects).Put([]byte("x"), (&record{}).encode()) },
		"value index":    func(tx *bolt.Tx) error { return tx.Bucket(bucketValues).Put(textKey("p", "L", "t", "r", ""), nil) },
		"reference index": func(tx *bolt.Tx) error {
			return addRecord(tx, 2, textKey("x", "y"))
		},
		"counts": func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(metaCounts, []byte{9, 9}) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := closed(t)
			edit(t, dir, damage)
			s := open(t, dir, "0A")
			if _, ok := errors.AsType[*CorruptError](s.Check(t.Context())); !ok {
				t.Error("the check found nothing")
			}
		})
	}
}

func TestDamagedPendingChangesetIsForgottenAndCanComeAgain(t *testing.T) {
	a := open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","v":1}`)
	do(t, a, (*Tx).Add, `{"id":"x","v":2}`)
	all := feed(t, a)
	dir := t.TempDir()
	s := open(t, dir, "0A")
	apply(t, s, all[1])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(bucketPending).Put(dotKey(all[1].Dot), []byte("junk")) })
	s = open(t, dir, "0A")
	if n, _ := s.Pending(); n != 0 {
		t.Errorf("%d are pending", n)
	}
	apply(t, s, all[1], all[0])
	wantSame(t, a, s)
}
