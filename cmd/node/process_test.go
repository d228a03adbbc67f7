package main

import (
	"bytes"
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
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"vesperdb.io/vesper/internal/nodestatus"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "vesper-node-test-")
	if err == nil {
		binary = filepath.Join(dir, "vesper-node")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the program:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// patience bounds every wait; the machine may be busy.
const patience = 60 * time.Second

// eventually polls until what returns "" and fails with its last word.
func eventually(t *testing.T, what func() string) {
	t.Helper()
	why := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if why = what(); why == "" {
			return
		}
	}
	t.Fatalf("still after %s: %s", patience, why)
}

// output is what a process wrote so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is a running vesper-node.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout output
	stderr output
	tmp    string
	ended  chan struct{}
}

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startProgram(t, binary, args...)
}

func startProgram(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), tmp: t.TempDir(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = append(os.Environ(), "TMPDIR="+p.tmp)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the exit code is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() {
			t.Logf("%v wrote:\n%s\n%s", args, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit code; -1 after a kill.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("the process goes on after %s: %s", patience, p.stderr.String())
		return 0
	}
}

// stop ends the process as Kubernetes does and wants a clean end.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		p.t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
}

// api is a node's HTTP interface as a test uses it.
type api struct {
	t   *testing.T
	url string
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// try sends a request; the status is 0 when nobody answers.
func (a api) try(method, path, body string) (int, string) {
	req, err := http.NewRequestWithContext(context.Background(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

func (a api) do(method, path, body string, want ...int) string {
	a.t.Helper()
	status, text := a.try(method, path, body)
	if slices.Contains(want, status) {
		return text
	}
	a.t.Fatalf("%s %s: got %d, want one of %d: %s", method, path, status, want, text)
	return ""
}

func (a api) put(id, body string) {
	a.t.Helper()
	a.do("PUT", "/v1/objects/"+id, body, 200, 201)
}

func (a api) status() (nodestatus.Status, error) {
	var s nodestatus.Status
	code, text := a.try("GET", "/v1/status", "")
	if code != 200 {
		return s, errors.New(text)
	}
	return s, json.Unmarshal([]byte(text), &s)
}

// ready waits until the node is ready and takes writes.
func (a api) ready() {
	a.t.Helper()
	eventually(a.t, func() string {
		s, err := a.status()
		if err != nil {
			return err.Error()
		}
		if !s.Ready || !s.Writable {
			return fmt.Sprintf("%s is not ready: %s %s %s", a.url, s.Reason, s.Message, s.WritesRefused)
		}
		return ""
	})
}

// converged waits until all nodes give the same list of n objects, and have the
// same revision and digest.
func converged(t *testing.T, n int, nodes ...api) string {
	t.Helper()
	list := ""
	eventually(t, func() string {
		var first nodestatus.Status
		for i, a := range nodes {
			code, text := a.try("GET", "/v1/objects?limit=1000", "")
			s, err := a.status()
			if code != 200 || err != nil {
				return fmt.Sprint(a.url, code, err)
			}
			if count := strings.Count(text, `{"id":`); count != n {
				return fmt.Sprintf("%s has %d objects, want %d", a.url, count, n)
			}
			if i == 0 {
				list, first = text, s
			}
			if text != list || !s.Revision.Equal(first.Revision) || s.Digest != first.Digest {
				return fmt.Sprintf("%s differs:\n%s\n%s", a.url, text, list)
			}
		}
		return ""
	})
	return list
}

// dev starts "vesper-node dev" on free ports and returns its nodes once the
// banner says that they are ready.
func dev(t *testing.T, args ...string) (*process, []api) {
	t.Helper()
	p := start(t, append([]string{"dev", "--http-port", "0"}, args...)...)
	var nodes []api
	eventually(t, func() string {
		out := p.stdout.String()
		if !strings.Contains(out, "Ctrl-C stops everything.") {
			select {
			case <-p.ended:
				t.Fatalf("dev ended: %s", p.stderr.String())
			default:
			}
			return "no banner: " + out
		}
		if !strings.Contains(out, "Vesper is ready.") {
			t.Fatalf("dev is not ready: %s", out)
		}
		for _, m := range regexp.MustCompile(`node \d+ +branch \w+ +(http://\S+)`).FindAllStringSubmatch(out, -1) {
			nodes = append(nodes, api{t, m[1]})
		}
		return ""
	})
	return p, nodes
}

// ports hands out ports below those that the kernel gives to connections, so
// that a node which is restarted finds its own still free.
var ports = struct {
	mu   sync.Mutex
	next int
}{next: 20_000 + os.Getpid()%10_000}

// freePort returns an address that nobody listens on, to each caller another.
func freePort(t *testing.T) string {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range 1000 {
		ports.next++
		address := fmt.Sprintf("127.0.0.1:%d", ports.next)
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// member is a node with a configuration file of its own.
type member struct {
	api
	file, dir string
	process   *process
}

// newMember writes a configuration file; more is added to it as it is.
func newMember(t *testing.T, id, more string) *member {
	t.Helper()
	dir := t.TempDir()
	m := &member{api: api{t, ""}, file: filepath.Join(dir, "node.yaml"), dir: filepath.Join(dir, "data")}
	address := freePort(t)
	m.url = "http://" + address
	text := fmt.Sprintf("branchId: %s\ntrunkId: 0A\nstorage_path: %s\nlisten: %s\n%s", id, m.dir, address, more)
	if err := os.WriteFile(m.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *member) start() *member {
	m.t.Helper()
	m.process = start(m.t, "--config", m.file)
	return m
}

// replicating is the part of a configuration file about the broker.
func replicating(hosts string) string {
	return "replication_hosts: " + hosts + "\nreplication_channel: TEST\nbeacon: {interval: 500ms, window: 2s}\nshutdownGrace: 5s\n"
}
