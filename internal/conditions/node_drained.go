package conditions

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// nodeDrained says how far a node is that should leave.
func nodeDrained(d topology.Departure) judgement {
	switch {
	case d.Drained:
		return yes(v1alpha1.ReasonDrained, "%s", d.Message)
	case d.Stalled:
		return no(v1alpha1.ReasonNobodyLeft, "%s", d.Message)
	}
	return no(v1alpha1.ReasonDraining, "%s", d.Message)
}

// NodeDrained reports whether a node that should leave has said, as its spec now
// is, that nothing is lost with it.
func NodeDrained(node *v1alpha1.VesperNode) bool {
	condition := departure(node)
	return condition != nil && condition.Status == metav1.ConditionTrue
}

// departure is what a node says, as its spec now is, of how far it is on its way
// out; nil when it says nothing.
func departure(node *v1alpha1.VesperNode) *metav1.Condition {
	condition := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionDrained)
	if !node.Spec.Draining || condition == nil || condition.ObservedGeneration != node.Generation {
		return nil
	}
	return condition
}

// departing names a node on its way out and how far it is.
func departing(node *v1alpha1.VesperNode) string {
	condition := departure(node)
	if condition == nil {
		return node.Name + " is told to drain"
	}
	return node.Name + " " + condition.Message
}

// clusterDrained says how far the nodes are that should leave; false when none should.
func clusterDrained(c Cluster) (judgement, bool) {
	var waiting []string
	reason := v1alpha1.ReasonDraining
	for _, node := range c.Draining {
		waiting = append(waiting, departing(node))
		if condition := departure(node); condition != nil && condition.Reason == v1alpha1.ReasonNobodyLeft {
			reason = v1alpha1.ReasonNobodyLeft
		}
	}
	return no(reason, "%s", list(waiting)), len(waiting) > 0
}
