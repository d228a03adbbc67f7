package replication

import (
	"context"
	"io"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// What follows are the parts of a store without which a node still replicates,
// only less well: a test's store, or an older one, need not have them.

// snapshotStore gives and takes snapshots.
type snapshotStore interface {
	// WriteSnapshot writes the state and the log, without what makes this store
	// itself: its branch, incarnation, cursors and pending changesets.
	WriteSnapshot(ctx context.Context, w io.Writer) (store.SnapshotInfo, error)
	// InstallSnapshot puts a snapshot in place of what the store holds, applies
	// on top of it what the store had and the snapshot lacks, verifies the
	// digest, and sets the cursors of links so that all of that goes out again.
	InstallSnapshot(ctx context.Context, path string) (store.SnapshotInfo, error)
}

// sized is a store that knows its size.
type sized interface{ Stats() store.Stats }

// trimmer is a store whose log can lose its oldest part.
type trimmer interface {
	Trim(ctx context.Context, covered branch.Revision, before time.Time) (store.Trimmed, error)
}

// digester lists what each object adds to a bucket of the digest.
type digester interface {
	DigestObjects(ctx context.Context, bucket byte) ([]store.ObjectDigest, error)
}

// sizeOf returns about how many bytes a snapshot of the store has at most.
func sizeOf(s Store) int64 {
	if z, ok := s.(sized); ok {
		return z.Stats().FileBytes
	}
	return 0
}
