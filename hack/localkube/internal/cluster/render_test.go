package cluster

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/hack/localkube/internal/build"
)

var update = flag.Bool("update", false, "write the golden files")

func testCluster(dir string) *Cluster {
	return &Cluster{Dir: dir, RunDir: filepath.Join(dir, "machine"), Cache: build.Cache{Dir: "/cache/hash"}, Tools: Tools{Containerd: "/usr/bin/containerd", Ctr: "/usr/bin/ctr", IP: "/usr/sbin/ip", CNI: "/usr/lib/cni"}}
}

func TestConfigurationFilesAreAsReviewed(t *testing.T) {
	s := testCluster("/state").settings()
	s.Version, s.PauseImage, s.CoreDNSImage = "1.0.0", "pause:0", "coredns:0" // a new version is no new configuration
	for name := range configs {
		got, err := render(name, s)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs from %s (go test -run %s -update rewrites it):\n%s", name, golden, t.Name(), got)
		}
	}
}

func TestConfigurationFilesParse(t *testing.T) {
	for name := range configs {
		data, err := render(name, testCluster("/state").settings())
		if err != nil {
			t.Fatal(err)
		}
		switch filepath.Ext(name) {
		case ".yaml":
			for i, doc := range strings.Split(string(data), "\n---\n") {
				var into map[string]any
				if err := yaml.UnmarshalStrict([]byte(doc), &into); err != nil || into["kind"] == nil {
					t.Errorf("%s, document %d: %v, kind %v", name, i, err, into["kind"])
				}
			}
		case ".conflist":
			if !json.Valid(data) {
				t.Errorf("%s is no JSON:\n%s", name, data)
			}
		}
	}
}

func TestNothingOfTheClusterLiesOutsideOfItsDirectory(t *testing.T) {
	c := testCluster("/state")
	for _, part := range c.components(c.self()) {
		for _, arg := range part.Args[1:] {
			_, value, _ := strings.Cut(arg, "=")
			if strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "/state/") {
				t.Errorf("%s: %s", part.Name, arg)
			}
		}
	}
}

func TestComponentsStartInTheOrderTheyNeedEachOther(t *testing.T) {
	var order []string
	for _, part := range testCluster("/state").components("/self") {
		order = append(order, part.Name)
	}
	for _, pair := range [][2]string{
		{"containerd", "kubelet"}, {"etcd", "kube-apiserver"}, {"kube-apiserver", "kube-controller-manager"},
		{"kube-apiserver", "kube-scheduler"}, {"kube-apiserver", "kubelet"}, {"kube-apiserver", "kube-proxy"}, {"kube-apiserver", "provisioner"},
	} {
		first, second := slices.Index(order, pair[0]), slices.Index(order, pair[1])
		if first < 0 || second < 0 || first > second {
			t.Errorf("%s must come before %s: %v", pair[0], pair[1], order)
		}
	}
}

func TestDownUnmountsAfterItEndedProcessesAndRemovesLast(t *testing.T) {
	var order []string
	for _, s := range testCluster("/state").downSteps() {
		order = append(order, s.name)
	}
	want := []string{"stop the daemons", "end the pods and what is left", "release the runtime's sockets", "unmount", "remove the cgroups", "remove the network", "remove traces outside of the directory", "remove the state"}
	if !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestWriteConfigsFillsTheDirectory(t *testing.T) {
	c := testCluster(t.TempDir())
	for range 2 {
		if err := c.writeConfigs(); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range append(slices.Collect(maps.Values(configs)), "conf/resolv.conf") {
		if info, err := os.Stat(c.path(file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
}
