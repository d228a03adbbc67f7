package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A file that was copied, or restored from a backup, has lost what was written
// after the copy was made, and may have a living original. Nothing in the file
// tells; but it is another file of its volume: its inode is another one. So the
// store remembers its own.

// Inode is the default of Options.VolumeIdentity: the file's inode number. A
// volume keeps it when it is unmounted, moved or grown.
func Inode(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return strconv.FormatUint(st.Ino, 10)
	}
	return ""
}

// NoVolumeIdentity is for volumes whose inode numbers do not last: copies are
// then not noticed.
func NoVolumeIdentity(string) string { return "" }

// newIncarnation returns a name that no store has had.
func newIncarnation() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails
	return hex.EncodeToString(bits[:])
}

// recognize notices that the file is a copy. A copy is another incarnation of
// the branch, from now on and durably, and remains one until MarkOwned.
func (s *Store) recognize(meta *bolt.Bucket) error {
	now := s.opts.VolumeIdentity(s.path)
	was := string(meta.Get(metaVolume))
	s.copied.Store(meta.Get(metaCopied) != nil)
	if now == "" || now == was {
		return nil
	}
	if err := meta.Put(metaVolume, []byte(now)); err != nil || was == "" {
		return err
	}
	s.copied.Store(true)
	s.incarnation = newIncarnation()
	s.opts.Logger.Warn("The store's file is a copy or was restored: what the original wrote since is not in it. "+
		"Writes are refused until it has a new branch id (vesper-node adopt) or the branch is accepted (vesper-node accept)",
		"path", s.path, "branch", s.opts.Branch, "identity", now, "was", was)
	if err := meta.Put(metaIncarnation, []byte(s.incarnation)); err != nil {
		return err
	}
	return meta.Put(metaCopied, []byte{1})
}

// Copied reports whether the file is a copy of, or was restored from, another
// one, and nobody has said yet that nothing else of the branch exists. The
// store takes writes all the same: whoever opened it must refuse them.
func (s *Store) Copied() bool { return s.copied.Load() }

// MarkOwned records that the file is the branch's only one, though it is a copy.
func (s *Store) MarkOwned(ctx context.Context) error {
	if !s.copied.Load() {
		return nil
	}
	err := s.submit(ctx, func(b *batch) error {
		b.remove(bucketMeta, metaCopied)
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording that the store's file is the branch's own: %w", err)
	}
	s.copied.Store(false)
	return nil
}

// LeaseWrites lets Update succeed until a moment only, by the clock of the
// machine or by that of the process, whichever is later there: a process that
// was stopped must not write before it has looked around. The zero time ends
// the lease.
func (s *Store) LeaseWrites(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lease = until
}

// overslept reports whether the lease of writes has run out. The caller holds mu.
func (s *Store) overslept() bool {
	if s.lease.IsZero() {
		return false
	}
	now := time.Now()
	return now.After(s.lease) || now.Round(0).After(s.lease.Round(0))
}

const oversleptReason = "this process was stopped for a while, or the machine was overloaded or asleep: it asks its peers whether " +
	"anything was written in its place, and takes writes again when they have answered"
