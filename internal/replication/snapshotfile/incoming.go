package snapshotfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// Header says which snapshot an incoming file will be.
type Header struct {
	// Sum is the SHA-256 of the whole in hexadecimal, Size its bytes.
	Sum  string `json:"sum"`
	Size int64  `json:"size"`
	// ChunkBytes is the size of every chunk but the last.
	ChunkBytes int64 `json:"chunkBytes"`
	// Donor is who gives it.
	Donor string `json:"donor"`
	// Revision is what the donor says that it holds.
	Revision string `json:"revision"`
}

// Incoming is a snapshot that is being fetched, chunk after chunk. It is used by
// one goroutine at a time.
type Incoming struct {
	Header
	dir  string
	file *os.File
	size int64
	sum  hash.Hash
}

// Begin starts a new incoming file in dir, in place of any other. The error is a
// *NoRoomError when the disk has no room for twice the snapshot: the file, and
// the store that is made of it.
func Begin(dir string, disk Disk, h Header) (*Incoming, error) {
	if h.Size <= 0 || h.ChunkBytes <= 0 {
		return nil, fmt.Errorf("fetching a snapshot of %d bytes in chunks of %d: there is nothing to fetch", h.Size, h.ChunkBytes)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("making the directory of snapshots: %w", err)
	}
	if err := Discard(dir); err != nil {
		return nil, err
	}
	if err := disk.room(dir, 2*h.Size); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, incoming), os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("making the file of an incoming snapshot: %w", err)
	}
	in := &Incoming{Header: h, dir: dir, file: f, sum: sha256.New()}
	if err := in.saveHeader(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return in, nil
}

func (in *Incoming) saveHeader() error {
	text, err := json.Marshal(in.Header)
	if err != nil {
		return fmt.Errorf("describing an incoming snapshot: %w", err)
	}
	path := filepath.Join(in.dir, incomingHead)
	if err := os.WriteFile(path+".new", text, fileMode); err != nil {
		return fmt.Errorf("describing an incoming snapshot: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("describing an incoming snapshot: %w", err)
	}
	return syncDir(in.dir)
}

// Resume picks up what an earlier process was fetching; nil when there is
// nothing that can be used. What lies beyond the last whole chunk is cut off.
func Resume(dir string) (*Incoming, error) {
	text, err := os.ReadFile(filepath.Join(dir, incomingHead))
	if os.IsNotExist(err) {
		return nil, Discard(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("reading about an incoming snapshot: %w", err)
	}
	in := &Incoming{dir: dir, sum: sha256.New()}
	if json.Unmarshal(text, &in.Header) != nil || in.Size <= 0 || in.ChunkBytes <= 0 {
		return nil, Discard(dir)
	}
	in.file, err = os.OpenFile(filepath.Join(dir, incoming), os.O_RDWR, fileMode)
	if os.IsNotExist(err) {
		return nil, Discard(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("opening an incoming snapshot: %w", err)
	}
	if err := in.pickUp(); err != nil {
		_ = in.file.Close()
		return nil, err
	}
	return in, nil
}

// pickUp hashes what is there anew, and cuts off what is not a whole chunk.
func (in *Incoming) pickUp() error {
	info, err := in.file.Stat()
	if err != nil {
		return fmt.Errorf("picking up an incoming snapshot: %w", err)
	}
	in.size = min(info.Size(), in.Size)
	if in.size < in.Size {
		in.size -= in.size % in.ChunkBytes
	}
	if err := in.file.Truncate(in.size); err != nil {
		return fmt.Errorf("picking up an incoming snapshot: %w", err)
	}
	if _, err := io.Copy(in.sum, io.NewSectionReader(in.file, 0, in.size)); err != nil {
		return fmt.Errorf("picking up an incoming snapshot: %w", err)
	}
	return nil
}

// Next is the number of the first chunk that is missing, from 0.
func (in *Incoming) Next() uint64 {
	return uint64((in.size + in.ChunkBytes - 1) / in.ChunkBytes)
}

// Bytes is how much is there.
func (in *Incoming) Bytes() int64 { return in.size }

// Append adds the next chunk.
func (in *Incoming) Append(chunk []byte) error {
	if want := min(in.ChunkBytes, in.Size-in.size); int64(len(chunk)) != want {
		return fmt.Errorf("adding chunk %d of an incoming snapshot: %d bytes, expected %d", in.Next(), len(chunk), want)
	}
	if _, err := in.file.WriteAt(chunk, in.size); err != nil {
		return fmt.Errorf("adding chunk %d of an incoming snapshot: %w", in.Next(), err)
	}
	in.sum.Write(chunk)
	in.size += int64(len(chunk))
	return nil
}

// Whole reports whether no chunk is missing.
func (in *Incoming) Whole() bool { return in.size == in.Size }

// Finish makes a whole file durable and returns its path, or says that the
// bytes are not those that were announced.
func (in *Incoming) Finish() (path string, err error) {
	if got := hex.EncodeToString(in.sum.Sum(nil)); !in.Whole() || got != in.Sum {
		return "", fmt.Errorf("the snapshot fetched from %s has %d of %d bytes and SHA-256 %s, announced was %s",
			in.Donor, in.size, in.Size, got, in.Sum)
	}
	if err := in.file.Sync(); err != nil {
		return "", fmt.Errorf("syncing an incoming snapshot: %w", err)
	}
	return filepath.Join(in.dir, incoming), nil
}

// Close lets go of the file and leaves it to be resumed.
func (in *Incoming) Close() error {
	if err := in.file.Close(); err != nil {
		return fmt.Errorf("closing an incoming snapshot: %w", err)
	}
	return nil
}

// Discard removes what was fetched in dir, if anything.
func Discard(dir string) error {
	return remove(dir, incomingHead, incomingHead+".new", incoming)
}
