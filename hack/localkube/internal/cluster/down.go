package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
	"vesperdb.io/vesper/hack/localkube/internal/proc"
)

// Down ends the cluster and removes everything it made on this machine, whatever state it is in. Steps that fail do not
// keep the later ones from being tried; at the end Down looks for leftovers and names them.
func (c *Cluster) Down(ctx context.Context, out io.Writer) error {
	if err := checkRoot(os.Geteuid()); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	owner := c.owner()
	if owner != "" && owner != c.Dir {
		return fmt.Errorf("this machine's cluster is the one in %s: stop it with `LOCALKUBE_DIR=%s localkube down`", owner, owner)
	}
	if owner == "" && !c.marked() && !c.busy() {
		fmt.Fprintln(out, "nothing to take down")
		return nil
	}
	start := time.Now()
	var errs []error
	for _, s := range c.downSteps() {
		if err := s.do(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	if err := errors.Join(append(errs, c.leftovers()...)...); err != nil {
		return err
	}
	if err := os.Remove(c.ownerFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("give up the machine: %w", err)
	}
	fmt.Fprintf(out, "down in %.1f s, nothing left behind\n", time.Since(start).Seconds())
	return nil
}

// downSteps are in the only order that works: nothing may start pods when they are ended, a mount is busy while its
// processes live, and a directory can go only when nothing is mounted below it.
func (c *Cluster) downSteps() []step {
	return []step{
		{"stop the daemons", c.stopDaemons},
		{"end the pods and what is left", c.sweep},
		{"release the runtime's sockets", c.removeSockets},
		{"unmount", c.unmount},
		{"remove the cgroups", func(context.Context) error { return c.Cgroup.Remove() }},
		{"remove the network", c.removeNetwork},
		{"remove traces outside of the directory", c.removeTraces},
		{"remove the state", c.removeState},
	}
}

// stopDaemons stops the components, last started first.
func (c *Cluster) stopDaemons(context.Context) error {
	var errs []error
	for _, part := range slices.Backward(c.components(c.self())) {
		id, ok := c.place().Recorded(part.Name)
		if !ok {
			continue
		}
		signal := unix.SIGKILL
		if part.polite {
			signal = unix.SIGTERM
		}
		if err := id.End(signal, 5*time.Second); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part.Name, err))
			continue
		}
		errs = append(errs, c.place().Forget(part.Name))
	}
	return errors.Join(errs...)
}

// sweep kills every process in the cluster's cgroup or network namespace, and what these start meanwhile, until none is
// left. Orphans that have ended are given a moment to be collected by the machine's first process.
func (c *Cluster) sweep(ctx context.Context) error {
	c.Cgroup.Unfreeze()
	const patience, collect = 15 * time.Second, 3 * time.Second
	for start := time.Now(); ; {
		pids, err := c.processes()
		if err != nil {
			return err
		}
		living := slices.DeleteFunc(pids, zombie)
		if len(living) == 0 && (len(c.Cgroup.Orphans()) == 0 || time.Since(start) > collect) {
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("the processes %v do not end", living)
		}
		for _, pid := range living {
			if err := c.kill(pid); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// processes lists what is in the cluster's cgroup or network namespace, this program excepted.
func (c *Cluster) processes() ([]int, error) {
	pids, err := c.Cgroup.Processes()
	if err != nil {
		return nil, err
	}
	inside, err := netns.Processes(Name)
	if err != nil {
		return nil, err
	}
	pids = append(pids, inside...)
	slices.Sort(pids)
	pids = slices.Compact(pids)
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == os.Getpid() }), nil
}

// zombie reports whether a process has ended and only waits for its parent to notice.
func zombie(pid int) bool {
	_, err := proc.Identify(pid)
	return errors.Is(err, os.ErrNotExist)
}

// kill kills a process that was found by its place: the identity is taken first, the place looked at again, so that a
// number which went to another process meanwhile is left alone.
func (c *Cluster) kill(pid int) error {
	id, err := proc.Identify(pid)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	still, err := netns.Processes(Name)
	if err != nil {
		return err
	}
	if !c.Cgroup.Contains(pid) && !slices.Contains(still, pid) {
		return nil
	}
	return id.Signal(unix.SIGKILL)
}

// removeSockets removes the sockets of the containers' shims, which containerd puts outside of its directory. Each
// container's directory names its own.
func (c *Cluster) removeSockets(context.Context) error {
	files, err := filepath.Glob(c.path("containerd/state/io.containerd.runtime.v2.task/*/*/address"))
	if err != nil {
		return fmt.Errorf("find the shims' sockets: %w", err)
	}
	var errs []error
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		socket, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "unix://")
		if !ok || !strings.HasPrefix(socket, "/run/containerd/s/") {
			continue
		}
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	_ = os.Remove("/run/containerd/s") // only when empty
	_ = os.Remove("/run/containerd")
	return errors.Join(errs...)
}

// unmount takes down every mount below the cluster's directory, the deepest first.
func (c *Cluster) unmount(context.Context) error {
	for range 10 { // a mount point may carry several mounts
		points, err := mountsBelow(c.Dir)
		if err != nil {
			return err
		}
		if len(points) == 0 {
			return nil
		}
		for _, p := range points {
			if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("unmount %s: %w", p, err)
			}
		}
	}
	return errors.New("mounts come back as fast as they are removed")
}

func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	defer func() { _ = f.Close() }()
	return mountPoints(f, dir), nil
}

// mountPoints returns the mount points below dir in a mountinfo table, the last mounted first: what is mounted on top
// of another mount came later.
func mountPoints(table io.Reader, dir string) []string {
	var points []string
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		const point = 4
		if len(f) <= point {
			continue
		}
		if p := unescape(f[point]); strings.HasPrefix(p, dir+"/") {
			points = append(points, p)
		}
	}
	slices.Reverse(points)
	return points
}

// unescape undoes the octal escapes (\040 for a blank) of the kernel's tables.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
