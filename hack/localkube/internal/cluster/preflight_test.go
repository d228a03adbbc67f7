package cluster

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNotRootSaysHowToBecomeRoot(t *testing.T) {
	if err := checkRoot(1000); err == nil || !strings.Contains(err.Error(), "sudo") {
		t.Errorf("error = %v", err)
	}
	if err := checkRoot(0); err != nil {
		t.Errorf("root is refused: %v", err)
	}
}

func TestMissingToolsAreNamedWithTheCommandThatInstallsThem(t *testing.T) {
	all := func(name string) (string, error) { return "/usr/bin/" + name, nil }
	without := func(missing ...string) func(string) (string, error) {
		return func(name string) (string, error) {
			if slices.Contains(missing, name) {
				return "", errors.New("not found")
			}
			return all(name)
		}
	}
	debian := func(path string) bool { return path == "/usr/lib/cni/bridge" }
	for name, c := range map[string]struct {
		lookup func(string) (string, error)
		exists func(string) bool
		err    []string
		cni    string
	}{
		"all there":         {all, debian, nil, "/usr/lib/cni"},
		"plugins elsewhere": {all, func(path string) bool { return path == "/opt/cni/bin/bridge" }, nil, "/opt/cni/bin"},
		"no runc":           {without("runc"), debian, []string{"not found: runc\n", "apt-get install --no-install-recommends runc"}, ""},
		"two of a package":  {without("ctr", "containerd"), debian, []string{"containerd, ctr", "recommends containerd"}, ""},
		"no plugins":        {without("conntrack"), func(string) bool { return false }, []string{"conntrack", "recommends conntrack containernetworking-plugins"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tools, err := findTools(c.lookup, c.exists)
			if c.err == nil {
				if err != nil || tools.CNI != c.cni || tools.Containerd != "/usr/bin/containerd" {
					t.Errorf("%+v, %v", tools, err)
				}
				return
			}
			for _, part := range c.err {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error = %v; want %q in it", err, part)
				}
			}
			if err != nil && strings.Count(err.Error(), "containerd containerd") > 0 {
				t.Errorf("a package is named twice: %v", err)
			}
		})
	}
}

func TestOverlappingAddressesAreRefused(t *testing.T) {
	at := func(name, prefix string) []link {
		return []link{{name: "lo", prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, {name: name, prefixes: []netip.Prefix{netip.MustParsePrefix(prefix)}}}
	}
	for name, c := range map[string]struct {
		links []link
		bad   bool
	}{
		"another network":   {at("eth0", "192.0.2.0/24"), false},
		"our own link":      {at(hostLink, nodeNetwork), false},
		"our node's":        {at("eth0", "198.18.0.128/25"), true},
		"pods and services": {at("tun0", "198.19.200.0/24"), true},
		"all of it":         {at("tun0", "198.18.0.0/15"), true},
	} {
		err := checkAddresses(c.links)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", name, err)
		}
		if c.bad && err != nil && !strings.Contains(err.Error(), c.links[1].name) {
			t.Errorf("%s: the error does not name the interface: %v", name, err)
		}
	}
}

func TestClusterAddressesDoNotOverlapEachOther(t *testing.T) {
	networks := []string{nodeNetwork, podNetwork, serviceRange}
	for i, a := range networks {
		for _, b := range networks[i+1:] {
			if netip.MustParsePrefix(a).Overlaps(netip.MustParsePrefix(b)) {
				t.Errorf("%s overlaps %s", a, b)
			}
		}
	}
	for inner, outer := range map[string]string{nodePods: podNetwork, podNetwork: clusterRoutes, serviceRange: clusterRoutes, dnsAddress + "/32": serviceRange, nodeAddress + "/32": nodeNetwork, hostAddress + "/32": nodeNetwork} {
		if !netip.MustParsePrefix(outer).Contains(netip.MustParsePrefix(inner).Addr()) {
			t.Errorf("%s is not in %s", inner, outer)
		}
	}
}

func TestNoCommandGivesTheNamespaceAWayOut(t *testing.T) {
	for _, args := range nodeNetworkCommands() {
		line := strings.Join(args, " ")
		if strings.Contains(line, "default") || strings.Contains(line, "0.0.0.0/0") || strings.Contains(line, "via") {
			t.Errorf("ip %s", line)
		}
	}
}

func TestListeningInodeFindsTheListener(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1111 1
   1: 0A0012C6:192B 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 2222 1
   2: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3333 1
`
	for port, want := range map[int]string{2379: "1111", 6443: "3333", 10250: ""} {
		if got := listeningInode(table, port); got != want {
			t.Errorf("port %d: %q, want %q", port, got, want)
		}
	}
}

func TestClaimRefusesASecondCluster(t *testing.T) {
	first, second := testCluster(filepath.Join(t.TempDir(), "a")), testCluster(filepath.Join(t.TempDir(), "b"))
	second.RunDir = first.RunDir
	if err := os.MkdirAll(first.RunDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.ownerFile(), []byte(first.Dir+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := first.claim(); err != nil {
		t.Errorf("the owner itself: %v", err)
	}
	second.Cgroup = busyTree(t)
	if err := second.claim(); err == nil || !strings.Contains(err.Error(), "LOCALKUBE_DIR="+first.Dir+" localkube down") {
		t.Errorf("error = %v; want the command that stops the other", err)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	c := testCluster(t.TempDir())
	unlock, err := c.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.lock(); err == nil || !strings.Contains(err.Error(), "at work") {
		t.Errorf("the second lock: %v", err)
	}
	unlock()
	if _, err := os.Stat(c.RunDir); !os.IsNotExist(err) {
		t.Errorf("the lock of no cluster is left behind: %v", err)
	}
	unlock, err = c.lock()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestDirectoryWithSomethingElseIsRefusedAndNeverRemoved(t *testing.T) {
	c := testCluster(t.TempDir())
	precious := filepath.Join(c.Dir, "thesis")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.mark(); err == nil || !strings.Contains(err.Error(), "LOCALKUBE_DIR") {
		t.Errorf("mark: %v", err)
	}
	if err := c.removeState(t.Context()); err != nil {
		t.Errorf("removeState: %v", err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Fatalf("it was removed: %v", err)
	}
	own := testCluster(filepath.Join(t.TempDir(), "new"))
	for range 2 {
		if err := own.mark(); err != nil {
			t.Fatal(err)
		}
	}
	if err := own.removeState(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own.Dir); !os.IsNotExist(err) {
		t.Errorf("its own directory is left: %v", err)
	}
}

func TestProgramsOfTwoVersionsAreNotMixed(t *testing.T) {
	c := testCluster(t.TempDir())
	for _, dir := range c.directories() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.sameBinaries(); err != nil {
		t.Errorf("a new cluster: %v", err)
	}
	if err := c.keepBinaries(); err != nil {
		t.Fatal(err)
	}
	if err := c.sameBinaries(); err != nil {
		t.Errorf("the same programs: %v", err)
	}
	if info, err := os.Stat(c.self()); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the copy of the program: %v", err)
	}
	c.Cache.Dir = "/cache/other"
	if err := c.sameBinaries(); err == nil || !strings.Contains(err.Error(), "localkube down") {
		t.Errorf("other programs: %v", err)
	}
}

func TestTakenPortIsFoundInTheMachinesOwnTable(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	table, err := os.ReadFile("/proc/thread-self/net/tcp")
	if err != nil {
		t.Skip("no /proc/thread-self/net/tcp:", err)
	}
	if listeningInode(string(table), l.Addr().(*net.TCPAddr).Port) == "" {
		t.Errorf("no listener on %s in\n%s", l.Addr(), table)
	}
}
