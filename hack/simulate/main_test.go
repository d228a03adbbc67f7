package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program builds the simulator with its own runtime, from the root of the tree.
func program(t *testing.T, mutants bool) (context.Context, string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds Go's runtime")
	}
	t.Chdir("../..")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	p, err := build(ctx, t.TempDir(), mutants)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, p
}

// TestSeedsReplayExactly proves that a seed is one run, whatever else the
// process has run before, and that the guarantees hold in some hundred of them.
func TestSeedsReplayExactly(t *testing.T) {
	ctx, p := program(t, false)
	s, failed, err := run(ctx, p, job{first: 1, seeds: 300, workers: 2, twice: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range failed {
		t.Error(r.Story)
	}
	if s.Seeds != 300 || s.Operations < 30000 {
		t.Errorf("ran %d seeds with %d operations", s.Seeds, s.Operations)
	}
}

// quick are mutants that any dozen seeds notice; make simulate-mutants tries all.
var quick = []string{"accept-fork", "digest-off-by-one", "duplicate-applied-twice", "history-off-by-one", "conflict-by-arrival-order", "relay-drops-remote"}

func TestBrokenCodeIsNoticed(t *testing.T) {
	ctx, p := program(t, true)
	known, err := list(ctx, p)
	if err != nil || len(known) < 12 {
		t.Fatalf("the program can be broken in %d ways, %v", len(known), err)
	}
	for _, name := range quick {
		_, failed, err := run(ctx, p, job{first: 1, seeds: 200, workers: 2, mutant: name, untilFailure: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(failed) == 0 {
			t.Errorf("nobody noticed %s in 200 seeds", name)
		}
	}
}

// TestPatchThatDoesNotFitSaysSo proves that another Go version is refused with
// the place to look at, instead of giving runs that do not replay.
func TestPatchThatDoesNotFitSaysSo(t *testing.T) {
	root := t.TempDir()
	for _, p := range patches {
		path := filepath.Join(root, "src", p.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("package other\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := writeOverlay(root, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), patches[0].file) {
		t.Errorf("got %v", err)
	}
}

func TestWorkerThatDiesIsAFailureOfItsSeed(t *testing.T) {
	if _, err := exec.LookPath("false"); err != nil {
		t.Skip(err)
	}
	s, failed, err := run(t.Context(), "false", job{first: 7, seeds: 1, workers: 1})
	if err != nil || s.Failures != 1 || failed[0].Seed != 7 || failed[0].Failed != "died" {
		t.Errorf("got %+v, %+v, %v", s, failed, err)
	}
}
