package topology

import (
	"slices"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// moveState is a cluster of ready nodes on volumes of another class than is asked for.
func moveState(replicas int, ids ...branch.ID) State {
	s := State{Cluster: shop(replicas), Ledger: ledger(ids[len(ids)-1], 0, ids...), Nodes: nodes("core", ids...), Volumes: volumes("core", ids...)}
	for i := range s.Nodes {
		s.Nodes[i].VolumeUID, s.Nodes[i].Misplaced, s.Nodes[i].Health = s.Volumes[i].UID, true, Runner{Ready: true, ReadyFor: time.Hour, Serves: true}
	}
	return s
}

// succeeded adds a successor of an id, which is on the right class.
func succeeded(s State, id, old branch.ID) State {
	s.Nodes = append(s.Nodes, nodes("core", id)[0])
	s.Volumes = append(s.Volumes, volumes("core", id)[0])
	n := &s.Nodes[len(s.Nodes)-1]
	n.VolumeUID, n.Health = s.Volumes[len(s.Volumes)-1].UID, Runner{Ready: true, ReadyFor: time.Hour, Serves: true}
	s.Ledger.Last = id
	s.Ledger.Assigned = append(s.Ledger.Assigned, Assignment{ID: id, Group: "core", Started: true, VolumeUID: n.VolumeUID, Replaces: old})
	return s
}

// TestNodesMoveToAnotherStorageClassOneByOne is the table of when a node gets a
// successor, and when it leaves for it.
func TestNodesMoveToAnotherStorageClassOneByOne(t *testing.T) {
	node := func(s State, id branch.ID) *Node {
		return &s.Nodes[slices.IndexFunc(s.Nodes, func(n Node) bool { return n.ID == id })]
	}
	for name, test := range map[string]struct {
		state  State
		change func(*State)
		plan   string // of the members
		why    string
	}{
		"all are ready: the newest gets a successor": {moveState(3, "0A", "0B", "0C"), nil,
			"keep shop-core-0a keep shop-core-0b keep shop-core-0c make shop-core-0d", "shop-core-0d is to have all data and be ready first"},
		"a cluster of one": {moveState(1, "0A"), nil, "keep shop-core-0a make shop-core-0b", "shop-core-0b is to have all data and be ready first"},
		"one that is not ready goes before": {moveState(3, "0A", "0B", "0C"), func(s *State) { node(*s, "0A").Health.Ready = false },
			"keep shop-core-0a keep shop-core-0b keep shop-core-0c make shop-core-0d", "shop-core-0d is to have all data and be ready first"},
		"two are not ready": {moveState(3, "0A", "0B", "0C"), func(s *State) { node(*s, "0A").Health.Ready, node(*s, "0B").Health.Ready = false, false },
			"keep shop-core-0a keep shop-core-0b keep shop-core-0c", "shop-core-0a is not ready"},
		"nobody is ready": {moveState(1, "0A"), func(s *State) { node(*s, "0A").Health.Ready = false },
			"keep shop-core-0a", "no node is ready that a new one could learn all data from"},
		"one has diverged": {moveState(2, "0A", "0B"), func(s *State) { node(*s, "0B").Health.Diverged = true }, "keep shop-core-0a keep shop-core-0b", "shop-core-0b has diverged"},
		"held":             {moveState(2, "0A", "0B"), func(s *State) { s.Rollout.Held = true }, "keep shop-core-0a keep shop-core-0b", "spec.rollout.held is set"},
		"suspended":        {moveState(2, "0A", "0B"), func(s *State) { s.Cluster.Groups[0].Suspended = true }, "keep shop-core-0a keep shop-core-0b", "group core is suspended"},
		"while a node leaves, nobody gets a successor": {moveState(2, "0A", "0B", "0C"), nil,
			"keep shop-core-0a keep shop-core-0b drain shop-core-0c", "group core is to have 2 nodes first"},
		"one that is cut off has its turn later": {moveState(2, "0A", "0B"), func(s *State) { node(*s, "0B").Health = Runner{Away: true} },
			"keep shop-core-0a keep shop-core-0b make shop-core-0c", "shop-core-0c is to have all data and be ready first"},
		"the successor is not ready": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) { node(*s, "0C").Health.Ready = false },
			"keep shop-core-0a keep shop-core-0b keep shop-core-0c", "shop-core-0c is to have all data and be ready first"},
		"the successor is ready": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), nil, "keep shop-core-0a drain shop-core-0b keep shop-core-0c", "shop-core-0b leaves first"},
		"the successor is ready, and has diverged": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) { node(*s, "0C").Health.Diverged = true },
			"keep shop-core-0a keep shop-core-0b keep shop-core-0c", "shop-core-0c has diverged"},
		"the successor has not been ready for long": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) {
			s.Rollout.Pause, node(*s, "0C").Health.ReadyFor = time.Minute, 20*time.Second
		}, "keep shop-core-0a keep shop-core-0b keep shop-core-0c", "shop-core-0c is to be ready for 1m0s first"},
		"another is not ready": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) { node(*s, "0A").Health.Ready = false },
			"keep shop-core-0a keep shop-core-0b keep shop-core-0c", "shop-core-0a is not ready"},
		"who has begun to drain goes on, whoever is not ready now": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) {
			node(*s, "0B").Draining, node(*s, "0A").Health.Ready, node(*s, "0C").Health.Ready = true, false, false
		}, "keep shop-core-0a drain shop-core-0b keep shop-core-0c", ""},
		"the class is the old one again: the successor leaves": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) {
			for i, n := range s.Nodes {
				s.Nodes[i].Misplaced = n.ID == "0C"
			}
		}, "keep shop-core-0a keep shop-core-0b drain shop-core-0c", ""},
		"fewer nodes are wanted: the successor and whom it succeeds leave": {succeeded(moveState(1, "0A", "0B"), "0C", "0B"), func(s *State) { node(*s, "0C").Health.Ready = false },
			"keep shop-core-0a drain shop-core-0b drain shop-core-0c", ""},
		"the successor is named as one to go": {succeeded(moveState(2, "0A", "0B"), "0C", "0B"), func(s *State) { s.Cluster.Groups[0].Remove = []branch.ID{"0C"} },
			"keep shop-core-0a keep shop-core-0b drain shop-core-0c", ""},
		"those that never had a volume leave at once": {moveState(2, "0A", "0B"), func(s *State) {
			for i := range s.Nodes {
				s.Nodes[i].Blank, s.Nodes[i].Health = true, Runner{}
			}
		}, "drain shop-core-0a drain shop-core-0b make shop-core-0c make shop-core-0d", ""},
		"no id is left": {moveState(2, "0A", "0B"), func(s *State) { s.Cluster.Range.To = "0B" }, "keep shop-core-0a keep shop-core-0b", "raise spec.branchIDs.to"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change != nil {
				test.change(&test.state)
			}
			p := Make(test.state)
			if got := strings.TrimSpace(strings.SplitN(story(p), "|", 2)[1]); got != test.plan {
				t.Errorf("plan is %q, want %q", got, test.plan)
			}
			if test.why != "" && !strings.HasPrefix(p.Move.Why, test.why) && !strings.HasSuffix(p.Move.Why, test.why) || p.Refusal != nil {
				t.Errorf("the next step waits since %q, want %q; refusal %v", p.Move.Why, test.why, p.Refusal)
			}
		})
	}
}

// TestASuccessorIsRecordedWithWhomItSucceeds, and no longer when that one is gone.
func TestASuccessorIsRecordedWithWhomItSucceeds(t *testing.T) {
	s := moveState(2, "0A", "0B")
	p := Make(s)
	if a := p.Ledger.Assigned[2]; a.ID != "0C" || a.Replaces != "0B" || a.Started {
		t.Errorf("recorded %+v", a)
	}
	if m := p.Members[2]; m.Succeeds != "shop-core-0b" || !m.New {
		t.Errorf("member is %+v", m)
	}
	s = succeeded(s, "0C", "0B")
	s.Nodes[1].Draining, s.Nodes[1].Drained = true, true
	p = Make(s)
	if len(p.Ledger.Assigned) != 2 || p.Ledger.Assigned[1].Replaces != "" || p.Ledger.Retired != 1 {
		t.Errorf("ledger is %+v", p.Ledger)
	}
	if len(p.Remove) != 1 || p.Remove[0] != "shop-core-0b" || len(p.Retire) != 1 || p.Members[1].Succeeds != "" {
		t.Errorf("plan is %s", story(p))
	}
}
