// Package cgroup keeps everything that localkube starts, pods included, in one cgroup subtree, so that it can be found
// and ended whatever crashed before. Both cgroup versions are served.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is the subtree with one name in every mounted hierarchy.
type Tree struct {
	// Name is the directory below each hierarchy's root, such as "localkube".
	Name string
	// Hierarchies are the mount points: one for cgroup version 2, one for each controller of version 1.
	Hierarchies []Hierarchy
}

// Hierarchy is one mounted cgroup hierarchy.
type Hierarchy struct {
	Mount string
	// V2 tells the unified hierarchy from one of version 1.
	V2 bool
	// Beside is a unified hierarchy next to those of version 1 ("hybrid"): it carries no controller and nothing is put into
	// it, but the container runtime makes directories there that must go in the end.
	Beside bool
	// Controllers are the mount's options of version 1 (empty for version 2).
	Controllers []string
}

// Find returns the tree called name in the hierarchies that are mounted on this machine.
func Find(name string) (Tree, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return Tree{}, fmt.Errorf("find the cgroup hierarchies: %w", err)
	}
	defer func() { _ = f.Close() }()
	all := hierarchies(f)
	if len(all) == 0 {
		return Tree{}, errors.New("no cgroup hierarchy is mounted: mount cgroup2 at /sys/fs/cgroup")
	}
	return Tree{Name: name, Hierarchies: all}, nil
}

// hierarchies reads a mounts table: those of version 1 first, if there are any.
func hierarchies(mounts io.Reader) []Hierarchy {
	var v1, v2 []Hierarchy
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 4 {
			continue
		}
		switch f[2] {
		case "cgroup":
			v1 = append(v1, Hierarchy{Mount: f[1], Controllers: strings.Split(f[3], ",")})
		case "cgroup2":
			v2 = append(v2, Hierarchy{Mount: f[1], V2: true})
		}
	}
	for i := range v2 {
		v2[i].Beside = len(v1) > 0
	}
	return append(v1, v2...)
}

// joined are the hierarchies that processes are put into.
func (t Tree) joined() []Hierarchy {
	return slices.DeleteFunc(slices.Clone(t.Hierarchies), func(h Hierarchy) bool { return h.Beside })
}

// V2 reports whether the tree is in the unified hierarchy.
func (t Tree) V2() bool { return len(t.Hierarchies) > 0 && t.Hierarchies[0].V2 }

// Create makes the tree's root and the leaf for the daemons. It may be called again.
func (t Tree) Create() error {
	for _, h := range t.joined() {
		root := filepath.Join(h.Mount, t.Name)
		if h.V2 {
			if err := delegate(h.Mount); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(root, 0o755); err != nil {
			return fmt.Errorf("make the cgroup %s: %w", root, err)
		}
		if err := prepare(h, root); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(root, leaf), 0o755); err != nil {
			return fmt.Errorf("make the cgroup %s: %w", filepath.Join(root, leaf), err)
		}
	}
	return nil
}

const leaf = "daemons"

// prepare makes root usable for children: with version 1 a cpuset is empty until it is filled.
func prepare(h Hierarchy, root string) error {
	if h.V2 {
		return delegate(root)
	}
	if !slices.Contains(h.Controllers, "cpuset") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		data, err := os.ReadFile(filepath.Join(h.Mount, file))
		if err != nil {
			return fmt.Errorf("fill the cgroup %s: %w", root, err)
		}
		if err := os.WriteFile(filepath.Join(root, file), data, 0o644); err != nil {
			return fmt.Errorf("fill the cgroup %s: %w", root, err)
		}
	}
	return os.WriteFile(filepath.Join(root, "cgroup.clone_children"), []byte("1"), 0o644)
}

// delegate gives the children of a cgroup of version 2 every controller it has.
func delegate(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read the controllers of the cgroup %s: %w", dir, err)
	}
	for c := range strings.FieldsSeq(string(data)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
			return fmt.Errorf("give the controller %s to the children of the cgroup %s: %w", c, dir, err)
		}
	}
	return nil
}

// JoinThread moves the calling thread (version 1) or process (version 2, where a thread cannot go alone) to the daemons'
// leaf; what it starts next begins there. The caller must hold its thread and, with version 2, be about to exec.
func (t Tree) JoinThread() error {
	for _, h := range t.joined() {
		file, id := "tasks", unix.Gettid()
		if h.V2 {
			file, id = "cgroup.procs", unix.Getpid()
		}
		path := filepath.Join(h.Mount, t.Name, leaf, file)
		if err := os.WriteFile(path, []byte(strconv.Itoa(id)), 0o644); err != nil {
			return fmt.Errorf("join the cgroup %s: %w", filepath.Dir(path), err)
		}
	}
	return nil
}

// Leaf opens the daemons' leaf of version 2, for starting a process right in it (clone3). Version 1 has none: nil.
func (t Tree) Leaf() (*os.File, error) {
	if !t.V2() {
		return nil, nil
	}
	return os.Open(filepath.Join(t.Hierarchies[0].Mount, t.Name, leaf))
}

// Processes returns the ids of all processes in the tree, in rising order.
func (t Tree) Processes() ([]int, error) {
	seen := map[int]bool{}
	for _, dir := range t.Dirs() {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list the processes of the cgroup %s: %w", dir, err)
		}
		for f := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil {
				seen[pid] = true
			}
		}
	}
	var pids []int
	for pid := range seen {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, nil
}

// Orphans returns the ids of processes that have ended in the tree but that their parent has not collected yet: the
// kernel lists them in no cgroup.procs file.
func (t Tree) Orphans() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(line) == 0 && t.Contains(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Contains reports whether the process is in the tree now.
func (t Tree) Contains(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && inTree(string(data), t.Name)
}

// inTree reads a /proc/PID/cgroup file: lines of ID:CONTROLLERS:PATH.
func inTree(file, name string) bool {
	for line := range strings.Lines(file) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && (parts[2] == "/"+name || strings.HasPrefix(parts[2], "/"+name+"/")) {
			return true
		}
	}
	return false
}

// Dirs returns every directory of the tree, children before their parents.
func (t Tree) Dirs() []string {
	var dirs []string
	for _, h := range t.Hierarchies {
		_ = filepath.WalkDir(filepath.Join(h.Mount, t.Name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil // a directory that went away meanwhile is no error
		})
	}
	slices.SortFunc(dirs, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	return dirs
}

// Remove removes the tree, which must hold no process.
func (t Tree) Remove() error {
	var errs []error
	for _, dir := range t.Dirs() {
		if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove the cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// Unfreeze lets stopped containers run, so that a signal can end them.
func (t Tree) Unfreeze() {
	for _, dir := range t.Dirs() {
		_ = os.WriteFile(filepath.Join(dir, "freezer.state"), []byte("THAWED"), 0o644)
		if t.V2() {
			_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0o644)
		}
	}
}
