package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// Directories outside of the cluster's own in which its programs insist on leaving something.
const (
	cniResults    = "/var/lib/cni/results"
	containerLogs = "/var/log/containers"
	kubeletState  = "/var/lib/kubelet" // the socket of the device plugins, whatever --root-dir says
)

// removeTraces removes what the cluster's programs leave in directories they share with others: the results of the
// network plugins and the links to containers' logs. A directory that is empty afterwards goes too.
func (c *Cluster) removeTraces(context.Context) error {
	var errs []error
	for _, file := range append(networkResults(cniResults), linksInto(containerLogs, c.Dir)...) {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove a trace: %w", err))
		}
	}
	if fileExists(c.path(notBefore, "kubelet")) {
		errs = append(errs, os.RemoveAll(kubeletState))
	}
	if fileExists(c.path(notBefore, "netns")) && isEmpty(netns.Dir) {
		_ = unix.Unmount(netns.Dir, unix.MNT_DETACH) // `ip netns add` mounts it onto itself
		_ = os.Remove(netns.Dir)
	}
	for _, dir := range []string{cniResults, filepath.Dir(cniResults), containerLogs} {
		_ = os.Remove(dir) // fails if anyone else has something there
	}
	return errors.Join(errs...)
}

// networkResults returns the files of the cluster's pods: NETWORK-CONTAINER-INTERFACE. The loopback's begin alike for all
// clusters, but a container's id is in the name of both.
func networkResults(dir string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, Name+"-*-eth0"))
	for _, file := range slices.Clone(files) {
		id := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), Name+"-"), "-eth0")
		files = append(files, filepath.Join(dir, "cni-loopback-"+id+"-lo"))
	}
	return files
}

// notBefore is the directory of files that name what the machine did not have before this cluster.
const notBefore = "run/not-before"

// noteTraces remembers, before the first start, which shared directories are not there: those will be ours to remove.
func (c *Cluster) noteTraces() error {
	if fileExists(c.path(notBefore)) {
		return nil
	}
	if err := os.MkdirAll(c.path(notBefore), 0o755); err != nil {
		return fmt.Errorf("remember what is on the machine: %w", err)
	}
	for name, dir := range map[string]string{"kubelet": kubeletState, "netns": netns.Dir} {
		if fileExists(dir) {
			continue
		}
		if err := os.WriteFile(c.path(notBefore, name), nil, 0o644); err != nil {
			return fmt.Errorf("remember what is on the machine: %w", err)
		}
	}
	return nil
}

func isEmpty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// linksInto returns the symbolic links in a directory that point below target.
func linksInto(dir, target string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var links []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, target+"/") {
			links = append(links, path)
		}
	}
	return links
}

// leftovers looks for anything of the cluster that is still there; each find is an error that says what and how to
// remove it.
func (c *Cluster) leftovers() []error {
	var found []error
	pids, err := c.processes()
	if pids = slices.DeleteFunc(pids, zombie); err != nil || len(pids) > 0 {
		found = append(found, fmt.Errorf("left behind: the processes %v (%w)", pids, orNone(err)))
	}
	if points, err := mountsBelow(c.Dir); err != nil || len(points) > 0 {
		found = append(found, fmt.Errorf("left behind: the mounts %v (%w): umount -l them", points, orNone(err)))
	}
	if netns.Exists(Name) || hostLinkExists() {
		found = append(found, fmt.Errorf("left behind: the network namespace %s or the link %s: ip netns del %s; ip link del %s", Name, hostLink, Name, hostLink))
	}
	if dirs := c.Cgroup.Dirs(); len(dirs) > 0 {
		found = append(found, fmt.Errorf("left behind: the cgroups %v", dirs))
	}
	if c.marked() {
		found = append(found, fmt.Errorf("left behind: the directory %s", c.Dir))
	}
	return found
}

func orNone(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}
