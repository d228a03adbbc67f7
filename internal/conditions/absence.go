package conditions

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// awayReasons are why a node is not Ready that is cut off, or comes back: its
// broker, its machine or itself is not reached. A pod that cannot be made, a
// volume that is lost and all else that a person must see to is not among them.
var awayReasons = map[string]bool{
	string(nodestatus.ReasonBrokerUnreachable): true,
	string(nodestatus.ReasonSubscribing):       true,
	string(nodestatus.ReasonCatchingUp):        true,
	v1alpha1.ReasonStatusUnknown:               true,
	v1alpha1.ReasonPodMissing:                  true,
	v1alpha1.ReasonPodStarting:                 true,
	v1alpha1.ReasonPodStuckTerminating:         true,
	v1alpha1.ReasonPodTerminating:              true,
	v1alpha1.ReasonPodUnschedulable:            true,
}

// Away reports whether a node of an intermittent group is cut off or comes back,
// which is no alarm and which nothing waits for. One that was never heard is not
// away: it is being made.
func Away(node *v1alpha1.VesperNode) bool {
	return node.Spec.Intermittent && node.Status.Incarnation != "" && !NodeReady(node) && awayReasons[memberReady(node).reason] &&
		!meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionStalled)
}

// away names the members that are away, and why.
func (c Cluster) away() (names []string) {
	for _, node := range c.Members {
		if node != nil && Away(node) {
			names = append(names, memberTrouble(node))
		}
	}
	return names
}

// andAway adds to a message who is away.
func (c Cluster) andAway(message string) string {
	if away := c.away(); len(away) > 0 {
		return fmt.Sprintf("%s; away, which their groups may be: %s", message, list(away))
	}
	return message
}
