package topology

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWhoseTurnItIs: day-one list, points 5 and 6.
func TestWhoseTurnItIs(t *testing.T) {
	well := Runner{Differs: true, Restarts: true, Ready: true, ReadyFor: time.Hour, Serves: true}
	cutOff := Runner{Differs: true, Restarts: true, Serves: true, CutOff: true}
	broken := Runner{Differs: true, Restarts: true}
	with := func(r Runner, change func(*Runner)) Runner { change(&r); return r }
	done := with(well, func(r *Runner) { r.Differs = false })
	away := with(broken, func(r *Runner) { r.Differs = false })
	for _, test := range []struct {
		name   string
		roll   Rollout
		nodes  []Runner
		change string
		why    string
	}{
		{"all are ready: the first", Rollout{}, []Runner{well, well, well}, "a", "a is not ready"},
		{"two at a time", Rollout{Budget: 2}, []Runner{well, well, well}, "a b", "b is not ready"},
		{"one that has it is not ready yet", Rollout{}, []Runner{away, well, well}, "", "a is not ready"},
		{"one that has it is ready", Rollout{}, []Runner{done, well, well}, "b", "b is not ready"},
		{"one that has it is ready, and nobody is sent to it yet", Rollout{}, []Runner{with(done, func(r *Runner) { r.Unreached = true }), well, well}, "", "a is not ready"},
		{"a fix goes to a broken one while nobody is sent to another", Rollout{}, []Runner{with(done, func(r *Runner) { r.Unreached = true }), broken}, "b", ""},
		{"one of two may be away", Rollout{Budget: 2}, []Runner{away, well, well}, "b", "b is not ready"},
		{"a fix goes to the broken one at once", Rollout{}, []Runner{broken, well, well}, "a", "a is not ready"},
		{"a fix goes to all broken ones at once", Rollout{}, []Runner{broken, broken, well}, "a b", "b is not ready"},
		{"a fix goes to a broken one while it is held", Rollout{Held: true}, []Runner{broken, well}, "a", "spec.rollout.held is set"},
		{"held in the middle", Rollout{Held: true}, []Runner{done, well}, "", "spec.rollout.held is set"},
		{"the digest of one that has it differs", Rollout{}, []Runner{with(done, func(r *Runner) { r.Diverged = true }), well, well}, "", "a, which has the change, has diverged from its peers"},
		{"the fix of what made them diverge starts at the first", Rollout{}, []Runner{with(well, func(r *Runner) { r.Diverged = true }), well}, "a", "a is not ready"},
		{"a pause between nodes", Rollout{Pause: time.Minute}, []Runner{with(done, func(r *Runner) { r.ReadyFor = time.Second }), well}, "", "a, which has the change, is to be ready for 1m0s first"},
		{"the pause is over", Rollout{Pause: time.Minute}, []Runner{with(done, func(r *Runner) { r.ReadyFor = time.Minute }), well}, "b", ""},
		{"what restarts nothing is for all", Rollout{Held: true}, []Runner{with(well, func(r *Runner) { r.Restarts = false }), with(well, func(r *Runner) { r.Restarts = false }), away}, "a b", ""},
		{"the broker of all is away: one by one", Rollout{}, []Runner{cutOff, cutOff}, "a", "a is not ready"},
		{"one that needs a person holds up none that is cut off", Rollout{}, []Runner{cutOff, with(away, func(r *Runner) { r.Stalled = true })}, "a", ""},
		{"one that needs a person holds up ready ones", Rollout{}, []Runner{well, with(away, func(r *Runner) { r.Stalled = true })}, "", "b is not ready"},
		{"nobody waits for one that may be away and is", Rollout{}, []Runner{with(away, func(r *Runner) { r.Away = true }), well, well}, "b", "b is not ready"},
		{"nor do those that are cut off", Rollout{}, []Runner{with(away, func(r *Runner) { r.Away = true }), cutOff, cutOff}, "b", "b is not ready"},
		{"those that were given something else just before are waited for", Rollout{}, []Runner{with(broken, func(r *Runner) { r.Unseen = true }), with(broken, func(r *Runner) { r.Unseen = true })}, "", "a is not ready"},
		{"nothing to do", Rollout{}, []Runner{done, away}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.nodes {
				test.nodes[i].Name = string(rune('a' + i))
			}
			got := test.roll.Turn(test.nodes)
			if change := strings.Join(got.Change, " "); change != test.change || got.Why != test.why {
				t.Errorf("changes %q, the others wait since %q; want %q, %q", change, got.Why, test.change, test.why)
			}
		})
	}
	unreached := Rollout{}.Turn([]Runner{{Name: "a", Ready: true, Unreached: true}, {Name: "b", Differs: true, Restarts: true, Ready: true}})
	if unreached.Again <= 0 {
		t.Error("nobody looks again at one that is ready and not reached: nothing else tells that it is")
	}
	last := Rollout{Pause: time.Minute}.Turn([]Runner{{Name: "a", Ready: true, ReadyFor: 20 * time.Second}, {Name: "b", Differs: true, Restarts: true, Ready: true}})
	if last.Again != 40*time.Second {
		t.Errorf("to be looked at again after %s, want the rest of the pause", last.Again)
	}
}

// TestARolloutTakesNoMoreThanItsBudgetAndEnds walks a change through random clusters
// in which each restarted node comes back after a while.
func TestARolloutTakesNoMoreThanItsBudgetAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roll := Rollout{Budget: rapid.IntRange(1, 3).Draw(t, "budget"), Pause: time.Duration(rapid.IntRange(0, 3).Draw(t, "pause")) * time.Second}
		nodes := make([]Runner, rapid.IntRange(1, 8).Draw(t, "nodes"))
		back := map[string]int{}
		for i := range nodes {
			nodes[i] = Runner{Name: fmt.Sprint("n", i), Differs: true, Restarts: true, Ready: true, Serves: true, ReadyFor: time.Hour}
		}
		for step := 0; ; step++ {
			if step > 200 {
				t.Fatalf("no end after %d steps: %+v", step, nodes)
			}
			turn, left, away := roll.Turn(nodes), 0, 0
			for i := range nodes {
				n := &nodes[i]
				n.ReadyFor += time.Second
				for _, name := range turn.Change {
					if name == n.Name {
						n.Differs, n.Ready, n.Serves = false, false, false
						back[name] = rapid.IntRange(1, 4).Draw(t, "takes")
					}
				}
				if !n.Ready {
					away++
					if back[n.Name]--; back[n.Name] < 0 {
						n.Ready, n.Serves, n.ReadyFor = true, true, 0
					}
				}
				if n.Differs {
					left++
				}
			}
			if away > roll.Budget {
				t.Fatalf("%d nodes are away, at most %d may be", away, roll.Budget)
			}
			if left == 0 {
				return
			}
		}
	})
}
