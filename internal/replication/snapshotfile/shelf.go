package snapshotfile

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// roomEvery is how often the room on the disk is looked at while writing.
const roomEvery = 16 << 20

// Shelf has place for one snapshot to give away.
type Shelf struct {
	Dir  string
	Disk Disk
}

// Clear removes what is on the shelf. A snapshot that is being read from an
// open [File] can be read on.
func (s Shelf) Clear() error { return remove(s.Dir, shelved) }

// File is a finished snapshot. Close it when nobody fetches it any more.
type File struct {
	file *os.File
	// Size is in bytes, Sum their SHA-256.
	Size int64
	Sum  [sha256.Size]byte
}

// Make puts what write writes on the shelf, in place of what was there. expect
// is about how many bytes that will be; when the disk has no room for them, or
// turns out not to have it, the error is a *NoRoomError and nothing is left.
func (s Shelf) Make(expect int64, write func(io.Writer) error) (*File, error) {
	if err := os.MkdirAll(s.Dir, dirMode); err != nil {
		return nil, fmt.Errorf("making the directory of snapshots: %w", err)
	}
	if err := s.Clear(); err != nil {
		return nil, err
	}
	if err := s.Disk.room(s.Dir, expect); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Dir, shelved)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, fmt.Errorf("making a snapshot: %w", err)
	}
	out := &File{file: f}
	if err := out.fill(s, write); err != nil {
		_ = f.Close()
		_ = s.Clear()
		return nil, fmt.Errorf("making a snapshot: %w", err)
	}
	return out, nil
}

func (f *File) fill(s Shelf, write func(io.Writer) error) error {
	sum := sha256.New()
	g := &guarded{shelf: s, to: io.MultiWriter(f.file, sum)}
	if err := write(g); err != nil {
		return err
	}
	f.Size = g.written
	sum.Sum(f.Sum[:0])
	return nil
}

// Chunk reads the bytes from an offset on, up to size of them.
func (f *File) Chunk(offset, size int64) ([]byte, error) {
	if offset < 0 || offset >= f.Size {
		return nil, fmt.Errorf("reading a snapshot of %d bytes at %d: there is nothing", f.Size, offset)
	}
	out := make([]byte, min(size, f.Size-offset))
	if _, err := f.file.ReadAt(out, offset); err != nil {
		return nil, fmt.Errorf("reading a snapshot at %d: %w", offset, err)
	}
	return out, nil
}

// Close lets go of the file. It is removed by [Shelf.Clear].
func (f *File) Close() error {
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("closing a snapshot: %w", err)
	}
	return nil
}

// guarded is a writer that leaves the reserve on the disk.
type guarded struct {
	shelf           Shelf
	to              io.Writer
	written, looked int64
}

// Write implements io.Writer.
func (g *guarded) Write(p []byte) (int, error) {
	if g.written-g.looked >= roomEvery {
		if err := g.shelf.Disk.room(g.shelf.Dir, int64(len(p))); err != nil {
			return 0, err
		}
		g.looked = g.written
	}
	n, err := g.to.Write(p)
	g.written += int64(n)
	return n, err
}
