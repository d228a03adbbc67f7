// Package nodetest runs real vesper-node processes for tests: started, killed, stopped and started
// again on one store, and spoken to over HTTP.
package nodetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/nodestatus"
)

// Patience bounds every wait; the machine may be busy.
const Patience = 120 * time.Second

// program is the node under test, built by Main.
var program string

// Runner is what runs a package's tests: a *testing.M or what wraps one.
type Runner interface{ Run() int }

// Main is a Runner that builds the program before the tests.
type Main struct{ m Runner }

// Built is for TestMain of a package that starts nodes: goleak.VerifyTestMain(nodetest.Built(m)).
// With SOAK_RACE set the nodes have the race detector.
func Built(m Runner) Main { return Main{m: m} }

// Run builds the program, runs the tests and removes the program.
func (m Main) Run() int {
	dir, err := os.MkdirTemp("", "vesper-node-")
	if err == nil {
		program = filepath.Join(dir, "vesper-node")
		err = build(program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the program:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return m.m.Run()
}

func build(to string) error {
	args := []string{"build", "-o", to}
	if os.Getenv("SOAK_RACE") != "" {
		args = append(args, "-race")
	}
	out, err := exec.CommandContext(context.Background(), "go", append(args, "vesperdb.io/vesper/cmd/node")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Options of a node.
type Options struct {
	// ID is the branch id, Hosts the brokers' addresses, Channel the topic.
	ID      string
	Hosts   []string
	Channel string
	// HeartBeat is that of the connections to the broker. Default 3 s.
	HeartBeat time.Duration
	// Broker holds further keys of the broker section, such as "flavor: activemq".
	Broker string
	// More are further lines of the configuration file.
	More string
}

// Node is one vesper-node process after another, on one store.
type Node struct {
	t testing.TB
	// ID is the branch id, URL where the node answers, Dir its store, LogFile what it says.
	ID, URL, Dir, LogFile string

	file   string
	mu     sync.Mutex
	cmd    *exec.Cmd
	killed bool
	ended  chan struct{}
}

// New writes the configuration of a node, which is killed when t ends; nothing runs yet.
func New(t testing.TB, o Options) *Node {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	n := &Node{
		t: t, ID: o.ID, URL: "http://" + address, Dir: filepath.Join(dir, "data"),
		file: filepath.Join(dir, "node.yaml"), LogFile: filepath.Join(dir, "log"),
	}
	if o.HeartBeat == 0 {
		o.HeartBeat = 3 * time.Second
	}
	text := fmt.Sprintf("branchId: %s\ntrunkId: 0A\nstorage_path: %s\nlisten: %s\nreplication_hosts: [%s]\nreplication_channel: %s\n"+
		"beacon: {interval: 500ms, window: 2s}\nbroker: {heartBeat: %v, %s}\nshutdownGrace: 30s\n%s",
		o.ID, n.Dir, address, strings.Join(o.Hosts, ", "), o.Channel, o.HeartBeat, o.Broker, o.More)
	n.write(text)
	return n
}

// Configured is New for a configuration that something else made: only where the
// node listens and keeps its store are the test's.
func Configured(t testing.TB, c nodeconfig.Config) *Node {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	n := &Node{
		t: t, ID: string(c.BranchID), URL: "http://" + address, Dir: filepath.Join(dir, "data"),
		file: filepath.Join(dir, "node.yaml"), LogFile: filepath.Join(dir, "log"),
	}
	c.StoragePath, c.Listen = n.Dir, address
	text, err := nodeconfig.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	n.write(string(text))
	return n
}

// write writes the configuration file, and has the process end with the test.
func (n *Node) write(text string) {
	n.t.Helper()
	if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(n.Kill)
}

var ports struct {
	sync.Mutex
	last int
}

// freeAddress returns an address that nobody listens on, below the ports that
// the kernel gives to connections: a node that is restarted finds its own free.
func freeAddress(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.last == 0 {
		ports.last = 19_000 + os.Getpid()%10_000
	}
	for range 1000 {
		ports.last++
		address := fmt.Sprintf("127.0.0.1:%d", ports.last)
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Start runs the node's process, unless it runs.
func (n *Node) Start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		return
	}
	log, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Error(err)
		return
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	// The node's life is not a context's: it ends by signals that tests choose.
	cmd := exec.CommandContext(context.Background(), program, "--config", n.file)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		n.t.Errorf("starting node %s: %v", n.ID, err)
		return
	}
	n.cmd, n.killed, n.ended = cmd, false, make(chan struct{})
	go n.watch(cmd, n.ended)
}

// watch waits for the end of a process and complains when nobody wanted it.
func (n *Node) watch(cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	n.mu.Lock()
	wanted := n.killed
	n.cmd = nil
	n.mu.Unlock()
	if !wanted {
		n.t.Errorf("node %s ended by itself: %v", n.ID, err)
	}
	close(ended)
}

// End sends a signal and waits until the process is gone; it reports whether
// one ran.
func (n *Node) End(s syscall.Signal) bool {
	n.mu.Lock()
	cmd, ended := n.cmd, n.ended
	if cmd != nil {
		n.killed = true
		_ = cmd.Process.Signal(s)
	}
	n.mu.Unlock()
	if cmd == nil {
		return false
	}
	select {
	case <-ended:
	case <-time.After(Patience):
		n.t.Errorf("node %s did not end by signal %v within %v", n.ID, s, Patience)
		_ = cmd.Process.Kill()
		<-ended
	}
	return true
}

// Signal sends a signal that does not end the process.
func (n *Node) Signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s)
	}
}

