package replication

import (
	"context"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/store"
)

// Store is what replication needs of a store; *store.Store is one. See there
// for what each method promises.
type Store interface {
	Branch() branch.ID
	Incarnation() string
	Revision() branch.Revision
	Snapshot() (branch.Revision, store.Digest)
	Apply(ctx context.Context, envelopes []changeset.Envelope) (store.Applied, error)
	Feed(ctx context.Context, after uint64, maxBytes int) ([]store.FeedEntry, error)
	Range(ctx context.Context, b branch.ID, from, to uint64, maxBytes int) ([]changeset.Envelope, error)
	Cursor(link string) (uint64, error)
	SetCursor(ctx context.Context, link string, pos uint64) error
	Outbox(link string) (changesets uint64, oldest time.Time)
	Pending() (count int, missing []branch.Dot)
	Beyond() branch.Revision
	Changed() <-chan struct{}
	Bootstrapped() bool
	SetBootstrapped(ctx context.Context) error
	RefuseWrites(reason string)
	AllowWrites()
}

// floored is a store whose log no longer starts at 1.
type floored interface {
	// Floor is for each branch the last sequence that has left the log.
	Floor() branch.Revision
}

func floorOf(s Store) branch.Revision {
	if f, ok := s.(floored); ok {
		return f.Floor()
	}
	return nil
}

// Durable cursors beside those of the links, which cannot have these names.
const (
	// markCursor remembers up to which sequence the own branch was ahead of the store.
	markCursor = "!branch-ahead"
	// openCursor is 1 once the own branch was found unused and writes were taken.
	openCursor = "!branch-open"
)
