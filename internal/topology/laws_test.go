package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
)

// world is a cluster in an imaginary Kubernetes: what plans did to it and what
// people and accidents did.
type world struct {
	t       *rapid.T
	cluster Cluster
	ledger  Ledger
	nodes   map[branch.ID]Node
	volumes map[branch.ID]Volume
	// lost volumes leave their id in ever.
	ever map[branch.ID]bool
	// written is every id that a node ever wrote under, with the number of
	// volumes it had.
	written map[branch.ID]int
	high    branch.ID
	made    int
	// class is the storage class that is asked for, classes those of volumes, and sick
	// are nodes that are not ready.
	class   int
	classes map[branch.ID]int
	sick    map[branch.ID]bool
}

func (w *world) uid() string {
	w.made++
	return fmt.Sprint("uid-", w.made)
}

func newWorld(t *rapid.T) *world {
	width := rapid.IntRange(2, 3).Draw(t, "width")
	from := branch.First(width)
	for range rapid.IntRange(0, 3).Draw(t, "skip") {
		from, _ = from.Next()
	}
	return &world{t: t, nodes: map[branch.ID]Node{}, volumes: map[branch.ID]Volume{}, ever: map[branch.ID]bool{}, written: map[branch.ID]int{},
		classes: map[branch.ID]int{}, sick: map[branch.ID]bool{},
		cluster: Cluster{Identity: Identity{Kind: "VesperCluster", Name: "shop", UID: "1"}, Range: NewRange(width, from, ""), Trunk: branch.First(width),
			Groups: []Group{{Name: "core", Replicas: 2}, {Name: "edge", Replicas: 1}}}}
}

func (w *world) state() State {
	state := State{Cluster: w.cluster, Ledger: w.ledger, Volumes: slices.Collect(maps.Values(w.volumes))}
	for id, n := range w.nodes {
		_, has := w.volumes[id]
		n.Misplaced, n.Health = has && w.classes[id] != w.class, Runner{Ready: has && !w.sick[id]}
		state.Nodes = append(state.Nodes, n)
	}
	return state
}

// pass plans and carries the plan out up to the k-th step, as an operator that
// dies in between.
func (w *world) pass(k int) Plan {
	p := Make(w.state())
	w.check(p)
	if k--; k < 0 {
		return p
	}
	w.retired(p)
	w.ledger = p.Ledger
	for _, name := range p.Retire {
		if k--; k < 0 {
			return p
		}
		w.mark(name)
	}
	for _, name := range p.Remove {
		if k--; k < 0 {
			return p
		}
		maps.DeleteFunc(w.nodes, func(_ branch.ID, n Node) bool { return n.Name == name })
	}
	for _, m := range p.Members {
		if k--; k < 0 {
			return p
		}
		w.run(m)
	}
	return p
}

// retired asserts that no id is retired whose node is there and has not drained,
// unless what it had is gone.
func (w *world) retired(p Plan) {
	for _, a := range w.ledger.Assigned {
		still := slices.ContainsFunc(p.Ledger.Assigned, func(b Assignment) bool { return b.ID == a.ID })
		v, there := w.volumes[a.ID]
		gone := !there || v.UID != cmp.Or(a.VolumeUID, w.nodes[a.ID].VolumeUID)
		if n, exists := w.nodes[a.ID]; !still && exists && !n.Drained && !gone {
			w.t.Fatalf("id %s is retired before its node has drained", a.ID)
		}
	}
}

func (w *world) mark(name string) {
	for id, v := range w.volumes {
		if v.Name == name {
			v.Retired = true
			w.volumes[id] = v
		}
	}
}

// run makes the node of a member and, as the node's controller would, its
// volume once the ledger says that the node has started.
func (w *world) run(m Member) {
	i := slices.IndexFunc(w.ledger.Assigned, func(a Assignment) bool { return a.ID == m.ID })
	if i < 0 && m.Draining {
		return // it exists, and its id is retired already
	}
	if i < 0 {
		w.t.Fatalf("node %s is made before its id is recorded", m.Name)
	}
	n, exists := w.nodes[m.ID]
	if !exists {
		n = Node{Name: m.Name, ID: m.ID, Trunk: m.Trunk, Group: m.Group}
	}
	// What a node says of itself counts only while it is asked to drain.
	n.Drained, n.Draining = n.Drained && m.Draining, m.Draining
	w.nodes[m.ID] = n
	if !w.ledger.Assigned[i].Started {
		return
	}
	if v, exists := w.volumes[m.ID]; exists {
		if w.stopped(m.ID, v) {
			return
		}
		if recorded := w.ledger.Assigned[i].VolumeUID; v.Retired {
			w.t.Fatalf("node %s of volume %s would run on %+v", m.Name, recorded, v)
		}
		return
	}
	if w.ledger.Assigned[i].VolumeUID != "" || w.nodes[m.ID].VolumeUID != "" {
		return // its volume is gone: the node's controller stops it
	}
	if w.written[m.ID]++; w.written[m.ID] > 1 {
		w.t.Fatalf("id %s writes on a second, new volume", m.ID)
	}
	w.volumes[m.ID] = Volume{Name: VolumeName(m.Name), UID: w.uid(), ID: m.ID, Trunk: m.Trunk, Group: m.Group}
	n.VolumeUID, w.classes[m.ID] = w.volumes[m.ID].UID, w.class
	w.nodes[m.ID] = n
}

