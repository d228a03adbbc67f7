package replication

import (
	"context"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// Adopt gives a store that no Replicator uses another branch id, under which
// nobody has written ever: see store.Store.Adopt. What the node knew of its
// former branch goes; a Replicator on the store finds out first whether its
// peers know the new one, as on any new store. What the former branch had not
// sent is in the log, where peers see that they lack it, and ask for it.
func Adopt(ctx context.Context, s *store.Store, id branch.ID) error {
	return s.Adopt(ctx, id, markCursor, openCursor)
}
