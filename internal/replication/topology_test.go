package replication

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// topologies say which brokers each node is linked to, by index: a node with
// several relays between them.
var topologies = map[string][][]int{
	"mesh of five":              {{0}, {0}, {0}, {0}, {0}},
	"star":                      {{0, 1, 2, 3}, {0}, {1}, {2}, {3}},
	"chain":                     {{0}, {0, 1}, {1, 2}, {2, 3}, {3}},
	"tree with two relays":      {{0}, {0, 1}, {0, 1}, {1}, {1, 2}, {2}},
	"ring that relays go round": {{0, 1}, {1, 2}, {2, 0}, {0}},
}

// build makes the nodes and brokers of a topology.
func build(t *testing.T, s *simulation, shape [][]int) (brokers []*fakeBroker) {
	t.Helper()
	id := branch.First(2)
	for i, at := range shape {
		var mine []*fakeBroker
		for _, b := range at {
			for len(brokers) <= b {
				brokers = append(brokers, newFakeBroker(s.seed+uint64(len(brokers))))
			}
			mine = append(mine, brokers[b])
		}
		n := newTestNode(t, mine[0], id, Options{Seed: s.seed + uint64(i) + 1})
		n.more = mine[1:]
		s.nodes = append(s.nodes, n.start())
		id, _ = id.Next()
	}
	return brokers
}

// trouble lets one random broker or node fail, lose messages or come back.
func (s *simulation) trouble(brokers []*fakeBroker) {
	s.broker = brokers[s.rng.IntN(len(brokers))]
	switch n := s.nodes[s.rng.IntN(len(s.nodes))]; s.rng.IntN(6) {
	case 0:
		s.broker.crash(s.rng.IntN(3) == 0)
	case 1:
		s.broker.up()
	case 2:
		s.restart(n)
	case 3:
		s.misbehave()
	default:
		s.write(n, 1+s.rng.IntN(10))
	}
}

func topologyRun(t *testing.T, shape [][]int, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), acked: map[branch.Dot]bool{}}
		brokers := build(t, s, shape)
		time.Sleep(5 * time.Second)
		for range 40 {
			s.trouble(brokers)
			time.Sleep(time.Duration(s.rng.Int64N(int64(2 * time.Second))))
		}
		for _, s.broker = range brokers {
			s.heal()
		}
		s.verify()
		s.quiet(brokers)
		stopAll(s.nodes...)
	})
}

// quiet asserts that nothing goes round in circles once all is level.
func (s *simulation) quiet(brokers []*fakeBroker) {
	time.Sleep(20 * time.Second) // let what is under way arrive
	count := func() (n int) {
		for _, b := range brokers {
			n += b.messages()
		}
		return n
	}
	before := count()
	time.Sleep(20 * time.Second)
	if after := count(); after != before {
		s.fail("%d messages of changesets were sent while nothing was written", after-before)
	}
}

func TestEveryTopologyConvergesWhateverFailsAndThenIsQuiet(t *testing.T) {
	for name, shape := range topologies {
		t.Run(name, func(t *testing.T) {
			for seed := range seedsFrom(15) {
				topologyRun(t, shape, seed)
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}

func TestFlappingLeafLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, site := newFakeBroker(1), newFakeBroker(2)
		a, relay, leaf := newTestNode(t, core, "0A", Options{Seed: 1}), newTestNode(t, core, "0B", Options{Seed: 2}), newTestNode(t, site, "0C", Options{Seed: 3})
		relay.more = []*fakeBroker{site}
		startAll(a, relay, leaf)
		eventually(t, time.Minute, "ready", func() bool { return a.ready() && relay.ready() && leaf.ready() })
		for i := range 30 {
			leaf.write(3)
			a.write(1)
			site.partition("0C", i%2 == 0)
			time.Sleep(time.Duration(100+37*i) * time.Millisecond)
		}
		site.partition("0C", false)
		eventually(t, 2*time.Minute, "converged", func() bool { return converged(a, relay, leaf) })
		if got := leaf.store.Revision(); got.At("0C") != 90 || got.At("0A") != 30 {
			t.Errorf("revision %s", got)
		}
	})
}

func TestLinksOfARelayHaveCursorsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, site := newFakeBroker(1), newFakeBroker(2)
		relay := newTestNode(t, core, "0B", Options{Seed: 2})
		relay.more = []*fakeBroker{site}
		relay.start()
		eventually(t, time.Minute, "ready", relay.ready)
		site.crash(false)
		relay.write(5)
		eventually(t, time.Minute, "published to the core", func() bool { n, _ := relay.store.Outbox("main"); return n == 0 })
		if n, _ := relay.store.Outbox("link-1"); n != 5 {
			t.Errorf("%d changesets wait for the link that is down", n)
		}
		if s := relay.status(); s.Ready || s.Outbox.Changesets != 5 {
			t.Errorf("status %s, outbox %d: %s", s.Reason, s.Outbox.Changesets, fmt.Sprint(s.Links))
		}
		site.up()
		eventually(t, time.Minute, "published to the site", func() bool { n, _ := relay.store.Outbox("link-1"); return n == 0 })
	})
}
