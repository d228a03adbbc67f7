package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHierarchiesOfBothVersions(t *testing.T) {
	for name, c := range map[string]struct {
		mounts string
		joined []string
		all    int
		v2     bool
	}{
		"version 1":       {"cgroup /c/cpuset cgroup rw,cpuset 0 0\ncgroup /c/pids cgroup rw,pids 0 0\n", []string{"/c/cpuset", "/c/pids"}, 2, false},
		"version 2":       {"proc /proc proc rw 0 0\ncgroup2 /c cgroup2 rw,nsdelegate 0 0\n", []string{"/c"}, 1, true},
		"version 1 and 2": {"cgroup2 /c/unified cgroup2 rw 0 0\ncgroup /c/pids cgroup rw,pids 0 0\n", []string{"/c/pids"}, 2, false},
		"none":            {"proc /proc proc rw 0 0\n", nil, 0, false},
		"lines cut short": {"cgroup /c\n\n", nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			tree := Tree{Name: "x", Hierarchies: hierarchies(strings.NewReader(c.mounts))}
			var joined []string
			for _, h := range tree.joined() {
				joined = append(joined, h.Mount)
			}
			if !slices.Equal(joined, c.joined) || len(tree.Hierarchies) != c.all || tree.V2() != c.v2 {
				t.Errorf("joined %v of %v, V2 %v", joined, tree.Hierarchies, tree.V2())
			}
		})
	}
}

func TestInTreeTakesWholeNamesOnly(t *testing.T) {
	for file, want := range map[string]bool{
		"0::/localkube":                              true,
		"0::/localkube/daemons\n":                    true,
		"5:pids:/\n4:memory:/localkube/kubepods/x\n": true,
		"0::/localkube2\n":                           false,
		"0::/other/localkube\n":                      false,
		"1:name=systemd:/\n":                         false,
		"":                                           false,
	} {
		if got := inTree(file, "localkube"); got != want {
			t.Errorf("inTree(%q) = %v", file, got)
		}
	}
}

func TestTreeIsRemovedChildrenFirstAndTwice(t *testing.T) {
	mount := t.TempDir()
	tree := Tree{Name: "x", Hierarchies: []Hierarchy{{Mount: mount}}}
	if err := os.MkdirAll(filepath.Join(mount, "x", "kubepods", "pod1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(mount, "y"), 0o755); err != nil {
		t.Fatal(err)
	}
	dirs := tree.Dirs()
	if len(dirs) != 3 || filepath.Base(dirs[0]) != "pod1" || filepath.Base(dirs[2]) != "x" {
		t.Errorf("Dirs = %v", dirs)
	}
	for range 2 {
		if err := tree.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if left := tree.Dirs(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(mount, "y")); err != nil {
		t.Errorf("another tree was touched: %v", err)
	}
}

func TestProcessesAreThoseOfAllHierarchies(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for file, text := range map[string]string{
		filepath.Join(a, "x", "cgroup.procs"):        "7\n30\n",
		filepath.Join(a, "x", "sub", "cgroup.procs"): "5\n",
		filepath.Join(b, "x", "cgroup.procs"):        "30\n9\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree := Tree{Name: "x", Hierarchies: []Hierarchy{{Mount: a}, {Mount: b, V2: true, Beside: true}}}
	got, err := tree.Processes()
	if err != nil || !slices.Equal(got, []int{5, 7, 9, 30}) {
		t.Errorf("Processes = %v, %v", got, err)
	}
}

func TestCpusetIsFilledBeforeItIsUsed(t *testing.T) {
	mount := t.TempDir()
	for file, text := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n"} {
		if err := os.WriteFile(filepath.Join(mount, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree := Tree{Name: "x", Hierarchies: []Hierarchy{{Mount: mount, Controllers: []string{"rw", "cpuset"}}}}
	if err := tree.Create(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"cpuset.cpus": "0-1\n", "cpuset.mems": "0\n", "cgroup.clone_children": "1"} {
		if data, err := os.ReadFile(filepath.Join(mount, "x", file)); err != nil || string(data) != want {
			t.Errorf("%s = %q, %v", file, data, err)
		}
	}
	if _, err := os.Stat(filepath.Join(mount, "x", leaf)); err != nil {
		t.Error(err)
	}
}
