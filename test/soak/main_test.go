// Package soak kills nodes and the broker under load and proves that nothing
// acknowledged is lost and all nodes come to the same state.
package soak

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(nodetest.Built(m)) }

// plan says how long to soak and from which seed.
type plan struct {
	duration time.Duration
	seed     uint64
}

// planned reads SOAK_SECONDS (default 60, 5 with -short) and SOAK_SEED (default: a new one).
func planned(t *testing.T) plan {
	t.Helper()
	seconds := uint64(60)
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

// newNode makes a node of the soak's channel; nothing runs yet.
func newNode(t *testing.T, id, broker string) *nodetest.Node {
	t.Helper()
	return nodetest.New(t, nodetest.Options{ID: id, Hosts: []string{broker}, Channel: "SOAK"})
}

// below returns a duration in [0, d).
func below(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
