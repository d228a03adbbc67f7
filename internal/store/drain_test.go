package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestADrainingStoreTakesNoWritesAcrossRestartsAndGoesOnApplying: day-one list, point 7.
func TestADrainingStoreTakesNoWritesAcrossRestartsAndGoesOnApplying(t *testing.T) {
	a, b := open(t, t.TempDir(), "0A"), open(t, t.TempDir(), "0B")
	do(t, a, (*Tx).Add, `{"id":"x","n":1}`)
	do(t, b, (*Tx).Add, `{"id":"y","n":1}`)
	if err := a.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if !a.Draining() {
			t.Fatal("the store does not say that it is draining")
		}
		var refused *RefusedError
		if _, err := try(t, a, (*Tx).Update, `{"id":"x","n":2}`); !errors.As(err, &refused) || !strings.Contains(refused.Reason, "write to another node") {
			t.Errorf("a write gave %v, want it refused with the remedy", err)
		}
		a.AllowWrites() // what replication says of writes does not matter
		if reason := a.WritesRefused(); !strings.Contains(reason, "drained") {
			t.Errorf("writes are refused because %q", reason)
		}
		a = again(t, a)
	}
	apply(t, a, feed(t, b)...)
	if got := a.Revision().At("0B"); got != 1 {
		t.Errorf("the draining store has 0B up to %d, want 1: it must go on replicating", got)
	}
	if err := a.Undrain(); err != nil {
		t.Fatal(err)
	}
	if err := a.Undrain(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	do(t, a, (*Tx).Update, `{"id":"x","n":2}`)
	if a = again(t, a); a.Draining() || a.WritesRefused() != "" {
		t.Error("the store drains again after a restart")
	}
}

// TestNothingIsWrittenOnceDrainHasReturned: whatever was acknowledged is in the
// revision that the store had then.
func TestNothingIsWrittenOnceDrainHasReturned(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	var acknowledged atomic.Uint64
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for n := range 10_000 {
				if _, err := try(t, s, (*Tx).Add, fmt.Sprintf(`{"id":"o%d-%d","n":1}`, i, n)); err != nil {
					return
				}
				acknowledged.Add(1)
			}
		})
	}
	for acknowledged.Load() < 50 {
		if err := context.Cause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	head := s.Revision().At("0A")
	writers.Wait()
	if now := s.Revision().At("0A"); now != head || acknowledged.Load() != head {
		t.Errorf("%d writes were acknowledged and the branch went from %d to %d after it was drained", acknowledged.Load(), head, now)
	}
}

func TestADrainThatCannotBeMadeDurableIsAnError(t *testing.T) {
	s := open(t, t.TempDir(), "0A")
	if err := os.Mkdir(filepath.Join(s.opts.Dir, drainName), 0o700); err != nil {
		t.Fatal(err)
	}
	var failed *StorageError
	if err := s.Drain(t.Context()); !errors.As(err, &failed) || s.Draining() {
		t.Errorf("Drain gave %v, draining %v; want the disk's error and no drain", err, s.Draining())
	}
	do(t, s, (*Tx).Add, `{"id":"x","n":1}`)
}
