package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// copyStore copies the file of a closed store into a new directory, as cp does.
func copyStore(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := os.WriteFile(filepath.Join(to, FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// closedStore makes a store with one write and closes it.
func closedStore(t *testing.T) (dir, incarnation string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir, "0A")
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	if s.Copied() {
		t.Error("a new store is taken for a copy")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, s.Incarnation()
}

func TestCopiedFileIsNoticedUntilItIsOwned(t *testing.T) {
	dir, original := closedStore(t)
	dir = copyStore(t, dir)
	var incarnation string
	for i := range 2 { // the copy remains one when it is opened again
		s := open(t, dir, "0A")
		if !s.Copied() || s.Incarnation() == original {
			t.Fatalf("open %d: copied %v, incarnation %s", i, s.Copied(), s.Incarnation())
		}
		if i == 1 && s.Incarnation() != incarnation {
			t.Error("the incarnation changes with every open")
		}
		incarnation = s.Incarnation()
		if i == 1 {
			if err := s.MarkOwned(t.Context()); err != nil || s.Copied() {
				t.Errorf("marking as owned: %v, copied %v", err, s.Copied())
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := open(t, dir, "0A"); s.Copied() || s.Incarnation() != incarnation {
		t.Errorf("after it was accepted: copied %v, incarnation %s", s.Copied(), s.Incarnation())
	}
}

func TestMovedFileIsNoCopy(t *testing.T) {
	dir, original := closedStore(t)
	to := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, to); err != nil {
		t.Skipf("the two directories are on different volumes: %v", err)
	}
	if s := open(t, to, "0A"); s.Copied() || s.Incarnation() != original {
		t.Errorf("copied %v, incarnation %s", s.Copied(), s.Incarnation())
	}
}

func TestCopyIsNotNoticedWhereInodesDoNotLast(t *testing.T) {
	dir, _ := closedStore(t)
	s, err := Open(t.Context(), Options{Dir: copyStore(t, dir), Branch: "0A", Logger: quiet(), NoSync: true, VolumeIdentity: NoVolumeIdentity})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Copied() {
		t.Error("noticed without an identity")
	}
}

func TestWritesEndWithTheirLease(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	s.LeaseWrites(time.Now().Add(time.Hour))
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	s.LeaseWrites(time.Now().Add(-time.Millisecond))
	_, err := try(t, s, (*Tx).Add, `{"id":"x","v":2}`)
	if refused, ok := errors.AsType[*RefusedError](err); !ok || !strings.Contains(refused.Reason, "stopped for a while") {
		t.Errorf("the write after the lease gave %v", err)
	}
	if s.WritesRefused() == "" {
		t.Error("the status does not show it")
	}
	s.LeaseWrites(time.Time{})
	do(t, s, (*Tx).Add, `{"id":"x","v":2}`)
}
