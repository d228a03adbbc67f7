package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A store goes over to another file in four steps: the new file is made beside
// the old one while everything goes on; the committer, which then writes nothing
// else, gives it the little that came since; it is synced; it takes the old one's
// name. Until the last step the old file is the store and the new one is litter,
// which the next open removes; from then on it is the other way round.

// exclusively has the committer run something between two batches.
func (s *Store) exclusively(ctx context.Context, fn func() error) error {
	done := make(chan error, 1)
	select {
	case s.exclusive <- func() { done <- shield(fn) }:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.stopping:
		return &ClosedError{}
	}
	select {
	case err := <-done:
		return err
	case <-s.stopped:
	}
	select {
	case err := <-done:
		return err
	default:
		return &ClosedError{}
	}
}

// rebuild makes sure that one new file is made at a time.
func (s *Store) rebuild(ctx context.Context, fn func(context.Context) error) error {
	select {
	case s.rebuilding <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.stopping:
		return &ClosedError{}
	}
	defer func() { <-s.rebuilding }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(&ClosedError{}) })()
	return fn(ctx)
}

// nextFile is a file that is to take the place of the store's.
type nextFile struct {
	path string
	db   *bolt.DB
}

// openNext opens a file that was just made. It is synced when it takes its place.
func (s *Store) openNext(path string) (*nextFile, error) {
	opts := s.opts
	opts.NoSync = true
	f, err := openFile(path, opts)
	if err != nil {
		return nil, err
	}
	return &nextFile{path: path, db: f.db}, nil
}

// drop closes and removes a file that will not be used.
func (n *nextFile) drop() {
	if n != nil && n.db != nil {
		_ = n.db.Close()
	}
	if n != nil {
		_ = os.Remove(n.path) // else the next open does
	}
}

// takeOver gives the new file the place of the old one. Only the committer calls
// it. After an error the old file goes on, or, should only the directory not be
// safe yet, the new one, and nothing is acknowledged before it is. adopt is called
// when it has its place, with the number of its last transaction: it makes st and
// pub of that.
func (s *Store) takeOver(next *nextFile, adopt func(txid int)) error {
	var txid int
	err := next.update(func(tx *bolt.Tx) error {
		txid = tx.ID()
		return s.recordVolume(tx, next.path)
	})
	if err != nil {
		return err
	}
	if err := s.opts.Hooks.step(StepBuilt); err != nil {
		return err
	}
	if !s.opts.NoSync {
		if err := next.db.Sync(); err != nil {
			return err
		}
	}
	if err := s.opts.Hooks.step(StepSynced); err != nil {
		return err
	}
	next.db.NoSync, next.db.NoGrowSync = s.opts.NoSync, s.opts.NoSync
	if err := os.Rename(next.path, s.path); err != nil {
		return err
	}
	s.unnamed = true
	s.mu.Lock()
	old := s.file
	s.file = newFile(next.db, s.opts.Hooks)
	s.retired = append(slices.DeleteFunc(s.retired, (*file).gone), old)
	adopt(txid)
	s.tails.set(next.db, txid, s.st.tail)
	s.mu.Unlock()
	old.retire()
	next.db, next.path = nil, "" // it is the store's now
	if err := s.opts.Hooks.step(StepRenamed); err != nil {
		return err
	}
	return s.nameFile()
}

// nameFile makes sure that the directory names the store's file on disk too.
func (s *Store) nameFile() error {
	if !s.unnamed {
		return nil
	}
	if err := s.opts.syncDir(); err != nil {
		return fmt.Errorf("syncing the directory: %w", err)
	}
	s.unnamed = false
	return nil
}

// recordVolume makes the new file the branch's own on its volume.
func (s *Store) recordVolume(tx *bolt.Tx, path string) error {
	id := s.opts.VolumeIdentity(path)
	if id == "" {
		return nil
	}
	return tx.Bucket(bucketMeta).Put(metaVolume, []byte(id))
}

func (n *nextFile) update(fn func(*bolt.Tx) error) error {
	return shield(func() error { return n.db.Update(fn) })
}

// journal remembers what is written while a new file is made.
type journal struct {
	keys  map[string]map[string]bool
	count int
	bytes int
}

// journalBytes bounds the keys of a journal. A store that writes more than that
// while its file is copied is not compacted now.
const journalBytes = 128 << 20

func newJournal() *journal { return &journal{keys: map[string]map[string]bool{}} }

func (j *journal) note(bucket, key []byte) {
	if j == nil || j.bytes > journalBytes {
		return
	}
	of := j.keys[string(bucket)]
	if of == nil {
		of = map[string]bool{}
		j.keys[string(bucket)] = of
	}
	if !of[string(key)] {
		of[string(key)] = true
		j.count++
		j.bytes += len(key) + 64
	}
}

func (j *journal) full() bool { return j.bytes > journalBytes }

// copyPiece is how many keys are copied in one transaction of a new file.
const copyPiece = 4096

// copyKeys gives a new file what the keys of a journal hold now.
func (n *nextFile) copyKeys(ctx context.Context, from *bolt.Tx, j *journal, pace *pacer) error {
	type pair struct{ bucket, key string }
	var piece []pair
	flush := func() error {
		err := n.update(func(tx *bolt.Tx) error {
			for _, p := range piece {
				value, err := copyKey(from.Bucket([]byte(p.bucket)), tx.Bucket([]byte(p.bucket)), []byte(p.key))
				if err != nil {
					return err
				}
				pace.count(int64(len(p.key) + len(value)))
			}
			return nil
		})
		piece = piece[:0]
		return errors.Join(err, pace.wait(ctx))
	}
	for bucket, keys := range j.keys {
		for key := range keys {
			if piece = append(piece, pair{bucket, key}); len(piece) == copyPiece {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// copyKey makes a key hold in one bucket what it holds in another, or be absent
// as there.
func copyKey(from, to *bolt.Bucket, key []byte) (value []byte, err error) {
	k, value := from.Cursor().Seek(key)
	if !bytes.Equal(k, key) {
		return nil, to.Delete(key)
	}
	return value, to.Put(key, value)
}

// pacer holds work to a rate.
type pacer struct {
	perSecond int64
	started   time.Time
	done      int64
}

func newPacer(bytesPerSecond int64) *pacer {
	return &pacer{perSecond: bytesPerSecond, started: time.Now()}
}

func (p *pacer) count(n int64) {
	if p != nil {
		p.done += n
	}
}

// wait returns when the work done so far may have been done.
func (p *pacer) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if p == nil || p.perSecond <= 0 {
		return nil
	}
	due := p.started.Add(time.Duration(float64(p.done) / float64(p.perSecond) * float64(time.Second)))
	ahead := time.Until(due)
	if ahead < 10*time.Millisecond {
		return nil
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pathOf returns the path of a file beside the store's.
func (s *Store) pathOf(name string) string { return filepath.Join(s.opts.Dir, name) }

// rebuildError tells errors of the disk from others.
func (s *Store) rebuildError(op string, err error) error {
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return s.storageError(op, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}
