package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/version"
)

func startBroker(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestWrongConfigurationExitsWith2AndMakesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "node.yaml")
	data := filepath.Join(dir, "data")
	for name, tt := range map[string]struct {
		text string
		says []string
	}{
		"several mistakes": {"branchId: 0B\nstorage_path: " + data + "\nreplication_host: mq:61613\nbroker: {flavor: kafka}\n",
			[]string{file + ": 2 problems", `line 3: unknown key "replication_host": did you mean "replication_hosts"?`, `line 4: broker.flavor: "kafka"`}},
		"width of the id": {"branchId: 0B\ntrunkId: 00A\nstorage_path: " + data + "\n", []string{"all ids of a system have the same width"}},
		"empty":           {"", []string{"branchId: missing", "storage_path: missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, "--config", file)
			if code := p.wait(); code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			for _, s := range tt.says {
				if !strings.Contains(p.stderr.String(), s) {
					t.Errorf("stderr does not say %q: %s", s, p.stderr.String())
				}
			}
			if _, err := os.Stat(data); !os.IsNotExist(err) {
				t.Errorf("the store was made: %v", err)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"version":           {[]string{"version"}, exitOK, "vesper-node " + version.Version, ""},
		"help":              {[]string{"--help"}, exitOK, "vesper-node --config FILE", ""},
		"nothing":           {nil, exitUsage, "", "give --config FILE"},
		"unknown command":   {[]string{"run"}, exitUsage, "", `"run" is no command`},
		"unknown flag":      {[]string{"--conf", "x"}, exitUsage, "", "--conf"},
		"no such file":      {[]string{"--config", "/nonexistent/node.yaml"}, exitUsage, "", "/nonexistent/node.yaml"},
		"check of nothing":  {[]string{"check"}, exitUsage, "", "--data DIR"},
		"check of no store": {[]string{"check", "--data", "/nonexistent"}, exitFailed, "", "/nonexistent/vesper.db"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, tt.args...)
			if code := p.wait(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(p.stdout.String(), tt.stdout) || !strings.Contains(p.stderr.String(), tt.stderr) {
				t.Errorf("unexpected output:\n%s\n%s", p.stdout.String(), p.stderr.String())
			}
		})
	}
}

func TestANodeThatIsStoppedWhileItStartsEndsCleanly(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr output
	if code := execute(ctx, []string{"--config", m.file}, &stdout, &stderr); code != exitOK {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestCheckOfARunningNodesStoreSaysThatItIsInUse(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "").start()
	m.ready()
	check := start(t, "check", "--data", m.dir)
	if code := check.wait(); code != exitFailed || !strings.Contains(check.stderr.String(), m.dir) {
		t.Errorf("exit code %d: %s", code, check.stderr.String())
	}
	t.Log(check.stderr.String())
	m.put("a", `{"x":1}`)
}

func TestTakenPortIsNamedBeforeTheStoreIsMade(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "")
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", strings.TrimPrefix(m.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m.start()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if code := m.process.wait(); code != exitFailed || !strings.Contains(m.process.stderr.String(), "port "+port+" is in use") {
		t.Errorf("exit code %d: %s", code, m.process.stderr.String())
	}
	if _, err := os.Stat(m.dir); !os.IsNotExist(err) {
		t.Errorf("the store was made: %v", err)
	}
}

func TestAStoreOfAnotherBranchIsRefused(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "").start()
	m.ready()
	m.process.stop()
	other := newMember(t, "0B", "")
	if err := os.Rename(m.dir, other.dir); err != nil {
		t.Fatal(err)
	}
	other.start()
	if code := other.process.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	for _, s := range []string{"0A", "0B", "set branchId to 0A"} {
		if !strings.Contains(other.process.stderr.String(), s) {
			t.Errorf("stderr does not say %q: %s", s, other.process.stderr.String())
		}
	}
}

