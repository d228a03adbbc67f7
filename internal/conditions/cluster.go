package conditions

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// Cluster is what was read and decided of a cluster in one pass, from which all
// its conditions follow.
type Cluster struct {
	// Brokers are those of the groups, but for those of intermittent ones.
	Brokers BrokerRefs
	// Refusal is what the plan holds back, nil for nothing.
	Refusal *topology.Refusal
	// Wanted is the number of nodes that the spec asks for; Assigned that of
	// the nodes that have an id.
	Wanted, Assigned int
	// Members are the nodes that should exist, nil for one that does not yet.
	Members []*v1alpha1.VesperNode
	// Behind names nodes that have not got the current spec yet: they are
	// changed one after another. BehindWhy is what the ready ones of them wait for.
	Behind    []string
	BehindWhy string
	// Move is how far a change of the storage class is, to Class; Successor is the node
	// that comes on top of those that are asked for until another leaves, nil for none.
	Move      topology.Move
	Class     string
	Successor *v1alpha1.VesperNode
	// Leaving names nodes that are being removed.
	Leaving []string
	// Draining are the nodes that should leave and have to hand over what they
	// wrote first.
	Draining []*v1alpha1.VesperNode
	// Suspended is true when no node is meant to run.
	Suspended bool
	Pause     Pause
	// ApplyError is why a node could not be written, nil when all are as they should be.
	ApplyError error
}

// ReadyNodes counts the nodes that are Ready.
func (c Cluster) ReadyNodes() int {
	ready := 0
	for _, node := range c.Members {
		if node != nil && memberReady(node).passed() {
			ready++
		}
	}
	return ready
}

// becauseOf says in brackets what those wait for that have not got the current spec.
func (c Cluster) becauseOf() string {
	if c.BehindWhy == "" {
		return ""
	}
	return " (" + c.BehindWhy + ")"
}

// running counts the nodes whose pods run.
func (c Cluster) running() (n int) {
	for _, node := range c.Members {
		if node != nil && meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionPodRunning) {
			n++
		}
	}
	return n
}

// ForCluster returns the conditions that a cluster should have, Ready first;
// those that are not among them should be removed.
func ForCluster(c Cluster) []metav1.Condition {
	ready := clusterReady(c)
	all := []metav1.Condition{ready.named(v1alpha1.ConditionReady)}
	switch {
	case ready.passed(), ready.reason == v1alpha1.ReasonSuspended, ready.reason == v1alpha1.ReasonPaused:
	case clusterStalled(c, ready):
		all = append(all, yes(ready.reason, "%s", ready.message).named(v1alpha1.ConditionStalled))
	default:
		all = append(all, yes(ready.reason, "%s", ready.message).named(v1alpha1.ConditionReconciling))
	}
	all = append(all,
		clusterValid(c).named(v1alpha1.ConditionValid),
		c.Brokers.ready().named(v1alpha1.ConditionBrokerReady),
		clusterBranches(c).named(v1alpha1.ConditionBranchIDsAssigned),
		clusterNodes(c).named(v1alpha1.ConditionNodesReady),
		clusterStorage(c).named(v1alpha1.ConditionStorageReady))
	if drained, leaving := clusterDrained(c); leaving {
		all = append(all, drained.named(v1alpha1.ConditionDrained))
	}
	all = append(all, c.Pause.condition()...)
	return append(all, clusterAlarms(c)...)
}

// clusterReady is the first of what is wrong, in the order in which a person
// would have to put it right.
func clusterReady(c Cluster) judgement {
	if c.ApplyError != nil {
		return brokerApply(c.ApplyError)
	}
	if held, paused := c.Pause.behind(); paused {
		return held
	}
	if c.Suspended {
		return no(v1alpha1.ReasonSuspended, "suspended by spec.suspended: %d pods run; branch ids, volumes and VesperNodes are kept", c.running())
	}
	for _, part := range []judgement{clusterValid(c), clusterBranches(c), c.Brokers.ready(), clusterNodes(c)} {
		if !part.passed() {
			return part
		}
	}
	if storage := clusterStorage(c); storageBehind(storage) {
		return no(storage.reason, "%s", storage.message)
	}
	return yes(v1alpha1.ReasonReady, "%s", c.andAway(fmt.Sprintf("%d of %d nodes are connected, subscribed and caught up", c.ReadyNodes(), c.Wanted)))
}

// clusterValid says whether the spec can be carried out. While it cannot, what
// runs stays as it is, and so do the other conditions about it.
func clusterValid(c Cluster) judgement {
	if c.Refusal != nil && c.Refusal.Reason == topology.Invalid {
		return no(v1alpha1.ReasonSpecInvalid, "%s; until then nothing that runs is changed", c.Refusal.Message)
	}
	return yes(v1alpha1.ReasonSpecValid, "the spec can be carried out")
}

