package topology

import (
	"fmt"
	"time"
)

// Rollout is how a change goes through the nodes of a cluster.
type Rollout struct {
	// Budget is how many nodes may be away at the same time for it, at least 1.
	Budget int
	// Pause is how long a node that has the change must have been ready before the
	// next ready one gets it.
	Pause time.Duration
	// Held keeps every ready node as it is.
	Held bool
}

// unreachedAgain is when to look again whether a pod is reached: nothing that a
// rollout watches tells.
const unreachedAgain = time.Second

// Runner is a node as a rollout sees it.
type Runner struct {
	Name string
	// Differs is true while it has not got the change, Restarts when that will
	// restart it.
	Differs, Restarts bool
	// Ready is its own word, about its spec as it now is: connected, subscribed and
	// caught up. ReadyFor is since when.
	Ready    bool
	ReadyFor time.Duration
	// Unreached is true while Kubernetes sends nobody to its pod, though it may be
	// ready: the kubelet asks only every few seconds.
	Unreached bool
	// Serves is true when it runs as its spec now is; CutOff when it does and is not
	// ready only because its broker is away.
	Serves, CutOff bool
	// Unseen is true when it was ready, and has not said yet whether it is as its
	// spec now is: it may serve.
	Unseen bool
	// Stalled is true when it needs a person, Diverged when it and a peer have other
	// states at one revision.
	Stalled, Diverged bool
	// Away is true when it may be cut off for days, and is: nobody waits for it.
	Away bool
}

// Turn is what a rollout does next.
type Turn struct {
	// Change names the nodes that get the change now, Wait those that do later.
	Change, Wait []string
	// Why says what the ready ones wait for; "" when nobody waits.
	Why string
	// Again is when to look again although nothing has happened, 0 for not at all.
	Again time.Duration
}

// Turn decides who gets the change now. What restarts nothing is for all at once. A
// node that is not ready has nothing to lose, so that a fix always gets through. One
// that only lacks its broker still serves, and waits for those that do not and will
// by themselves. A ready one waits until the others are well again.
func (r Rollout) Turn(nodes []Runner) (t Turn) {
	gone := map[string]bool{} // those that are changed in this turn
	for _, n := range nodes {
		switch {
		case !n.Differs:
			continue
		case !n.Restarts, !n.Ready && !n.CutOff && !n.Unseen:
		default:
			if why, again := r.waits(n, nodes, gone); why != "" {
				t.Wait, t.Why, t.Again = append(t.Wait, n.Name), why, again
				continue
			}
		}
		gone[n.Name] = n.Restarts
		t.Change = append(t.Change, n.Name)
	}
	return t
}

// waits says what a node that serves waits for before it is restarted, "" for nothing.
func (r Rollout) waits(n Runner, nodes []Runner, gone map[string]bool) (why string, again time.Duration) {
	if n.CutOff {
		return r.away(n, nodes, gone, func(other Runner) bool { return !other.Serves && !other.Stalled }), 0
	}
	if r.Held {
		return "spec.rollout.held is set", 0
	}
	for _, other := range nodes {
		switch {
		case other.Differs:
		case other.Diverged:
			return fmt.Sprintf("%s, which has the change, has diverged from its peers", other.Name), 0
		case other.Ready && other.ReadyFor < r.Pause:
			if left := r.Pause - other.ReadyFor; again == 0 || left > again {
				why, again = fmt.Sprintf("%s, which has the change, is to be ready for %s first", other.Name, r.Pause), left
			}
		}
	}
	if away := r.away(n, nodes, gone, func(other Runner) bool { return !other.Ready }); away != "" {
		return away, 0
	}
	if away := r.away(n, nodes, gone, func(other Runner) bool { return !other.Ready || other.Unreached }); away != "" {
		return away, unreachedAgain
	}
	return why, again
}

// away names one of the others that are away, when they are as many as may be.
func (r Rollout) away(n Runner, nodes []Runner, gone map[string]bool, is func(Runner) bool) string {
	count, last := 0, ""
	for _, other := range nodes {
		if other.Name != n.Name && (gone[other.Name] || !other.Away && is(other)) {
			count, last = count+1, other.Name
		}
	}
	if count < max(r.Budget, 1) {
		return ""
	}
	return last + " is not ready"
}
