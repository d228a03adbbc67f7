// Package vesperwire is the wire of a channel that nodes of the original Vesper
// share: it has the state that internal/legacywire, which does the translation,
// needs of a store.
package vesperwire

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/store"
)

const (
	// defaultPatience is how long a changeset waits for the one it builds on to
	// appear on the channel.
	defaultPatience = 30 * time.Second
	// verbatimLimit bounds the revisions that are remembered as written.
	verbatimLimit = 4096
)

// Options say what a wire works for.
type Options struct {
	// Store is the node's store.
	Store *store.Store
	// Form is that of the store's transactions.
	Form *Form
	// Dir is where messages are kept that came too early; it is made when
	// missing. Nothing else may be in it.
	Dir string
	// Patience is how long a changeset is held back while the one before it here
	// has not been on the channel: without that, nodes of the original would keep
	// it for ever. 0 means 30 s.
	Patience time.Duration
	// Logger takes what a human should know. Nil means slog.Default().
	Logger *slog.Logger
}

// Wire is a replication.OrderedWire. It is safe for concurrent use.
type Wire struct {
	o    Options
	kept *shelf
	// start is what the store had when the wire was made.
	start branch.Revision

	mu sync.Mutex
	// heard is what has been on the channel since.
	heard branch.Revision
	// verbatim are revisions that say less than the changesets' own bases: the
	// original names them as it wrote them.
	verbatim map[branch.Dot]string
	// held is what waits for the channel, and since when.
	held      branch.Dot
	heldSince time.Time
}

// New returns a wire. The error says why messages could not be kept in the
// directory.
func New(o Options) (*Wire, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	kept, err := openShelf(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("preparing the wire of the original Vesper: %w", err)
	}
	return &Wire{o: o, kept: kept, start: o.Store.Revision(), verbatim: map[branch.Dot]string{}}, nil
}

// seen is what a changeset's conversion needs of an object.
func seen(o store.Object) legacywire.Before {
	b := legacywire.Before{Statements: o.Statements, Deleted: o.Deleted}
	for _, c := range o.Conflicts {
		b.Conflicts = append(b.Conflicts, [2]string{c.Subject, c.Predicate})
	}
	return b
}

// objectsAt gives the objects at a revision.
func objectsAt(r *store.Reader, at branch.Revision) legacywire.Past {
	return once(func(root string) (store.Object, bool, error) { return r.ObjectIn(root, at) })
}

// once reads each object once.
func once(object func(root string) (store.Object, bool, error)) legacywire.Past {
	known := map[string]legacywire.Before{}
	return func(root string) (legacywire.Before, error) {
		if b, ok := known[root]; ok {
			return b, nil
		}
		o, _, err := object(root)
		if err != nil {
			return legacywire.Before{}, err
		}
		known[root] = seen(o)
		return known[root], nil
	}
}

// view runs fn on a snapshot of the store.
func (w *Wire) view(fn func(*store.Reader) error) error {
	return w.o.Store.View(context.Background(), fn)
}

var _ replication.OrderedWire = (*Wire)(nil)
