package proc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStatSurvivesOddCommandNames(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20 21"
	for _, name := range []string{"(plain)", "(with blank)", "(with ) and ( inside)", "(a) S 9 9)"} {
		start, state, err := parseStat("77 " + name + rest)
		if err != nil || start != 424242 || state != "S" {
			t.Errorf("%q: %d, %q, %v", name, start, state, err)
		}
	}
	for _, bad := range []string{"", "77 (x", "77 (x) S 1 2", "77 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 soon 20"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q gave no error", bad)
		}
	}
}

func TestRecycledProcessIDIsNeverSignalled(t *testing.T) {
	cmd := child(t)
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]Identity{
		"an earlier process of that number": {PID: id.PID, Start: id.Start - 1, Boot: id.Boot},
		"a process of an earlier boot":      {PID: id.PID, Start: id.Start, Boot: "another"},
	} {
		if other.Alive() {
			t.Errorf("%s counts as alive", name)
		}
		if err := other.End(unix.SIGKILL, time.Second); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !id.Alive() {
		t.Fatal("the process that only shares the number was ended")
	}
	if err := id.End(unix.SIGTERM, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if id.Alive() {
		t.Error("the process itself still lives")
	}
}

func TestEndKillsWhatDoesNotHeed(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("sh", "-c", "trap '' TERM; touch "+ready+"; while :; do sleep 1; done")
	start(t, cmd)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the child does not begin")
		}
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.End(unix.SIGTERM, 200*time.Millisecond); err != nil || id.Alive() {
		t.Errorf("End: %v, alive %v", err, id.Alive())
	}
}

func TestEndedProcessIsNoError(t *testing.T) {
	cmd := child(t)
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if !id.WaitGone(5 * time.Second) {
		t.Fatal("the child does not end")
	}
	if err := id.End(unix.SIGTERM, time.Second); err != nil {
		t.Error(err)
	}
	if _, err := Identify(id.PID); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Identify of an ended process: %v", err)
	}
}

func TestPidFileIsBelievedOnlyForTheVeryProcess(t *testing.T) {
	p := Place{Run: t.TempDir(), Log: t.TempDir()}
	id, err := Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.record("self", id); err != nil {
		t.Fatal(err)
	}
	if got, ok := p.Running("self"); !ok || got != id {
		t.Errorf("Running = %v, %v", got, ok)
	}
	id.Start++
	if err := p.record("self", id); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Running("self"); ok {
		t.Error("a recycled process id counts as running")
	}
	if err := p.Forget("self"); err != nil {
		t.Error(err)
	}
	if err := p.Forget("self"); err != nil {
		t.Errorf("the second Forget: %v", err)
	}
	for name, text := range map[string]string{"empty": "", "old": "4711\n", "init": `{"pid":1}`, "negative": `{"pid":-1}`} {
		if err := os.WriteFile(filepath.Join(p.Run, name+".pid"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if id, ok := p.Recorded(name); ok {
			t.Errorf("the pid file %q gives %v", text, id)
		}
	}
}

func TestTailIsTheEndOfTheLog(t *testing.T) {
	p := Place{Log: t.TempDir()}
	if err := os.WriteFile(p.LogFile("d"), []byte("1\n2\n3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := p.Tail("d", 2); got != "2\n3" {
		t.Errorf("Tail = %q", got)
	}
	if got := p.Tail("none", 2); !strings.Contains(got, "no log") {
		t.Errorf("Tail of a missing log = %q", got)
	}
}

func child(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	start(t, cmd)
	return cmd
}

func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
}