func clusterStalled(c Cluster, ready judgement) bool {
	switch ready.reason {
	case v1alpha1.ReasonSpecInvalid, v1alpha1.ReasonChannelShared, v1alpha1.ReasonTrunkConflict, v1alpha1.ReasonExhausted, v1alpha1.ReasonNodesStalled, v1alpha1.ReasonNameTaken,
		v1alpha1.ReasonNobodyLeft, v1alpha1.ReasonVolumeExpansionRefused, v1alpha1.ReasonVolumeExpansionFailed:
		return true
	case v1alpha1.ReasonApplyFailed:
		return apierrors.IsInvalid(c.ApplyError)
	}
	return ready == c.Brokers.ready() && c.Brokers.stalled()
}

// clusterBranches says whether every node that is asked for has an id.
func clusterBranches(c Cluster) judgement {
	switch {
	case c.Refusal != nil && c.Refusal.Reason != topology.Invalid:
		return no(string(c.Refusal.Reason), "%s", c.Refusal.Message)
	case c.Assigned != c.Wanted:
		return no(v1alpha1.ReasonRecording, "%d of %d nodes have a branch id", c.Assigned, c.Wanted)
	}
	return yes(v1alpha1.ReasonAssigned, "%d of %d nodes have a branch id", c.Assigned, c.Wanted)
}

// maxNamed is how many nodes a message names.
const maxNamed = 5

// unready names the members that are not Ready and why, those that need a person
// apart.
func (c Cluster) unready() (waiting, stalled []string) {
	for _, node := range c.Members {
		switch {
		case node == nil, Away(node), memberReady(node).passed():
		case memberStalled(node):
			stalled = append(stalled, memberTrouble(node)+" ("+memberReady(node).message+")")
		default:
			waiting = append(waiting, memberTrouble(node))
		}
	}
	return waiting, stalled
}

// clusterNodes says whether as many nodes as asked for are Ready, and which are
// not and why.
func clusterNodes(c Cluster) judgement {
	waiting, stalled := c.unready()
	count, there := c.andAway(fmt.Sprintf("%d of %d nodes are ready", c.ReadyNodes(), c.Wanted)), c.ReadyNodes()+len(c.away())
	drained, draining := clusterDrained(c)
	if draining {
		count += "; not removed yet: " + drained.message
	}
	switch {
	case len(stalled) > 0:
		return no(v1alpha1.ReasonNodesStalled, "%s; %s", count, list(stalled))
	case drained.reason == v1alpha1.ReasonNobodyLeft && draining:
		return no(v1alpha1.ReasonNobodyLeft, "%s", count)
	case c.moves():
		return no(v1alpha1.ReasonVolumesMoving, "%s", strings.Join(append([]string{count, c.moving()}, waiting...), "; "))
	case draining:
		return no(v1alpha1.ReasonScaling, "%s", strings.Join(append([]string{count}, waiting...), "; "))
	case there == c.Wanted && len(c.Leaving) > 0:
		return no(v1alpha1.ReasonScaling, "%s; removing %s", count, list(c.Leaving))
	case len(c.Behind) > 0:
		return no(v1alpha1.ReasonRolling, "%s", strings.Join(append([]string{count, "changed one after another, still to come: " + list(c.Behind) + c.becauseOf()}, waiting...), "; "))
	case len(waiting) > 0:
		return no(v1alpha1.ReasonNodesNotReady, "%s; %s", count, list(waiting))
	case there < c.Wanted:
		return no(v1alpha1.ReasonScaling, "%s; making the others", count)
	}
	return yes(v1alpha1.ReasonNodesReady, "%s", count)
}

// NodeReady reports whether a node says that it is Ready as its spec now is.
func NodeReady(node *v1alpha1.VesperNode) bool { return memberReady(node).passed() }

// memberReady is the node's own Ready condition, as far as it is about its current spec.
func memberReady(node *v1alpha1.VesperNode) judgement {
	condition := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady)
	if condition == nil || node.Status.ObservedGeneration != node.Generation || node.DeletionTimestamp != nil {
		return no(v1alpha1.ReasonPending, "has no status yet")
	}
	return judgement{condition.Status, condition.Reason, condition.Message}
}

// memberStalled reports whether a node, as its spec now is, needs a person.
func memberStalled(node *v1alpha1.VesperNode) bool {
	return node.Status.ObservedGeneration == node.Generation && meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionStalled)
}

// memberTrouble names a node and why it is not ready, in words that do not
// change from one moment to the next.
func memberTrouble(node *v1alpha1.VesperNode) string {
	return node.Name + ": " + memberReady(node).reason
}

func list(items []string) string {
	if len(items) <= maxNamed {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:maxNamed], ", "), len(items)-maxNamed)
}
