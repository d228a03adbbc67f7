// Package netns runs code and starts processes inside a named network namespace (`ip netns`).
package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dir is where `ip netns` keeps the names of network namespaces.
const Dir = "/run/netns"

// Exists reports whether a network namespace of that name is there and mounted.
func Exists(name string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Join(Dir, name), &st); err != nil {
		return false
	}
	return st.Type == unix.NSFS_MAGIC
}

// Do runs f on a thread that is inside the namespace, and so are the processes that f starts. The thread ends with f, so
// nothing else of this program is ever in the namespace.
func Do(name string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		if err := enter(name); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// Enter moves the calling thread into the namespace for good. Only for a program that replaces itself next (exec).
func Enter(name string) error {
	runtime.LockOSThread()
	return enter(name)
}

func enter(name string) error {
	f, err := os.Open(filepath.Join(Dir, name))
	if err != nil {
		return fmt.Errorf("open the network namespace %s: %w", name, err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace %s: %w", name, err)
	}
	return nil
}

// Processes returns the ids of the processes whose network namespace is the one called name. None is an empty list.
func Processes(name string) ([]int, error) {
	var want unix.Stat_t
	if err := unix.Stat(filepath.Join(Dir, name), &want); errors.Is(err, unix.ENOENT) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look at the network namespace %s: %w", name, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		var have unix.Stat_t
		if unix.Stat(filepath.Join("/proc", e.Name(), "ns", "net"), &have) == nil && have.Ino == want.Ino && have.Dev == want.Dev {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
