package docs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
)

// patience bounds one command, and one wait for the nodes.
const patience = 60 * time.Second

// session is one shell, in a directory of its own, in which the commands of a
// document run one after another, as a reader would run them.
type session struct {
	t     *testing.T
	dir   string
	base  int // stands for port 8000, base+1 for 8001, and so on to 8009
	nodes int // how many development nodes run
	stdin io.WriteCloser
	done  chan string
	count int
}

// outcome is what a command did.
type outcome struct {
	stdout, stderr string
	exit           int
	// statuses are those of the HTTP answers that curl got.
	statuses []int
}

// binary builds the node once, under the name that the documents use.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vesper-docs-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "vesper-node"), "./cmd/node")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("building the node: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := binary(); dir != "" {
		_ = os.RemoveAll(dir) // nothing depends on it
	}
	os.Exit(code)
}

// statusMark leads the line by which our curl tells the HTTP status.
const statusMark = "docs-test-http-status "

// newSession starts the shell. The test's end stops whatever still runs in it,
// and demands that it stops well.
func newSession(t *testing.T) *session {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skipf("the documents' commands need curl: apt-get install curl: %v", err)
	}
	s := &session{t: t, dir: t.TempDir(), base: freePorts(t), done: make(chan string)}
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\" -w '%%{stderr}\\n%s%%{http_code}\\n'\n", curl, statusMark)
	if err := os.WriteFile(filepath.Join(s.dir, "curl"), []byte(wrapper), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	s.start(s.dir + ":" + bin)
	return s
}

func (s *session) start(path string) {
	s.t.Helper()
	shell := exec.Command("bash", "--noprofile", "--norc")
	shell.Dir = s.dir
	shell.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"), "TMPDIR="+s.dir)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := shell.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	stdout, err := shell.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stdin = stdin
	go func() {
		defer close(s.done)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			s.done <- in.Text()
		}
	}()
	s.t.Cleanup(func() {
		s.stop()
		_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) // what is left of our own group, if anything
		_ = shell.Wait()                                      // the kill above is how it ends
	})
}

// stop ends the jobs as Ctrl-C would; each must end well.
func (s *session) stop() {
	out := s.run(`for job in $(jobs -p); do kill -TERM $job; wait $job || echo "job $job ended with status $?"; done`)
	if out.stdout != "" {
		s.t.Errorf("what the document started did not end well:\n%s%s", out.stdout, s.files("*.err"))
	}
	_ = s.stdin.Close() // the shell ends of it
}

func (s *session) files(pattern string) string {
	var b strings.Builder
	names, _ := filepath.Glob(filepath.Join(s.dir, pattern)) // the pattern is ours
	for _, name := range names {
		text, _ := os.ReadFile(name) // only for a message
		b.Write(text)
	}
	return b.String()
}

// run runs one command in the shell and waits for its end.
func (s *session) run(command string) outcome {
	s.t.Helper()
	s.count++
	name := filepath.Join(s.dir, fmt.Sprintf("%03d", s.count))
	if err := os.WriteFile(name, []byte(command+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(s.stdin, "source %[1]s >%[1]s.out 2>%[1]s.err </dev/null; echo $?\n", name); err != nil {
		s.t.Fatalf("handing the shell %q: %v", command, err)
	}
	var out outcome
	select {
	case line, ok := <-s.done:
		if !ok {
			s.t.Fatalf("the shell ended at %q", command)
		}
		out.exit, _ = strconv.Atoi(line) // the shell's own number
	case <-time.After(patience):
		s.t.Fatalf("%q did not end within %s", command, patience)
	}
	stdout, err := os.ReadFile(name + ".out")
	if err != nil {
		s.t.Fatal(err)
	}
	stderr, err := os.ReadFile(name + ".err")
	if err != nil {
		s.t.Fatal(err)
	}
	out.stdout = string(stdout)
	out.stderr, out.statuses = takeStatuses(string(stderr))
	return out
}

// takeStatuses takes the lines of our curl out of its standard error.
func takeStatuses(stderr string) (string, []int) {
	var rest []string
	var statuses []int
	for line := range strings.SplitSeq(stderr, "\n") {
		if text, ok := strings.CutPrefix(line, statusMark); ok {
			n, _ := strconv.Atoi(text) // curl's own number
			statuses = append(statuses, n)
		} else if line != "" {
			rest = append(rest, line)
		}
	}
	return strings.Join(rest, "\n"), statuses
}

var portRE = regexp.MustCompile(`\b800([0-9])\b`)

// moved puts the session's ports in place of the documents'.
func (s *session) moved(text string) string {
	return portRE.ReplaceAllStringFunc(text, func(p string) string {
		return strconv.Itoa(s.base + int(p[3]-'0'))
	})
}

// back puts the documents' ports in place of the session's.
func (s *session) back(text string) string {
	for i := range 10 {
		text = strings.ReplaceAll(text, strconv.Itoa(s.base+i), strconv.Itoa(8000+i))
	}
	return text
}

var nodesRE = regexp.MustCompile(`--nodes[ =](\d+)`)

// startDev runs a command that starts development nodes, in the background, as
// the reader does in another terminal, and waits until they are ready.
func (s *session) startDev(command string) {
	s.t.Helper()
	s.nodes = 3
	if m := nodesRE.FindStringSubmatch(command); m != nil {
		s.nodes, _ = strconv.Atoi(m[1]) // digits
	}
	if !strings.Contains(command, "--http-port") {
		command += " --http-port " + strconv.Itoa(s.base)
	}
	if out := s.run(command + " &"); out.exit != 0 {
		s.t.Fatalf("%q ended with %d: %s", command, out.exit, out.stderr)
	}
	s.settle()
}

// settle waits until all development nodes have each other's writes: a reader
// is slower than replication, a test is not.
func (s *session) settle() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		why := s.unsettled(ctx)
		if why == "" {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("the nodes did not settle: %s\n%s", why, s.files("*.err"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *session) unsettled(ctx context.Context) string {
	revision := ""
	for i := range s.nodes {
		status, err := nodeStatus(ctx, s.base+i)
		switch {
		case err != nil:
			return err.Error()
		case (!status.Ready || !status.Writable) && !status.Draining:
			return fmt.Sprintf("node %d: %s %s", i, status.Reason, status.Message)
		case status.Outbox.Changesets > 0:
			return fmt.Sprintf("node %d has %d changesets to send", i, status.Outbox.Changesets)
		case i > 0 && status.Revision.String() != revision:
			return fmt.Sprintf("node %d is at %s, node 0 at %s", i, status.Revision, revision)
		}
		revision = status.Revision.String()
	}
	return ""
}

func nodeStatus(ctx context.Context, port int) (nodestatus.Status, error) {
	var status nodestatus.Status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/v1/status", port), nil)
	if err != nil {
		return status, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return status, err
	}
	defer response.Body.Close() //nolint:errcheck // only read
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// taken are the port ranges that sessions of this process have.
var taken sync.Map

// freePorts returns the first of ten free ports in a row, below those that the
// system gives out by itself.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 200 {
		base := 20000 + 10*rand.IntN(1000)
		if _, used := taken.LoadOrStore(base, true); !used && allFree(base) {
			return base
		}
	}
	t.Fatal("found no ten free ports in a row between 20000 and 30000")
	return 0
}

func allFree(base int) bool {
	for i := range 10 {
		l, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(base+i)))
		if err != nil {
			return false
		}
		_ = l.Close() // it was only to see that it can be had
	}
	return true
}
