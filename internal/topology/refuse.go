package topology

import (
	"fmt"

	"vesperdb.io/vesper/internal/branch"
)

// refuse returns why nothing new may be started, nil when it may.
func (p *planner) refuse() *Refusal {
	if r := p.trunkOfOwn(); r != nil {
		return r
	}
	me := p.me()
	for _, n := range p.near(me.Party) {
		if r := p.clash(me, n); r != nil {
			return r
		}
	}
	return p.joinsOthers(me.Party)
}

// me is the cluster as its neighbors see it.
func (p *planner) me() Neighbor {
	me := Neighbor{Identity: p.Cluster.Identity, Range: p.Cluster.Range, Given: p.ledger.Given(), Trunk: p.Cluster.Trunk}
	for _, g := range p.Cluster.Groups {
		me.Wanted = append(me.Wanted, g.Channel)
	}
	for _, n := range p.Nodes {
		me.Now = append(me.Now, n.Channels...)
	}
	return me
}

// joinsOthers refuses to be what connects two others whose ids meet.
func (p *planner) joinsOthers(me Party) *Refusal {
	near := p.near(me)
	for i, a := range near {
		for _, b := range near[:i] {
			if len(a.Now) > 0 && len(b.Now) > 0 && !p.linked(a.Party, b.Party) && a.meets(b) {
				return &Refusal{Reason: ChannelShared, Message: fmt.Sprintf(
					"the relays of this %s would connect %s %s with %s %s, whose branch ids (%s and %s) meet: leave out the parent that connects them, or give each its own ids with spec.branchIDs.from and to",
					p.Cluster.Kind, b.Kind, b.Name, a.Kind, a.Name, b.Range, a.Range)}
			}
		}
	}
	return nil
}

// trunkOfOwn refuses when what exists of the cluster has another trunk id.
func (p *planner) trunkOfOwn() *Refusal {
	conflict := func(what string, trunk branch.ID) *Refusal {
		return &Refusal{Reason: TrunkConflict, Message: fmt.Sprintf(
			"%s belongs to a system whose trunk id is %s, and this cluster's is %s: make the cluster with spec.trunkID %s, or remove %s",
			what, trunk, p.Cluster.Trunk, trunk, what)}
	}
	for _, n := range p.Nodes {
		if _, used := p.assigned[n.ID]; used && n.Trunk != "" && n.Trunk != p.Cluster.Trunk {
			return conflict("VesperNode "+n.Name, n.Trunk)
		}
	}
	for _, v := range p.Volumes {
		if _, used := p.assigned[v.ID]; used && v.Trunk != "" && v.Trunk != p.Cluster.Trunk {
			return conflict("volume claim "+v.Name, v.Trunk)
		}
	}
	return nil
}

// Given is the range of what the ledger ever gave out, empty for nothing.
func (l Ledger) Given() Range {
	if l.First == "" {
		return Range{}
	}
	return Range{From: l.First, To: l.Last}
}

// meets reports whether an id is, or was, both n's and o's to give out.
func (n Neighbor) meets(o Neighbor) bool {
	return n.Range.Meets(o.Range) || n.Range.met(o.Given) || o.Range.met(n.Given) || n.Given != (Range{}) && n.Given.met(o.Given)
}

// met reports whether some id of the range was given out.
func (r Range) met(given Range) bool { return given != (Range{}) && r.Meets(given) }

// ids are the ids of n, for people.
func (n Neighbor) ids() string {
	if n.Given == (Range{}) || n.Range.From <= n.Given.From && n.Given.To <= n.Range.To {
		return n.Range.String()
	}
	return n.Range.String() + ", and before " + n.Given.String()
}

// givesWay reports whether one must not go on because of the other. Both see it
// the same way, and never do both go on: who comes, by an edit too, gives way to
// who is there, however old; else the younger does.
func givesWay(me, other Identity, m Meeting) bool {
	if m.Linked || !m.There && !m.Here {
		return !me.Before(other)
	}
	return m.There
}

// clash returns why the one who is me must not start anything because of a
// neighbor; nil when it may.
func (s Surroundings) clash(me, n Neighbor) *Refusal {
	m := s.meeting(me.Party, n.Party)
	if !m.Together || !givesWay(me.Identity, n.Identity, m) {
		return nil
	}
	where, remedy := "uses the same broker and channel", "use another channel"
	if m.Remote {
		where, remedy = "is connected with this channel by relays", "use a channel that is not connected with it"
	}
	if me.Range.From.Width() != n.Range.From.Width() {
		return &Refusal{Reason: ChannelShared, Message: fmt.Sprintf(
			"%s %s %s, and its branch ids have %d characters, not %d: %s, or ids of %d characters",
			n.Kind, n.Name, where, n.Range.From.Width(), me.Range.From.Width(), remedy, n.Range.From.Width())}
	}
	if me.meets(n) {
		return &Refusal{Reason: ChannelShared, Message: fmt.Sprintf(
			"%s %s %s, and its branch ids (%s) meet those of this %s (%s): %s, or give each its own ids with spec.branchIDs.from and to",
			n.Kind, n.Name, where, n.ids(), me.Kind, me.ids(), remedy)}
	}
	if me.Trunk != n.Trunk {
		return &Refusal{Reason: TrunkConflict, Message: fmt.Sprintf(
			"%s %s %s, and its trunk id is %s, not %s: all of one system have the same; make this %s with spec.trunkID %s",
			n.Kind, n.Name, where, n.Trunk, me.Trunk, me.Kind, n.Trunk)}
	}
	return nil
}
