package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// Directories outside of the cluster's own in which its programs insist on leaving something.
const (
	cniResults    = "/var/lib/cni/results"
	containerLogs = "/var/log/containers"
)

// removeTraces removes what the cluster's programs leave in directories they share with others: the results of the
// network plugins and the links to containers' logs. A directory that is empty afterwards goes too.
func (c *Cluster) removeTraces(context.Context) error {
	var errs []error
	results, _ := filepath.Glob(filepath.Join(cniResults, Name+"-*")) // the network's name begins the file's
	for _, file := range append(results, linksInto(containerLogs, c.Dir)...) {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove a trace: %w", err))
		}
	}
	for _, dir := range []string{cniResults, filepath.Dir(cniResults), containerLogs} {
		_ = os.Remove(dir) // fails if anyone else has something there
	}
	return errors.Join(errs...)
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
	if pids, err := c.processes(); err != nil || len(pids) > 0 {
		found = append(found, fmt.Errorf("left behind: the processes %v (%w)", pids, orNone(err)))
	}
	if points, err := mountsBelow(c.Dir); err != nil || len(points) > 0 {
		found = append(found, fmt.Errorf("left behind: the mounts %v (%w): umount -l them", points, orNone(err)))
	}
	if netns.Exists(Name) || linkExists(hostLink) {
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
