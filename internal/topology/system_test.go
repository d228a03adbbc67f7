package topology

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
)

// someone is a cluster with the ids of its name's position in the alphabet: all
// that are called alike clash.
func someone(name string, age time.Duration, now, wanted []Channel) Neighbor {
	return Neighbor{Identity: Identity{Kind: "VesperCluster", Name: name, Created: t0.Add(-age), UID: name}, Party: Party{Now: now, Wanted: wanted}, Range: NewRange(2, "", ""), Trunk: "0A"}
}

func channels(brokers ...string) (out []Channel) {
	for _, b := range brokers {
		out = append(out, on(b))
	}
	return out
}

func TestWhoComesToAChannelGivesWayToWhoIsThere(t *testing.T) {
	relay := [][]Channel{channels("b", "c")}
	for _, test := range []struct {
		name      string
		me, other Party
		carriers  [][]Channel
		older     bool // I am
		goesOn    bool
		says      string
	}{
		{"both new, and older", Party{nil, channels("a")}, Party{nil, channels("a")}, nil, true, true, ""},
		{"both new, and younger", Party{nil, channels("a")}, Party{nil, channels("a")}, nil, false, false, "uses the same broker and channel"},
		{"new where one is, though older", Party{nil, channels("a")}, Party{channels("a"), channels("a")}, nil, true, false, "uses the same broker and channel"},
		{"there where one comes, though younger", Party{channels("a"), channels("a")}, Party{nil, channels("a")}, nil, false, true, ""},
		{"moves to where one is, though older", Party{channels("z"), channels("a")}, Party{channels("a"), channels("a")}, nil, true, false, "uses the same"},
		{"there where one moves to", Party{channels("a"), channels("a")}, Party{channels("z"), channels("a")}, nil, false, true, ""},
		{"gets a group where one is, though older", Party{channels("z"), channels("z", "a")}, Party{channels("a"), channels("a")}, nil, true, false, "uses the same"},
		{"both there already, and older", Party{channels("a"), channels("a")}, Party{channels("a"), channels("a")}, nil, true, true, ""},
		{"both there already, and younger", Party{channels("a"), channels("a")}, Party{channels("a"), channels("a")}, nil, false, false, "uses the same"},
		{"they change places", Party{channels("a"), channels("b")}, Party{channels("b"), channels("a")}, nil, true, false, "uses the same"},
		{"behind a relay of a third", Party{nil, channels("b")}, Party{channels("c"), channels("c")}, relay, true, false, "is connected with this channel by relays"},
		{"nowhere near", Party{channels("a"), channels("a")}, Party{channels("c"), channels("c")}, relay, false, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			me, other := someone("me", 0, test.me.Now, test.me.Wanted), someone("other", 0, test.other.Now, test.other.Wanted)
			if test.older {
				me.Created = t0.Add(-time.Hour)
			} else {
				other.Created = t0.Add(-time.Hour)
			}
			r := Surroundings{Carriers: test.carriers}.clash(me, other)
			if (r == nil) != test.goesOn || r != nil && !strings.Contains(r.Message, test.says) {
				t.Errorf("refusal is %+v, want goes on = %v, saying %q", r, test.goesOn, test.says)
			}
		})
	}
}

// TestOfTwoThatClashNeverBothGoOn: wherever they are and want to be, and whatever
// carries between.
func TestOfTwoThatClashNeverBothGoOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfNDistinct(rapid.SampledFrom([]Channel{on("a"), on("b"), on("c"), on("d")}), 0, 2, func(c Channel) Channel { return c })
		draw := func(name string) Neighbor {
			return someone(name, time.Duration(rapid.IntRange(0, 2).Draw(t, name+" age")), some.Draw(t, name+" now"), some.Draw(t, name+" wants"))
		}
		s := Surroundings{Carriers: rapid.SliceOfN(some, 0, 3).Draw(t, "carriers")}
		a, b := draw("a"), draw("b")
		together := s.meeting(a.Party, b.Party).Together
		if together != s.meeting(b.Party, a.Party).Together {
			t.Fatalf("%+v and %+v see it otherwise", a, b)
		}
		ra, rb := s.clash(a, b), s.clash(b, a)
		if together && ra == nil && rb == nil || !together && (ra != nil || rb != nil) {
			t.Fatalf("%+v and %+v, together %v: refusals %v and %v", a, b, together, ra, rb)
		}
	})
}

func TestNobodyConnectsTwoWhoseIDsMeet(t *testing.T) {
	c := shop()
	c.Range = NewRange(2, "5A", "5Z")
	c.Groups = []Group{{Name: "core", Replicas: 1, Channel: on("a")}, {Name: "edge", Replicas: 1, Channel: on("b"), Parent: "core"}}
	first, second := someone("first", 0, channels("a"), channels("a")), someone("second", 0, channels("b"), channels("b"))
	first.Range, second.Range = NewRange(2, "0A", "0Z"), NewRange(2, "0Z", "1A")
	state := State{Cluster: c, Surroundings: Surroundings{Neighbors: []Neighbor{first, second}}}
	r := Make(state).Refusal
	if r == nil || r.Reason != ChannelShared || !strings.Contains(r.Message, "would connect VesperCluster first with VesperCluster second, whose branch ids (0A to 0Z and 0Z to 1A) meet") {
		t.Errorf("refusal is %+v", r)
	}
	state.Carriers = [][]Channel{channels("a", "b")}
	if r := Make(state).Refusal; r != nil {
		t.Errorf("they are connected already, and it is refused with %q", r.Message)
	}
	state.Carriers, state.Neighbors[1].Range = nil, NewRange(2, "1A", "1Z")
	if r := Make(state).Refusal; r != nil {
		t.Errorf("their ids do not meet, and it is refused with %q", r.Message)
	}
}

