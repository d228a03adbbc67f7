package store

import (
	"errors"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// file is an open bbolt file. A store goes over to another one when its content
// is compacted or replaced; whoever still reads the old one goes on reading it,
// and the last of them closes it.
type file struct {
	db    *bolt.DB
	hooks *Hooks

	mu      sync.Mutex
	users   int
	retired bool
	closed  chan struct{}
	err     error
}

func newFile(db *bolt.DB, hooks *Hooks) *file {
	return &file{db: db, hooks: hooks, closed: make(chan struct{})}
}

// acquire keeps the file open until release; it reports false when the file is
// on its way out.
func (f *file) acquire() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.retired {
		return false
	}
	f.users++
	return true
}

func (f *file) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users--
	f.closeIfUnused()
}

// retire lets nobody else in, and has the last user close the file.
func (f *file) retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = true
	f.closeIfUnused()
}

func (f *file) closeIfUnused() {
	if f.users > 0 || !f.retired {
		return
	}
	f.err = f.db.Close()
	close(f.closed)
}

// gone reports whether the file is closed.
func (f *file) gone() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// wait waits until the last user has let go of a retired file.
func (f *file) wait() error {
	<-f.closed
	return f.err
}

// bound limits how large a transaction may make the file. A damaged page can
// claim any length, and bbolt would write as much. What it has to write at most
// is every page that there is once more, and for each key a few new ones.
func (f *file) bound(tx *bolt.Tx, keys int, bytes int64) {
	const spare, perKey = 128 << 20, 32 << 10
	f.db.MaxSize = int(2*tx.Size() + spare + int64(keys)*perKey + 4*bytes)
}

// update runs fn in a write transaction of its own.
func (f *file) update(fn func(*bolt.Tx) error) error {
	tx, err := f.db.Begin(true)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	f.bound(tx, 0, 0)
	if err := f.hooks.commit(tx); err != nil {
		_ = tx.Rollback() // a transaction that ended already
		return err
	}
	return nil
}

// current returns the store's file, kept open until it is released.
func (s *Store) current() (*file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.file.acquire() {
		return nil, &ClosedError{}
	}
	return s.file, nil
}

// Abandon ends the store as the end of its process would: without telling
// anybody, and without the mark of a clean stop. It is for tests of crashes.
// Like Close, it waits for the batch in progress and for running Views.
func (s *Store) Abandon() error {
	return s.end(false)
}

func (s *Store) end(clean bool) error {
	s.closing.Do(func() {
		close(s.stopping)
		s.die()
		<-s.stopped
		s.rebuilding <- struct{}{} // whoever makes a new file gives up
		s.building.Wait()
		var err error
		if clean {
			err = s.file.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Delete(metaOpen) })
		}
		s.file.retire()
		for _, f := range append(s.retired, s.file) {
			err = errors.Join(err, f.wait())
		}
		if err != nil {
			s.closeErr = fmt.Errorf("closing %s: %w", s.path, err)
		}
	})
	return s.closeErr
}
