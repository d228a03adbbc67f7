package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/store"
)

// copyFile puts a copy of the node's file in the place of it, as a restore does.
func (m *member) copyFile() {
	m.t.Helper()
	path := filepath.Join(m.dir, store.FileName)
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+".copy", data, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".copy", path)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func TestCopiedVolumeIsRefusedUntilTheCommandAccepts(t *testing.T) {
	t.Parallel()
	m := newMember(t, "0A", "").start()
	m.ready()
	m.put("a", `{"x":1}`)
	m.process.stop()
	m.copyFile()
	m.start()
	eventually(t, func() string {
		if s, err := m.status(); err != nil || s.Reason != "VolumeCopied" || s.Ready || s.Writable {
			return fmt.Sprintf("unexpected status %+v, %v", s, err)
		}
		return ""
	})
	if text := m.do("PUT", "/v1/objects/a", `{"x":2}`, 503); !strings.Contains(text, "vesper-node accept") {
		t.Errorf("the refusal names no remedy: %s", text)
	}
	accept := start(t, "accept", "--node", m.url)
	if code := accept.wait(); code != exitOK || !strings.Contains(accept.stdout.String(), "branch 0A is accepted at revision 0A00001") {
		t.Fatalf("exit code %d: %s%s", code, accept.stdout.String(), accept.stderr.String())
	}
	m.ready()
	m.put("a", `{"x":2}`)
	m.process.stop()
	m.start().ready() // and remains so
	m.process.stop()
}

func TestAcceptSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		node string
		code int
		says string
	}{
		"no URL":      {"localhost:8000", exitUsage, "like http://localhost:8000"},
		"nobody":      {"http://" + freePort(t), exitFailed, "connection refused"},
		"not a node":  {"http://" + startBroker(t).Addr(), exitFailed, "accepting the branch"},
		"another way": {"ftp://x", exitUsage, "no URL of a node"},
	} {
		p := start(t, "accept", "--node", c.node)
		if code := p.wait(); code != c.code || !strings.Contains(p.stderr.String(), c.says) {
			t.Errorf("%s: exit code %d: %s", name, code, p.stderr.String())
		}
	}
}

// TestFrozenNodeTakesNoWriteBeforeItHasLookedAround: SIGSTOP for longer than
// the lease of writes, as by a paused machine.
func TestFrozenNodeTakesNoWriteBeforeItHasLookedAround(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Parallel()
	b := startBroker(t)
	m := newMember(t, "0A", replicating(b.Addr())).start()
	m.ready()
	m.put("a", `{"x":1}`)
	m.process.signal(syscall.SIGSTOP)
	time.Sleep(25 * time.Second) // the freeze itself, not a synchronization
	m.process.signal(syscall.SIGCONT)
	if text := m.do("PUT", "/v1/objects/a", `{"x":2}`, 503); !strings.Contains(text, "stopped for a while") && !strings.Contains(text, "asks its peers") {
		t.Errorf("no reason: %s", text)
	}
	m.ready()
	m.put("a", `{"x":2}`)
	m.process.stop()
}
