package store

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"

	"vesperdb.io/vesper/internal/branch"
)

func (s *Store) published() published {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pub
}

// Branch returns the branch this store writes.
func (s *Store) Branch() branch.ID { return s.opts.Branch }

// Incarnation returns the store's own name: random, made with the file, and anew
// when its content is replaced.
func (s *Store) Incarnation() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.incarnation
}

// Revision returns what is applied and on disk.
func (s *Store) Revision() branch.Revision { return s.published().revision }

// Digest returns the digest of the state on disk.
func (s *Store) Digest() Digest { return s.published().digest }

// Snapshot returns revision and digest of one and the same state.
func (s *Store) Snapshot() (branch.Revision, Digest) {
	p := s.published()
	return p.revision, p.digest
}

// Stats returns sizes and counters.
func (s *Store) Stats() Stats {
	p := s.published()
	st := Stats{
		Objects: p.objects, Conflicts: p.conflicts, Changesets: applied(p.revision),
		Commits: s.commits.Load(), Writes: s.writes.Load(),
	}
	st.PendingChangesets, st.PendingBytes = p.pending.size()
	if info, err := os.Stat(s.path); err == nil {
		st.FileBytes = info.Size()
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.opts.Dir, &fs); err == nil {
		st.FreeBytes = int64(fs.Bavail) * fs.Bsize
		st.VolumeBytes = int64(fs.Blocks-fs.Bfree+fs.Bavail) * fs.Bsize // as df: without what is kept for root
	}
	return st
}

// applied counts the changesets that a revision covers.
func applied(r branch.Revision) (n uint64) {
	for _, d := range r {
		n += d.Seq
	}
	return n
}

// Pending returns how many changesets wait for others, and the dots they wait
// for that are neither applied nor pending themselves, sorted.
func (s *Store) Pending() (count int, missing []branch.Dot) {
	p := s.published()
	count, _ = p.pending.size()
	missing = p.pending.missing(p.revision)
	return count, slices.DeleteFunc(missing, func(d branch.Dot) bool {
		f, known := p.forks[d.Branch] // nothing of a forked branch would be taken
		return known && f.Settled == 0
	})
}

// Beyond returns for each branch the highest sequence that the store has proof
// of beyond what it has applied: it waits, or something that waits names it.
func (s *Store) Beyond() branch.Revision {
	p := s.published()
	return p.pending.beyond(p.revision)
}

// Changed returns a channel that is closed when the next changeset has been
// applied and is on disk.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Bootstrapped reports whether the store has once been caught up.
func (s *Store) Bootstrapped() bool { return s.published().bootstrapped }

// SetBootstrapped records that the store has once been caught up.
func (s *Store) SetBootstrapped(ctx context.Context) error {
	err := s.submit(ctx, func(b *batch) error {
		if !b.st.bootstrapped {
			b.put(bucketMeta, metaBootstrapped, []byte{1})
			b.st.bootstrapped = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording that the store is caught up: %w", err)
	}
	return nil
}

// RefuseWrites makes Update fail with a *RefusedError until AllowWrites.
// Transactions that wait already fail too. Apply goes on.
func (s *Store) RefuseWrites(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = reason
}

// AllowWrites ends RefuseWrites.
func (s *Store) AllowWrites() { s.RefuseWrites("") }

// WritesRefused returns that the store is being drained, or the reason given to
// RefuseWrites, or that the lease of writes has run out; "" when writes are taken.
func (s *Store) WritesRefused() string {
	if s.draining.Load() != drainNone {
		return drainReason
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == "" && s.overslept() {
		return oversleptReason
	}
	return s.refused
}

// Probe writes to the file, without a changeset, and returns a *StorageError
// when the disk does not take that.
func (s *Store) Probe(ctx context.Context) error {
	return s.submit(ctx, func(b *batch) error {
		b.put(bucketMeta, metaOpen, []byte{1})
		return nil
	})
}
