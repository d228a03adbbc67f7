package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/branch"
)

// Make plans. It never fails: what cannot be done is left out and named in the
// plan's Refusal.
func Make(s State) Plan {
	p := newPlanner(s)
	p.restore()
	p.retireLost()
	p.replaceLost()
	p.refusal = p.invalid()
	if p.refusal != nil {
		return p.plan()
	}
	p.move()
	p.scaleDown()
	p.refusal = p.refuse()
	if p.refusal == nil {
		p.allocate()
	}
	return p.plan()
}

// planner is a Plan in the making.
type planner struct {
	State
	// fresh: the ledger holds nothing, because it is new or was lost.
	fresh    bool
	ledger   Ledger
	assigned map[branch.ID]Assignment
	nodes    map[branch.ID]Node
	draining map[branch.ID]bool
	volumes  map[branch.ID]Volume
	refusal  *Refusal
	// replaced are ids that have successors, and stay until these are well; mover is
	// the one to be given a successor next, "" for none. moving says how far that is.
	replaced   map[branch.ID]bool
	mover      branch.ID
	moverGroup string
	moving     Move
}

func newPlanner(s State) *planner {
	p := &planner{
		State:    s,
		fresh:    s.Ledger.Last == "" && len(s.Ledger.Assigned) == 0,
		ledger:   Ledger{Trunk: s.Cluster.Trunk, First: s.Ledger.First, Last: s.Ledger.Last, Retired: s.Ledger.Retired},
		assigned: map[branch.ID]Assignment{},
		nodes:    map[branch.ID]Node{},
		draining: map[branch.ID]bool{},
		volumes:  map[branch.ID]Volume{},
		replaced: map[branch.ID]bool{},
	}
	if p.ledger.First == "" && p.ledger.Last != "" { // it may have given out all from the start of its range
		p.ledger.First = min(s.Cluster.Range.From, p.ledger.Last)
	}
	for _, a := range s.Ledger.Assigned {
		p.assigned[a.ID] = a
		p.see(a.ID)
	}
	for _, n := range s.Nodes {
		p.nodes[n.ID] = n
	}
	for _, v := range s.Volumes {
		if p.rightName(v) {
			p.volumes[v.ID] = v
		}
	}
	return p
}

// rightName reports whether a volume is where its id's node would look for it.
// One that is not (a copy, a renamed restore) only shows that its id was used.
func (p *planner) rightName(v Volume) bool {
	return v.Name == VolumeName(NodeName(p.Cluster.Name, v.Group, v.ID))
}

