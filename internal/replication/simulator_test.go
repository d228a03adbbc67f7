package replication

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
)

// simulation is one seeded run of a small cluster whose broker, network and
// nodes fail at random, under a virtual clock.
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

// act does one random thing.
func (s *simulation) act() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch p := s.rng.IntN(100); {
	case p < 55:
		s.write(n, 1+s.rng.IntN(20))
	case p < 62:
		cut := s.rng.IntN(2) == 0
		s.tell("partition %s %v", n.store.me, cut)
		s.broker.partition(n.store.me, cut)
	case p < 68:
		wipe := s.rng.IntN(3) == 0
		s.tell("broker crash, wipe %v", wipe)
		s.broker.crash(wipe)
	case p < 76:
		s.tell("broker up")
		s.broker.up()
	case p < 86:
		s.restart(n)
	default:
		s.misbehave()
	}
	time.Sleep(time.Duration(s.rng.Int64N(int64(3 * time.Second))))
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

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), broker: newFakeBroker(seed), acked: map[branch.Dot]bool{}}
		id := branch.First(2)
		for i := range 2 + s.rng.IntN(4) {
			n := newTestNode(t, s.broker, id, Options{Seed: seed + uint64(i) + 1})
			s.nodes = append(s.nodes, n.start())
			id, _ = id.Next()
		}
		for range 10 + s.rng.IntN(40) {
			s.act()
		}
		s.heal()
		s.verify()
		stopAll(s.nodes...)
	})
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

func TestSimulatedClustersConvergeAndLoseNothingWhateverFails(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 40
	}
	for seed := range seedsFrom(seeds) {
		simulate(t, seed)
	}
}

// lostVolumes is a simulation in which volumes are lost or replaced by old
// backups, each at a moment when the node's peers can be heard.
func lostVolumes(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 2)), broker: newFakeBroker(seed), acked: map[branch.Dot]bool{}}
		for i, id := range []branch.ID{"0A", "0B", "0C"} {
			s.nodes = append(s.nodes, newTestNode(t, s.broker, id, Options{Seed: seed + uint64(i) + 1}).start())
		}
		content := map[branch.Dot][32]byte{}
		for range 6 {
			time.Sleep(5 * time.Second)
			victim := s.nodes[s.rng.IntN(3)]
			for range 5 {
				s.write(s.nodes[s.rng.IntN(3)], 1+s.rng.IntN(5))
				time.Sleep(time.Duration(s.rng.Int64N(int64(200 * time.Millisecond))))
			}
			backup := victim.store.restoredCopy("backup")
			s.write(victim, s.rng.IntN(4))
			time.Sleep(time.Duration(s.rng.Int64N(int64(20 * time.Millisecond))))
			s.issued(content)
			victim.crash()
			if s.rng.IntN(2) == 0 {
				backup = newFakeStore(victim.store.me)
			}
			s.tell("replaced the volume of %s", victim.store.me)
			victim.store = backup
			victim.start()
		}
		time.Sleep(2 * time.Minute)
		s.issued(content)
		if !converged(s.nodes...) {
			s.fail("the stores have not converged")
		}
		stopAll(s.nodes...)
	})
}

// issued notes the content of every changeset that the broker was given, and
// fails when a dot has two. What a volume held when it was lost, and nobody was
// given, exists nowhere: its dot may be issued again.
func (s *simulation) issued(content map[branch.Dot][32]byte) {
	s.broker.mu.Lock()
	published := s.broker.published
	s.broker.published = nil
	s.broker.mu.Unlock()
	for _, m := range published {
		list, err := changeset.Unpack(m.Body, changeset.DefaultLimits())
		if err != nil {
			s.fail("published what cannot be read: %v", err)
		}
		for _, e := range list {
			if have, known := content[e.Dot]; known && have != e.Hash {
				s.fail("%s was issued twice", e.Dot)
			}
			content[e.Dot] = e.Hash
		}
	}
}

func TestNoDotIsIssuedTwiceWhenVolumesAreLostOrRestored(t *testing.T) {
	for seed := range seedsFrom(100) {
		lostVolumes(t, seed)
		if t.Failed() {
			return
		}
	}
}
