// Package bundle writes and reads files of changesets, for nodes that no network
// joins. A bundle is the magic, then frames: a header, containers of changesets
// in an order in which each comes after all that it depends on, and an end. Each
// frame is its kind (a byte), its length (uvarint), its payload, and the SHA-256
// of the hash before and all this: what is damaged, cut off or put together
// differently is noticed before anything of that frame is used.
package bundle

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

const (
	// ContentType is the media type of a bundle.
	ContentType = "application/vnd.vesper.bundle"
	// Version is that of the format; a reader refuses a higher one.
	Version = 1

	magic = "VSPRBUND"
	// maxHeader bounds the header and the end.
	maxHeader = 16 << 20
)

// The kinds of frames.
const (
	kindHeader     = 'H'
	kindChangesets = 'C'
	kindEnd        = 'E'
)

// Header says what a bundle holds and of which system it is.
type Header struct {
	// Version is the format's.
	Version int `json:"version"`
	// Trunk is the system's, Branch the exporter's.
	Trunk  branch.ID `json:"trunk"`
	Branch branch.ID `json:"branch"`
	// Since is what the bundle leaves out, Revision what it leads up to.
	Since    branch.Revision `json:"since"`
	Revision branch.Revision `json:"revision"`
	// Known names changesets of the exporter with their hashes, the earliest and
	// the latest of each branch: a store that has one of them with another hash
	// is of another system.
	Known []Known `json:"known"`
}

// Known is a changeset's name and its hash in hexadecimal.
type Known struct {
	Dot  string `json:"dot"`
	Hash string `json:"hash"`
}

// end is the last frame.
type end struct {
	Changesets int `json:"changesets"`
}

// DamagedError says that a bundle is not what was written.
type DamagedError struct{ Err error }

// Error says what is wrong; what came before it was whole.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the bundle is damaged or cut off: %v; what came before was sound: get the file again and repeat the import", e.Err)
}

// Unwrap returns the cause.
func (e *DamagedError) Unwrap() error { return e.Err }

// writer writes frames.
type writer struct {
	w    *bufio.Writer
	hash [sha256.Size]byte
}

func (w *writer) frame(kind byte, payload []byte) error {
	head := binary.AppendUvarint([]byte{kind}, uint64(len(payload)))
	w.hash = chain(w.hash, head, payload)
	for _, part := range [][]byte{head, payload, w.hash[:]} {
		if _, err := w.w.Write(part); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	return nil
}

func chain(before [sha256.Size]byte, parts ...[]byte) (out [sha256.Size]byte) {
	h := sha256.New()
	_, _ = h.Write(before[:])
	for _, p := range parts {
		_, _ = h.Write(p) // a hash takes everything
	}
	h.Sum(out[:0])
	return out
}

func (w *writer) json(kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the bundle's header: %w", err)
	}
	return w.frame(kind, payload)
}

// reader reads frames.
type reader struct {
	r    *bufio.Reader
	hash [sha256.Size]byte
}

// frame returns the next frame, whose hash is right. Its length is checked before
// memory is allocated for it.
func (r *reader) frame() (kind byte, payload []byte, err error) {
	if kind, err = r.r.ReadByte(); err != nil {
		return 0, nil, damaged(err)
	}
	limit := uint64(maxHeader)
	if kind == kindChangesets {
		limit = uint64(changeset.DefaultLimits().MessageBytes)
	}
	size, err := binary.ReadUvarint(r.r)
	if err != nil {
		return 0, nil, damaged(err)
	}
	if size > limit {
		return 0, nil, &DamagedError{fmt.Errorf("a frame of %d bytes, the limit is %d", size, limit)}
	}
	payload, err = io.ReadAll(io.LimitReader(r.r, int64(size)))
	if err == nil && uint64(len(payload)) < size {
		err = io.ErrUnexpectedEOF
	}
	var sum [sha256.Size]byte
	if err == nil {
		_, err = io.ReadFull(r.r, sum[:])
	}
	if err != nil {
		return 0, nil, damaged(err)
	}
	r.hash = chain(r.hash, binary.AppendUvarint([]byte{kind}, size), payload)
	if r.hash != sum {
		return 0, nil, &DamagedError{errors.New("a hash is wrong")}
	}
	return kind, payload, nil
}

// damaged makes an end where none should be a damaged bundle; other errors are
// the source's.
func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &DamagedError{errors.New("it ends too early")}
	}
	return fmt.Errorf("reading the bundle: %w", err)
}

// header reads the magic and the header.
func (r *reader) header() (h Header, err error) {
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(r.r, start); err != nil || string(start) != magic {
		return h, errors.New("this is no bundle of changesets: vesper-node export and GET /v1/bundle make one")
	}
	kind, payload, err := r.frame()
	if err != nil {
		return h, err
	}
	if kind != kindHeader {
		return h, &DamagedError{errors.New("it does not start with a header")}
	}
	if err := json.Unmarshal(payload, &h); err != nil {
		return h, &DamagedError{err}
	}
	if h.Version != Version {
		return h, fmt.Errorf("the bundle has version %d, and this program knows %d: upgrade this node", h.Version, Version)
	}
	return h, nil
}

func hexOf(hash [32]byte) string { return hex.EncodeToString(hash[:]) }
