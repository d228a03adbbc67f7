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