// restore completes the ledger from the nodes and volumes that exist. An id
// that the ledger covers and does not list was retired, and stays so.
func (p *planner) restore() {
	for _, n := range p.Nodes {
		if !p.start(n.ID) && !p.covered(n.ID) {
			p.assigned[n.ID] = Assignment{ID: n.ID, Group: n.Group, Started: true}
		}
		if a, known := p.assigned[n.ID]; known && a.VolumeUID == "" {
			a.VolumeUID = n.VolumeUID
			p.assigned[n.ID] = a
		}
		p.see(n.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(p.volumes)) {
		p.restoreVolume(p.volumes[id])
	}
	for _, v := range p.Volumes {
		p.see(v.ID)
	}
}

// see notes that an id is or was in use.
func (p *planner) see(id branch.ID) {
	if p.ledger.First == "" || id < p.ledger.First {
		p.ledger.First = id
	}
	p.ledger.Last = max(p.ledger.Last, id)
}

// restoreVolume notes the volume of an assigned id, and adopts one that was kept.
func (p *planner) restoreVolume(v Volume) {
	if !p.start(v.ID) && p.adoptable(v) {
		p.assigned[v.ID] = Assignment{ID: v.ID, Group: v.Group, Started: true}
	}
	if a, known := p.assigned[v.ID]; known && a.VolumeUID == "" && !v.Leaving && !v.Copied {
		a.VolumeUID = v.UID
		p.assigned[v.ID] = a
	}
}

// start notes that the node of an assigned id has existed; false when the id is
// not assigned.
func (p *planner) start(id branch.ID) bool {
	a, known := p.assigned[id]
	if known {
		a.Started = true
		p.assigned[id] = a
	}
	return known
}

// covered reports whether the recorded ledger has decided about an id.
func (p *planner) covered(id branch.ID) bool { return !p.fresh && id <= p.Ledger.Last }

// adoptable reports whether a kept volume may become a node again.
func (p *planner) adoptable(v Volume) bool {
	return !p.covered(v.ID) && !v.Retired && !v.Leaving && !v.Copied && !p.unwanted(v.Group, v.ID) && len(p.group(v.Group)) < p.replicas(v.Group)
}

// retireLost retires each id whose node once existed and that now has neither
// node nor its own volume.
func (p *planner) retireLost() {
	for id, a := range p.assigned {
		if _, exists := p.nodes[id]; a.Started && !exists && !p.kept(a) {
			p.retire(id)
		}
	}
}

// replaceLost retires each id whose node is there and lost its volume, or has
// another in its place, as long as some other node has its data: the replacement
// learns all from it. The last one is for a person to decide.
func (p *planner) replaceLost() {
	var lost []branch.ID
	whole := 0
	for id, a := range p.assigned {
		_, exists := p.nodes[id]
		switch v, there := p.volumes[id]; {
		case exists && p.kept(a):
			whole++
		case exists && a.VolumeUID != "" && (!there || v.UID != a.VolumeUID):
			lost = append(lost, id)
		}
	}
	if whole == 0 {
		return
	}
	for _, id := range lost {
		p.retire(id)
	}
}

// volumeless reports whether the volume that held a node's data is gone, or is
// another: it has nothing to drain.
func (p *planner) volumeless(node Node) bool {
	uid := node.VolumeUID
	if i := slices.IndexFunc(p.Ledger.Assigned, func(a Assignment) bool { return a.ID == node.ID }); i >= 0 {
		uid = cmp.Or(uid, p.Ledger.Assigned[i].VolumeUID)
	}
	v, there := p.volumes[node.ID]
	return uid != "" && (!there || v.UID != uid)
}

// kept reports whether the volume that holds an assigned id's data is there to
// be used: not another of its name, not retired, not on its way out.
func (p *planner) kept(a Assignment) bool {
	v, exists := p.volumes[a.ID]
	return exists && v.UID == a.VolumeUID && !v.Retired && !v.Leaving
}

func (p *planner) retire(id branch.ID) {
	delete(p.assigned, id)
	p.ledger.Retired++
}

// scaleDown lets those go that are named, the newest ids of groups that have too
// many, and all of groups that are gone.
func (p *planner) scaleDown() {
	counts := map[string]int{}
	for _, id := range p.ids() {
		a := p.assigned[id]
		switch {
		case p.draining[id]:
		case p.unwanted(a.Group, id):
			p.leave(id)
		case p.replaced[id]: // its successor counts
		default:
			if counts[a.Group]++; counts[a.Group] > p.replicas(a.Group) {
				p.leaveBoth(a)
			}
		}
	}
}

// leaveBoth lets an id go, and whom it was to succeed.
func (p *planner) leaveBoth(a Assignment) {
	p.leave(a.ID)
	if p.replaced[a.Replaces] {
		delete(p.replaced, a.Replaces)
		p.leave(a.Replaces)
	}
}

// leave retires an id once its node has drained or is gone, and has it drain before.
func (p *planner) leave(id branch.ID) {
	if node, exists := p.nodes[id]; exists && !node.Leaving && !node.Drained {
		p.draining[id] = true
		return
	}
	p.retire(id)
}

// unwanted reports whether an id is named as one that must not be in its group.
func (p *planner) unwanted(group string, id branch.ID) bool {
	return slices.ContainsFunc(p.Cluster.Groups, func(g Group) bool { return g.Name == group && slices.Contains(g.Remove, id) })
}

// allocate gives fresh ids to groups that have too few.
func (p *planner) allocate() {
	taken := map[branch.ID]bool{}
	for _, n := range p.near(p.me().Party) {
		for _, id := range n.Used {
			taken[id] = true
		}
	}
	for _, id := range p.Spent {
		taken[id] = true
	}
	missing := 0
	for _, group := range p.Cluster.Groups {
		for _, id := range group.Remove {
			taken[id] = true // a fresh node must not leave at once
		}
	}
	for _, group := range p.Cluster.Groups {
		for have := len(p.group(group.Name)); have < group.Replicas; have++ {
			id, ok := p.next(taken)
			if !ok {
				missing += group.Replicas - have
				break
			}
			p.see(id)
			p.assigned[id] = Assignment{ID: id, Group: group.Name}
		}
	}
	if missing > 0 {
		p.refusal = p.exhausted(missing)
		return
	}
	p.succeed(taken)
}

// next returns the lowest id of the range above all that were ever used.
func (p *planner) next(taken map[branch.ID]bool) (branch.ID, bool) {
	id := p.Cluster.Range.From
	if p.ledger.Last >= id {
		var ok bool
		if id, ok = p.ledger.Last.Next(); !ok {
			return "", false
		}
	}
	for taken[id] {
		var ok bool
		if id, ok = id.Next(); !ok {
			return "", false
		}
	}
	return id, p.Cluster.Range.Contains(id)
}

func (p *planner) exhausted(missing int) *Refusal {
	remedy := "raise spec.branchIDs.to"
	if p.Cluster.Range.To == branch.Last(p.Cluster.Range.To.Width()) {
		remedy = "make a new cluster with a larger spec.branchIDs.width and copy the data"
	}
	return &Refusal{Reason: Exhausted, Message: fmt.Sprintf(
		"%d more nodes are asked for and the branch ids %s are used up (the last one given out is %s; none is ever used twice): %s, or lower the replicas",
		missing, p.Cluster.Range, p.ledger.Last, remedy)}
}

// plan writes down what was decided.
func (p *planner) plan() Plan {
	out := Plan{Ledger: p.ledger, Refusal: p.refusal, Move: p.moved()}
	for _, id := range p.ids() {
		out.Ledger.Assigned = append(out.Ledger.Assigned, p.assigned[id])
		if node, exists := p.nodes[id]; exists && !node.Leaving || !exists && !p.held() {
			out.Members = append(out.Members, p.member(p.assigned[id], node, exists))
		}
	}
	for id, node := range p.nodes {
		if _, assigned := p.assigned[id]; assigned || node.Leaving {
			continue
		}
		if node.Drained || p.volumeless(node) {
			out.Remove = append(out.Remove, node.Name)
		} else {
			out.Members = append(out.Members, p.retiree(node))
		}
	}
	slices.SortFunc(out.Members, func(a, b Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for id, volume := range p.volumes {
		if _, wanted := p.assigned[id]; !wanted && !volume.Retired && !volume.Leaving {
			out.Retire = append(out.Retire, volume.Name)
		}
	}
	slices.Sort(out.Remove)
	slices.Sort(out.Retire)
	return out
}

// member is the node of an assignment. The trunk id of one that exists cannot
// change, whatever the cluster's is.
func (p *planner) member(a Assignment, node Node, exists bool) Member {
	m := Member{Name: NodeName(p.Cluster.Name, a.Group, a.ID), ID: a.ID, Trunk: p.ledger.Trunk, Group: a.Group, New: !exists, Draining: p.draining[a.ID]}
	if exists && node.Trunk != "" {
		m.Trunk = node.Trunk
	}
	if p.replaced[a.Replaces] {
		m.Succeeds = p.nameOf(a.Replaces)
	}
	p.connect(&m, node)
	m.Moves = exists && m.moves(node)
	return m
}

// retiree is the node of an id that is retired already, and that has not drained.
func (p *planner) retiree(node Node) Member {
	m := Member{Name: node.Name, ID: node.ID, Trunk: cmp.Or(node.Trunk, p.ledger.Trunk), Group: node.Group, Draining: true}
	p.connect(&m, node)
	return m
}

// held reports whether no node may be started. A used-up range only means
// that no more ids can be given out.
func (p *planner) held() bool { return p.refusal != nil && p.refusal.Reason != Exhausted }

// ids returns the assigned ids, ascending.
func (p *planner) ids() []branch.ID {
	return slices.Sorted(maps.Keys(p.assigned))
}

// group returns the assigned ids of a group that do not leave it, nor have a
// successor that counts in their place.
func (p *planner) group(name string) []branch.ID {
	var ids []branch.ID
	for id, a := range p.assigned {
		if a.Group == name && !p.draining[id] && !p.replaced[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// replicas returns how many nodes a group should have, 0 when there is no such group.
func (p *planner) replicas(name string) int {
	for _, g := range p.Cluster.Groups {
		if g.Name == name {
			return g.Replicas
		}
	}
	return 0
}
