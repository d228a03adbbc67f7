// Package snapshotfile keeps the files of snapshots that travel between nodes:
// a donor's, read by chunks for as long as somebody fetches it, and a
// receiver's, which grows chunk by chunk and is picked up again after a
// restart. Both are bounded by the room on their disk, of which some is always
// left to the store.
package snapshotfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Reserve is how many bytes of a disk are left to the store.
const Reserve = 64 << 20

const (
	shelved      = "shelved.snapshot"
	incoming     = "incoming.snapshot"
	incomingHead = "incoming.json"
	dirMode      = 0o700
	fileMode     = fs.FileMode(0o600)
)

// NoRoomError says that a file would leave less than the reserve on its disk.
type NoRoomError struct {
	Dir string
	// Need and Free are in bytes; Need has the reserve in it.
	Need, Free int64
}

// Error says how much is needed where.
func (e *NoRoomError) Error() string {
	return fmt.Sprintf("a snapshot in %s needs %d bytes of disk, %d are free", e.Dir, e.Need, e.Free)
}

// Disk tells how much room a directory's disk has. The zero value asks the
// system; tests put another answer.
type Disk struct {
	Free func(dir string) (int64, error)
}

func (d Disk) free(dir string) (int64, error) {
	if d.Free != nil {
		return d.Free(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the room on the disk of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// room fails with a *NoRoomError unless dir has place for so many bytes.
func (d Disk) room(dir string, bytes int64) error {
	free, err := d.free(dir)
	if err != nil {
		return err
	}
	if need := bytes + Reserve; free < need {
		return &NoRoomError{Dir: dir, Need: need, Free: free}
	}
	return nil
}

// syncDir makes a directory's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening directory %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing directory %s: %w", dir, err)
	}
	return nil
}

// remove deletes files that need not exist.
func remove(dir string, names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing a snapshot: %w", err)
		}
	}
	return nil
}
