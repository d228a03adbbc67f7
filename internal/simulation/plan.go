package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Topology is a shape of cluster: for each node the brokers it has links to. A
// node with more than one is a relay.
type Topology struct {
	Name    string
	Brokers int
	Links   [][]int
}

// Topologies are the shapes that are tried.
var Topologies = []Topology{
	{"pair", 1, [][]int{{0}, {0}}},
	{"mesh of 3", 1, [][]int{{0}, {0}, {0}}},
	{"mesh of 5", 1, [][]int{{0}, {0}, {0}, {0}, {0}}},
	{"star", 3, [][]int{{0, 1, 2}, {0}, {1}, {2}}},
	{"chain", 3, [][]int{{0}, {0, 1}, {1, 2}, {2}}},
	{"tree with two relays", 3, [][]int{{0}, {0, 1}, {0, 1}, {1, 2}, {2}}},
	{"flapping leaf", 2, [][]int{{0}, {0, 1}, {1}}},
}

// weights say how often each topology is chosen: small ones are quick, and
// most bugs need no more than two nodes.
var weights = []int{22, 30, 10, 8, 10, 6, 14}

// Plan is all that a run is made of. A plan and its seed give one run.
type Plan struct {
	Seed     uint64
	Topology Topology
	// Policy is the conflict policy of all nodes.
	Policy string
	// Retention is how old a changeset must be to leave the log, 0 for never;
	// SnapshotLag how far behind a new node must be to begin with a snapshot.
	Retention   time.Duration
	SnapshotLag int
	// Forever lets the faults go on to the end: then only safety is asserted.
	Forever bool
	Acts    []Act
}

// Act is one thing that happens: what, to whom, and how long after the one
// before it. The fields after Kind mean what the kind makes of them.
type Act struct {
	After        time.Duration
	Kind         string
	Node, Broker int
	Count        int
	For          time.Duration
	Rates        rates
	In, Out      bool
	Text         string
	Chance       uint64
}

// String tells the act.
func (a Act) String() string {
	switch a.Kind {
	case "write":
		return fmt.Sprintf("node %d writes %d times (%d)", a.Node, a.Count, a.Chance%1000)
	case "crash":
		return fmt.Sprintf("node %d crashes, for %v", a.Node, a.For)
	case "fuse":
		return fmt.Sprintf("node %d will crash %s number %d, for %v", a.Node, a.Text, a.Count, a.For)
	case "stop":
		return fmt.Sprintf("node %d stops cleanly, for %v", a.Node, a.For)
	case "cut":
		return fmt.Sprintf("node %d and broker %d are cut off: to the node %v, to the broker %v", a.Node, a.Broker, a.In, a.Out)
	case "broker crash", "broker wipe", "broker up", "broker blocks", "broker takes":
		return fmt.Sprintf("%s (%d)", a.Kind, a.Broker)
	case "network":
		return fmt.Sprintf("broker %d loses %.2f, doubles %.2f, shuffles %.2f, delays %v",
			a.Broker, a.Rates.lose, a.Rates.repeat, a.Rates.shuffle, a.Rates.delay)
	case "skew":
		return fmt.Sprintf("the clock of node %d is wrong by %v", a.Node, a.For)
	default:
		return fmt.Sprintf("%s: node %d", a.Kind, a.Node)
	}
}

// kinds are the acts with their weights.
var kinds = []struct {
	kind   string
	weight int
}{
	{"write", 46},
	{"crash", 4},
	{"fuse", 9},
	{"stop", 2},
	{"cut", 7},
	{"join", 5},
	{"broker crash", 2},
	{"broker wipe", 2},
	{"broker up", 5},
	{"broker blocks", 1},
	{"broker takes", 2},
	{"network", 6},
	{"skew", 3},
	{"disk full", 1},
	{"disk broken", 1},
	{"disk unsure", 2},
	{"disk works", 3},
	{"back up", 3},
	{"restore", 2},
	{"lose volume", 1},
	{"pause", 2},
	{"compact", 2},
}

// places are where a process can die.
var places = []string{
	"before a commit", "after a commit", "before a frame", "after a frame",
	"before an acknowledgment", "after an acknowledgment", "after a step of moving the file",
}

