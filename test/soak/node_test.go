package soak

import (
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

	"vesperdb.io/vesper/internal/nodestatus"
)

// patience bounds every wait; the machine may be busy.
const patience = 120 * time.Second

// node is one vesper-node process after another, on one store.
type node struct {
	t            *testing.T
	id, url, dir string
	file, log    string

	mu     sync.Mutex
	cmd    *exec.Cmd
	killed bool
	ended  chan struct{}
}

// newNode writes the configuration of a node; nothing runs yet.
func newNode(t *testing.T, id, broker string) *node {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	n := &node{
		t: t, id: id, url: "http://" + address, dir: filepath.Join(dir, "data"),
		file: filepath.Join(dir, "node.yaml"), log: filepath.Join(dir, "log"),
	}
	text := fmt.Sprintf("branchId: %s\ntrunkId: 0A\nstorage_path: %s\nlisten: %s\nreplication_hosts: %s\n"+
		"replication_channel: SOAK\nbeacon: {interval: 500ms, window: 2s}\nbroker: {heartBeat: 3s}\nshutdownGrace: 30s\n", id, n.dir, address, broker)
	if err := os.WriteFile(n.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

var lastPort = 19_000 + os.Getpid()%1000

// freeAddress returns an address that nobody listens on, below the ports that
// the kernel gives to connections: a node that is restarted finds its own free.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		lastPort++
		address := fmt.Sprintf("127.0.0.1:%d", lastPort)
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start runs the node's process, unless it runs.
func (n *node) start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		return
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Error(err)
		return
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	cmd := exec.Command(program, "--config", n.file)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		n.t.Errorf("starting node %s: %v", n.id, err)
		return
	}
	n.cmd, n.killed, n.ended = cmd, false, make(chan struct{})
	go n.watch(cmd, n.ended)
}

// watch waits for the end of a process and complains when nobody wanted it.
func (n *node) watch(cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	n.mu.Lock()
	wanted := n.killed
	n.cmd = nil
	n.mu.Unlock()
	if !wanted {
		n.t.Errorf("node %s ended by itself: %v", n.id, err)
	}
	close(ended)
}

// end sends a signal and waits until the process is gone; it reports whether
// one ran.
func (n *node) end(s syscall.Signal) bool {
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
	case <-time.After(patience):
		n.t.Errorf("node %s did not end by signal %v within %v", n.id, s, patience)
		_ = cmd.Process.Kill()
		<-ended
	}
	return true
}

// signal sends a signal that does not end the process.
func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s)
	}
}

func (n *node) kill() { n.end(syscall.SIGKILL) }

// client talks to nodes. Its connections are not kept: those to a process that
// was killed would only make errors of their own.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// answer is what a node answered.
type answer struct {
	status    int
	body      string
	changeset string
}

// do sends a request. An error means that it is not known what became of it.
func (n *node) do(method, path, body string) (answer, error) {
	req, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{resp.StatusCode, string(text), resp.Header.Get("Vesper-Changeset")}, nil
}

// get reads JSON.
func (n *node) get(path string, into any) error {
	a, err := n.do(http.MethodGet, path, "")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("GET %s from node %s: %d: %s", path, n.id, a.status, a.body)
	}
	return json.Unmarshal([]byte(a.body), into)
}

func (n *node) status() (s nodestatus.Status, err error) {
	err = n.get("/v1/status", &s)
	return s, err
}

// quiet is nil when the node is ready, takes writes, and has nothing left to do.
func (n *node) quiet() (nodestatus.Status, error) {
	s, err := n.status()
	if err == nil && (!s.Ready || !s.Writable || s.Outbox.Changesets > 0 || s.Pending.Changesets > 0 || len(s.Peers) < 2) {
		text, _ := json.Marshal(s)
		err = errors.New("not yet at rest: " + string(text))
	}
	return s, err
}
