package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"vesperdb.io/vesper/internal/nodestatus"
)

// node is a vesper-node process.
type node struct {
	process
	address, data string
}

// process is a program of ours.
type process struct {
	cmd *exec.Cmd
	log string
}

// launch starts a process whose output goes to a file.
func launch(cmd *exec.Cmd, log string) (process, error) {
	out, err := os.Create(log)
	if err != nil {
		return process{}, err
	}
	defer func() { _ = out.Close() }() // the child has its own descriptor
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		return process{}, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return process{cmd: cmd, log: log}, nil
}

// stop ends the process and waits for it.
func (p process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait() // its data is not needed any more
}

// complaint adds the end of the log to an error.
func (p process) complaint(err error) error {
	text, _ := os.ReadFile(p.log)
	return fmt.Errorf("%w; its log ends: %s", err, text[max(len(text)-2000, 0):])
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startNode runs a node in a directory and waits until it takes writes. Without
// hosts it stands alone. Lines are added to its configuration.
func (w *world) startNode(dir, branch, channel, hosts string, lines ...string) (*node, error) {
	address, err := freeAddress(w.ctx)
	if err != nil {
		return nil, err
	}
	n := &node{address: address, data: filepath.Join(dir, "data")}
	text := fmt.Sprintf("branchId: %s\ntrunkId: 0A\nstorage_path: %s\nlisten: %s\nlog: {level: warn}\n", branch, n.data, address)
	if hosts != "" {
		text += fmt.Sprintf("replication_hosts: %s\nreplication_channel: %s\n", hosts, channel)
	}
	text += strings.Join(lines, "\n")
	file := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if n.process, err = launch(exec.CommandContext(w.ctx, w.program, "--config", file), filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	if err := until(w.ctx, "the node to take writes", n.writable(w.ctx)); err != nil {
		n.stop()
		return nil, n.complaint(err)
	}
	return n, nil
}

func (n *node) writable(ctx context.Context) func() (bool, error) {
	return func() (bool, error) {
		s, err := n.status(ctx)
		return err == nil && s.Writable && s.Ready, err
	}
}

func (n *node) status(ctx context.Context) (s nodestatus.Status, err error) {
	body, err := n.get(ctx, "/v1/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// get reads over a connection of its own.
func (n *node) get(ctx context.Context, path string) ([]byte, error) {
	c, err := dialHTTP(ctx, n.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	status, body, err := c.do("GET", path, nil)
	if err == nil && status != 200 {
		err = fmt.Errorf("GET %s: %d: %s", path, status, body)
	}
	return body, err
}

// metric reads one figure without labels from /metrics.
func (n *node) metric(ctx context.Context, name string) (float64, error) {
	body, err := n.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s has no figure %s", n.address, name)
}

// writer connects a client that writes new objects.
func (n *node) writer(ctx context.Context, bodies [][]byte) func() (caller, error) {
	return func() (caller, error) {
		c, err := dialHTTP(ctx, n.address)
		if err != nil {
			return nil, err
		}
		return &putter{httpConn: c, prefix: "/v1/objects/", bodies: bodies}, nil
	}
}