// NewPlan makes a plan of a seed. Most are small; every 50th is large.
func NewPlan(seed uint64) Plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, Topology: Topologies[pick(rng, weights)]}
	p.Policy = []string{"latest", "latest", "latest", "earliest", "keepBoth"}[rng.IntN(5)]
	if rng.IntN(3) == 0 {
		p.Retention = 20 * time.Second
	}
	p.SnapshotLag = []int{10, 50_000}[rng.IntN(2)]
	p.Forever = rng.IntN(4) == 0
	acts := 6 + rng.IntN(18)
	if seed%50 == 0 {
		acts = 80
	}
	all := make([]int, len(kinds))
	for i, k := range kinds {
		all[i] = k.weight
	}
	for range acts {
		p.Acts = append(p.Acts, p.act(rng, kinds[pick(rng, all)].kind))
	}
	if rng.IntN(12) == 0 {
		p.away(rng)
	}
	return p
}

func pick(rng *rand.Rand, weights []int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	at := rng.IntN(sum)
	for i, w := range weights {
		if at < w {
			return i
		}
		at -= w
	}
	return 0
}

// away has a node be cut off, write, be struck off the list of members, and come
// back when the others have let go of what it lacks: at the end of the plan, or
// before everything else, so that what goes wrong meets the snapshot that it gets.
// Meanwhile it writes on, and now and then its brokers take nothing from anybody:
// then nobody has what it writes when the snapshot takes the place of its store.
func (p *Plan) away(rng *rand.Rand) {
	if len(p.Topology.Links) < 3 {
		p.Topology = Topologies[1] // who has no other member lets go of nothing
	}
	p.Retention = 20 * time.Second
	gone := rng.IntN(len(p.Topology.Links))
	on := func(kind string, node, broker int) Act {
		a := p.act(rng, kind)
		a.Node, a.Broker, a.In, a.Out = node, broker, true, true
		return a
	}
	first := on("pause", gone, 0)
	first.After = 5 * time.Second // until writes are taken
	acts, back := []Act{first}, []Act(nil)
	shut := rng.IntN(3) > 0
	for _, b := range p.Topology.Links[gone] {
		acts = append(acts, on("cut", gone, b))
		if shut {
			back = append(back, on("broker blocks", gone, b))
		}
		back = append(back, on("join", gone, b))
	}
	for i := range back {
		back[i].After = 0
	}
	back[0].After = 2*time.Minute + time.Duration(rng.Int64N(int64(time.Minute)))
	for range 10 {
		w := on("write", gone, 0)
		w.After /= 4 // all the time until the snapshot is there
		back = append(back, w)
	}
	for _, b := range p.Topology.Links[gone] {
		back = append(back, on("broker takes", gone, b))
	}
	for i := range p.Topology.Links {
		if i != gone {
			acts = append(acts, on("write", i, 0))
		}
	}
	acts = append(acts, on("evict", gone, 0), on("write", gone, 0))
	acts = append(acts, back...)
	if rng.IntN(3) > 0 {
		p.Acts = append(acts, p.Acts...)
	} else {
		p.Acts = append(p.Acts, acts...)
	}
}

// act makes one act of a kind; for "flapping leaf" the last node is cut off and
// joined again all the time.
func (p Plan) act(rng *rand.Rand, kind string) Act {
	a := Act{
		After: time.Duration(rng.Int64N(int64(3 * time.Second))), Kind: kind,
		Node: rng.IntN(len(p.Topology.Links)), Count: 1 + rng.IntN(8), Chance: rng.Uint64(),
		For: time.Second + time.Duration(rng.Int64N(int64(15*time.Second))),
		In:  true, Out: true,
	}
	if p.Topology.Name == "flapping leaf" && (kind == "cut" || kind == "join") {
		a.Node = len(p.Topology.Links) - 1
	}
	links := p.Topology.Links[a.Node]
	a.Broker = links[rng.IntN(len(links))]
	switch kind {
	case "cut":
		if side := rng.IntN(4); side < 2 {
			a.In, a.Out = side == 0, side == 1
		}
	case "network":
		a.Rates = rates{
			lose: rng.Float64() * 0.4, repeat: rng.Float64() * 0.4, shuffle: rng.Float64() * 0.4,
			delay: 1 + time.Duration(rng.Int64N(int64(time.Millisecond)<<rng.IntN(10))),
		}
	case "skew":
		a.For = time.Duration(rng.Int64N(int64(2*time.Hour))) - time.Hour
	case "fuse":
		a.Text = places[rng.IntN(len(places))]
	case "pause":
		a.After = time.Duration(rng.Int64N(int64(time.Minute)))
	}
	return a
}