// stopped reports whether the node's controller stops it: its volume is not the
// one on record, or it finds one that it did not make.
func (w *world) stopped(id branch.ID, v Volume) bool {
	i := slices.IndexFunc(w.ledger.Assigned, func(a Assignment) bool { return a.ID == id })
	recorded := cmp.Or(w.ledger.Assigned[i].VolumeUID, w.nodes[id].VolumeUID)
	return recorded != "" && recorded != v.UID || v.Copied && recorded == ""
}

// check asserts what holds of every plan.
func (w *world) check(p Plan) {
	seen := map[branch.ID]bool{}
	for _, a := range p.Ledger.Assigned {
		if seen[a.ID] {
			w.t.Fatalf("id %s is assigned twice", a.ID)
		}
		seen[a.ID] = true
		if a.ID.Width() != w.cluster.Range.From.Width() || a.ID < w.cluster.Trunk {
			w.t.Fatalf("id %s is below the trunk %s or of another width", a.ID, w.cluster.Trunk)
		}
		if !w.ever[a.ID] && a.ID <= w.high {
			w.t.Fatalf("fresh id %s is not above %s, the highest so far", a.ID, w.high)
		}
		if a.ID > p.Ledger.Last {
			w.t.Fatalf("id %s is above the recorded high-water mark %s", a.ID, p.Ledger.Last)
		}
	}
	for _, a := range p.Ledger.Assigned {
		w.ever[a.ID] = true
		w.high = max(w.high, a.ID)
	}
	for _, m := range p.Members {
		if !seen[m.ID] && !m.Draining || m.Name != NodeName("shop", m.Group, m.ID) {
			w.t.Fatalf("member %+v is not in the ledger of its own plan, or misnamed", m)
		}
	}
}

// settle runs whole passes, of nodes that are all well, until one changes nothing.
func (w *world) settle() {
	w.sick = map[branch.ID]bool{}
	for range 100 {
		w.drain(slices.Sorted(maps.Keys(w.nodes))...)
		before := story(Make(w.state()))
		w.pass(1 << 20)
		if p := Make(w.state()); story(p) == before && len(p.Remove)+len(p.Retire) == 0 && !slices.ContainsFunc(p.Members, func(m Member) bool { return m.New }) {
			return
		}
	}
	w.t.Fatalf("plans do not settle: %s", story(Make(w.state())))
}

// drain has nodes say that they have drained, those of them that should.
func (w *world) drain(ids ...branch.ID) {
	for _, m := range Make(w.state()).Members {
		if n, exists := w.nodes[m.ID]; exists && m.Draining && slices.Contains(ids, m.ID) {
			n.Drained = true
			w.nodes[m.ID] = n
		}
	}
}

func (w *world) accident(kind string) {
	pick := func(ids []branch.ID) branch.ID { return rapid.SampledFrom(ids).Draw(w.t, "id") }
	running, kept := slices.Sorted(maps.Keys(w.nodes)), slices.Sorted(maps.Keys(w.volumes))
	switch {
	case kind == "scale":
		w.cluster.Groups[rapid.IntRange(0, len(w.cluster.Groups)-1).Draw(w.t, "group")].Replicas = rapid.IntRange(0, 4).Draw(w.t, "replicas")
	case kind == "class":
		w.class = rapid.IntRange(0, 2).Draw(w.t, "class")
	case kind == "sick" && len(running) > 0:
		id := pick(running)
		w.sick[id] = !w.sick[id]
	case kind == "name" && len(running) > 0:
		id := pick(running)
		for i, group := range w.cluster.Groups {
			if group.Name == w.nodes[id].Group {
				w.cluster.Groups[i].Remove = append(slices.Clone(group.Remove), id)
			}
		}
	case kind == "drain" && len(running) > 0:
		w.drain(pick(running))
	case kind == "delete node" && len(running) > 0:
		delete(w.nodes, pick(running))
	case kind == "delete node and volume" && len(running) > 0:
		id := pick(running)
		delete(w.nodes, id)
		delete(w.volumes, id)
	case kind == "replace volume" && len(kept) > 0:
		v := w.volumes[pick(kept)]
		v.UID, v.Retired = w.uid(), false
		w.volumes[v.ID] = v
		delete(w.nodes, v.ID)
	case kind == "lose volume" && len(running) > 0: // the node stays, and its controller stops it
		delete(w.volumes, pick(running))
	case kind == "put a copy in place" && len(running) > 0:
		id := pick(running)
		if v, exists := w.volumes[id]; exists {
			v.UID, v.Retired, v.Copied = w.uid(), false, true
			w.volumes[id] = v
		}
	case kind == "delete kept volume" && len(kept) > 0:
		if id := pick(kept); w.nodes[id].Name == "" {
			delete(w.volumes, id)
		}
	}
}

