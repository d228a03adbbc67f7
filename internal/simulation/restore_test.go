package simulation

import (
	"strings"
	"testing"
	"time"
)

// TestRestoredNodeWritesNothingWhileOnlyABrokerHasWhatItsBranchWroteSince: no
// peer could tell it so. An operator accepts the branch once all has come back.
func TestRestoredNodeWritesNothingWhileOnlyABrokerHasWhatItsBranchWroteSince(t *testing.T) {
	plan := Plan{Seed: 1, Topology: Topologies[0], Policy: "latest", Acts: []Act{
		{After: 30 * time.Second, Kind: "write", Count: 3, Chance: 1},
		{After: 5 * time.Second, Kind: "back up"},
		{After: time.Second, Kind: "write", Count: 2, Chance: 2},
		{After: 5 * time.Second, Kind: "cut", Node: 1, In: true, Out: true},
		{After: 5 * time.Second, Kind: "write", Count: 5, Chance: 3},
		{After: 5 * time.Second, Kind: "restore", For: 2 * time.Second},
		{After: time.Minute, Kind: "write", Count: 1, Chance: 4},
		{After: 5 * time.Second, Kind: "join", Node: 1},
		{After: time.Minute, Kind: "write", Node: 1, Count: 1, Chance: 5},
	}}
	r := run(t, plan, room(t))
	story := strings.Join(r.Story, "\n")
	refused := strings.Index(story, "0A did not take")
	back := strings.Index(story, "join: node 1")
	accepted := strings.Index(story, "an operator accepted the branch of 0A")
	if r.Failed() != "" || refused < 0 || back < refused || accepted < back {
		t.Errorf("it failed %q, was refused at %d, all came back at %d, it was accepted at %d:\n%s", r.Failed(), refused, back, accepted, story)
	}
}

// TestNothingWaitsForWhatALostVolumeAndAFullNodeTookWithThem: the first of many
// messages comes last to a node that has no room for all that waits for it. It
// acknowledges those that it cannot keep, and nobody can send them again. The
// books let what came after them wait for ever, and only since the volume of
// their author is lost: with it they come.
func TestNothingWaitsForWhatALostVolumeAndAFullNodeTookWithThem(t *testing.T) {
	for _, lost := range []bool{true, false} {
		r := run(t, fullNodePlan(lost), room(t))
		story := strings.Join(r.Story, "\n")
		if gone := strings.Contains(story, "are gone from there too"); r.Failed() != "" || gone != lost {
			t.Errorf("a volume was lost: %v, it failed %q, changesets were gone: %v\n%s", lost, r.Failed(), gone, story)
		}
	}
}

// fullNodePlan has more of a node's writes on their way to another than can wait
// there, and then perhaps has the author lose its volume.
func fullNodePlan(lose bool) Plan {
	acts := []Act{
		{After: 30 * time.Second, Kind: "stop", Node: 1, For: 10 * time.Minute},
		{After: time.Second, Kind: "network", Rates: rates{shuffle: 1}},
	}
	for i := range uint64(pendingLimit + 8) {
		acts = append(acts, Act{After: time.Second, Kind: "write", Count: 1, Chance: i})
	}
	acts = append(acts,
		Act{After: time.Second, Kind: "network"},
		Act{After: time.Second, Kind: "write", Count: 1, Chance: 100},
		Act{After: time.Second, Kind: "write", Count: 1, Chance: 101},
	)
	if lose {
		acts = append(acts, Act{After: time.Second, Kind: "lose volume", For: 2 * time.Second})
	}
	acts = append(acts, Act{After: 10 * time.Second, Kind: "broker up"})
	return Plan{Seed: 1, Topology: Topologies[0], Policy: "latest", Acts: acts}
}
