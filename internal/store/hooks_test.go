package store

import (
	"errors"
	"testing"
)

// hooked opens a store with hooks.
func hooked(t *testing.T, dir string, hooks *Hooks) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Branch: "0A", Logger: quiet(), NoSync: true, Hooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Abandon() })
	return s
}

var errDisk = errors.New("the disk is on fire")

func TestCommitThatFailsBeforeTheDiskLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	var fails error
	s := hooked(t, dir, &Hooks{BeforeCommit: func() error { return fails }})
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	fails = errDisk
	if _, err := try(t, s, (*Tx).Add, `{"id":"y","v":1}`); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	fails = nil
	wantObject(t, s, "y", "")
	if c := do(t, s, (*Tx).Add, `{"id":"z","v":1}`); c.Dot.String() != "0A00002" {
		t.Errorf("the next write is %s", c.Dot)
	}
	wantSound(t, s)
}

// TestCommitThatFailsAfterTheDiskMayStay proves that the next write stands on
// what is in the file, and that the dot of the ambiguous one is not given again.
func TestCommitThatFailsAfterTheDiskMayStay(t *testing.T) {
	var fails error
	s := hooked(t, t.TempDir(), &Hooks{AfterCommit: func() error { return fails }})
	fails = errDisk
	if _, err := try(t, s, (*Tx).Add, `{"id":"y","v":1}`); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	fails = nil
	wantObject(t, s, "y", "y v 1/integer\n")
	if c := do(t, s, (*Tx).Add, `{"id":"z","v":1}`); c.Dot.String() != "0A00002" {
		t.Errorf("the next write is %s", c.Dot)
	}
	if n := len(feed(t, s)); n != 2 {
		t.Errorf("the feed has %d changesets", n)
	}
}

// TestCommitThatMayStayIsAnnounced proves that who sends the feed looks again
// after a commit that is there though the disk did not say so: without that, it
// would be sent with the next write only, and the peers would not have it.
func TestCommitThatMayStayIsAnnounced(t *testing.T) {
	var fails error
	s := hooked(t, t.TempDir(), &Hooks{AfterCommit: func() error { return fails }})
	changed := s.Changed()
	fails = errDisk
	if _, err := try(t, s, (*Tx).Add, `{"id":"y","v":1}`); !errors.Is(err, errDisk) {
		t.Errorf("got %v", err)
	}
	fails = nil
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	if r := s.Revision(); len(r) > 0 {
		t.Errorf("told others %s before it was safe: they let go of what this node has", r)
	}
	if n := len(feed(t, s)); n != 1 {
		t.Errorf("the feed has %d changesets", n)
	}
	if r := s.Revision().String(); r != "0A00001" {
		t.Errorf("revision %s after the disk works again", r)
	}
}

// TestRepetitionOfWhatMayBeLostIsNotSafe proves that a changeset which is in the
// file, though the disk did not say so, is not called a duplicate before the
// disk has it: the broker would be told to forget it.
func TestRepetitionOfWhatMayBeLostIsNotSafe(t *testing.T) {
	other := hooked(t, t.TempDir(), nil)
	do(t, other, (*Tx).Add, `{"id":"y","v":1}`)
	list := feed(t, other)
	var fails error
	s, err := Open(t.Context(), Options{
		Dir: t.TempDir(), Branch: "0B", Logger: quiet(), NoSync: true,
		Hooks: &Hooks{AfterCommit: func() error { return fails }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Abandon() })
	fails = errDisk
	for range 3 {
		if _, err := s.Apply(t.Context(), list); !errors.Is(err, errDisk) {
			t.Errorf("got %v while the disk fails", err)
		}
	}
	fails = nil
	if a, err := s.Apply(t.Context(), list); err != nil || a.Duplicate != 1 {
		t.Errorf("got %+v, %v when the disk works again", a, err)
	}
}

func TestAbandonedStoreIsCheckedWhenItOpensAgain(t *testing.T) {
	dir := t.TempDir()
	s := hooked(t, dir, nil)
	do(t, s, (*Tx).Add, `{"id":"x","v":1}`)
	if err := s.Abandon(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "0A")
	wantObject(t, s, "x", "x v 1/integer\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, s, (*Tx).Add, `{"id":"y","v":1}`); err == nil {
		t.Error("a closed store took a write")
	}
}
