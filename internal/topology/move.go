package topology

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// Move is how far a change of the storage class is: nodes whose volumes are of another
// class are replaced one after another. Each has a successor first, with a fresh id
// on a new volume, and leaves when that one is well: nothing is ever served by fewer
// nodes than before, and what a node wrote is on all others before it goes.
type Move struct {
	// From and To are the node that is being replaced and its successor; "" while none is.
	From, To string
	// ToCome names the nodes that are still to be replaced, ascending; From is not
	// among them.
	ToCome []string
	// Why says what the next step waits for, "" for nothing.
	Why string
	// Again is when to look again although nothing has happened, 0 for not at all.
	Again time.Duration
}

// move decides who is replaced, and whose successor is well enough for that.
func (p *planner) move() {
	p.dropPairs()
	p.leaveBlank()
	p.replaceDone()
	if len(p.replaced) > 0 {
		return
	}
	if id, group, ok := p.nextToMove(); ok {
		p.mover, p.moverGroup = id, group
	}
}

// dropPairs ends the succession of those who have nobody to succeed any more: who was
// to be replaced is gone, or is on the right class after all, or the successor is
// not, or has to go. Then both count as any node does.
func (p *planner) dropPairs() {
	for id, a := range p.assigned {
		if a.Replaces == "" {
			continue
		}
		_, there := p.assigned[a.Replaces]
		if !there || !p.nodes[a.Replaces].Misplaced || p.nodes[id].Misplaced || p.unwanted(a.Group, id) {
			p.endPair(id)
		}
	}
}

func (p *planner) endPair(successor branch.ID) {
	a := p.assigned[successor]
	a.Replaces = ""
	p.assigned[successor] = a
}

// leaveBlank lets those go that are on another class and never had a volume: they
// have nothing to lose, so that a wrong name of a class is put right at once.
func (p *planner) leaveBlank() {
	for _, id := range p.ids() {
		if node := p.nodes[id]; node.Misplaced && node.Blank {
			p.leave(id)
		}
	}
}

// replaceDone has those leave whose successors are well; the others stay, and do not
// count beside their successors.
func (p *planner) replaceDone() {
	for _, id := range p.ids() {
		old := p.assigned[id].Replaces
		if old == "" {
			continue
		}
		p.moving.From, p.moving.To = p.nameOf(old), p.nameOf(id)
		why, again := p.waitsFor(id, old)
		if why == "" || p.nodes[old].Draining || p.draining[old] {
			p.leave(old) // once it has begun to drain it goes on
			if _, stays := p.assigned[old]; !stays {
				p.endPair(id)
				p.moving = Move{}
			}
			continue
		}
		p.replaced[old], p.moving.Why, p.moving.Again = true, why, again
	}
}

// waitsFor says what keeps a node, whose successor exists, from leaving.
func (p *planner) waitsFor(successor, old branch.ID) (why string, again time.Duration) {
	node, exists := p.nodes[successor]
	switch {
	case p.Rollout.Held:
		return "spec.rollout.held is set", 0
	case !exists || !node.Health.Ready:
		return fmt.Sprintf("%s is to have all data and be ready first", p.nameOf(successor)), 0
	case node.Health.ReadyFor < p.Rollout.Pause:
		return fmt.Sprintf("%s is to be ready for %s first", p.nameOf(successor), p.Rollout.Pause), p.Rollout.Pause - node.Health.ReadyFor
	}
	return p.unwell(old), 0
}

// unwell names a node, other than one, that is not ready or has another state than
// its peers; "" when all are well that should run.
func (p *planner) unwell(but branch.ID) string {
	for _, id := range p.ids() {
		node, exists := p.nodes[id]
		switch group, _ := p.Cluster.find(p.assigned[id].Group); {
		case group.Suspended || p.draining[id]:
		case exists && node.Health.Diverged:
			return node.Name + " has diverged from its peers"
		case id == but || exists && (node.Health.Ready || node.Health.Away):
		default:
			return p.nameOf(id) + " is not ready"
		}
	}
	return ""
}

