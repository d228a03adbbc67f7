package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/branch"
)

func on(broker string) Channel { return Channel{broker, "VESPER_DATA"} }

// hierarchy is a head office, two stores below it, and a till below one of them.
func hierarchy() Cluster {
	c := shop()
	c.Groups = []Group{
		{Name: "core", Replicas: 3, Channel: on("mq")},
		{Name: "store", Replicas: 2, Channel: on("mq-store"), Parent: "core"},
		{Name: "till", Replicas: 1, Channel: on("mq-till"), Parent: "store", Intermittent: true},
		{Name: "depot", Replicas: 3, Channel: Channel{"mq", "DEPOT"}, Parent: "core", Relays: 2},
	}
	return c
}

// wires writes who is linked to what, a line a member.
func wires(p Plan) string {
	var b strings.Builder
	for _, m := range p.Members {
		fmt.Fprintf(&b, "%s: %s/%s", m.Name, m.Channel.Broker, m.Channel.Name)
		for _, l := range m.Links {
			fmt.Fprintf(&b, ", %s %s/%s", l.Name, l.Broker, l.Channel.Name)
		}
		if m.Parent != "" {
			b.WriteString(" below " + m.Parent)
		}
		if m.Intermittent {
			b.WriteString(", intermittent")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestTheOldestNodesOfAGroupJoinItsParentsChannel(t *testing.T) {
	want := `shop-core-0a: mq/VESPER_DATA
shop-core-0b: mq/VESPER_DATA
shop-core-0c: mq/VESPER_DATA
shop-store-0d: mq-store/VESPER_DATA, parent-core mq/VESPER_DATA below core
shop-store-0e: mq-store/VESPER_DATA below core
shop-till-0f: mq-till/VESPER_DATA, parent-store mq-store/VESPER_DATA below store, intermittent
shop-depot-0g: mq/DEPOT, parent-core mq/VESPER_DATA below core
shop-depot-0h: mq/DEPOT, parent-core mq/VESPER_DATA below core
shop-depot-0i: mq/DEPOT below core
`
	if diff := cmp.Diff(want, wires(Make(State{Cluster: hierarchy()}))); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

func TestTheNextOldestTakesOverFromARelayThatIsLost(t *testing.T) {
	c := hierarchy()
	c.Groups = c.Groups[:2]
	l := ledger("0E", 0, "0A", "0B", "0C")
	for _, id := range []branch.ID{"0D", "0E"} {
		l.Assigned = append(l.Assigned, Assignment{ID: id, Group: "store", Started: true, VolumeUID: "uid-" + string(id)})
	}
	state := State{Cluster: c, Ledger: l, Nodes: append(nodes("core", "0A", "0B", "0C"), nodes("store", "0E")...),
		Volumes: append(volumes("core", "0A", "0B", "0C"), volumes("store", "0E")...)}
	for i := range state.Nodes {
		state.Nodes[i].Channels = []Channel{on("mq")}
	}
	state.Nodes[3].Channels = []Channel{on("mq-store")}
	p := Make(state)
	for _, m := range p.Members {
		if relays := len(m.Links) == 1; relays != (m.ID == "0E") || m.Moves != relays {
			t.Errorf("%s has links %v and moves %v, want the one that is left, 0E, to take over", m.Name, m.Links, m.Moves)
		}
	}
}

func TestGroupsThatCannotHangTogetherAreRefusedWithTheRemedy(t *testing.T) {
	top := Group{Name: "core", Replicas: 1, Channel: on("mq")}
	below := func(name, parent, broker string) Group {
		return Group{Name: name, Replicas: 1, Channel: on(broker), Parent: parent}
	}
	relays := func(g Group, n int) Group { g.Relays = n; return g }
	for _, test := range []struct {
		name   string
		groups []Group
		says   string
	}{
		{"all on one channel", []Group{top, below("edge", "", "mq")}, ""},
		{"a tree of three levels, the lowest first", []Group{below("c", "b", "mq-c"), below("b", "core", "mq-b"), top}, ""},
		{"a child that shares a channel with another top group", []Group{top, below("edge", "core", "mq-edge"), below("more", "", "mq-edge")}, ""},
		{"an unknown parent", []Group{top, below("edge", "cor", "mq-edge")}, "group edge has the parent cor, and there is no such group in this cluster: write the name of one that there is, or add it"},
		{"its own parent", []Group{below("core", "core", "mq")}, "go round in a circle (core to core)"},
		{"two that hang from each other", []Group{below("a", "b", "mq-a"), below("b", "a", "mq-b")}, "(a to b to a): leave out the parent of the one that is to be at the top"},
		{"a circle that a third only leads into", []Group{below("z", "a", "mq-z"), below("a", "b", "mq-a"), below("b", "c", "mq-b"), below("c", "a", "mq-c")}, "(a to b to c to a)"},
		{"the parent's channel", []Group{top, below("edge", "core", "mq")}, "group edge is on the same channel as its parent core (channel VESPER_DATA of broker mq), where there is nothing to relay"},
		{"the parent's channel under another name", []Group{top, below("edge", "core", "mq-too")}, "VesperBrokers mq-too and mq have an address in common and are one broker"},
		{"relays without a parent", []Group{relays(top, 1)}, "group core has relays and no parent: name the group whose channel they join, or leave out relays"},
		{"more relays than nodes", []Group{top, relays(below("edge", "core", "mq-edge"), 2)}, "group edge has 2 relays and 1 replicas"},
		{"two that nothing connects", []Group{top, below("edge", "", "mq-edge")},
			"nothing connects group edge (channel VESPER_DATA of broker mq-edge) with group core (channel VESPER_DATA of broker mq): give one of them the other as parent, or make it a cluster of its own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := shop()
			c.Groups = test.groups
			r := Make(State{Cluster: c, Surroundings: Surroundings{Brokers: SameBrokers(map[string][]string{"mq": {"1:1", "2:1"}, "mq-too": {"3:1", "2:1"}})}}).Refusal
			switch {
			case test.says == "" && r != nil:
				t.Errorf("refused with %q", r.Message)
			case test.says != "" && (r == nil || r.Reason != Invalid || !strings.Contains(r.Message, test.says)):
				t.Errorf("refusal is %+v, want one that says %q", r, test.says)
			}
		})
	}
}

func TestAnInvalidEditChangesNothing(t *testing.T) {
	c := hierarchy()
	first := Make(State{Cluster: c})
	state := State{Cluster: c, Ledger: first.Ledger}
	for _, m := range first.Members {
		state.Nodes = append(state.Nodes, Node{Name: m.Name, ID: m.ID, Trunk: m.Trunk, Group: m.Group, Channels: m.Channels()})
	}
	state.Ledger = Make(state).Ledger // all have started
	groups := slices.Clone(c.Groups)
	groups[0].Replicas, groups[1].Replicas, groups[3].Parent = 1, 9, "cor"
	state.Cluster.Groups = slices.Delete(groups, 2, 3)
	p := Make(state)
	if p.Refusal == nil || len(p.Remove)+len(p.Retire) > 0 || len(p.Members) != len(first.Members) || !cmp.Equal(p.Ledger, state.Ledger) {
		t.Errorf("the plan is %s, want nothing given out, retired or removed", story(p))
	}
}

func TestWhatIsReached(t *testing.T) {
	brokers := SameBrokers(map[string][]string{"a": {"1:1"}, "b": {"2:1"}, "c": {"1:1", "3:1"}, "d": {"3:1"}})
	if brokers.Real(on("d")) != on("a") || brokers.Real(on("b")) != on("b") || brokers.Real(on("e")) != on("e") {
		t.Errorf("brokers are %v, want a, c and d to be one, and b and the unknown e themselves", brokers)
	}
	writers := [][]Channel{{on("y"), on("z")}, {on("b"), on("y")}, {on("d"), on("b")}, {on("q"), on("r")}}
	reached := brokers.Reach([]Channel{on("a")}, writers)
	for name, want := range map[string]bool{"a": true, "c": true, "b": true, "y": true, "z": true, "q": false, "r": false} {
		if brokers.Meets(reached, []Channel{on(name)}) != want {
			t.Errorf("%s is reached: %v, want %v", name, !want, want)
		}
	}
	if brokers.Meets(reached, []Channel{{"a", "OTHER"}}) {
		t.Error("another channel of the same broker is reached")
	}
}
