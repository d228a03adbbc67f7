package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Files that are made beside the store's own and take its place by a rename. One
// that is found at open was left over by a process that died over it.
const (
	restoreName = FileName + ".restore"
	installName = FileName + ".install"
	compactName = FileName + ".compact"
)

// The steps at which Hooks.Step is called.
const (
	// StepBuilt: the new file is complete beside the old one and not yet synced.
	StepBuilt = "built"
	// StepSynced: the new file is on disk.
	StepSynced = "synced"
	// StepRenamed: the new file has taken the place of the old one, or of none.
	StepRenamed = "renamed"
)

// epoch is the distance between the positions of different contents of one
// store: those of a store that was filled from a snapshot begin where no earlier
// one has come, so that a reader of the earlier feed is told that it is gone.
const epochBits = 20

// nextEpoch returns the first position of new content: far beyond the last one,
// and beyond those of any earlier content of this node by its clock. Positions
// stay below 2^53, which numbers in JSON can hold.
func nextEpoch(last uint64, now time.Time) uint64 {
	return max(uint64(max(now.Unix(), 0)), last>>epochBits+2) << epochBits
}

// transplant writes the pairs of a snapshot into a new file, with the positions
// moved to where they belong there.
type transplant struct {
	out   *bulk
	name  string
	shift uint64 // is added to every position, modulo 2^64
}

func (t *transplant) bucket(name []byte) error {
	t.name = string(name)
	return t.out.bucket(name)
}

func (t *transplant) add(key, value []byte) error {
	switch t.name {
	case string(bucketLog):
		if len(key) != 8 {
			return badSnapshot("position %x of the log has %d bytes", key, len(key))
		}
		t.move(key)
	case string(bucketDots):
		if len(value) != 8 {
			return badSnapshot("a position has %d bytes", len(value))
		}
		t.move(value)
	case string(bucketHistory):
		if len(key) < 9 {
			return badSnapshot("a key of the history has %d bytes", len(key))
		}
		t.move(key[len(key)-8:])
	}
	return t.out.add(key, value)
}

func (t *transplant) move(pos []byte) {
	binary.BigEndian.PutUint64(pos, binary.BigEndian.Uint64(pos)+t.shift)
}

// plantSnapshot makes a bbolt file of a snapshot, in which the log begins after
// the given position. The meta data are those that the given function makes of the
// snapshot once all of it is read, and what follows from the snapshot.
func plantSnapshot(ctx context.Context, f *os.File, r io.Reader, start uint64, meta func(SnapshotInfo) map[string][]byte) (*snapshotHeader, SnapshotInfo, error) {
	out, err := newBulk(f)
	if err != nil {
		return nil, SnapshotInfo{}, err
	}
	have := map[string]bool{}
	header, info, err := readSnapshot(ctx, r, func(h *snapshotHeader) (pairSink, error) {
		return &transplant{out: out, shift: start - h.Trimmed}, nil
	})
	if err != nil {
		return nil, info, err
	}
	for _, root := range out.roots {
		have[string(root.name)] = true
	}
	for _, name := range allBuckets {
		if string(name) != string(bucketMeta) && !have[string(name)] {
			if err := out.bucket(name); err != nil {
				return nil, info, err
			}
		}
		if string(name) == string(bucketConflictLog) {
			if err := out.add(conflictEpoch(start)); err != nil {
				return nil, info, err
			}
		}
	}
	all := header.meta(start)
	maps.Copy(all, meta(info))
	if err := out.bucket(bucketMeta); err != nil {
		return nil, info, err
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if err := out.add([]byte(k), all[k]); err != nil {
			return nil, info, err
		}
	}
	return header, info, out.finish()
}

