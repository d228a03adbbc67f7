package replication

import (
	"crypto/sha256"
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// snapshotChunk is the size of every chunk of a snapshot but the last, which
	// may be shorter. All nodes use the same, so that numbers mean the same.
	snapshotChunk = 256 << 10
	// maxSnapshotBytes bounds what a donor may announce.
	maxSnapshotBytes = 1 << 44
)

// SnapshotID names a snapshot: the SHA-256 of its bytes. The zero value names none.
type SnapshotID [sha256.Size]byte

// SnapshotRequest asks a donor for Credits chunks of a snapshot from chunk At
// on. Without a Snapshot it asks which one there is, and has one made.
type SnapshotRequest struct {
	ID       uint64
	From     branch.ID
	Session  string
	Snapshot SnapshotID
	At       uint64
	Credits  int
}

// SnapshotVerdict is what a donor says to a request. Whatever it cannot give, it
// says so at once.
type SnapshotVerdict uint64

const (
	// SnapshotOffered means that the snapshot named is there, Size bytes of it.
	SnapshotOffered SnapshotVerdict = iota + 1
	// SnapshotData means that Body is chunk At.
	SnapshotData
	// SnapshotPreparing means that one is being made: ask again soon.
	SnapshotPreparing
	// SnapshotGone means that the one asked for is no longer there.
	SnapshotGone
	// SnapshotNoRoom means that the donor's disk has no room to make one.
	SnapshotNoRoom
	// SnapshotRefused means that the donor cannot give any.
	SnapshotRefused
)

// String names the verdict as the documentation does.
func (v SnapshotVerdict) String() string {
	names := [...]string{"", "offered", "data", "preparing", "gone", "no-room", "refused"}
	if v == 0 || int(v) >= len(names) {
		return fmt.Sprintf("verdict %d", uint64(v))
	}
	return names[v]
}

// SnapshotChunk is a donor's answer.
type SnapshotChunk struct {
	ID       uint64
	From     branch.ID
	Verdict  SnapshotVerdict
	Snapshot SnapshotID
	// Size is that of the whole snapshot in bytes, Revision what it holds.
	Size     int64
	Revision branch.Revision
	// At is the number of the chunk, from 0; Last says that the credits of the
	// request end with it.
	At   uint64
	Last bool
	Body []byte
}

// EncodeSnapshotRequest writes a request for a snapshot.
func EncodeSnapshotRequest(r SnapshotRequest) ([]byte, error) {
	w := syncWire{
		Version: syncVersion, Kind: kindSnapshotRequest, ID: r.ID, From: string(r.From), Session: r.Session,
		Credits: uint64(r.Credits), Number: r.At,
	}
	if r.Snapshot != (SnapshotID{}) {
		w.Snapshot = r.Snapshot[:]
	}
	return encodeWire("snapshot request", w)
}

func (w *syncWire) snapshotRequest(from branch.ID) (*SnapshotRequest, error) {
	id, err := w.snapshotID()
	if err != nil {
		return nil, err
	}
	if w.Number > maxSnapshotBytes/snapshotChunk {
		return nil, fmt.Errorf("no snapshot has a chunk %d", w.Number)
	}
	return &SnapshotRequest{
		ID: w.ID, From: from, Session: w.Session, Snapshot: id, At: w.Number, Credits: int(min(w.Credits, maxCredits)),
	}, nil
}

func (w *syncWire) snapshotID() (id SnapshotID, err error) {
	if n := len(w.Snapshot); n != 0 && n != len(id) {
		return id, fmt.Errorf("the name of a snapshot has %d bytes instead of %d", n, len(id))
	}
	copy(id[:], w.Snapshot)
	return id, nil
}

// EncodeSnapshotChunk writes a donor's answer with the hash of its body.
func EncodeSnapshotChunk(c SnapshotChunk) ([]byte, error) {
	w := syncWire{
		Version: syncVersion, Kind: kindSnapshotChunk, ID: c.ID, From: string(c.From), Verdict: uint64(c.Verdict),
		Size: uint64(c.Size), Number: c.At, Last: c.Last, Body: c.Body,
	}
	if len(c.Revision) > 0 {
		w.Revision = c.Revision.String()
	}
	if c.Snapshot != (SnapshotID{}) {
		w.Snapshot = c.Snapshot[:]
	}
	hash := sha256.Sum256(c.Body)
	w.Hash = hash[:]
	return encodeWire("snapshot chunk", w)
}

func (w *syncWire) snapshotChunk(from branch.ID) (*SnapshotChunk, error) {
	id, err := w.snapshotID()
	if err != nil {
		return nil, err
	}
	if err := w.checkSnapshotChunk(); err != nil {
		return nil, err
	}
	c := &SnapshotChunk{
		ID: w.ID, From: from, Verdict: SnapshotVerdict(w.Verdict), Snapshot: id, Size: int64(w.Size), At: w.Number, Last: w.Last, Body: w.Body,
	}
	if c.Revision, err = branch.ParseRevision(w.Revision); err != nil {
		return nil, err
	}
	return c, nil
}

func (w *syncWire) checkSnapshotChunk() error {
	switch {
	case w.Size > maxSnapshotBytes:
		return fmt.Errorf("a snapshot of %d bytes is beyond the limit of %d", w.Size, uint64(maxSnapshotBytes))
	case len(w.Revision) > maxRevisionText:
		return fmt.Errorf("a revision is longer than %d bytes", maxRevisionText)
	case SnapshotVerdict(w.Verdict) != SnapshotData:
		return nil
	case w.Number >= chunksOf(int64(w.Size)):
		return fmt.Errorf("a snapshot of %d bytes has no chunk %d", w.Size, w.Number)
	case int64(len(w.Body)) != chunkSize(int64(w.Size), w.Number):
		return fmt.Errorf("chunk %d of a snapshot of %d bytes has %d bytes", w.Number, w.Size, len(w.Body))
	}
	return w.checkBody()
}

// chunksOf returns how many chunks a snapshot of that size has.
func chunksOf(size int64) uint64 { return uint64((size + snapshotChunk - 1) / snapshotChunk) }

// chunkSize returns the size of a chunk of a snapshot.
func chunkSize(size int64, at uint64) int64 {
	return min(snapshotChunk, size-int64(at)*snapshotChunk)
}
