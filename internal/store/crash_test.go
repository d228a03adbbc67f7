package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
)

// childVariable makes the test binary a writer: it names the directory.
const childVariable = "VESPER_STORE_CRASH_DIR"

// childIndexes are declared by a writer: now one, now the other, so that a kill
// finds them half built and half removed.
func childIndexes() []string { return []string{"v", []string{"text", "w"}[rand.IntN(2)]} }

// runChild writes until it is killed, and says what has been acknowledged.
func runChild(dir string) {
	s, err := Open(context.Background(), Options{Dir: dir, Branch: "0A", Logger: quiet(), Hooks: &Hooks{TailLimit: 200, BuildObjects: 10}, Indexes: childIndexes()})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open")
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				d, err := pjson.Parse(fmt.Appendf(nil, `{"id":%q,"v":%d,"text":%q}`, id, i, strings.Repeat("x", 300)), pjson.Options{})
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				c, err := s.Update(context.Background(), WriteOptions{}, func(tx *Tx) error { return tx.Create(d.Objects) })
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println("ack", id, c.Dot)
			}
		})
	}
	group.Wait()
}

// acks runs a writer, kills it after a random time, and returns what it said was
// written: object ids by dot.
func acks(t *testing.T, dir string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
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
		case f[0] == "open":
			time.AfterFunc(time.Duration(20+rand.IntN(180))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		case f[0] == "ack" && len(f) == 3 && len(f[2]) >= 7:
			said[f[2]] = f[1]
		case f[0] == "error":
			t.Errorf("the writer failed: %s", lines.Text())
		}
	}
	_ = cmd.Wait() // killed on purpose
	return said
}

// TestNoAcknowledgedWriteIsLostWhenTheProcessIsKilled also proves that dots stay
// contiguous, that the feed has each once, and that the declared indexes are right,
// over several kills of one store.
func TestNoAcknowledgedWriteIsLostWhenTheProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	all := map[string]string{}
	for range 5 {
		for dot, id := range acks(t, dir) {
			if other, twice := all[dot]; twice {
				t.Errorf("dot %s was given to %s and %s", dot, other, id)
			}
			all[dot] = id
		}
	}
	if len(all) == 0 {
		t.Fatal("no write was acknowledged in any run")
	}
	s := open(t, dir, "0A")
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
		return nil
	})
	for i, e := range feed(t, s) {
		if want := (branch.Dot{Branch: "0A", Seq: uint64(i) + 1}); e.Dot != want {
			t.Fatalf("the feed has %s where %s belongs", e.Dot, want)
		}
	}
	wantOrdered(t, s, s.declared()...)
	t.Logf("%d acknowledged, %d there", len(all), s.Stats().Changesets)
}