// meta is what the meta data of a file that is made from the snapshot says of
// its content. What came by the snapshot need not be published.
func (h *snapshotHeader) meta(start uint64) map[string][]byte {
	counts := binary.AppendUvarint(nil, uint64(h.Objects))
	counts = binary.AppendUvarint(counts, uint64(h.Conflicts))
	return map[string][]byte{
		string(metaFormat):    binary.AppendUvarint(nil, formatVersion),
		string(metaDigest):    h.Digest,
		string(metaCounts):    counts,
		string(metaPolicy):    []byte(h.Policy),
		string(metaTrimmed):   seal(metaTrimmed, positionKey(start)),
		string(metaLinkStart): seal(metaLinkStart, positionKey(start+h.Last-h.Trimmed)),
	}
}

// RestoreSnapshot makes a new store from a snapshot: the branch of the options,
// a new incarnation. A directory that has a store is refused. If the snapshot
// knows the branch, the store counts as a copy (see Copied) until MarkOwned, since
// the branch may have written more than the snapshot holds. Until everything is on
// disk, nothing in the directory looks like a store.
func RestoreSnapshot(ctx context.Context, r io.Reader, opts Options) (SnapshotInfo, error) {
	info, err := restore(ctx, r, opts)
	if err != nil {
		return SnapshotInfo{}, fmt.Errorf("restoring a snapshot to %s: %w", opts.Dir, err)
	}
	return info, nil
}

func restore(ctx context.Context, r io.Reader, opts Options) (info SnapshotInfo, err error) {
	if err := opts.complete(); err != nil {
		return info, err
	}
	if err := os.MkdirAll(opts.Dir, 0o750); err != nil {
		return info, err
	}
	path, temporary := filepath.Join(opts.Dir, FileName), filepath.Join(opts.Dir, restoreName)
	if _, err := os.Lstat(path); err == nil {
		return info, fmt.Errorf("there is a store already: restore to an empty directory, or move %s away", path)
	}
	f, err := createLocked(temporary)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	defer func() {
		if err != nil {
			_ = os.Remove(temporary) // what is left is removed by the next open
		}
	}()
	meta := func(info SnapshotInfo) map[string][]byte { return opts.restoredMeta(info, temporary) }
	if _, info, err = plantSnapshot(ctx, f, r, nextEpoch(0, opts.Now()), meta); err != nil {
		return info, err
	}
	return info, opts.takePlace(f, temporary, path)
}

// restoredMeta says whose a restored store is, and whether it may lack what its
// branch wrote: that is so when the branch wrote anything before the snapshot.
// The revision knows each branch that the snapshot knows of, since nothing is
// applied before what its author had seen, and nothing that waits is in it. A
// branch that it does not know is as one of an empty store: whether it was in use,
// only peers can tell.
func (o *Options) restoredMeta(info SnapshotInfo, path string) map[string][]byte {
	meta := map[string][]byte{string(metaBranch): []byte(o.Branch), string(metaIncarnation): []byte(newIncarnation())}
	if info.Revision.At(o.Branch) > 0 {
		meta[string(metaCopied)] = []byte{1}
	}
	if id := o.VolumeIdentity(path); id != "" {
		meta[string(metaVolume)] = []byte(id)
	}
	return meta
}

// createLocked makes an empty file that no other process makes at the same time.
func createLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is in use by another process: %w", path, err), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// takePlace syncs a new file and gives it a name that nothing may have yet.
func (o *Options) takePlace(f *os.File, from, to string) error {
	if err := o.Hooks.step(StepBuilt); err != nil {
		return err
	}
	if !o.NoSync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := o.Hooks.step(StepSynced); err != nil {
		return err
	}
	if err := renameNew(from, to); err != nil {
		return err
	}
	if err := o.Hooks.step(StepRenamed); err != nil {
		return err
	}
	return o.syncDir()
}

// renameNew renames a file unless the new name is taken.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// This file system cannot do that; a link fails on a name that is taken.
		if err = os.Link(from, to); err == nil {
			err = os.Remove(from)
		}
	}
	if err != nil {
		return fmt.Errorf("giving %s the name %s: %w", from, to, err)
	}
	return nil
}

// removeLeftovers removes what a process left that died over a new file. The
// caller holds the store's file, so no other process makes one.
func removeLeftovers(dir string) error {
	for _, name := range []string{restoreName, installName, compactName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing what was left over: %w", err)
		}
	}
	return nil
}
