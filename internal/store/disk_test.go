package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vesperdb.io/vesper/internal/changeset"
)

// smallDisk mounts a file system of a few megabytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system here (%v): run this test as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// fill leaves no room on the disk, and returns what frees it again.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullDiskRefusesWritesKeepsReadingAndRecoversWithoutRestart(t *testing.T) {
	other := open(t, t.TempDir(), "0B")
	big := strings.Repeat("x", 200<<10)
	do(t, other, (*Tx).Add, fmt.Sprintf(`{"id":"remote","text":%q}`, big))
	remote := feed(t, other)

	dir := smallDisk(t, "8m")
	s := openSynced(t, dir)
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	for round := range 3 {
		free := fill(t, dir)
		revision, digest := s.Snapshot()
		for range 3 {
			_, err := try(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"big%d","text":%q}`, round, big))
			wantDiskFull(t, err)
		}
		if round == 0 {
			_, err := s.Apply(t.Context(), []changeset.Envelope{remote[0]})
			wantDiskFull(t, err)
		}
		wantObject(t, s, "x", "x v 1/integer\n")
		if r, d := s.Snapshot(); !r.Equal(revision) || d != digest {
			t.Errorf("after refused writes the store is at %s, it was at %s", r, revision)
		}
		free()
		do(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"big%d","text":%q}`, round, big))
	}
	apply(t, s, remote...)
	if r := s.Revision().String(); r != "0A00004,0B00001" {
		t.Errorf("the store is at %s", r)
	}
	wantSound(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSynced(t, dir)
	if r := s.Revision().String(); r != "0A00004,0B00001" {
		t.Errorf("after reopening the store is at %s", r)
	}
	wantSound(t, s)
	if err := s.Close(); err != nil { // before the disk goes
		t.Fatal(err)
	}
}

// openSynced opens a store that syncs, as those of users do.
func openSynced(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantDiskFull(t *testing.T, err error) {
	t.Helper()
	full, ok := errors.AsType[*StorageError](err)
	if !ok || !full.DiskFull() || !strings.Contains(err.Error(), "disk") {
		t.Errorf("got %v, want a storage error that says that the disk is full", err)
	}
}

// TestAmbiguousCommitIsSettledBeforeItIsSent proves that a commit which may not
// be on disk does not reach the feed before another commit has succeeded.
func TestAmbiguousCommitIsSettledBeforeItIsSent(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	commits := s.Stats().Commits
	s.unsure.Store(true)
	if n := len(feed(t, s)); n != 1 {
		t.Errorf("the feed has %d changesets", n)
	}
	if s.unsure.Load() || s.Stats().Commits != commits+1 {
		t.Error("the feed was read without a commit that settles it")
	}
}

// TestCommitIsNotSentBeforeTheDiskHasSaidThatItIsSafe: the file shows a commit a
// moment before that.
func TestCommitIsNotSentBeforeTheDiskHasSaidThatItIsSafe(t *testing.T) {
	var s *Store
	looked := 0
	hooks := &Hooks{AfterCommit: func() error {
		if s == nil || s.Revision().At("0A") == 0 {
			return nil
		}
		looked++
		entries, err := s.Feed(t.Context(), 0, 1<<20)
		own, upTo, ownErr := s.OwnFeed(t.Context(), 0, 1<<20)
		found, rangeErr := s.Range(t.Context(), "0A", 1, 2, 1<<20)
		if err := errors.Join(err, ownErr, rangeErr); err != nil {
			return err
		}
		if len(entries) != 1 || len(own) != 1 || upTo != 1 || len(found) != 1 {
			t.Errorf("before the commit was safe, the feeds have %d and %d changesets (to position %d), the branch %d; want 1",
				len(entries), len(own), upTo, len(found))
		}
		return nil
	}}
	opened, err := Open(t.Context(), Options{Dir: t.TempDir(), Branch: "0A", Logger: quiet(), NoSync: true, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	do(t, opened, (*Tx).Add, `{"id":"x","v":1}`)
	s = opened
	do(t, s, (*Tx).Add, `{"id":"y","v":1}`)
	if n := len(feed(t, s)); n != 2 || looked != 1 {
		t.Errorf("the feed has %d changesets after the commit, it was looked at %d times within", n, looked)
	}
	s = nil
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
}