func TestLogsAreJSONThatNamesTheBranch(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "log: {level: debug}\n").start()
	m.ready()
	m.put("a", `{"x":1}`)
	m.process.stop()
	messages := map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(m.process.stderr.String())); lines.Scan(); {
		var line struct{ Level, Msg, Branch string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Branch != "0A" {
			t.Errorf("%v: %s", err, lines.Text())
		}
		messages[line.Msg] = true
	}
	for _, want := range []string{"Started the node", "Answered", "Stopping the node", "Stopped the node"} {
		if !messages[want] {
			t.Errorf("no line says %q", want)
		}
	}
}

// writes keeps writing until the node is gone, and returns the ids that were
// acknowledged.
func writes(a api, stop <-chan struct{}) func() []string {
	var mu sync.Mutex
	var acknowledged []string
	var running sync.WaitGroup
	for w := range 8 {
		running.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("w%d-%05d", w, i)
				code, _ := a.try("PUT", "/v1/objects/"+id, `{"x":1}`)
				if code == 0 {
					return
				}
				if code == 201 {
					mu.Lock()
					acknowledged = append(acknowledged, id)
					mu.Unlock()
				}
			}
		})
	}
	return func() []string { running.Wait(); return acknowledged }
}

func TestAKilledNodeKeepsEveryAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "")
	var all []string
	for range 3 {
		m.start().ready()
		stop := make(chan struct{})
		collect := writes(m.api, stop)
		eventually(t, func() string {
			if s, err := m.status(); err != nil || s.Objects < int64(len(all))+50 {
				return "too few writes so far"
			}
			return ""
		})
		m.process.signal(syscall.SIGKILL)
		m.process.wait()
		close(stop)
		all = append(all, collect()...)
		check := start(t, "check", "--data", m.dir)
		if code := check.wait(); code != exitOK || !strings.Contains(check.stdout.String(), "is sound: branch 0A") {
			t.Fatalf("check: exit code %d: %s%s", code, check.stdout.String(), check.stderr.String())
		}
	}
	m.start().ready()
	for _, id := range all {
		m.do("GET", "/v1/objects/"+id, "", 200)
	}
	m.process.stop()
}

// TestStoppingNodeDrains holds what Kubernetes relies on: after SIGTERM a node
// takes no writes, says so, goes on reading, publishes what is left, and exits 0.
func TestStoppingNodeDrains(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one := newMember(t, "0A", strings.Replace(replicating(b.Addr()), "5s", "50s", 1)).start()
	two := newMember(t, "0B", replicating(b.Addr())).start()
	one.ready()
	two.ready()
	one.put("a", `{"x":1}`)
	converged(t, 1, one.api, two.api)

	b.Suspend()
	for i := range 50 { // a broker that is away holds up no local write
		one.put(fmt.Sprintf("kept%02d", i), `{"x":1}`)
	}
	one.process.signal(syscall.SIGTERM)
	eventually(t, func() string {
		code, text := one.try("GET", "/readyz", "")
		if code != 503 || !strings.Contains(text, "stopping") {
			return fmt.Sprintf("readyz: %d %s", code, text)
		}
		return ""
	})
	if text := one.do("PUT", "/v1/objects/late", `{"x":1}`, 503); !strings.Contains(text, "the node is stopping") {
		t.Errorf("no reason: %s", text)
	}
	one.do("GET", "/v1/objects/kept00", "", 200)
	one.do("GET", "/healthz", "", 200)
	if s, err := one.status(); err != nil || s.Reason != "Draining" || s.Outbox.Changesets == 0 {
		t.Errorf("unexpected status %+v, %v", s, err)
	}
	if err := b.Resume(); err != nil {
		t.Fatal(err)
	}
	if code := one.process.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	converged(t, 51, two.api)
}

func TestDrainingEndsWithTheGracePeriodAndLosesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one := newMember(t, "0A", strings.Replace(replicating(b.Addr()), "5s", "1s", 1)).start()
	one.ready()
	b.Suspend()
	one.put("kept", `{"x":1}`)
	start := time.Now()
	one.process.stop()
	if took := time.Since(start); took < time.Second || took > 20*time.Second {
		t.Errorf("stopping took %s, with a grace period of 1s", took)
	}
	if !strings.Contains(one.process.stderr.String(), "no broker has confirmed") {
		t.Errorf("the log does not tell what is left: %s", one.process.stderr.String())
	}
	if err := b.Resume(); err != nil {
		t.Fatal(err)
	}
	one.start()
	two := newMember(t, "0B", replicating(b.Addr())).start()
	converged(t, 1, one.api, two.api)
}

func TestASecondSignalEndsTheNodeAtOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	m := newMember(t, "0A", strings.Replace(replicating(b.Addr()), "5s", "1h", 1)).start()
	m.ready()
	b.Suspend()
	m.put("kept", `{"x":1}`)
	m.process.signal(syscall.SIGTERM)
	first := time.Now()
	eventually(t, func() string { // not within the time in which it counts as the same
		if code, _ := m.try("GET", "/readyz", ""); code != 503 || time.Since(first) < sameSignal+100*time.Millisecond {
			return "not draining yet"
		}
		return ""
	})
	m.process.signal(syscall.SIGTERM)
	if code := m.process.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

func TestAFreshNodeTakesNoWritesBeforeItHasAskedItsPeers(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", replicating(freePort(t))).start()
	eventually(t, func() string {
		if code, text := m.try("GET", "/healthz", ""); code != 200 {
			return text
		}
		return ""
	})
	if text := m.do("PUT", "/v1/objects/a", `{"x":1}`, 503); !strings.Contains(text, "writes are refused") {
		t.Errorf("no reason: %s", text)
	}
	m.do("GET", "/readyz", "", 503)
	eventually(t, func() string {
		s, err := m.status()
		if err != nil || s.Ready || s.Writable || s.Reason != "BrokerUnreachable" || s.Message == "" {
			return fmt.Sprintf("unexpected status %+v, %v", s, err)
		}
		return ""
	})
	m.process.stop()
}

func TestANodeWithoutABrokerIsReadyAtOnce(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "").start()
	m.ready()
	if s, err := m.status(); err != nil || s.Reason != "Standalone" {
		t.Errorf("unexpected status %+v, %v", s, err)
	}
	m.put("a", `{"x":1}`)
	if metrics := m.do("GET", "/metrics", "", 200); !strings.Contains(metrics, "vesper_replication_") || !strings.Contains(metrics, "vesper_store_objects 1") {
		t.Error("metrics of replication or store are missing")
	}
	m.process.stop()
}

// TestThreeNodesReplicateOverActiveMQ is the main job over the real broker: with
// credentials from files, a crash of a node and a crash of the broker.
func TestThreeNodesReplicateOverActiveMQ(t *testing.T) {
	t.Parallel()
	b := activemqtest.Start(t, activemqtest.Options{Users: map[string]string{"vesper": "secret-passcode"}})
	auth := t.TempDir()
	for name, text := range map[string]string{"username": "vesper\n", "password": "secret-passcode"} {
		if err := os.WriteFile(filepath.Join(auth, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	more := replicating(b.Addr()) + fmt.Sprintf("broker: {flavor: activemq, usernameFile: %[1]s/username, passwordFile: %[1]s/password}\n", auth)
	var nodes []*member
	var apis []api
	for _, id := range []string{"0A", "0B", "0C"} {
		m := newMember(t, id, more).start()
		nodes, apis = append(nodes, m), append(apis, m.api)
	}
	for i, m := range nodes {
		m.ready()
		for j := range 10 {
			m.put(fmt.Sprintf("n%d-%d", i, j), fmt.Sprintf(`{"x":%d}`, j))
		}
	}
	converged(t, 30, apis...)

	nodes[2].process.signal(syscall.SIGKILL)
	nodes[2].process.wait()
	nodes[0].put("while-c-is-dead", `{"x":1}`)
	b.Kill()
	nodes[1].put("while-the-broker-is-dead", `{"x":1}`)
	nodes[0].do("DELETE", "/v1/objects/n2-0", "", 200)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	nodes[2].start()
	converged(t, 31, apis...)
	for _, m := range nodes {
		m.ready()
		m.process.stop()
		if strings.Contains(m.process.stderr.String(), "secret-passcode") {
			t.Error("the log shows the passcode")
		}
	}
}
