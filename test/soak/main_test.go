// Package soak kills nodes and the broker under load and proves that nothing
// acknowledged is lost and all nodes come to the same state.
package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// program is the node under test, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "vesper-soak-")
	if err == nil {
		program = filepath.Join(dir, "vesper-node")
		err = build(program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the program:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// build compiles the node, with the race detector when SOAK_RACE is set.
func build(to string) error {
	args := []string{"build", "-o", to}
	if os.Getenv("SOAK_RACE") != "" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "vesperdb.io/vesper/cmd/node")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// plan says how long to soak and from which seed.
type plan struct {
	duration time.Duration
	seed     uint64
}

// planned reads SOAK_SECONDS (default 30, 5 with -short) and SOAK_SEED (default: a new one).
func planned(t *testing.T) plan {
	t.Helper()
	seconds := uint64(30)
	if testing.Short() {
		seconds = 5
	}
	p := plan{seed: rand.Uint64()}
	err := errors.Join(number("SOAK_SECONDS", &seconds), number("SOAK_SEED", &p.seed))
	if err != nil {
		t.Fatal(err)
	}
	p.duration = time.Duration(seconds) * time.Second
	t.Logf("Soaking for %v: SOAK_SEED=%d", p.duration, p.seed)
	return p
}

func number(name string, into *uint64) error {
	text := os.Getenv(name)
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*into = n
	return nil
}

// chance is one of the independent sources of chance of a seed.
func (p plan) chance(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(p.seed, stream)) }

// below returns a duration in [0, d).
func below(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
