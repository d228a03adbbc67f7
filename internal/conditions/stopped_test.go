package conditions

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// leaver is a node that says how far it is on its way out.
func leaver(name, reason string) *v1alpha1.VesperNode {
	n := member(name, metav1.ConditionFalse, reason, false)
	n.Spec.Draining = true
	n.Status.Conditions = append(n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionDrained, Status: metav1.ConditionFalse,
		Reason: reason, Message: "waits for a", ObservedGeneration: n.Generation})
	return n
}

func TestWhatANodeSaysThatLeavesIsStoppedOrPaused(t *testing.T) {
	leaving := func(d topology.Departure) func(*Node) { return func(n *Node) { n.Departure = &d } }
	for _, test := range []struct {
		name          string
		change        func(*Node)
		ready         string // reason of Ready
		kind, reason  string // of a further condition
		holds         metav1.ConditionStatus
		stalled, reco bool
		says          string
	}{
		{"it drains", leaving(topology.Departure{Message: "waits for a"}), v1alpha1.ReasonDraining, v1alpha1.ConditionDrained, v1alpha1.ReasonDraining, metav1.ConditionFalse, false, true, "waits for a"},
		{"it has drained", leaving(topology.Departure{Drained: true, Message: "all have all"}), v1alpha1.ReasonDrained, v1alpha1.ConditionDrained, v1alpha1.ReasonDrained, metav1.ConditionTrue, false, true, "all have all"},
		{"nobody is left", leaving(topology.Departure{Stalled: true, Message: "decide"}), v1alpha1.ReasonNobodyLeft, v1alpha1.ConditionDrained, v1alpha1.ReasonNobodyLeft, metav1.ConditionFalse, true, false, "decide"},
		{"it drains and its pod is gone", func(n *Node) { n.Pod = nil; leaving(topology.Departure{Message: "cannot be asked"})(n) },
			v1alpha1.ReasonPodMissing, v1alpha1.ConditionDrained, v1alpha1.ReasonDraining, metav1.ConditionFalse, false, true, "cannot be asked"},
		{"suspended", func(n *Node) { n.Suspended, n.Pod = true, nil }, v1alpha1.ReasonSuspended, v1alpha1.ConditionPodRunning, v1alpha1.ReasonPodMissing, metav1.ConditionFalse, false, false, "suspended"},
		{"suspended, the pod is ending", func(n *Node) { n.Suspended = true }, v1alpha1.ReasonSuspended, v1alpha1.ConditionReady, v1alpha1.ReasonSuspended, metav1.ConditionFalse, false, false, "pod pin-0 is ending"},
		{"paused, and nothing waits", func(n *Node) { n.Pause.By = "spec.paused" }, "Ready", v1alpha1.ConditionPaused, v1alpha1.ReasonPaused, metav1.ConditionTrue, false, false, "nothing waits for that"},
		{"paused, and a change waits", func(n *Node) {
			n.Pause = Pause{By: "spec.paused of VesperCluster shop", Waiting: []string{"StatefulSet pin"}}
		},
			v1alpha1.ReasonPaused, v1alpha1.ConditionConfigApplied, v1alpha1.ReasonPaused, metav1.ConditionFalse, false, false, "spec.paused of VesperCluster shop is set: StatefulSet pin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := wellNode()
			test.change(&n)
			all := ForNode(n)
			if all[0].Reason != test.ready {
				t.Errorf("Ready is %+v, want the reason %s", all[0], test.ready)
			}
			got := meta.FindStatusCondition(all, test.kind)
			if got == nil || got.Status != test.holds || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
				t.Errorf("%s is %+v, want %s, %s, saying %q", test.kind, got, test.holds, test.reason, test.says)
			}
			if meta.IsStatusConditionTrue(all, v1alpha1.ConditionStalled) != test.stalled || meta.IsStatusConditionTrue(all, v1alpha1.ConditionReconciling) != test.reco {
				t.Errorf("Stalled and Reconciling are not %v and %v: %+v", test.stalled, test.reco, all)
			}
		})
	}
}

func TestANodeHasDrainedOnlyAsItsSpecNowIs(t *testing.T) {
	n := leaver("c", v1alpha1.ReasonDrained)
	n.Status.Conditions[len(n.Status.Conditions)-1].Status = metav1.ConditionTrue
	if !NodeDrained(n) {
		t.Error("it has drained, and does not count as such")
	}
	n.Spec.Draining = false
	if NodeDrained(n) {
		t.Error("one that is to stay counts as drained")
	}
	n.Spec.Draining = true
	n.Generation++
	if NodeDrained(n) {
		t.Error("an older word counts: it may have taken writes since")
	}
}
