package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication/snapshotfile"
	"vesperdb.io/vesper/internal/store"
)

const (
	// snapshotType is the media type of a snapshot.
	snapshotType = "application/vnd.vesper.snapshot"
	// snapshotDir holds a snapshot, in the node's directory, while it is made.
	snapshotDir = "backup"
	// snapshotChunk is what a client gets at once, and snapshotPatience how long it
	// may take for it; a snapshot has no bound as a whole.
	snapshotChunk    = 1 << 20
	snapshotPatience = time.Minute
)

// getSnapshot sends all data and history, and nothing that says whose they are.
// The store is read at the speed of the disk, into a file that has no name any
// more when it is sent: a reader of the store keeps its freed pages from being
// used again, and a client may take as long as it likes. The file's length and
// its own last hash tell a client whether it got all of it.
func (s *Server) getSnapshot(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	head := w.Header()
	if r.Method == http.MethodHead {
		s.describeSnapshot(head, s.deps.Store.Revision())
		return nil
	}
	unhurried(w)
	f, info, err := s.spoolSnapshot(r.Context())
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read, and without a name
	s.describeSnapshot(head, info.Revision)
	head.Set("Content-Length", strconv.FormatInt(f.Size, 10))
	return s.sendSnapshot(w, f)
}

func (s *Server) describeSnapshot(head http.Header, revision branch.Revision) {
	head.Set("Content-Type", snapshotType)
	head.Set("Content-Disposition", `attachment; filename="`+string(s.deps.Store.Branch())+`.snapshot"`)
	head.Set("Cache-Control", "no-store")
	head.Set(headerRevision, revision.String())
}

// shelf is where a snapshot lies while it is made.
func (s *Server) shelf() snapshotfile.Shelf {
	return snapshotfile.Shelf{Dir: filepath.Join(s.deps.Config.StoragePath, snapshotDir), Disk: s.disk}
}

// unhurried takes the limits of time off a request. Without that the one for
// reading ends the request's context, too, while nothing is left to read.
func unhurried(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	_ = errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})) // a recorder in tests has none
}

// spoolSnapshot writes a snapshot to a file without a name. One is written at a time.
func (s *Server) spoolSnapshot(ctx context.Context) (*snapshotfile.File, store.SnapshotInfo, error) {
	select {
	case s.spooling <- struct{}{}:
		defer func() { <-s.spooling }()
	case <-ctx.Done():
		return nil, store.SnapshotInfo{}, context.Cause(ctx)
	}
	var info store.SnapshotInfo
	shelf := s.shelf()
	f, err := shelf.Make(0, func(to io.Writer) (err error) {
		info, err = s.deps.Store.WriteSnapshot(ctx, to)
		return err
	})
	if _, full := errors.AsType[*snapshotfile.NoRoomError](err); full {
		err = problem(kindFull, "%v: the node writes the snapshot to its own disk first; stop it and use vesper-node snapshot --data, or give it more room", err)
	}
	if err != nil {
		return nil, info, err
	}
	if err := shelf.Clear(); err != nil {
		return nil, info, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// sendSnapshot sends a file. A client that takes nothing for a while is cut off.
func (s *Server) sendSnapshot(w http.ResponseWriter, f *snapshotfile.File) error {
	control := http.NewResponseController(w)
	for at := int64(0); at < f.Size; {
		chunk, err := f.Chunk(at, snapshotChunk)
		if err != nil {
			return err
		}
		_ = control.SetWriteDeadline(time.Now().Add(s.patience)) // a recorder in tests has none
		n, err := w.Write(chunk)
		if at += int64(n); err != nil {
			return err
		}
	}
	return nil
}
