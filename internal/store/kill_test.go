package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
)

// The variables that make the test binary a store that goes over to another file
// until it is killed: its directory, what it does, and where it is killed ("" for
// any time).
const (
	swapDirVariable  = "VESPER_STORE_SWAP_DIR"
	swapWorkVariable = "VESPER_STORE_SWAP_WORK"
	swapStepVariable = "VESPER_STORE_SWAP_STEP"
)

// runSwapper writes and compacts, or installs a snapshot, and says what has been
// acknowledged. It kills itself at a step, or is killed.
func runSwapper(dir string) {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	s, err := Open(ctx, Options{Dir: dir, Branch: "0A", Logger: quiet(), Hooks: &Hooks{TailLimit: 200, Step: func(step string) error {
		if step == os.Getenv(swapStepVariable) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}})
	fail(err)
	fmt.Println("open")
	var group sync.WaitGroup
	for w := range 2 {
		group.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				d, err := pjson.Parse(fmt.Appendf(nil, `{"id":%q,"v":%d,"text":%q}`, id, i, strings.Repeat("x", 300)), pjson.Options{})
				fail(err)
				c, err := s.Update(ctx, WriteOptions{}, func(tx *Tx) error { return tx.Create(d.Objects) })
				fail(err)
				fmt.Println("ack", id, c.Dot)
			}
		})
	}
	for i := 0; ; i++ {
		if os.Getenv(swapWorkVariable) == "compact" {
			_, err = s.Compact(ctx, 0)
			fail(err)
			continue
		}
		// Each snapshot brings one changeset more.
		_, err := s.InstallSnapshot(ctx, filepath.Join(filepath.Dir(dir), fmt.Sprintf("snapshot-%d", s.Revision().At("0B")+1)))
		fail(err)
	}
}

// swapAcks runs a swapper until it dies, and returns what it acknowledged.
func swapAcks(t *testing.T, dir, work, step string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), swapDirVariable+"="+dir, swapWorkVariable+"="+work, swapStepVariable+"="+step)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case f[0] == "open" && step == "":
			time.AfterFunc(time.Duration(20+rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		case f[0] == "ack" && len(f) == 3 && len(f[2]) >= 7:
			said[f[2]] = f[1]
		case f[0] == "error":
			t.Errorf("the process failed: %s", lines.Text())
		}
	}
	_ = cmd.Wait() // killed on purpose
	return said
}

// TestNoAcknowledgedWriteIsLostWhenTheProcessIsKilledWhileItChangesFiles kills a
// process that writes and meanwhile compacts, or installs snapshots, at each step
// and at any time. Every acknowledged write must be there, no dot twice, nothing
// left over, the file sound, and every installed changeset whole.
func TestNoAcknowledgedWriteIsLostWhenTheProcessIsKilledWhileItChangesFiles(t *testing.T) {
	for _, work := range []string{"compact", "install"} {
		t.Run(work, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "store")
			donor := open(t, t.TempDir(), "0B")
			for i := range 200 {
				do(t, donor, (*Tx).Add, fmt.Sprintf(`{"id":"d%d","v":1}`, i))
				data, _ := snapshotOf(t, donor)
				if err := os.WriteFile(filepath.Join(parent, fmt.Sprintf("snapshot-%d", i+1)), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			all := map[string]string{}
			for _, step := range []string{StepBuilt, "", StepSynced, "", StepRenamed, ""} {
				for dot, id := range swapAcks(t, dir, work, step) {
					if other, twice := all[dot]; twice {
						t.Errorf("dot %s was given to %s and %s", dot, other, id)
					}
					all[dot] = id
				}
				wantAcknowledged(t, dir, all)
			}
			if len(all) == 0 {
				t.Error("no write was acknowledged in any run")
			}
		})
	}
}

// wantAcknowledged opens a store whose process was killed.
func wantAcknowledged(t *testing.T, dir string, all map[string]string) {
	t.Helper()
	s := open(t, dir, "0A")
	defer s.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	if s.Copied() {
		t.Error("the store takes its file for a copy")
	}
	read(t, s, func(r *Reader) error {
		for dot, id := range all {
			o, exists, err := r.Object(id)
			if err != nil {
				return err
			}
			if !exists || o.Last.Dot.String() != dot {
				t.Errorf("acknowledged write %s of %s: found %v, last write %s", dot, id, exists, o.Last.Dot)
			}
		}
		for i := range r.Revision().At("0B") {
			if _, exists, err := r.Object(fmt.Sprintf("d%d", i)); err != nil || !exists {
				t.Errorf("object d%d of %s: %v, %v", i, r.Revision(), exists, err)
			}
		}
		return nil
	})
	next := map[branch.ID]uint64{}
	for _, e := range feedAfter(t, s) {
		if next[e.Dot.Branch]++; e.Dot.Seq != next[e.Dot.Branch] {
			t.Fatalf("the feed has %s as number %d of its branch", e.Dot, next[e.Dot.Branch])
		}
	}
	wantSound(t, s)
}
