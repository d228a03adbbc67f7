package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// Compacted says what Compact did: the size of the file before and after.
type Compacted struct{ Before, After int64 }

const (
	// compactRounds bounds how often what came meanwhile is copied before the last
	// time, compactFew is how many keys may be left to that.
	compactRounds = 20
	compactFew    = 512
	// compactReserve is what must stay free on the volume: writes come first.
	compactReserve = 64 << 20
	// paceBytes is after how many bytes the rate and the disk are looked at.
	paceBytes = 256 << 10
)

// Compact gives the free pages of the file back to the volume: it copies what is
// in use to a new file, at most bytesPerSecond (0: as fast as it goes) while
// reads and writes go on, and lets it take the old one's place at once. It gives
// up, and leaves everything as it is, when the volume would get full (*StorageError),
// when more is written than can be copied, and when the context ends. Reads that
// began before go on in the old file, whose room is free when the last has ended.
func (s *Store) Compact(ctx context.Context, bytesPerSecond int64) (Compacted, error) {
	var done Compacted
	err := s.rebuild(ctx, func(ctx context.Context) (err error) {
		done, err = s.compact(ctx, newPacer(bytesPerSecond))
		return err
	})
	if err != nil {
		return Compacted{}, fmt.Errorf("compacting the store: %w", err)
	}
	s.opts.Logger.Info("Compacted the store", "path", s.path, "before", done.Before, "after", done.After)
	return done, nil
}

func (s *Store) compact(ctx context.Context, pace *pacer) (done Compacted, err error) {
	if done.Before, err = sizeOf(s.path); err != nil {
		return done, err
	}
	next := &nextFile{path: s.pathOf(compactName)}
	defer func() {
		s.stopJournal()
		if next.path != "" {
			next.drop()
		}
	}()
	if err := s.copyFile(ctx, next.path, pace); err != nil {
		return done, s.rebuildError("copying the file", err)
	}
	opened, err := s.openNext(next.path)
	if err != nil {
		return done, err
	}
	*next = *opened
	if err := s.followWrites(ctx, next, pace); err != nil {
		return done, s.rebuildError("copying what was written meanwhile", err)
	}
	if !s.opts.NoSync {
		if err := next.db.Sync(); err != nil { // so that little is left to sync when writers wait
			return done, s.rebuildError("syncing the new file", err)
		}
	}
	err = s.exclusively(ctx, func() error { return s.finishCompact(next) })
	if err != nil {
		return done, s.rebuildError("taking the new file", err)
	}
	done.After, err = sizeOf(s.path)
	return done, err
}

func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// stopJournal ends the journal, if the committer still keeps one.
func (s *Store) stopJournal() {
	_ = s.exclusively(context.Background(), func() error {
		s.journal = nil
		return nil
	})
}

// begin starts a new journal and a read transaction that has all that is not in
// it, and nothing that is. It returns the journal kept so far.
func (s *Store) beginCopy(ctx context.Context) (was *journal, tx *bolt.Tx, release func(), err error) {
	err = s.exclusively(ctx, func() error {
		f, err := s.current()
		if err != nil {
			return err
		}
		if tx, err = f.db.Begin(false); err != nil {
			f.release()
			return err
		}
		was, s.journal = s.journal, newJournal()
		release = func() {
			_ = tx.Rollback() // a read transaction
			f.release()
		}
		return nil
	})
	return was, tx, release, err
}

// copyFile writes a new file with all that is in the store's, and begins the
// journal of what is written meanwhile.
func (s *Store) copyFile(ctx context.Context, path string, pace *pacer) error {
	_, tx, release, err := s.beginCopy(ctx)
	if err != nil {
		return err
	}
	defer release()
	f, err := createLocked(path)
	if err != nil {
		return err
	}
	err = shield(func() error { return s.copyPages(ctx, f, tx, pace) })
	return errors.Join(err, f.Close())
}

func (s *Store) copyPages(ctx context.Context, f *os.File, tx *bolt.Tx, pace *pacer) error {
	out, err := newBulk(f)
	if err != nil {
		return err
	}
	paced := int64(0)
	for _, name := range allBuckets {
		if err := out.bucket(name); err != nil {
			return err
		}
		c := tx.Bucket(name).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := out.add(k, v); err != nil {
				return err
			}
			if n := out.size() - paced; n >= paceBytes {
				paced += n
				pace.count(n)
				if err := errors.Join(s.enoughRoom(), pace.wait(ctx)); err != nil {
					return err
				}
			}
		}
	}
	return errors.Join(s.enoughRoom(), out.finish())
}

