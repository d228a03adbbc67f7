package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// drainName is the file beside the store's that says that no writes are taken
// until somebody undoes that. It is no part of the store's own file, since that
// one may be replaced by a snapshot of a peer's.
const drainName = "draining"

const drainReason = "the node is being drained: it takes no writes any more, and goes on replicating those that it took; write to another node"

// The states of draining. From drainBegun on no write is accepted; at drained
// none is under way any more.
const (
	drainNone int32 = iota
	drainBegun
	drained
)

// Drain refuses writes from now on, also after the next start, until Undrain.
// Applying what comes from others goes on. When it returns nil no write is under
// way: the store's own branch ends where Revision says.
func (s *Store) Drain(ctx context.Context) error {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	if err := s.markDraining(); err != nil {
		return fmt.Errorf("draining the store: %w", &StorageError{Op: "marking the store as draining", Path: s.pathOf(drainName), Err: err})
	}
	s.draining.CompareAndSwap(drainNone, drainBegun)
	// Writes that were let in before are ahead of this in the committer's queue.
	if err := s.submit(ctx, func(*batch) error { return nil }); err != nil {
		return fmt.Errorf("draining the store: %w", err)
	}
	s.draining.CompareAndSwap(drainBegun, drained)
	return nil
}

// Undrain takes writes again.
func (s *Store) Undrain() error {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	err := os.Remove(s.pathOf(drainName))
	if err == nil {
		err = s.opts.syncDir()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ending the draining of the store: %w", &StorageError{Op: "removing the mark", Path: s.pathOf(drainName), Err: err})
	}
	s.draining.Store(drainNone)
	return nil
}

// Draining reports whether writes are refused for good and none is under way.
func (s *Store) Draining() bool { return s.draining.Load() == drained }

// markDraining makes the mark, and makes it safe.
func (s *Store) markDraining() error {
	f, err := os.OpenFile(s.pathOf(drainName), os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), s.opts.syncDir())
}

// readDraining finds the mark at the start of the store.
func (s *Store) readDraining() error {
	_, err := os.Stat(s.pathOf(drainName))
	switch {
	case err == nil:
		s.draining.Store(drained)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}