// Kill ends the process as a crash does.
func (n *Node) Kill() { n.End(syscall.SIGKILL) }

// Check reads the store of a stopped node from end to end.
func (n *Node) Check() error {
	out, err := exec.CommandContext(context.Background(), program, "check", "--data", n.Dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the store of node %s is not sound: %w: %s", n.ID, err, out)
	}
	return nil
}

// client talks to nodes. Its connections are not kept: those to a process that
// was killed would only make errors of their own.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Answer is what a node answered.
type Answer struct {
	Status int
	Body   string
	// Header of the answer; Changeset is its Vesper-Changeset.
	Header    http.Header
	Changeset string
}

// Do sends a request with these header lines, keys and values in turn. An error means that it is not known what became of it.
func (n *Node) Do(method, path, body string, header ...string) (Answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, n.URL+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	return Answer{resp.StatusCode, string(text), resp.Header, resp.Header.Get("Vesper-Changeset")}, nil
}

// Get reads JSON.
func (n *Node) Get(path string, into any) error {
	a, err := n.Do(http.MethodGet, path, "")
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("GET %s from node %s: %d: %s", path, n.ID, a.Status, a.Body)
	}
	return json.Unmarshal([]byte(a.Body), into)
}

// Status asks the node for its status.
func (n *Node) Status() (s nodestatus.Status, err error) {
	err = n.Get("/v1/status", &s)
	return s, err
}

// Quiet is nil when the node is ready, takes writes, has nothing left to do and sees so many peers.
func (n *Node) Quiet(peers int) (nodestatus.Status, error) {
	s, err := n.Status()
	if err == nil && (!s.Ready || !s.Writable || s.Outbox.Changesets > 0 || s.Pending.Changesets > 0 || len(s.Peers) < peers) {
		text, _ := json.Marshal(s)
		err = errors.New("not yet at rest: " + string(text))
	}
	return s, err
}

// Converged waits until all nodes are at rest with the same revision and
// digest, and returns how long that took.
func Converged(t testing.TB, nodes ...*Node) time.Duration {
	t.Helper()
	started, why := time.Now(), error(nil)
	for time.Since(started) < Patience {
		if why = differ(nodes); why == nil {
			return time.Since(started).Round(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, n := range nodes {
		log, _ := os.ReadFile(n.LogFile)
		t.Logf("the log of node %s ends:\n%s", n.ID, log[max(len(log)-4000, 0):])
	}
	t.Fatalf("no convergence within %v: %v", Patience, why)
	return 0
}

// differ says how two nodes differ, or which one is not at rest.
func differ(nodes []*Node) error {
	first, err := nodes[0].Quiet(len(nodes) - 1)
	if err != nil {
		return err
	}
	for _, n := range nodes[1:] {
		s, err := n.Quiet(len(nodes) - 1)
		if err != nil {
			return err
		}
		if !s.Revision.Equal(first.Revision) || s.Digest != first.Digest {
			return fmt.Errorf("node %s has revision %s, digest %s; node %s has %s, %s",
				nodes[0].ID, first.Revision, first.Digest, n.ID, s.Revision, s.Digest)
		}
	}
	return nil
}
