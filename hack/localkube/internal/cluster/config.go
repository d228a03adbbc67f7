// Package cluster brings the one-node Kubernetes up and down.
package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"vesperdb.io/vesper/hack/localkube/internal/build"
	"vesperdb.io/vesper/hack/localkube/internal/cgroup"
	"vesperdb.io/vesper/hack/localkube/internal/proc"
)

// Name is the name of the network namespace, the cgroup and the kubeconfig's context: there is one cluster on a machine.
const Name = "localkube"

// Addresses of the cluster, all from 198.18.0.0/15, which is set aside for tests of networks (RFC 2544) and routed nowhere.
const (
	hostAddress   = "198.18.0.1"
	nodeAddress   = "198.18.0.10"
	nodeNetwork   = "198.18.0.0/24"
	podNetwork    = "198.19.0.0/17"
	nodePods      = "198.19.0.0/24"
	serviceRange  = "198.19.128.0/17"
	dnsAddress    = "198.19.128.10"
	clusterRoutes = "198.19.0.0/16" // pods and services, seen from the machine
	apiPort       = 6443
	etcdPort      = 2379
	etcdPeerPort  = 2380
	kubeletPort   = 10250
	hostLink      = "lkube0"
	nodeLink      = "lkube1"
	serviceLink   = "lksvc"
	nodeName      = "node-1"
)

// Cluster is the cluster whose state is in one directory.
type Cluster struct {
	// Dir holds all of its state.
	Dir string
	// Cache holds the programs it runs.
	Cache build.Cache
	// RunDir holds what names the one cluster of this machine: its lock and its owner.
	RunDir string
	// Tools are the paths of the distribution's programs, found by the preflight check.
	Tools Tools
	// Cgroup is the tree all of its processes are in.
	Cgroup cgroup.Tree
}

// New returns the cluster of $LOCALKUBE_DIR (default /var/tmp/localkube). It touches nothing.
func New() (*Cluster, error) {
	cache, err := build.DefaultCache()
	if err != nil {
		return nil, err
	}
	dir := os.Getenv("LOCALKUBE_DIR")
	if dir == "" {
		dir = "/var/tmp/localkube"
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the cluster's directory: %w", err)
	}
	if dir == "/" {
		return nil, fmt.Errorf("LOCALKUBE_DIR is %q: name a directory that may be removed", dir)
	}
	tree, err := cgroup.Find(Name)
	if err != nil {
		return nil, err
	}
	return &Cluster{Dir: dir, Cache: cache, RunDir: "/run/" + Name, Cgroup: tree}, nil
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.Dir, "kubeconfig") }

func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}

func (c *Cluster) bin(name string) string { return filepath.Join(c.Cache.Bin(), name) }

func (c *Cluster) socket() string { return c.path("containerd.sock") }

func (c *Cluster) place() proc.Place {
	return proc.Place{Run: c.path("run"), Log: c.path("log"), Netns: Name, Cgroup: c.Cgroup}
}

// directories are made before anything starts.
func (c *Cluster) directories() []string {
	var dirs []string
	for _, d := range []string{"run", "log", "log/pods", "pki", "conf", "cni/conf", "cni/networks", "kubelet", "containerd", "volumes", "volumeplugins", "bin"} {
		dirs = append(dirs, c.path(d))
	}
	return dirs
}