// TestNoIDIsEverUsedTwice walks at random through scalings, deletions and an
// operator that dies anywhere in a pass.
func TestNoIDIsEverUsedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			w.accident(rapid.SampledFrom([]string{"scale", "name", "drain", "delete node", "delete node and volume", "delete kept volume", "replace volume", "lose volume", "put a copy in place", "class", "sick", "none"}).Draw(t, "accident"))
			w.pass(rapid.IntRange(0, 12).Draw(t, "steps done"))
		}
		w.settle()
	})
}

// TestWhoLosesItsVolumeIsReplacedUnderAFreshID: after any accidents, whoever is
// there has its own volume, unless nobody has; and no copy of a volume is anybody's.
func TestWhoLosesItsVolumeIsReplacedUnderAFreshID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.settle()
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			w.accident(rapid.SampledFrom([]string{"lose volume", "put a copy in place", "scale", "delete node and volume"}).Draw(t, "accident"))
			w.settle()
		}
		whole, lost := 0, 0
		for _, a := range w.ledger.Assigned {
			if v, exists := w.volumes[a.ID]; exists && v.UID == cmp.Or(a.VolumeUID, w.nodes[a.ID].VolumeUID) && !v.Copied {
				whole++
			} else {
				lost++
			}
		}
		if whole > 0 && lost > 0 {
			t.Fatalf("%d nodes are left without their volume while %d have theirs: %+v, volumes %+v", lost, whole, w.ledger, w.volumes)
		}
	})
}

// TestAChangeOfTheStorageClassEndsAndTakesNobodyAway: whatever the class is changed to
// in the midst of that, whoever is not ready for a while, and wherever the operator
// dies, as many nodes as are asked for stay; in the end all are on the right class.
func TestAChangeOfTheStorageClassEndsAndTakesNobodyAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.settle()
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			w.accident(rapid.SampledFrom([]string{"class", "sick", "drain", "none", "none"}).Draw(t, "accident"))
			stay := map[string]int{}
			for _, m := range w.pass(rapid.IntRange(0, 12).Draw(t, "steps done")).Members {
				if !m.Draining && !m.New {
					stay[m.Group]++
				}
			}
			for _, g := range w.cluster.Groups {
				if stay[g.Name] < g.Replicas {
					t.Fatalf("%d of %d nodes of group %s stay", stay[g.Name], g.Replicas, g.Name)
				}
			}
		}
		w.settle()
		for id, n := range w.nodes {
			if w.classes[id] != w.class {
				t.Fatalf("%s is on class %d, want %d", n.Name, w.classes[id], w.class)
			}
		}
	})
}

// TestAnyTwoOfTheThreeCopiesCanBeLost runs a cluster to rest, takes away the
// status and all nodes, or all but the status, and wants the same ids back and
// only higher ones given out.
func TestAnyTwoOfTheThreeCopiesCanBeLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			w.accident(rapid.SampledFrom([]string{"scale", "delete node and volume"}).Draw(t, "accident"))
			w.settle()
		}
		before := story(Make(w.state()))
		switch rapid.SampledFrom([]string{"status", "status and nodes", "nodes"}).Draw(t, "lost") {
		case "status":
			w.ledger = Ledger{}
		case "status and nodes":
			w.ledger, w.nodes = Ledger{}, map[branch.ID]Node{}
		case "nodes":
			w.nodes = map[branch.ID]Node{}
		}
		w.settle()
		if after := story(Make(w.state())); members(after) != members(before) {
			t.Fatalf("restored to %s, was %s", after, before)
		}
	})
}

func members(story string) string { return story[strings.Index(story, "|"):] }

// TestAPlanIsAFunctionOfItsState shuffles what the plan is made from.
func TestAPlanIsAFunctionOfItsState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			w.accident("scale")
			w.pass(rapid.IntRange(0, 9).Draw(t, "steps done"))
		}
		state := w.state()
		want := story(Make(state))
		state.Nodes = rapid.Permutation(state.Nodes).Draw(t, "nodes")
		state.Volumes = rapid.Permutation(state.Volumes).Draw(t, "volumes")
		if got := story(Make(state)); got != want {
			t.Fatalf("plan is %s, was %s", got, want)
		}
	})
}
