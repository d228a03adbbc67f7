package conditions

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

const (
	// unheardFor is how long a node may wait for the first word of a member before
	// that is worth a condition: a restart of all nodes is not.
	unheardFor = 10 * time.Minute
	// behindFor is the same of a member that lacks something, and so is the
	// retention where it is longer, as in the node's own log: where all write all
	// the time, each lacks something at any moment.
	behindFor = time.Hour
)

// alarms are the conditions that are there only while something is wrong which
// does not make a node unready: its clients are served.
var alarms = []struct {
	kind  string
	judge func(Node) (judgement, bool)
}{
	{v1alpha1.ConditionDiverged, diverged},
	{v1alpha1.ConditionForked, forked},
	{v1alpha1.ConditionRetentionHeldBack, heldBack},
	{v1alpha1.ConditionVolumeNearlyFull, nearlyFull},
}

// IsAlarm reports whether conditions of a type are there only while they hold and
// follow from the node's own word alone: of a node that is silent they stay.
func IsAlarm(kind string) bool {
	for _, alarm := range alarms {
		if alarm.kind == kind {
			return true
		}
	}
	return false
}

// Heard reports whether the node said something of itself that counts.
func (n Node) Heard() bool {
	return n.Answer != nil && n.Answer.Err == nil && n.Answer.Status.Branch == n.Branch
}

// nodeAlarms are the alarms that a node's own word raises.
func nodeAlarms(n Node) (all []metav1.Condition) {
	if !n.Heard() {
		return nil
	}
	for _, alarm := range alarms {
		if j, ok := alarm.judge(n); ok {
			all = append(all, j.named(alarm.kind))
		}
	}
	return all
}

// diverged names the peers and the objects, and no revision: that is a figure.
func diverged(n Node) (judgement, bool) {
	var peers []string
	for _, d := range n.Answer.Status.Divergence {
		objects := "objects not known yet"
		if len(d.Objects) > 0 {
			objects = "objects " + list(d.Objects)
		}
		peers = append(peers, fmt.Sprintf("peer %s (%s)", d.Peer, objects))
	}
	return yes(v1alpha1.ReasonPeersDiffer, "another state at the same revision: %s; see docs/replication.md, and keep the volumes of both", list(peers)), len(peers) > 0
}

func forked(n Node) (judgement, bool) {
	var forks []string
	for _, f := range n.Answer.Status.Forks {
		forks = append(forks, fmt.Sprintf("branch %s at %s", f.Branch, f.Dot))
	}
	return yes(v1alpha1.ReasonBranchForked, "two changesets have one name: %s; nothing more of it is applied here until somebody decides, see docs/troubleshooting.md", list(forks)), len(forks) > 0
}

// heldBack says which member keeps the log from being trimmed. How much that is,
// the node's own status says.
func heldBack(n Node) (judgement, bool) {
	const remedy = "bring it back, or delete its VesperNode if it is gone for good"
	status, asked := n.Answer.Status, n.Answer.Asked
	r := status.Retention
	switch {
	case r == nil:
		return judgement{}, false
	case r.Error != "":
		return yes(v1alpha1.ReasonTrimFailed, "%s", r.Error), true
	case len(r.NeverHeard) > 0 && asked.Sub(status.Started) >= unheardFor:
		var members []string
		for _, id := range r.NeverHeard {
			members = append(members, string(id))
		}
		return yes(v1alpha1.ReasonMemberNeverHeard, "nothing leaves the log: member %s was not heard since this node started; %s", list(members), remedy), true
	case r.HeldBackBy != "" && r.HeldBackSince != nil && asked.Sub(*r.HeldBackSince) >= max(behindFor, n.Retention):
		return yes(v1alpha1.ReasonMemberBehind, "what member %s lacks cannot leave the log, since %s; %s", r.HeldBackBy, r.HeldBackSince.UTC().Format(time.RFC3339), remedy), true
	}
	return judgement{}, false
}

const (
	// nearlyFullFrom is how many percent of a volume are used when that is told, and
	// nearlyFullUntil below how many it is over: a figure that moves is told once.
	nearlyFullFrom  = 90
	nearlyFullUntil = 85
)

// nearlyFull says that the volume will be full before long. It names no figure that
// moves.
func nearlyFull(n Node) (judgement, bool) {
	used, known := n.Answer.Status.Storage.UsedPercent()
	if !known || used < nearlyFullUntil || used < nearlyFullFrom && !n.NearlyFull {
		return judgement{}, false
	}
	name := "the volume"
	if claim := n.Volume.Claim; claim != nil {
		name = "volume claim " + claim.Name
	}
	return yes(v1alpha1.ReasonSpaceRunsOut, "%s (%.1f GiB) is nearly full, and a node whose volume is full takes no writes: raise spec.storage.size, which restarts nothing, "+
		"or let less be kept (spec.retention)", name, float64(n.Answer.Status.Storage.Volume)/(1<<30)), true
}

// clusterAlarms repeats what the nodes of a cluster say.
func clusterAlarms(c Cluster) (all []metav1.Condition) {
	for _, alarm := range alarms {
		var said []string
		reason := ""
		for _, node := range c.Members {
			if node == nil {
				continue
			}
			if condition := meta.FindStatusCondition(node.Status.Conditions, alarm.kind); condition != nil && condition.Status == metav1.ConditionTrue {
				said = append(said, node.Name+": "+condition.Message)
				if reason == "" {
					reason = condition.Reason
				}
			}
		}
		if len(said) > 0 {
			all = append(all, yes(reason, "%s", list(said)).named(alarm.kind))
		}
	}
	return all
}
