package conditions

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeaccess"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/topology"
)

// Node is what was read of a node in one pass, from which all its conditions follow.
type Node struct {
	// Branch is the id that the spec says.
	Branch branch.ID
	// Verdict says whether it may run.
	Verdict topology.Verdict
	// Brokers are that of the node's own channel and those of its links.
	Brokers BrokerRefs
	// ApplyError is why a child could not be written, nil when all are as they should be.
	ApplyError error
	// WaitsForTurn names a broker whose new settings other nodes of the cluster get
	// first, "" for none.
	WaitsForTurn string
	// Volume is that of its data.
	Volume Volume
	// NearlyFull is true when the volume was told to be nearly full before.
	NearlyFull bool
	// Now is the time of the pass.
	Now time.Time
	// Retention is how long changesets stay in the log at least; 0 is for ever.
	Retention time.Duration
	// Pod is nil when there is none.
	Pod *corev1.Pod
	// Current is true when the pod is made from the current StatefulSet.
	Current bool
	// Guarded is true when the spec has access or tls, and AccessProblem is why the
	// node cannot be given them, nil when it can.
	Guarded       bool
	AccessProblem *nodeaccess.Problem
	// Answer is what the node last said of itself, nil when nothing is known.
	Answer *nodeclient.Answer
	// Departure says how far it is on its way out, nil while it is to stay.
	Departure *topology.Departure
	// Suspended is true when it is not meant to run.
	Suspended bool
	Pause     Pause
}

// ForNode returns the conditions that a node should have, Ready first; those
// that are not among them should be removed.
func ForNode(n Node) []metav1.Condition {
	ready := nodeReady(n)
	all := []metav1.Condition{ready.named(v1alpha1.ConditionReady)}
	switch {
	case ready.passed():
		all = append(all, nodeStorage(n).progress(n.Volume.Moves)...)
	case ready.reason == v1alpha1.ReasonSuspended, ready.reason == v1alpha1.ReasonPaused:
	case nodeStalled(n, ready):
		all = append(all, yes(ready.reason, "%s", ready.message).named(v1alpha1.ConditionStalled))
	default:
		all = append(all, yes(ready.reason, "%s", ready.message).named(v1alpha1.ConditionReconciling))
	}
	all = append(all,
		nodeBranch(n).named(v1alpha1.ConditionBranchIDsAssigned),
		n.Brokers.ready().named(v1alpha1.ConditionBrokerReady),
		nodeStorage(n).named(v1alpha1.ConditionStorageReady),
		nodeConfig(n).named(v1alpha1.ConditionConfigApplied),
		nodePod(n).named(v1alpha1.ConditionPodRunning),
		nodeReplicating(n).named(v1alpha1.ConditionReplicating))
	if n.Guarded {
		all = append(all, nodeAccess(n).named(v1alpha1.ConditionAccessReady))
	}
	if n.Departure != nil {
		all = append(all, nodeDrained(*n.Departure).named(v1alpha1.ConditionDrained))
	}
	all = append(all, n.Pause.condition()...)
	return append(all, nodeAlarms(n)...)
}

// nodeReady is the first of what is wrong, in the order in which a person would
// have to put it right. In the end only the node's own word makes it ready.
func nodeReady(n Node) judgement {
	if n.Verdict.Decision != topology.Run {
		return no(string(n.Verdict.Reason), "%s", n.Verdict.Message)
	}
	storage, pod := nodeStorage(n), nodePod(n)
	held, paused := n.Pause.behind()
	switch {
	case n.ApplyError != nil:
		return brokerApply(n.ApplyError)
	case paused:
		return held
	case n.Suspended:
		return nodeSuspended(n)
	case n.AccessProblem != nil:
		return nodeAccess(n)
	case storage.reason == v1alpha1.ReasonVolumeTerminating:
		return storage
	case n.Pod == nil && !n.Brokers.Usable():
		return n.Brokers.ready()
	case !pod.passed():
		return pod
	case n.Departure != nil:
		return no(nodeDrained(*n.Departure).reason, "%s", n.Departure.Message)
	default:
		return nodeReplicating(n)
	}
}

// nodeStalled reports whether nothing will change until a person acts.
func nodeStalled(n Node, ready judgement) bool {
	switch ready.reason {
	case v1alpha1.ReasonVolumeLost, v1alpha1.ReasonBranchMismatch, v1alpha1.ReasonVolumeRetired, v1alpha1.ReasonVolumeNotOwn,
		v1alpha1.ReasonChannelShared, v1alpha1.ReasonTrunkConflict, v1alpha1.ReasonNameTaken, v1alpha1.ReasonWrongBranch,
		string(nodestatus.ReasonBranchAhead), string(nodestatus.ReasonBranchForked), string(nodestatus.ReasonStorageFailed),
		string(nodestatus.ReasonPolicyMismatch), v1alpha1.ReasonTokenUnusable, v1alpha1.ReasonCertificateUnusable,
		v1alpha1.ReasonNobodyLeft:
		return true
	case v1alpha1.ReasonVolumeTerminating:
		return n.Verdict.Decision == topology.Run // it runs on a volume that is marked for deletion
	case v1alpha1.ReasonApplyFailed:
		return apierrors.IsInvalid(n.ApplyError)
	}
	return false
}

// nodeBranch says whether the id is the node's own.
func nodeBranch(n Node) judgement {
	switch n.Verdict.Reason {
	case topology.Recording, topology.ChannelShared, topology.TrunkConflict, topology.VolumeRetired:
		return no(string(n.Verdict.Reason), "%s", n.Verdict.Message)
	case topology.Invalid, topology.Exhausted, topology.VolumeLost, topology.VolumeNotOwn, topology.BranchMismatch, topology.VolumeTerminating:
	}
	return yes(v1alpha1.ReasonAssigned, "branch id %s", n.Branch)
}

// nodeConfig says whether the children are what they should be.
func nodeConfig(n Node) judgement {
	held, paused := n.Pause.behind()
	switch {
	case n.Verdict.Decision != topology.Run:
		return no(v1alpha1.ReasonPending, "held back: %s", n.Verdict.Message)
	case n.ApplyError != nil:
		return brokerApply(n.ApplyError)
	case paused:
		return held
	case n.Suspended:
		return yes(v1alpha1.ReasonSuspended, "nothing is made of a node that is suspended until it is to run again")
	case n.AccessProblem != nil:
		return nodeAccess(n)
	case !n.Brokers.Usable():
		return n.Brokers.ready()
	case n.Volume.Refused != nil:
		return no(v1alpha1.ReasonVolumeExpansionRefused, "%s", nodeStorage(n).message)
	case n.WaitsForTurn != "":
		return no(v1alpha1.ReasonRolling, "VesperBroker %s has new settings: this node gets them when its turn comes, as its cluster restarts one node after another", n.WaitsForTurn)
	}
	return yes(v1alpha1.ReasonApplied, "configuration, volume claim, services and StatefulSet are as they should be")
}
