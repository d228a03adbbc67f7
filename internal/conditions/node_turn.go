package conditions

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/topology"
)

// RunnerOf is a node as a rollout sees it, but for what the rollout would change.
func RunnerOf(node *v1alpha1.VesperNode, now time.Time) topology.Runner {
	r := topology.Runner{Name: node.Name, Ready: NodeReady(node), Serves: nodeServes(node), CutOff: nodeCutOff(node),
		Stalled:  meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionStalled),
		Away:     Away(node),
		Unseen:   nodeUnseen(node),
		Diverged: meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionDiverged)}
	if ready := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady); r.Ready && ready != nil {
		r.ReadyFor = max(0, now.Sub(ready.LastTransitionTime.Time))
	}
	return r
}

// nodeUnseen reports whether a node that was ready has not said yet how it is as its
// spec now is.
func nodeUnseen(node *v1alpha1.VesperNode) bool {
	return node.DeletionTimestamp == nil && node.Status.ObservedGeneration != node.Generation && meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionReady)
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

// NodeReached reports whether Kubernetes sends anybody to the pod of a node. A pod
// of which the kubelet has said nothing counts.
func NodeReached(pod *corev1.Pod) bool {
	if pod == nil || pod.DeletionTimestamp != nil {
		return false
	}
	return !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue
	})
}
