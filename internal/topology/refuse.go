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
	for _, n := range p.Neighbors {
		if r := Clash(p.Cluster.Identity, p.Cluster.Range, p.Cluster.Trunk, n); r != nil {
			return r
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

// Clash returns why the one who is me, with a range and a trunk id, must not
// start anything because of the neighbor; nil when it may. Of two that clash,
// the older one goes on: both see it the same way.
func Clash(me Identity, ids Range, trunk branch.ID, n Neighbor) *Refusal {
	if me.Before(n.Identity) {
		return nil
	}
	if ids.From.Width() != n.Range.From.Width() {
		return &Refusal{Reason: ChannelShared, Message: fmt.Sprintf(
			"%s %s uses the same broker and channel, and its branch ids have %d characters, not %d: use another channel, or ids of %d characters",
			n.Kind, n.Name, n.Range.From.Width(), ids.From.Width(), n.Range.From.Width())}
	}
	if ids.Meets(n.Range) {
		return &Refusal{Reason: ChannelShared, Message: fmt.Sprintf(
			"%s %s uses the same broker and channel, and its branch ids (%s) meet those of this %s (%s): use another channel, or give each its own ids with spec.branchIDs.from and to",
			n.Kind, n.Name, n.Range, me.Kind, ids)}
	}
	if trunk != n.Trunk {
		return &Refusal{Reason: TrunkConflict, Message: fmt.Sprintf(
			"%s %s uses the same broker and channel, and its trunk id is %s, not %s: all on one channel have the same; make this %s with spec.trunkID %s",
			n.Kind, n.Name, n.Trunk, trunk, me.Kind, n.Trunk)}
	}
	return nil
}
