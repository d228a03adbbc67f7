package conditions

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// NodeMayRestart reports whether a node may get a change that restarts it, beside
// the others of its cluster: one at a time. A ready node waits until all others
// are ready. One that only lacks its broker still serves, and waits while another
// one does not and will by itself; that their broker is away too holds up nothing,
// as the change may be what brings it back. Any other that is not ready has
// nothing to lose, so a fix always gets through.
func NodeMayRestart(node *v1alpha1.VesperNode, others []*v1alpha1.VesperNode) bool {
	ready := NodeReady(node)
	if !ready && !nodeCutOff(node) {
		return true
	}
	for _, other := range others {
		if ready && !NodeReady(other) || !ready && !nodeServes(other) && !meta.IsStatusConditionTrue(other.Status.Conditions, v1alpha1.ConditionStalled) {
			return false
		}
	}
	return true
}

// nodeCutOff reports whether a node runs, and is not ready only because it cannot
// reach its broker.
func nodeCutOff(node *v1alpha1.VesperNode) bool {
	return nodeServes(node) && memberReady(node).reason == string(nodestatus.ReasonBrokerUnreachable)
}

// nodeServes reports whether a node runs as its spec now is.
func nodeServes(node *v1alpha1.VesperNode) bool {
	return node.DeletionTimestamp == nil && node.Status.ObservedGeneration == node.Generation &&
		meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionPodRunning)
}
