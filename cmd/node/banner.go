package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// announce waits until the nodes are ready and prints what to do with them, or
// why they are not.
func announce(ctx context.Context, w io.Writer, o devOptions, nodes []*node, hosts []string, dir string) {
	notReady := waitReady(ctx, nodes)
	if ctx.Err() != nil {
		return
	}
	_, _ = io.WriteString(w, banner(o, nodes, hosts, dir, notReady)) // a closed stdout stops no node
}

// waitReady returns why a node is not ready, "" when all are.
func waitReady(ctx context.Context, nodes []*node) string {
	ctx, cancel := context.WithTimeout(ctx, devReady)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		why := ""
		for _, n := range nodes {
			if s := n.replicator.Status(); !s.Ready || !s.Writable {
				why = fmt.Sprintf("node %s is not ready (%s): %s", n.config.BranchID, s.Reason, s.Message)
			}
		}
		if why == "" {
			return ""
		}
		select {
		case <-ctx.Done():
			return why
		case <-tick.C:
		}
	}
}

func banner(o devOptions, nodes []*node, hosts []string, dir, notReady string) string {
	var b strings.Builder
	what := "ready"
	if notReady != "" {
		what = "running, but " + notReady
	}
	fmt.Fprintf(&b, "\nVesper is %s.\n\n", what)
	table := tabwriter.NewWriter(&b, 0, 4, 3, ' ', 0)
	for i, n := range nodes {
		_, _ = fmt.Fprintf(table, "  node %d\tbranch %s\t%s\n", i+1, n.config.BranchID, n.url())
	}
	_ = table.Flush() // a strings.Builder takes everything
	kind := "embedded"
	if o.stomp != "" {
		kind = "outside"
	}
	fmt.Fprintf(&b, "  broker   %s, %s\n", kind, strings.Join(hosts, ", "))
	if o.data == "" {
		fmt.Fprintf(&b, "  data     %s (removed at the end; --data DIR keeps it)\n", dir)
	} else {
		fmt.Fprintf(&b, "  data     %s\n", dir)
	}
	first, second := nodes[0], nodes[len(nodes)-1]
	if len(nodes) > 1 {
		second = nodes[1]
	}
	fmt.Fprintf(&b, `
Write on one node, read on another:

  curl -X PUT %[1]s/v1/objects/moby-dick -H 'Content-Type: application/json' -d '{"title": "Moby Dick", "year": 1851}'
  curl %[2]s/v1/objects/moby-dick
  curl %[2]s/datarequest -d '{"jsonrpc": "2.0", "id": 1, "method": "query", "params": "{* where year < 1900}"}'
  curl %[2]s/v1/status

Ctrl-C stops everything.
`, first.url(), second.url())
	return b.String()
}