func TestIDsThatWereGivenOutBeforeCountToo(t *testing.T) {
	me, other := someone("me", 0, nil, channels("a")), someone("other", time.Hour, channels("a"), channels("a"))
	me.Range, other.Range = NewRange(2, "0B", "0B"), NewRange(2, "1A", "1Z")
	other.Given = Range{"0A", "1C"}
	r := Surroundings{}.clash(me, other)
	if r == nil || !strings.Contains(r.Message, "its branch ids (1A to 1Z, and before 0A to 1C) meet those of this VesperCluster (0B)") {
		t.Errorf("an id that was given out before is refused with %+v", r)
	}
	me.Given, me.Range, other.Given = Range{"1C", "1C"}, NewRange(2, "3A", "3Z"), Range{}
	if r := (Surroundings{}).clash(me, other); r == nil {
		t.Error("one who gave out ids of the other's range is let in")
	}
	other.Range = NewRange(2, "2A", "2Z")
	if r := (Surroundings{}).clash(me, other); r != nil {
		t.Errorf("ids that never met are refused with %q", r.Message)
	}
	l := Make(State{Cluster: shop(1), Ledger: ledger("0E", 0, "0E"), Nodes: nodes("core", "0E")}).Ledger
	if l.First != "0A" || l.Given().String() != "0A to 0E" {
		t.Errorf("a ledger that knows only the highest id is taken for %+v", l)
	}
}

// TestIDsOfAWholeSystemAreUsedOnce lets clusters with one range come, move and
// grow in any order, each carrying out its plan only when it is not refused, and
// wants that no id is ever on two nodes of one system.
func TestIDsOfAWholeSystemAreUsedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []*tenant{{name: "a"}, {name: "b"}, {name: "c"}}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			who := rapid.SampledFrom(all).Draw(t, "who")
			if who.groups == nil || rapid.Bool().Draw(t, "edit") {
				who.edit(t)
			}
			who.pass(all)
			meetNoTwice(t, all)
		}
	})
}

// tenant is a cluster among others.
type tenant struct {
	name   string
	groups []Group
	ledger Ledger
	nodes  []Node
}

func (w *tenant) edit(t *rapid.T) {
	broker := rapid.SampledFrom([]string{"m", "n", "o"})
	w.groups = []Group{{Name: "g", Replicas: rapid.IntRange(1, 2).Draw(t, "replicas"), Channel: on(broker.Draw(t, "broker"))}}
	if below := on(broker.Draw(t, "broker below")); below != w.groups[0].Channel && rapid.Bool().Draw(t, "two levels") {
		w.groups = append(w.groups, Group{Name: "h", Replicas: 1, Channel: below, Parent: "g"})
	}
}

func (w *tenant) identity() Identity {
	return Identity{Kind: "VesperCluster", Name: w.name, Created: t0, UID: w.name}
}

func (w *tenant) party() (p Party) {
	for _, g := range w.groups {
		p.Wanted = append(p.Wanted, g.Channel)
	}
	for _, n := range w.nodes {
		p.Now = append(p.Now, n.Channels...)
	}
	return p
}

// pass plans and, as the controller would, makes and moves nodes only when
// nothing is held back.
func (w *tenant) pass(all []*tenant) {
	state := State{Ledger: w.ledger, Nodes: w.nodes, Cluster: Cluster{Identity: w.identity(), Range: NewRange(2, "", ""), Trunk: "0A", Groups: w.groups}}
	for _, o := range all {
		for _, n := range o.nodes {
			state.Carriers = append(state.Carriers, n.Channels)
		}
		if o != w && o.groups != nil {
			state.Neighbors = append(state.Neighbors, Neighbor{Identity: o.identity(), Party: o.party(), Range: NewRange(2, "", ""), Trunk: "0A"})
		}
	}
	p := Make(state)
	w.ledger = p.Ledger
	w.nodes = slices.DeleteFunc(w.nodes, func(n Node) bool { return slices.Contains(p.Remove, n.Name) })
	if p.Refusal != nil {
		return
	}
	w.nodes = nil
	for _, m := range p.Members {
		w.nodes = append(w.nodes, Node{Name: m.Name, ID: m.ID, Trunk: m.Trunk, Group: m.Group, Channels: m.Channels(), Links: m.Links})
	}
}

// meetNoTwice walks from each node over what all nodes carry.
func meetNoTwice(t *rapid.T, all []*tenant) {
	var members []Member
	for _, w := range all {
		for _, n := range w.nodes {
			members = append(members, Member{Name: w.name + "/" + n.Name, ID: branch.ID(w.name) + n.ID, Channel: n.Channels[0], Links: linksTo(n.Channels[1:])})
		}
	}
	for _, m := range members {
		seen := map[branch.ID]branch.ID{}
		for met := range hears(m, members) {
			if other, twice := seen[met[1:]]; twice {
				t.Fatalf("%s hears id %s of both %s and %s: %+v", m.Name, met[1:], met[:1], other[:1], members)
			}
			seen[met[1:]] = met
		}
	}
}

func linksTo(all []Channel) (out []Link) {
	for i, c := range all {
		out = append(out, Link{Name: fmt.Sprint(i), Channel: c})
	}
	return out
}
