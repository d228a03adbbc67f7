package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// lock makes this the only localkube that changes the machine's cluster; the returned function lets go. It fails at once
// when another one is at work.
func (c *Cluster) lock() (func(), error) {
	if err := os.MkdirAll(c.RunDir, 0o755); err != nil {
		return nil, fmt.Errorf("lock the cluster: %w", err)
	}
	path := filepath.Join(c.RunDir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cluster: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || (err == nil && !sameFile(f, path)) { // the last one removes the file
		_ = f.Close()
		return nil, errors.New("another localkube up, down or load is at work: wait until it has finished")
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the cluster: %w", err)
	}
	return func() {
		if c.owner() == "" {
			_ = os.RemoveAll(c.RunDir)
		}
		_ = f.Close()
	}, nil
}

// sameFile reports whether an open file is still the one at path.
func sameFile(f *os.File, path string) bool {
	open, err1 := f.Stat()
	named, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(open, named)
}

func (c *Cluster) ownerFile() string { return filepath.Join(c.RunDir, "owner") }

// owner is the directory of the cluster that this machine has, "" for none.
func (c *Cluster) owner() string {
	data, err := os.ReadFile(c.ownerFile())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// claim makes this cluster the machine's one, or says which other is in the way. An owner that left neither a network
// namespace nor a process is gone.
func (c *Cluster) claim() error {
	other := c.owner()
	if other == c.Dir {
		return nil
	}
	if other != "" && (netns.Exists(Name) || c.busy()) {
		return fmt.Errorf("another cluster runs on this machine, in %s: stop it with `LOCALKUBE_DIR=%s localkube down`", other, other)
	}
	if other == "" && netns.Exists(Name) {
		return fmt.Errorf("there is a network namespace %q that is not ours: remove it with `ip netns del %s` if nothing needs it", Name, Name)
	}
	return os.WriteFile(c.ownerFile(), []byte(c.Dir+"\n"), 0o644)
}

// busy reports whether any process is in the cluster's cgroup.
func (c *Cluster) busy() bool {
	pids, err := c.Cgroup.Processes()
	return err != nil || len(pids) > 0
}

// marker is the file that says that a directory is a cluster's, to be removed with all it holds.
const marker = ".localkube"

func (c *Cluster) marked() bool { return fileExists(c.path(marker)) }

// mark makes the cluster's directory. One that holds something else is refused: Down would remove it.
func (c *Cluster) mark() error {
	entries, err := os.ReadDir(c.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the cluster's directory: %w", err)
	}
	if len(entries) > 0 && !c.marked() {
		return fmt.Errorf("the directory %s holds something that is not a cluster: set LOCALKUBE_DIR to one that is empty or new", c.Dir)
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	return os.WriteFile(c.path(marker), []byte("a cluster of localkube; `localkube down` removes this directory\n"), 0o644)
}

// removeState removes the cluster's directory, but never through a mount into something else.
func (c *Cluster) removeState(context.Context) error {
	if !c.marked() {
		return nil
	}
	points, err := mountsBelow(c.Dir)
	if err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("%s is left alone: there are still mounts in it: %v", c.Dir, points)
	}
	return os.RemoveAll(c.Dir)
}
