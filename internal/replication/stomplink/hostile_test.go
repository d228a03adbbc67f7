package stomplink_test

import (
	"bytes"
	"context"
	_ "embed"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/stomp"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/stomp/frame"
)

// hostilePeer is a client of Debian's python3-stomp that sends what no node sends.
//
//go:embed testdata/hostile.py
var hostilePeer string

// journal collects a node's log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write never fails.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// count returns the lines that hold all of the texts.
func (j *journal) count(texts ...string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.b.String()) {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(line, text)
		}
		if all {
			n++
		}
	}
	return n
}

func attack(t *testing.T, addr, channel string, kinds ...string) {
	t.Helper()
	const python = "/usr/bin/python3"
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, python, "-c", "import stomp").Run(); err != nil {
		t.Skipf("needs an independent STOMP client: apt-get install python3-stomp (%v)", err)
	}
	script := filepath.Join(t.TempDir(), "hostile.py")
	if err := os.WriteFile(script, []byte(hostilePeer), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, python, append([]string{script, host, port, channel}, kinds...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestGarbageFromAnotherClientIsQuarantinedLoggedOncePerCauseAndNeverFatal: on the data topic, the
// beacon topic and the sync queues of a real ActiveMQ; after each, nodes replicate as before, and
// nothing was refused to the dead letters.
func TestGarbageFromAnotherClientIsQuarantinedLoggedOncePerCauseAndNeverFatal(t *testing.T) {
	short(t)
	b := activeMQ{activemqtest.Start(t, activemqtest.Options{})}
	x, y := newNode(t, b, "0A"), newNode(t, b, "0B")
	var log journal
	x.logs = &log
	x.start()
	y.start()
	eventually(t, 60*time.Second, "two nodes ready", func() bool { return ready(x, y) }, x, y)
	x.write(3)
	mustConverge(t, x, y)
	attack(t, b.Addr(), x.channel, "garbage", "type", "headers", "beacons", "sync", "parts", "anonymous", "foreign", "many")
	y.write(3)
	mustConverge(t, x, y)
	eventually(t, 30*time.Second, "all that garbage in quarantine", func() bool { return len(x.repl.Quarantine()) >= 20 }, x)
	if s := x.repl.Status(); !s.Ready || s.Links[0].Reconnects != 0 {
		t.Errorf("garbage cost the connection: %+v", s.Links[0])
	}
	// 200 messages of the same kind are one cause.
	if n := log.count("level=ERROR"); n == 0 || n > 40 {
		t.Errorf("%d lines of errors for two dozen causes", n)
	}
	c, err := stomp.Dial(t.Context(), b.Addr(), stomp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dead, err := c.Subscribe(t.Context(), stomp.SubscribeOptions{Destination: "/queue/ActiveMQ.DLQ"})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-dead.C():
		t.Errorf("in the dead letters: %v", m)
	case <-time.After(300 * time.Millisecond):
	}
}

// TestMessageOverTheLimitIsQuarantinedAndDoesNotComeAgain: what a foreign client sends may be larger
// than what a node reads; a connection that it ended would only bring it again, for ever.
func TestMessageOverTheLimitIsQuarantinedAndDoesNotComeAgain(t *testing.T) {
	b := startEmbedded(t, broker.Options{})
	x, y := pair(t, b)
	long := strings.Repeat("x", 20<<10)
	b.SetFaults(broker.Faults{Sent: func(_ string, f *frame.Frame) broker.Fault {
		if f.Command == frame.Message && f.Header.Get("bad") != "" {
			f.Header.Add("long", long)
		}
		return broker.Fault{}
	}})
	c, err := stomp.Dial(t.Context(), b.Addr(), stomp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3 {
		err := c.Send(t.Context(), stomp.Outgoing{Destination: "/topic/" + x.channel, Body: []byte("x"), Header: frame.New("X", "bad", "1", "clientid", "0Z").Header})
		if err != nil {
			t.Fatal(err)
		}
	}
	x.write(3)
	mustConverge(t, x, y)
	found := func() (n int) {
		for _, e := range x.repl.Quarantine() {
			if strings.Contains(e.Error, "header line") {
				n++
			}
		}
		return n
	}
	eventually(t, 20*time.Second, "the three in quarantine", func() bool { return found() == 3 }, x)
	x.stop()
	x.start() // a durable subscription would bring again what was not acknowledged
	mustConverge(t, x, y)
	if n := x.repl.Status().Links[0].Reconnects; n != 0 {
		t.Errorf("the connection was lost %d times", n)
	}
}
