package conditions

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
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
	Broker  BrokerRef
	// ApplyError is why a child could not be written, nil when all are as they should be.
	ApplyError error
	// WaitsForTurn is true while other nodes of the cluster get the broker's new
	// settings first.
	WaitsForTurn bool
	// Size is what the spec asks the volume to have; nil is the default.
	Size *resource.Quantity
	// Retention is how long changesets stay in the log at least; 0 is for ever.
	Retention time.Duration
	// Claim, and Pod, are nil when there is none.
	Claim *corev1.PersistentVolumeClaim
	Pod   *corev1.Pod
	// Current is true when the pod is made from the current StatefulSet.
	Current bool
	// Answer is what the node last said of itself, nil when nothing is known.
	Answer *nodeclient.Answer
}

// ForNode returns the conditions that a node should have, Ready first; those
// that are not among them should be removed.
func ForNode(n Node) []metav1.Condition {
	ready := nodeReady(n)
	all := []metav1.Condition{ready.named(v1alpha1.ConditionReady)}
	switch {
	case ready.passed():
	case nodeStalled(n, ready):
		all = append(all, yes(ready.reason, "%s", ready.message).named(v1alpha1.ConditionStalled))
	default:
		all = append(all, yes(ready.reason, "%s", ready.message).named(v1alpha1.ConditionReconciling))
	}
	all = append(all,
		nodeBranch(n).named(v1alpha1.ConditionBranchIDsAssigned),
		n.Broker.ready().named(v1alpha1.ConditionBrokerReady),
		nodeStorage(n).named(v1alpha1.ConditionStorageReady),
		nodeConfig(n).named(v1alpha1.ConditionConfigApplied),
		nodePod(n).named(v1alpha1.ConditionPodRunning),
		nodeReplicating(n).named(v1alpha1.ConditionReplicating))
	return append(all, nodeAlarms(n)...)
}

// nodeReady is the first of what is wrong, in the order in which a person would
// have to put it right. In the end only the node's own word makes it ready.
func nodeReady(n Node) judgement {
	if n.Verdict.Decision != topology.Run {
		return no(string(n.Verdict.Reason), "%s", n.Verdict.Message)
	}
	storage, pod := nodeStorage(n), nodePod(n)
	switch {
	case n.ApplyError != nil:
		return brokerApply(n.ApplyError)
	case storage.reason == v1alpha1.ReasonVolumeTerminating:
		return storage
	case n.Pod == nil && !n.Broker.Usable():
		return n.Broker.ready()
	case !pod.passed():
		return pod
	default:
		return nodeReplicating(n)
	}
}

// nodeStalled reports whether nothing will change until a person acts.
func nodeStalled(n Node, ready judgement) bool {
	switch ready.reason {
	case v1alpha1.ReasonVolumeLost, v1alpha1.ReasonBranchMismatch, v1alpha1.ReasonVolumeRetired,
		v1alpha1.ReasonChannelShared, v1alpha1.ReasonTrunkConflict, v1alpha1.ReasonNameTaken, v1alpha1.ReasonWrongBranch,
		string(nodestatus.ReasonBranchAhead), string(nodestatus.ReasonBranchForked), string(nodestatus.ReasonStorageFailed),
		string(nodestatus.ReasonPolicyMismatch):
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
	case topology.Exhausted, topology.VolumeLost, topology.BranchMismatch, topology.VolumeTerminating:
	}
	return yes(v1alpha1.ReasonAssigned, "branch id %s", n.Branch)
}

// nodeConfig says whether the children are what they should be.
func nodeConfig(n Node) judgement {
	switch {
	case n.Verdict.Decision != topology.Run:
		return no(v1alpha1.ReasonPending, "held back: %s", n.Verdict.Message)
	case n.ApplyError != nil:
		return brokerApply(n.ApplyError)
	case !n.Broker.Usable():
		return n.Broker.ready()
	case n.WaitsForTurn:
		return no(v1alpha1.ReasonRolling, "VesperBroker %s has new settings: this node gets them when its turn comes, as its cluster restarts one node after another", n.Broker.Name)
	}
	return yes(v1alpha1.ReasonApplied, "configuration, volume claim, services and StatefulSet are as they should be")
}
