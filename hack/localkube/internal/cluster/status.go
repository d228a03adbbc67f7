package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
)

// stopped returns the names of the components that do not run.
func (c *Cluster) stopped() []string {
	var names []string
	for _, part := range c.components(c.self()) {
		if _, ok := c.place().Running(part.Name); !ok {
			names = append(names, part.Name)
		}
	}
	return names
}

// Status writes what runs, and returns an error unless the whole cluster does and its node is ready.
func (c *Cluster) Status(ctx context.Context, out io.Writer) error {
	if owner := c.owner(); owner != "" && owner != c.Dir {
		fmt.Fprintf(out, "(this machine's cluster is the one in %s)\n", owner)
	}
	stopped := c.stopped()
	if len(stopped) == len(c.components(c.self())) {
		return fmt.Errorf("no cluster runs in %s: start it with `localkube up`", c.Dir)
	}
	c.table(out)
	if len(stopped) > 0 {
		return fmt.Errorf("%s: not running: `localkube up` starts what is missing", strings.Join(stopped, ", "))
	}
	if err := c.nodeReady(ctx); err != nil {
		return fmt.Errorf("the node is not ready: %w", err)
	}
	fmt.Fprintf(out, "node %s is ready; KUBECONFIG=%s\n", nodeName, c.Kubeconfig())
	return nil
}

func (c *Cluster) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	defer func() { _ = w.Flush() }()
	fmt.Fprintln(w, "COMPONENT\tPID\tMEMORY\tSTATE")
	for _, part := range c.components(c.self()) {
		id, ok := c.place().Running(part.Name)
		if !ok {
			fmt.Fprintf(w, "%s\t-\t-\tnot running (%s)\n", part.Name, c.place().LogFile(part.Name))
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%s\trunning\n", part.Name, id.PID, residentMemory(id.PID))
	}
}

// residentMemory returns the size of a process in memory, in the kernel's words ("34567 kB").
func residentMemory(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "-"
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "-"
}
