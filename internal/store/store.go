// Package store keeps a node's data in one bbolt file: the objects as they are
// now, the indexes over them, every changeset that made them so, and what
// replication must not forget. Whatever a call reports as done is on disk.
//
// The state of an object is a pure function of the set of changesets applied
// to it: see record.go. Local transactions and changesets of other nodes go
// through that same function.
package store

import (
	"context"
	"log/slog"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// Options say which store to open and how.
type Options struct {
	// Dir is the directory of the store; it is created when missing. The file
	// in it is vesper.db.
	Dir string
	// Branch is the branch this store writes, and only this store.
	Branch branch.ID
	// Trunk is the lowest branch id of the system. Empty means Branch.
	Trunk branch.ID
	// Now is the physical clock. Nil means time.Now.
	Now func() time.Time
	// Logger takes what the store has to say. Nil means slog.Default().
	Logger *slog.Logger
	// LockTimeout is how long to wait for another process to let go of the
	// file. Zero means 5 s.
	LockTimeout time.Duration
	// PendingLimit and PendingBytes bound what is kept of changesets that wait
	// for others. Zero means 65536 and 256 MiB.
	PendingLimit int
	PendingBytes int
	// ConflictPolicy says which of concurrent values are read. Empty means
	// PolicyLatest. A store that was opened with another one before is made to
	// follow this one when it is opened.
	ConflictPolicy ConflictPolicy
	// VolumeIdentity names the file on its volume: another name than the last
	// time means that the file is a copy; see Copied. "" does not tell. Nil
	// means Inode.
	VolumeIdentity func(path string) string
	// Indexes are the properties (their full names) whose values are to be kept in
	// order; see Reader.Ordered. One that is new is built while everything goes on,
	// one that is not named any more is removed likewise. Nil leaves those that the
	// store has.
	Indexes []string
	// Shape, if set, gives every local transaction its final form.
	Shape ShapeFunc

	// NoSync leaves out the disk's part: what was acknowledged may be lost when
	// the machine stops. It is for tests that are about other things.
	NoSync bool
	// Hooks are for tests of crashes and of failing disks. Nil means none.
	Hooks *Hooks
}

// WriteOptions describe one transaction.
type WriteOptions struct {
	// Author and Comment are kept in the history; both may be empty.
	Author, Comment string
	// Preconditions must all hold when the transaction runs, or it fails with a
	// *PreconditionError and writes nothing.
	Preconditions []Precondition

	// limit refuses changesets by their size; nil refuses none.
	limit func(bytes int) error
}

// Precondition is a condition on one object. The zero value of the fields after
// ID demands nothing.
type Precondition struct {
	// ID is the object's id.
	ID string
	// Present demands that the object exists, Absent that it does not.
	Present, Absent bool
	// Revisions demands that the object exists and that its revision
	// (Object.Revision) is one of these.
	Revisions []branch.Revision
}

// Commit is the outcome of a transaction.
type Commit struct {
	// Dot names the changeset; it is zero when the transaction changed nothing.
	Dot branch.Dot
	// Revision is the store's revision right after the transaction.
	Revision branch.Revision
	// Clock is the changeset's clock; zero when nothing changed.
	Clock changeset.Clock
}

// Applied counts what became of the changesets given to Apply.
type Applied struct {
	// Applied counts those that became part of the state, among them ones that
	// had been pending before.
	Applied int
	// Duplicate counts those that were there already, applied or pending.
	Duplicate int
	// Pending counts those that were kept until what they lack arrives.
	Pending int
	// Dropped counts those that would have had to wait and found no room. They
	// must be fetched again; Pending reports what is missing.
	Dropped int
	// Rejected are those that can never be applied.
	Rejected []Rejection
	// Ahead is how far the furthest clock of those applied was ahead of the
	// store's physical clock; 0 when none was. It is taken as it is.
	Ahead time.Duration
}

// Rejection is a changeset that can never be applied, and why. The error is a
// *ForkError when the store holds another changeset of the same name.
type Rejection struct {
	Dot branch.Dot
	Err error
}

// FeedEntry is one changeset at its place in this store's order of application.
type FeedEntry struct {
	// Pos counts without holes from 1, or from where the content of the store came
	// from a snapshot. It means nothing on another store.
	Pos uint64
	changeset.Envelope
}

// Stats describe the store. Counters of commits and writes start with the
// process, the others are of the data.
type Stats struct {
	// Objects counts the objects that are visible, Conflicts the properties
	// that hold concurrent values.
	Objects, Conflicts int64
	// Changesets counts those applied, PendingChangesets those that wait and
	// PendingBytes their size.
	Changesets        uint64
	PendingChangesets int
	PendingBytes      int
	// Commits counts synced file transactions, Writes acknowledged local
	// transactions that changed something.
	Commits, Writes uint64
	// FileBytes is the size of the file, FreeBytes what is left on its volume, and
	// VolumeBytes all that may be used there.
	FileBytes, FreeBytes, VolumeBytes int64
}

// Update runs fn as one transaction and returns once it is on disk. Many
// waiting transactions share one disk commit. They run one after another: fn
// sees everything committed before, and its own writes. An error or a panic of
// fn undoes its own writes only; the error is returned as it is, a panic as an
// error. A transaction with no net change takes no dot. fn must have no effect
// outside the Tx that a second run could spoil: it runs again when the batch it
// was in has to be repeated. It must not call Update itself: it would wait for
// its own end.
//
// The context is honored while the transaction waits for its turn; once it has
// run, its outcome is awaited. Other errors: *RefusedError, *PreconditionError,
// *LimitError, *ExistsError, *InvalidError (all: nothing was written) and
// *StorageError (nothing was acknowledged; the store goes on reading).
func (s *Store) Update(ctx context.Context, opts WriteOptions, fn func(*Tx) error) (Commit, error) {
	return s.update(ctx, opts, fn)
}

// View runs fn on a snapshot: everything it reads is of one revision, whatever
// is written meanwhile. The Reader must not be used after fn returned. A long
// fn keeps old pages of the file from being used again, and fn must not write:
// the writer may have to wait until fn has ended.
func (s *Store) View(ctx context.Context, fn func(*Reader) error) error {
	return s.view(ctx, fn)
}

// Apply takes changesets of any branch, in any order, with any repetition. When
// it returns without an error, each is on disk: applied, kept until what it
// lacks arrives, or named in Rejected or counted in Dropped. Each takes effect
// exactly once. Changesets of the store's own branch are taken like the others.
func (s *Store) Apply(ctx context.Context, list []changeset.Envelope) (Applied, error) {
	return s.apply(ctx, list)
}
