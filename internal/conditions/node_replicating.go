package conditions

import (
	"cmp"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// nodeReplicating says what the node says of itself.
func nodeReplicating(n Node) judgement {
	switch {
	case n.Verdict.Decision == topology.Stop || !NodeStarted(n.Pod):
		return no(v1alpha1.ReasonPending, "the node does not run")
	case n.Answer == nil:
		return no(v1alpha1.ReasonPending, "the node has not been asked yet")
	case n.Answer.Err != nil:
		return no(v1alpha1.ReasonStatusUnknown, "%s", n.Answer.Err)
	}
	status := n.Answer.Status
	switch reason := string(status.Reason); {
	case status.Branch != n.Branch:
		return no(v1alpha1.ReasonWrongBranch, "the node says that it is branch %s, and this VesperNode is branch %s: its volume or configuration is another's", status.Branch, n.Branch)
	case status.Ready:
		return yes(cmp.Or(reason, v1alpha1.ReasonReady), "%s", cmp.Or(status.Message, "connected, subscribed and caught up"))
	default:
		return no(cmp.Or(reason, v1alpha1.ReasonPending), "%s", cmp.Or(status.Message, status.WritesRefused, "the node is not ready"))
	}
}
