package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"vesperdb.io/vesper/internal/nodestatus"
)

// wantStatus waits until the node's status is as holds says.
func (a api) wantStatus(what string, holds func(nodestatus.Status) bool) nodestatus.Status {
	a.t.Helper()
	var s nodestatus.Status
	eventually(a.t, func() string {
		var err error
		if s, err = a.status(); err != nil {
			return err.Error()
		}
		if !holds(s) {
			return fmt.Sprintf("%s is not %s: %+v", a.url, what, s)
		}
		return ""
	})
	return s
}

func TestANewNodeGetsAllTheDataAndIsReadyOnlyThen(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one := newMember(t, "0A", replicating(b.Addr())).start()
	two := newMember(t, "0B", replicating(b.Addr())).start()
	one.ready()
	two.ready()
	for i := range 100 {
		one.put(fmt.Sprintf("a%03d", i), `{"x":[1,2,3],"in":{"y":1}}`)
		two.put(fmt.Sprintf("b%03d", i), `{"x":"@a000"}`)
	}
	converged(t, 200, one.api, two.api)
	one.do("DELETE", "/v1/objects/b000", "", 200)
	converged(t, 199, one.api, two.api)
	late := newMember(t, "0C", replicating(b.Addr())).start()
	late.ready()
	if got, want := len(ids(late.api)), len(ids(one.api)); got != want {
		t.Errorf("the node says that it is ready with %d of %d objects", got, want)
	}
	s := late.wantStatus("aware of two peers", func(s nodestatus.Status) bool { return len(s.Peers) == 2 })
	if s.Lag.Changesets != 0 || s.Pending.Changesets != 0 {
		t.Errorf("unexpected status %+v", s)
	}
	late.put("c", `{"x":1}`)
	converged(t, len(ids(late.api)), one.api, two.api, late.api)
}

// ids lists the objects of a node.
func ids(a api) []string {
	a.t.Helper()
	return strings.Split(a.do("GET", "/v1/objects?limit=1000", "", 200), `{"id":`)[1:]
}

// TestANodeThatLostItsVolumeNeverWritesUnderItsOldID is promise two: what peers
// hold comes back, but the lost volume may have held more, so no dot is risked.
func TestANodeThatLostItsVolumeNeverWritesUnderItsOldID(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one := newMember(t, "0A", replicating(b.Addr())).start()
	two := newMember(t, "0B", replicating(b.Addr())).start()
	one.ready()
	two.ready()
	one.put("a", `{"x":1}`)
	one.put("b", `{"x":1}`)
	converged(t, 2, one.api, two.api)
	one.process.stop()
	if err := os.RemoveAll(one.dir); err != nil {
		t.Fatal(err)
	}
	one.start()
	converged(t, 2, one.api, two.api)
	s := one.wantStatus("refusing writes as its branch is ahead", func(s nodestatus.Status) bool {
		return s.Reason == nodestatus.ReasonBranchAhead && !s.Writable && !s.Ready
	})
	if s.Message == "" || s.WritesRefused == "" {
		t.Errorf("no reason in %+v", s)
	}
	if text := one.do("PUT", "/v1/objects/c", `{"x":1}`, 503); !strings.Contains(text, "0A") {
		t.Errorf("the refusal does not name the branch: %s", text)
	}
	two.put("c", `{"x":1}`) // the others go on
	converged(t, 3, one.api, two.api)
	// A restart changes nothing about it.
	one.process.stop()
	one.start()
	one.wantStatus("refusing writes as its branch is ahead", func(s nodestatus.Status) bool {
		return s.Reason == nodestatus.ReasonBranchAhead && !s.Writable
	})
}

func TestTwoProcessesCannotOpenOneStore(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "").start()
	m.ready()
	twin := newMember(t, "0A", "")
	if err := os.Symlink(m.dir, twin.dir); err != nil {
		t.Fatal(err)
	}
	twin.start()
	if code := twin.process.wait(); code != exitFailed || !strings.Contains(twin.process.stderr.String(), filepath.Base(m.dir)) {
		t.Errorf("exit code %d: %s", code, twin.process.stderr.String())
	}
	m.put("a", `{"x":1}`)
}

func TestTwoNodesWithOneIDDoNotBothWrite(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	one := newMember(t, "0A", replicating(b.Addr())).start()
	two := newMember(t, "0B", replicating(b.Addr())).start()
	one.ready()
	two.ready()
	one.put("a", `{"x":1}`)
	converged(t, 1, one.api, two.api)
	twin := newMember(t, "0A", replicating(b.Addr())).start()
	eventually(t, func() string {
		if code, text := twin.try("GET", "/healthz", ""); code != 200 {
			return text
		}
		return ""
	})
	for range 20 {
		code, _ := twin.try("PUT", "/v1/objects/evil", `{"x":1}`)
		if code != 503 {
			t.Fatalf("a second node 0A took a write: %d", code)
		}
	}
	s := twin.wantStatus("not ready, with a reason", func(s nodestatus.Status) bool { return !s.Ready && !s.Writable && s.Message != "" })
	t.Logf("the twin says: %s: %s", s.Reason, s.Message)
}

// TestAFullDiskLosesNothing runs a node on a small file system of its own.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	m := newMember(t, "0A", "")
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The mount is in a namespace that ends with the process.
	script := fmt.Sprintf("mount -t tmpfs -o size=40m tmpfs %[1]s && head -c 12000000 /dev/zero > %[1]s/ballast && exec %[2]s --config %[3]s", m.dir, binary, m.file)
	if out, err := exec.Command("unshare", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("no mount namespace can be had: %v: %s", err, out)
	}
	m.process = startProgram(t, "unshare", "--mount", "sh", "-c", script)
	m.ready()
	var kept []string
	eventually(t, func() string {
		id := fmt.Sprintf("o%05d", len(kept))
		code, text := m.try("PUT", "/v1/objects/"+id, `{"x":"`+strings.Repeat(id, 20_000)+`"}`)
		switch code {
		case 201:
			kept = append(kept, id)
			return fmt.Sprintf("not full after %d objects", len(kept))
		case 507:
			if !strings.Contains(text, "free some space") {
				t.Fatalf("the message has no remedy: %s", text)
			}
			return ""
		}
		t.Fatalf("unexpected answer %d: %s", code, text)
		return ""
	})
	if len(kept) == 0 {
		t.Fatal("the disk was full from the start")
	}
	m.wantStatus("showing the full disk", func(s nodestatus.Status) bool { return s.Reason == nodestatus.ReasonStorageFailed && !s.Ready })
	m.do("GET", "/healthz", "", 200) // a restart frees no space
	for _, id := range kept {
		m.do("GET", "/v1/objects/"+id, "", 200)
	}
	ballast := fmt.Sprintf("/proc/%d/root%s/ballast", m.process.cmd.Process.Pid, m.dir)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	m.put("after", `{"x":1}`)
	m.ready()
	m.process.signal(syscall.SIGTERM)
	if code := m.process.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
