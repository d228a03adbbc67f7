package replication

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// simulation is one seeded run of a small cluster of fake stores whose brokers,
// network and nodes fail at random, under a virtual clock. Real stores and all
// twelve guarantees are in internal/simulation.
type simulation struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	broker *fakeBroker
	nodes  []*testNode
	acked  map[branch.Dot]bool
	story  []string
}

func (s *simulation) tell(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("%s "+format, append([]any{time.Now().Format("04:05.000")}, args...)...))
}

func (s *simulation) write(n *testNode, count int) {
	for range count {
		d, err := n.store.write(strconv.Itoa(len(s.acked)))
		if err != nil {
			s.tell("write on %s refused: %v", n.store.me, err)
			return
		}
		s.acked[d] = true
		s.tell("wrote %s", d)
	}
}

func (s *simulation) restart(n *testNode) {
	if n.stop == nil {
		s.tell("start %s", n.store.me)
		n.start()
		return
	}
	s.tell("crash %s", n.store.me)
	n.crash()
}

func (s *simulation) misbehave() {
	lose, repeat, shuffle := s.rng.Float64()*0.3, s.rng.Float64()*0.3, s.rng.Float64()*0.3
	delay := time.Duration(1 + s.rng.Int64N(int64(50*time.Millisecond)))
	s.tell("lose %.2f repeat %.2f shuffle %.2f delay %v", lose, repeat, shuffle, delay)
	s.broker.set(func(b *fakeBroker) { b.lose, b.repeat, b.shuffle, b.delay = lose, repeat, shuffle, delay })
}

// heal ends all faults.
func (s *simulation) heal() {
	s.tell("heal")
	s.broker.set(func(b *fakeBroker) {
		b.lose, b.repeat, b.shuffle, b.delay, b.down = 0, 0, 0, time.Millisecond, false
		clear(b.cut)
	})
	for _, n := range s.nodes {
		if n.stop == nil {
			n.start()
		}
	}
}

// verify waits until the cluster has converged and asserts what must hold.
func (s *simulation) verify() {
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Second) {
		if converged(s.nodes...) && s.allReady() {
			break
		}
		if time.Now().After(deadline) {
			s.fail("the cluster has not converged five minutes after the last fault")
			return
		}
	}
	revision := s.nodes[0].store.Revision()
	for d := range s.acked {
		if !revision.Covers(d) {
			s.fail("acknowledged %s is lost", d)
		}
	}
	for _, n := range s.nodes {
		if err := n.store.check(); err != nil {
			s.fail("%v", err)
		}
		if st := n.status(); !st.Writable {
			s.fail("%s refuses writes: %s", n.store.me, st.WritesRefused)
		}
	}
}

func (s *simulation) allReady() bool {
	for _, n := range s.nodes {
		if !n.ready() {
			return false
		}
	}
	return true
}

func (s *simulation) fail(format string, args ...any) {
	s.t.Errorf(format, args...)
	s.t.Logf("SEED=%d runs it again%s", s.seed, describe(s.nodes...))
	for _, line := range s.story {
		s.t.Log(line)
	}
}

// seedsFrom gives the seeds 1 to n; SEEDS in the environment replaces n, and
// SEED gives that one alone.
func seedsFrom(n int) iter.Seq[uint64] {
	first, count := uint64(1), uint64(n)
	if v, err := strconv.ParseUint(os.Getenv("SEEDS"), 10, 64); err == nil {
		count = v
	}
	if v, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		first, count = v, 1
	}
	return func(yield func(uint64) bool) {
		for seed := first; seed < first+count && yield(seed); seed++ {
		}
	}
}