// nextToMove chooses the next node to replace: one that is not ready, else the newest.
// It says why nobody may be replaced now.
func (p *planner) nextToMove() (branch.ID, string, bool) {
	for _, group := range p.Cluster.Groups {
		id, ok := p.candidate(group)
		if !ok {
			continue
		}
		if p.moving.Why, p.moving.Again = p.cannotMove(id, group); p.moving.Why != "" {
			return "", "", false
		}
		return id, group.Name, true
	}
	return "", "", false
}

// candidate is the node of a group to be replaced next. One that is cut off has its
// turn when it is back: its successor would be cut off too.
func (p *planner) candidate(group Group) (next branch.ID, found bool) {
	for _, id := range slices.Sorted(slices.Values(p.group(group.Name))) {
		health := p.nodes[id].Health
		switch {
		case !p.nodes[id].Misplaced || p.unwanted(group.Name, id):
		case health.Away:
			p.moving.Why = p.nodes[id].Name + " is away, and has its turn when it is back"
		case !found || !health.Ready || p.nodes[next].Health.Ready:
			next, found = id, true
		}
	}
	return next, found
}

// cannotMove says why a node cannot be replaced now, "" when it can.
func (p *planner) cannotMove(id branch.ID, group Group) (why string, again time.Duration) {
	switch {
	case p.Rollout.Held:
		return "spec.rollout.held is set", 0
	case group.Suspended:
		return fmt.Sprintf("group %s is suspended, and a new node learns all from those that run: let it run", group.Name), 0
	case !p.anyReady():
		return "no node is ready that a new one could learn all data from: see to that first", 0
	}
	for _, other := range slices.Sorted(maps.Keys(p.nodes)) {
		node := p.nodes[other]
		_, assigned := p.assigned[other]
		switch {
		case p.draining[other], node.Leaving, !assigned, p.unwanted(node.Group, other):
			return node.Name + " leaves first", 0
		case !node.Misplaced && node.Health.Ready && node.Health.ReadyFor < p.Rollout.Pause:
			return fmt.Sprintf("%s is to be ready for %s first", node.Name, p.Rollout.Pause), p.Rollout.Pause - node.Health.ReadyFor
		}
	}
	for _, g := range p.Cluster.Groups {
		if have := len(p.group(g.Name)); have != g.Replicas {
			return fmt.Sprintf("group %s is to have %d nodes first", g.Name, g.Replicas), 0
		}
	}
	return p.unwell(id), 0
}

func (p *planner) anyReady() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(p.nodes)), func(n Node) bool { return n.Health.Ready && !n.Leaving })
}

// succeed gives the one who is to be replaced next a successor with a fresh id.
func (p *planner) succeed(taken map[branch.ID]bool) {
	if _, stays := p.assigned[p.mover]; !stays || p.draining[p.mover] {
		return
	}
	id, ok := p.next(taken)
	if !ok {
		p.moving.Why = "no branch id is left for a successor: raise spec.branchIDs.to"
		return
	}
	p.see(id)
	p.assigned[id] = Assignment{ID: id, Group: p.moverGroup, Replaces: p.mover}
	p.replaced[p.mover] = true
	p.moving.From, p.moving.To, p.moving.Why = p.nameOf(p.mover), p.nameOf(id), fmt.Sprintf("%s is to have all data and be ready first", p.nameOf(id))
}

// nameOf is the name of an assigned id's node.
func (p *planner) nameOf(id branch.ID) string {
	return NodeName(p.Cluster.Name, p.assigned[id].Group, id)
}

// moved completes what is said of the change. Who is away is not waited for.
func (p *planner) moved() Move {
	out := p.moving
	for _, id := range p.ids() {
		if name := p.nameOf(id); p.nodes[id].Misplaced && !p.nodes[id].Health.Away && !p.draining[id] && name != out.From {
			out.ToCome = append(out.ToCome, name)
		}
	}
	if len(out.ToCome) == 0 && out.From == "" {
		return Move{}
	}
	return out
}
