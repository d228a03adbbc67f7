package topology

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/branch"
)

// forest draws groups that hang together: each either on the top's channel or
// below one that was drawn before it, in any order of the list.
func forest(t *rapid.T) []Group {
	groups := []Group{{Name: "g0", Replicas: rapid.IntRange(1, 4).Draw(t, "replicas"), Channel: on("mq0")}}
	for i := range rapid.IntRange(0, 6).Draw(t, "more groups") {
		g := Group{Name: fmt.Sprint("g", i+1), Replicas: rapid.IntRange(1, 4).Draw(t, "replicas"), Channel: on("mq0")}
		if rapid.IntRange(0, 4).Draw(t, "below") > 0 {
			parent := rapid.SampledFrom(groups).Draw(t, "parent")
			g.Parent, g.Channel = parent.Name, on(fmt.Sprint("mq", i+1))
			if rapid.Bool().Draw(t, "same broker") {
				g.Channel = Channel{parent.Channel.Broker, fmt.Sprint("C", i+1)}
			}
			g.Relays = rapid.IntRange(0, g.Replicas).Draw(t, "relays")
		}
		groups = append(groups, g)
	}
	return rapid.Permutation(groups).Draw(t, "order")
}

// hears walks from a member's channels over everybody's links, and returns who is met.
func hears(from Member, all []Member) map[branch.ID]bool {
	known, met := from.Channels(), map[branch.ID]bool{from.ID: true}
	for again := true; again; {
		again = false
		for _, m := range all {
			if met[m.ID] || !slices.ContainsFunc(m.Channels(), func(c Channel) bool { return slices.Contains(known, c) }) {
				continue
			}
			known, met[m.ID], again = append(known, m.Channels()...), true, true
		}
	}
	return met
}

// TestEveryNodeOfAForestHearsEveryOther: leaf to leaf, over relays alone; and
// each group has as many of them as it asks for, with links to other channels only.
func TestEveryNodeOfAForestHearsEveryOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := shop()
		c.Groups = forest(t)
		p := Make(State{Cluster: c})
		if p.Refusal != nil {
			t.Fatalf("refused: %s", p.Refusal.Message)
		}
		relays := map[string]int{}
		for _, m := range p.Members {
			if met := hears(m, p.Members); len(met) != len(p.Members) {
				t.Fatalf("%s hears only %v of:\n%s", m.Name, met, wires(p))
			}
			relays[m.Group] += len(m.Links)
			for _, l := range m.Links {
				if l.Channel == m.Channel || len(m.Links) > 1 {
					t.Fatalf("a relay has two links to one channel, or more than it needs:\n%s", wires(p))
				}
			}
		}
		for _, g := range c.Groups {
			want := g.Relays
			if g.Parent != "" && want == 0 {
				want = 1
			}
			if relays[g.Name] != want {
				t.Fatalf("group %s has %d relays, want %d:\n%s", g.Name, relays[g.Name], want, wires(p))
			}
		}
	})
}

// TestScalingRestartsNoNodeForItsLinks: whoever stays keeps the links it has, as
// long as as many are left as should relay.
func TestScalingRestartsNoNodeForItsLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := shop()
		c.Groups = forest(t)
		before := Make(State{Cluster: c})
		was := map[branch.ID]string{}
		state := State{Ledger: before.Ledger}
		for _, m := range before.Members {
			was[m.ID] = fmt.Sprint(m.Channels())
			state.Nodes = append(state.Nodes, Node{Name: m.Name, ID: m.ID, Trunk: m.Trunk, Group: m.Group, Channels: m.Channels()})
		}
		for i, g := range c.Groups {
			c.Groups[i].Replicas = rapid.IntRange(max(1, g.Relays), 6).Draw(t, "replicas")
		}
		state.Cluster = c
		after := Make(state)
		for _, m := range after.Members {
			if m.Moves || !m.New && was[m.ID] != fmt.Sprint(m.Channels()) {
				t.Fatalf("%s was on %s, and after scaling is on %v", m.Name, was[m.ID], m.Channels())
			}
		}
	})
}

// TestWhatIsInvalidIsRefused draws any groups at all and judges them by a plainer
// rule: take away, again and again, groups whose parent is there no more; what is
// left hangs in the air.
func TestWhatIsInvalidIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := shop()
		names := []string{"a", "b", "c", "d"}
		for _, name := range names[:rapid.IntRange(1, 4).Draw(t, "groups")] {
			c.Groups = append(c.Groups, Group{Name: name, Replicas: 1, Channel: on(rapid.SampledFrom([]string{"mq1", "mq2", "mq3"}).Draw(t, "broker")),
				Parent: rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(t, "parent")})
		}
		state := State{Cluster: c}
		p := Make(state)
		if refused := p.Refusal != nil; refused == plainlyValid(c.Groups) {
			t.Fatalf("refusal is %+v of %+v", p.Refusal, c.Groups)
		}
		if p.Refusal != nil && (p.Refusal.Reason != Invalid || len(p.Members) > 0 || len(p.Ledger.Assigned) > 0) {
			t.Fatalf("an invalid spec makes %s", story(p))
		}
	})
}

// plainlyValid: no circle, no unknown parent, no relay onto its own channel, one piece.
func plainlyValid(groups []Group) bool {
	placed := map[string]Channel{}
	for range groups {
		for _, g := range groups {
			if _, ok := placed[g.Parent]; ok || g.Parent == "" {
				placed[g.Name] = g.Channel
			}
		}
	}
	piece := map[Channel]Channel{} // a channel and what stands for its piece
	find := func(c Channel) Channel {
		for piece[c] != c {
			c = piece[c]
		}
		return c
	}
	for _, g := range groups {
		if _, ok := placed[g.Name]; !ok || g.Parent != "" && placed[g.Parent] == g.Channel {
			return false
		}
		piece[g.Channel] = g.Channel
	}
	for _, g := range groups {
		if g.Parent != "" {
			piece[find(g.Channel)] = find(placed[g.Parent])
		}
	}
	return !slices.ContainsFunc(groups, func(g Group) bool { return find(g.Channel) != find(groups[0].Channel) })
}
