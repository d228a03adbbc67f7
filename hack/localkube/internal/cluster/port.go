package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// checkPort makes sure that nothing listens on a TCP port in the network namespace, or says who does.
func checkPort(ctx context.Context, ns string, port int) error {
	return netns.Do(ns, func() error {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(port))
		if err == nil {
			return l.Close()
		}
		return fmt.Errorf("port %d is taken in the network namespace %s by %s: end it, or run `localkube down` first", port, ns, listener(ns, port))
	})
}

// listener names the process of the namespace that listens on port, as far as that can be told.
func listener(ns string, port int) string {
	table, _ := os.ReadFile("/proc/thread-self/net/tcp")
	table6, _ := os.ReadFile("/proc/thread-self/net/tcp6")
	inode := listeningInode(string(table)+string(table6), port)
	pids, err := netns.Processes(ns)
	if inode == "" || err != nil {
		return "an unknown process"
	}
	for _, pid := range pids {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && to == "socket:["+inode+"]" {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
			}
		}
	}
	return "a process that is gone"
}

// listeningInode finds the socket that listens on port in the text of /proc/net/tcp or tcp6.
func listeningInode(table string, port int) string {
	const address, state, inode, listening = 1, 3, 9, "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) <= inode || f[state] != listening {
			continue
		}
		if _, hex, ok := strings.Cut(f[address], ":"); ok && strings.EqualFold(hex, fmt.Sprintf("%04X", port)) {
			return f[inode]
		}
	}
	return ""
}
