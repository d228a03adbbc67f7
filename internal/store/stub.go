package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

var errUnfinished = errors.New("not finished")

// Store is an open store. It is safe for use by many goroutines.
type Store struct{}

// Reader is a snapshot of the store; see View.
type Reader struct{ revision branch.Revision }

type writing struct{ opts WriteOptions }

// Open opens the store in a directory, or makes a new one. It refuses a file of
// another branch (*BranchError), of a newer program (*FormatError) or one that
// another process holds, and checks the file after an unclean stop.
func Open(ctx context.Context, opts Options) (*Store, error) { return nil, errUnfinished }

// Close waits for running transactions, fails waiting ones with a *ClosedError
// and closes the file. Calling it again does nothing.
func (s *Store) Close() error { return nil }

// Branch returns the branch this store writes.
func (s *Store) Branch() branch.ID { return "" }

// Incarnation returns the store's own name: random, made with the file.
func (s *Store) Incarnation() string { return "" }

// Revision returns what is applied and on disk.
func (s *Store) Revision() branch.Revision { return nil }

// Snapshot returns revision and digest of one and the same state.
func (s *Store) Snapshot() (branch.Revision, Digest) { return nil, Digest{} }

// Digest returns the digest of the state on disk.
func (s *Store) Digest() Digest { return Digest{} }

// Stats returns sizes and counters.
func (s *Store) Stats() Stats { return Stats{} }

// Check reads the whole file and returns the first contradictions it finds, if
// any, as one error of *CorruptError. Writes go on meanwhile.
func (s *Store) Check(ctx context.Context) error { return errUnfinished }

// Feed returns the changesets after a position in this store's order of
// application, oldest first, at least one if there is any, and then as many as
// fit in maxBytes of bodies.
func (s *Store) Feed(ctx context.Context, after uint64, maxBytes int) ([]FeedEntry, error) {
	return nil, errUnfinished
}

// Range returns the applied changesets of a branch from one sequence to another
// inclusive, ascending, at least one if there is any, and then as many as fit
// in maxBytes of bodies.
func (s *Store) Range(ctx context.Context, id branch.ID, from, to uint64, maxBytes int) ([]changeset.Envelope, error) {
	return nil, errUnfinished
}

// Cursor returns the position up to which a link has published the feed; 0 for
// a link that is new.
func (s *Store) Cursor(link string) (uint64, error) { return 0, errUnfinished }

// SetCursor moves a link's cursor. It returns once that is on disk.
func (s *Store) SetCursor(ctx context.Context, link string, pos uint64) error { return errUnfinished }

// Outbox returns how many changesets of the store's own branch lie beyond a
// link's cursor, and when the oldest of them was made (zero time if none).
func (s *Store) Outbox(link string) (changesets uint64, oldest time.Time) { return 0, time.Time{} }

// Pending returns how many changesets wait for others, and the dots they wait
// for that are neither applied nor pending themselves, sorted.
func (s *Store) Pending() (count int, missing []branch.Dot) { return 0, nil }

// Changed returns a channel that is closed at the next commit.
func (s *Store) Changed() <-chan struct{} { return nil }

// Bootstrapped reports whether the store has once been caught up.
func (s *Store) Bootstrapped() bool { return false }

// SetBootstrapped records that the store has once been caught up.
func (s *Store) SetBootstrapped(ctx context.Context) error { return errUnfinished }

// RefuseWrites makes Update fail with a *RefusedError until AllowWrites.
// Transactions that wait already fail too. Apply goes on.
func (s *Store) RefuseWrites(reason string) {}

// AllowWrites ends RefuseWrites.
func (s *Store) AllowWrites() {}

// WritesRefused returns the reason given to RefuseWrites, "" when writes are
// taken.
func (s *Store) WritesRefused() string { return "" }

func (s *Store) update(ctx context.Context, opts WriteOptions, fn func(*Tx) error) (Commit, error) {
	return Commit{}, errUnfinished
}
func (s *Store) view(ctx context.Context, fn func(*Reader) error) error { return errUnfinished }
func (s *Store) apply(ctx context.Context, list []changeset.Envelope) (Applied, error) {
	return Applied{}, errUnfinished
}
func (w *writing) add(o []pjson.Object) error                       { return errUnfinished }
func (w *writing) create(o []pjson.Object) error                    { return errUnfinished }
func (w *writing) update(o []pjson.Object) error                    { return errUnfinished }
func (w *writing) replace(o []pjson.Object) error                   { return errUnfinished }
func (w *writing) remove(o []pjson.Object) error                    { return errUnfinished }
func (w *writing) delete(id string) (bool, error)                   { return false, errUnfinished }
func (w *writing) changes() (a, b []statement.Statement, err error) { return nil, nil, errUnfinished }
func (r *Reader) object(id string) (Object, bool, error)            { return Object{}, false, errUnfinished }
func (r *Reader) objects(after string) iter.Seq2[Object, error] {
	return func(func(Object, error) bool) {}
}
func (r *Reader) subjectsWith(p string, t statement.Term) iter.Seq2[string, error] {
	return func(func(string, error) bool) {}
}
func (r *Reader) subjectsHaving(p string) iter.Seq2[string, error] {
	return func(func(string, error) bool) {}
}
func (r *Reader) references(id string) iter.Seq2[statement.Statement, error] {
	return func(func(statement.Statement, error) bool) {}
}
func (r *Reader) conflicted(after string) iter.Seq2[Object, error] {
	return func(func(Object, error) bool) {}
}
func (r *Reader) history(id string) ([]HistoryEntry, error) { return nil, errUnfinished }
func (r *Reader) objectAt(id string, at branch.Revision) (Object, bool, error) {
	return Object{}, false, errUnfinished
}
func (r *Reader) changeset(dot branch.Dot) (changeset.Changeset, bool, error) {
	return changeset.Changeset{}, false, errUnfinished
}
