package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
		"changeset gone":  func(tx *bolt.Tx) error { return tx.Bucket(bucketLog).Delete(positionKey(1)) },
		"index gone":      func(tx *bolt.Tx) error { return tx.Bucket(bucketDots).Delete(dotKey(branch.Dot{Branch: "0A", Seq: 1})) },
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
			return tx.Bucket(bucketRefs).Delete(textKey("x", "y"))
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

// TestBitFlipsAreFoundOrHarmless flips bits all over a small file. The store
// must refuse it, or find it in its check, or answer as before. Each file is
// opened by a process of its own, since bbolt may end it over a damaged page.
func TestBitFlipsAreFoundOrHarmless(t *testing.T) {
	dir := closed(t)
	path := filepath.Join(dir, FileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(sound, "\x00"))
	target := t.TempDir()
	if err := os.WriteFile(filepath.Join(target, FileName), sound, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(target, FileName), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	outcomes := map[string]int{}
	for range 60 {
		at := rand.IntN(used)
		if _, err := f.WriteAt(sound[:used], 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{sound[at] ^ 1<<rand.IntN(8)}, int64(at)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), flippedVariable+"="+target, "GORACE=atexit_sleep_ms=0")
		out, err := cmd.CombinedOutput()
		outcome, _, _ := strings.Cut(string(out), "\n")
		if err != nil {
			outcome = "ended the process"
		}
		if outcome == "wrong" {
			t.Errorf("byte %d: the store answers wrongly and its check finds nothing: %s", at, out)
		}
		outcomes[outcome]++
	}
	t.Logf("%v", outcomes)
}

// flippedVariable makes the test binary a reader of a damaged store.
const flippedVariable = "VESPER_STORE_FLIPPED_DIR"

// runFlipped says in one word what becomes of a damaged store.
func runFlipped(dir string) {
	ctx := context.Background()
	// A damaged page can claim any length: the file must not fill the machine's disk.
	const mostBytes = 256 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: mostBytes, Max: mostBytes}); err != nil {
		fmt.Println("could not bound the file:", err)
		return
	}
	s, err := Open(ctx, Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true})
	if err != nil {
		fmt.Println("refused")
		return
	}
	if s.Check(ctx) != nil {
		fmt.Println("found")
		return
	}
	got := ""
	err = s.View(ctx, func(r *Reader) error {
		for o, err := range r.Objects("") {
			if err != nil {
				return err
			}
			got += lines(o)
		}
		return nil
	})
	entries, feedErr := s.Feed(ctx, 0, 1<<20)
	switch {
	case err != nil || feedErr != nil:
		fmt.Println("found")
	case got == "x v 1/integer\ny v x/R\n" && len(entries) == 2:
		fmt.Println("harmless")
	default:
		fmt.Println("wrong")
		fmt.Println(got, len(entries))
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
