package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/stomp/broker"
)

func TestDevNodesTakeWritesAnywhereAndConverge(t *testing.T) {
	t.Parallel()
	p, nodes := dev(t, "--nodes", "3")
	if len(nodes) != 3 {
		t.Fatalf("%d nodes", len(nodes))
	}
	for i, a := range nodes {
		for j := range 20 {
			a.put(fmt.Sprintf("o%d-%02d", i, j), fmt.Sprintf(`{"n":%d,"tags":["a","b"],"in":{"node":%d}}`, j, i))
		}
	}
	converged(t, 60, nodes...)
	// Each node changes and deletes what another one wrote.
	for i, a := range nodes {
		other := (i + 1) % 3
		a.do("PATCH", fmt.Sprintf("/v1/objects/o%d-00", other), `{"n":null,"edited":true}`, 200)
		a.do("DELETE", fmt.Sprintf("/v1/objects/o%d-01", other), "", 200)
	}
	list := converged(t, 57, nodes...)
	if want := `{"id":"o0-00","edited":true,"in":{"node":0},"tags":["a","b"]}`; !strings.Contains(list, want) {
		t.Errorf("no %s in %s", want, list)
	}
	answer := nodes[2].do("POST", "/datarequest", `{"jsonrpc":"2.0","id":1,"method":"query","params":"{id where edited = true}"}`, 200)
	for _, id := range []string{"@o0-00", "@o1-00", "@o2-00"} {
		if !strings.Contains(answer, id) {
			t.Errorf("the query does not find %s: %s", id, answer)
		}
	}
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if left, err := os.ReadDir(p.tmp); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

func TestDevBannerCommandsCanBePasted(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	p, nodes := dev(t, "--nodes", "2")
	commands := regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(p.stdout.String(), -1)
	if len(commands) != 4 {
		t.Fatalf("%d commands in %s", len(commands), p.stdout.String())
	}
	for i, want := range []string{`"created":true`, `"title":"Moby Dick"`, `"id":"@moby-dick"`, `"ready":true`} {
		if i == 1 {
			converged(t, 1, nodes...)
		}
		out, err := exec.Command("sh", "-c", commands[i][1]).Output()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s gave %s, %v", commands[i][1], out, err)
		}
	}
}

func TestDevKeepsDataInADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, nodes := dev(t, "--nodes", "2", "--data", dir)
	nodes[0].put("a", `{"x":1}`)
	nodes[1].put("b", `{"x":1}`)
	p.stop()
	_, nodes = dev(t, "--nodes", "3", "--data", dir) // a third node joins two that have data
	nodes[2].put("c", `{"x":1}`)
	converged(t, 3, nodes...)
}

func TestDevWithAnOutsideBroker(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, nodes := dev(t, "--nodes", "2", "--stomp", b.Addr())
	if !strings.Contains(p.stdout.String(), "outside, "+b.Addr()) {
		t.Errorf("the banner names another broker: %s", p.stdout.String())
	}
	nodes[0].put("a", `{"x":1}`)
	converged(t, 1, nodes...)
}

func TestDevNamesThePortInUseAndLeavesNothing(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	p := start(t, "dev", "--nodes", "2", "--http-port", strconv.Itoa(taken-1))
	if code := p.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if msg := p.stderr.String(); !strings.Contains(msg, fmt.Sprintf("port %d is in use", taken)) || !strings.Contains(msg, "--http-port") {
		// The port before it may be taken as well; then that one is named.
		if !strings.Contains(msg, fmt.Sprintf("port %d is in use", taken-1)) {
			t.Errorf("unexpected message: %s", msg)
		}
	}
	if left, err := os.ReadDir(p.tmp); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

func TestDevFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"no nodes":        {[]string{"--nodes", "0"}, "--nodes 0"},
		"too many nodes":  {[]string{"--nodes", "1000"}, "1 to 26"},
		"no number":       {[]string{"--nodes", "three"}, "three"},
		"ports run out":   {[]string{"--http-port", "65534", "--nodes", "3"}, "--http-port 65534"},
		"negative port":   {[]string{"--http-port", "-1"}, "--http-port -1"},
		"broker as a URL": {[]string{"--stomp", "tcp://mq:61613"}, "looks like a URL"},
		"unknown level":   {[]string{"--log-level", "loud"}, "loud"},
		"unknown flag":    {[]string{"--node", "3"}, "--node"},
		"an argument":     {[]string{"three"}, `"three"`},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, append([]string{"dev"}, tt.args...)...)
			if code := p.wait(); code != exitUsage || !strings.Contains(p.stderr.String(), tt.says) {
				t.Errorf("exit code %d: %s", code, p.stderr.String())
			}
			if left, err := os.ReadDir(p.tmp); err != nil || len(left) > 0 {
				t.Errorf("something was made: %v, %v", left, err)
			}
		})
	}
}

func TestDevSaysWhenItsBrokerCannotBeReached(t *testing.T) {
	t.Parallel()
	p := start(t, "dev", "--nodes", "1", "--http-port", "0", "--stomp", freePort(t))
	eventually(t, func() string {
		if out := p.stdout.String(); !strings.Contains(out, "Ctrl-C stops everything.") {
			return "no banner"
		}
		return ""
	})
	if out := p.stdout.String(); !strings.Contains(out, "running, but node 0A is not ready (BrokerUnreachable)") {
		t.Errorf("unexpected banner: %s", out)
	}
	p.stop()
}

func TestASignalSentTwiceAtOnceCountsOnce(t *testing.T) {
	t.Parallel()
	p, _ := dev(t, "--nodes", "1")
	p.signal(syscall.SIGINT)
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended by now
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if left, err := filepath.Glob(filepath.Join(p.tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

func TestDevStopsQuickly(t *testing.T) {
	t.Parallel()
	p, nodes := dev(t)
	nodes[0].put("a", `{"x":1}`)
	start := time.Now()
	p.stop()
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("stopping took %s", took)
	}
}