// enoughRoom returns an error before the volume is so full that writes fail.
func (s *Store) enoughRoom() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.opts.Dir, &fs); err != nil {
		return nil //nolint:nilerr // then nothing can be said, and the write itself tells
	}
	// On a very small volume a fixed reserve would forbid everything.
	reserve := min(compactReserve, int64(fs.Blocks)*fs.Bsize/16)
	if free := int64(fs.Bavail) * fs.Bsize; free < reserve {
		return fmt.Errorf("%d bytes are left on the volume, which are kept for writes: %w", free, syscall.ENOSPC)
	}
	return nil
}

// followWrites copies what was written meanwhile until little is left.
func (s *Store) followWrites(ctx context.Context, next *nextFile, pace *pacer) error {
	for range compactRounds {
		was, tx, release, err := s.beginCopy(ctx)
		if err != nil {
			return err
		}
		if was.full() {
			release()
			break
		}
		err = shield(func() error { return next.copyKeys(ctx, tx, was, pace) })
		release()
		if err = errors.Join(err, s.enoughRoom()); err != nil || was.count <= compactFew {
			return err
		}
	}
	return errors.New("more is written than can be copied: raise the rate, or compact when less is going on")
}

// finishCompact copies what came last and takes the new file. The committer runs
// it.
func (s *Store) finishCompact(next *nextFile) error {
	j := s.journal
	s.journal = nil
	if j == nil || j.full() {
		return errors.New("more was written than can be copied")
	}
	err := s.file.db.View(func(tx *bolt.Tx) error { return next.copyKeys(context.Background(), tx, j, nil) })
	if err != nil {
		return err
	}
	if err := s.sameState(next); err != nil {
		return err
	}
	return s.takeOver(next, func(txid int) {
		s.unsure.Store(false) // all of it has been synced
		s.pub = s.st.publish(next.db, txid)
	})
}

// sameState makes sure that the new file is what the old one was.
func (s *Store) sameState(next *nextFile) error {
	if s.stale {
		return errors.New("the state of the store is not known at the moment")
	}
	return next.db.View(func(tx *bolt.Tx) error {
		st := &state{heads: s.st.heads}
		if err := st.loadMeta(tx.Bucket(bucketMeta)); err != nil {
			return err
		}
		if err := st.loadLog(tx); err != nil {
			return err
		}
		revision, err := revisionIn(tx)
		if err != nil {
			return err
		}
		if !revision.Equal(s.st.revision) || st.digest != s.st.digest || st.pos != s.st.pos || st.trimmed != s.st.trimmed {
			return &CorruptError{What: "the copy", Err: fmt.Errorf("it is at %s and position %d, the store at %s and %d",
				revision, st.pos, s.st.revision, s.st.pos)}
		}
		return nil
	})
}

// FreePages returns how many bytes of the file hold nothing, and its size: what
// Compact would give back, about. It is read beside the writer and so a little
// old.
func (s *Store) FreePages() (free, size int64, err error) {
	f, err := os.Open(s.path)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the free pages: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("reading the free pages: %w", err)
	}
	pageSize := int64(os.Getpagesize())
	used, pages, err := freeList(f, pageSize)
	if err != nil {
		return 0, 0, fmt.Errorf("reading the free pages: %w", err)
	}
	size = info.Size()
	// Behind the last page in use the file may have been made longer in advance.
	free = pages*pageSize + max(0, size-used*pageSize)
	return min(free, size), size, nil
}

// freeList reads from the newer of the two meta pages how many pages are used at
// most, and from the list of free pages how long it is.
func freeList(f io.ReaderAt, pageSize int64) (used, free int64, err error) {
	var at, newest uint64
	for page := range int64(2) {
		var b [80]byte
		if _, err := f.ReadAt(b[:], page*pageSize); err != nil {
			return 0, 0, err
		}
		meta := b[bulkHeader:] // magic, version, page size, flags, root 16, free list, pages, transaction
		if txid := binary.NativeEndian.Uint64(meta[48:]); page == 0 || txid > newest {
			at, used, newest = binary.NativeEndian.Uint64(meta[32:]), int64(binary.NativeEndian.Uint64(meta[40:])), txid
		}
	}
	var b [bulkHeader + 8]byte
	if _, err := f.ReadAt(b[:], int64(at)*pageSize); err != nil {
		return 0, 0, err
	}
	if binary.NativeEndian.Uint16(b[8:]) != pageFreelist {
		return used, 0, nil // written over meanwhile
	}
	n := int64(binary.NativeEndian.Uint16(b[10:]))
	if n == 0xFFFF { // too many for the header
		n = int64(binary.NativeEndian.Uint64(b[bulkHeader:]))
	}
	return used, min(n, used), nil
}
