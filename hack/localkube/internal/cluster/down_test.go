package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/hack/localkube/internal/cgroup"
)

func TestMountPointsBelowAreFoundTheLastMountedFirst(t *testing.T) {
	table := `22 1 8:1 / / rw - ext4 /dev/vda rw
30 22 0:20 / /state/containerd/state/a/rootfs rw - overlay overlay rw
31 22 0:21 / /state/kubelet/pods/1/volumes/tmp\040fs rw - tmpfs tmpfs rw
32 31 0:22 / /state/kubelet/pods/1/volumes/tmp\040fs/inner rw - tmpfs tmpfs rw
33 22 0:23 / /state2/other rw - tmpfs tmpfs rw
34 22 0:24 / /state rw - tmpfs tmpfs rw
short line
`
	want := []string{"/state/kubelet/pods/1/volumes/tmp fs/inner", "/state/kubelet/pods/1/volumes/tmp fs", "/state/containerd/state/a/rootfs"}
	if got := mountPoints(strings.NewReader(table), "/state"); !slices.Equal(got, want) {
		t.Errorf("mountPoints = %q, want %q", got, want)
	}
}

func TestUnescapeUndoesOctalOnly(t *testing.T) {
	for in, want := range map[string]string{`a\040b`: "a b", `\134`: `\`, `plain`: "plain", `cut\04`: `cut\04`, `no\999`: `no\999`} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOnlyLinksIntoTheClusterAreItsTraces(t *testing.T) {
	dir := t.TempDir()
	for name, to := range map[string]string{"ours.log": "/state/log/pods/x", "other.log": "/var/log/pods/x", "neighbour.log": "/state2/log"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := linksInto(dir, "/state"); !slices.Equal(got, []string{filepath.Join(dir, "ours.log")}) {
		t.Errorf("linksInto = %v", got)
	}
	if got := linksInto(filepath.Join(dir, "none"), "/state"); got != nil {
		t.Errorf("a missing directory gives %v", got)
	}
}

func TestNetworkResultsAreThoseOfOurContainers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"localkube-abc-eth0", "cni-loopback-abc-lo", "other-def-eth0", "cni-loopback-def-lo"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{filepath.Join(dir, "localkube-abc-eth0"), filepath.Join(dir, "cni-loopback-abc-lo")}
	if got := networkResults(dir); !slices.Equal(got, want) {
		t.Errorf("networkResults = %v, want %v", got, want)
	}
}

func TestLoadedRecordNoticesAChangedArchive(t *testing.T) {
	c := testCluster(t.TempDir())
	if err := os.MkdirAll(c.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	first := loaded{Size: 1, Modified: time.Unix(1, 0).UTC(), Names: []string{"a/b:1"}}
	if err := c.writeLoaded(map[string]loaded{"/x.tar": first}); err != nil {
		t.Fatal(err)
	}
	read := c.readLoaded()["/x.tar"]
	if !same(read, first) {
		t.Errorf("read %+v", read)
	}
	for name, other := range map[string]loaded{
		"size": {Size: 2, Modified: first.Modified, Names: first.Names},
		"time": {Size: 1, Modified: time.Unix(2, 0), Names: first.Names},
		"name": {Size: 1, Modified: first.Modified, Names: []string{"a/b:2"}},
	} {
		if same(read, other) {
			t.Errorf("another %s goes unnoticed", name)
		}
	}
	if full := first.fullNames(); !containsAll([]string{"z", "docker.io/a/b:1"}, full) || containsAll([]string{"a/b:1"}, full) {
		t.Errorf("full names %v", full)
	}
	if err := os.WriteFile(c.loadedFile(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := c.readLoaded(); len(got) != 0 {
		t.Errorf("a broken record gives %v", got)
	}
}

func TestKubeconfigGetsTheClustersName(t *testing.T) {
	c := testCluster(t.TempDir())
	if err := os.MkdirAll(c.path("conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	made := "contexts:\n- name: kubernetes-super-admin@localkube\ncurrent-context: kubernetes-super-admin@localkube\n"
	if err := os.WriteFile(c.path("conf/super-admin.conf"), []byte(made), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.writeKubeconfig(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(c.Kubeconfig())
	if err != nil || !strings.Contains(string(data), "current-context: localkube\n") {
		t.Errorf("%s, %v", data, err)
	}
	if info, err := os.Stat(c.Kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig can be read by others: %v", info.Mode())
	}
}

// busyTree is a cgroup tree with a process in it.
func busyTree(t *testing.T) cgroup.Tree {
	t.Helper()
	mount := t.TempDir()
	if err := os.MkdirAll(filepath.Join(mount, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mount, "x", "cgroup.procs"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return cgroup.Tree{Name: "x", Hierarchies: []cgroup.Hierarchy{{Mount: mount}}}
}
