package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Tools are programs of the distribution that the cluster needs.
type Tools struct {
	Containerd, Ctr, IP string
	// CNI is the directory of the network plugins.
	CNI string
}

// requirement is a program and the Debian package it comes from.
type requirement struct{ program, pkg string }

var requirements = []requirement{
	{"containerd", "containerd"}, {"ctr", "containerd"}, {"containerd-shim-runc-v2", "containerd"}, {"runc", "runc"},
	{"iptables", "iptables"}, {"conntrack", "conntrack"}, {"ip", "iproute2"}, {"mount", "mount"},
}

// cniDirs are where distributions put the network plugins: Debian's first.
var cniDirs = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

const cniPackage = "containernetworking-plugins"

// ErrNotRoot says that the command needs root, and how to become it.
func checkRoot(uid int) error {
	if uid == 0 {
		return nil
	}
	return errors.New("this needs root, for network namespaces, mounts and cgroups: run it with `sudo --preserve-env=LOCALKUBE_DIR,LOCALKUBE_CACHE,XDG_CACHE_HOME,HOME`")
}

// findTools looks for everything the distribution must provide. The error names what is missing and the command that
// installs it.
func findTools(lookup func(string) (string, error), exists func(string) bool) (Tools, error) {
	found := map[string]string{}
	var missing, packages []string
	need := func(what, pkg string) {
		missing = append(missing, what)
		if !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
	}
	for _, r := range requirements {
		path, err := lookup(r.program)
		if err != nil {
			need(r.program, r.pkg)
		}
		found[r.program] = path
	}
	at := slices.IndexFunc(cniDirs, func(dir string) bool { return exists(filepath.Join(dir, "bridge")) })
	if at < 0 {
		need("the CNI plugin bridge (looked in "+strings.Join(cniDirs, ", ")+")", cniPackage)
	}
	if len(missing) > 0 {
		return Tools{}, fmt.Errorf("not found: %s\n  install it: apt-get install --no-install-recommends %s", strings.Join(missing, ", "), strings.Join(packages, " "))
	}
	return Tools{Containerd: found["containerd"], Ctr: found["ctr"], IP: found["ip"], CNI: cniDirs[at]}, nil
}

// lookPath finds a program in PATH or in the directories of the system's administrator, which a user's PATH may lack.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not in PATH", name)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// preflight checks everything that can be known before the first change.
func (c *Cluster) preflight() error {
	if err := checkRoot(os.Geteuid()); err != nil {
		return err
	}
	tools, err := findTools(lookPath, fileExists)
	if err != nil {
		return err
	}
	c.Tools = tools
	missing, err := c.Cache.Missing()
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s not built yet: run `localkube build` first", strings.Join(missing, ", "))
	}
	links, err := interfaces()
	if err != nil {
		return err
	}
	return checkAddresses(links)
}

// link is a network interface with its addresses.
type link struct {
	name     string
	prefixes []netip.Prefix
}

func interfaces() ([]link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var links []link
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue // it went away
		}
		l := link{name: i.Name}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.prefixes = append(l.prefixes, p.Masked())
			}
		}
		links = append(links, l)
	}
	return links, nil
}

// checkAddresses refuses to start where another interface already uses the cluster's addresses.
func checkAddresses(links []link) error {
	for _, l := range links {
		if l.name == hostLink {
			continue
		}
		for _, p := range l.prefixes {
			for _, ours := range []string{nodeNetwork, clusterRoutes} {
				if p.Overlaps(netip.MustParsePrefix(ours)) {
					return fmt.Errorf("the interface %s uses %s, which overlaps the cluster's %s: take it down (ip link set %s down; ip addr del …) and try again", l.name, p, ours, l.name)
				}
			}
		}
	}
	return nil
}
