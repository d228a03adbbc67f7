package conditions

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

func TestANodeAsARolloutSeesIt(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	since := metav1.NewTime(now.Add(-time.Minute))
	node := func(ready metav1.ConditionStatus, reason string, runs metav1.ConditionStatus, more ...string) *v1alpha1.VesperNode {
		n := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 2}, Status: v1alpha1.VesperNodeStatus{ObservedGeneration: 2}}
		n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, LastTransitionTime: since}, {Type: v1alpha1.ConditionPodRunning, Status: runs}}
		for _, kind := range more {
			n.Status.Conditions = append(n.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue})
		}
		return n
	}
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	changed, leaving := node(yes, "Ready", yes), node(yes, "Ready", yes)
	changed.Generation = 3 // was just given a new spec
	leaving.DeletionTimestamp = &since
	for name, test := range map[string]struct {
		node *v1alpha1.VesperNode
		want topology.Runner
	}{
		"ready":              {node(yes, "Ready", yes), topology.Runner{Ready: true, ReadyFor: time.Minute, Serves: true}},
		"ready and diverged": {node(yes, "Ready", yes, v1alpha1.ConditionDiverged), topology.Runner{Ready: true, ReadyFor: time.Minute, Serves: true, Diverged: true}},
		"just changed":       {changed, topology.Runner{Unseen: true}},
		"being deleted":      {leaving, topology.Runner{}},
		"catching up":        {node(no, "CatchingUp", yes), topology.Runner{Serves: true}},
		"cut off":            {node(no, "BrokerUnreachable", yes), topology.Runner{Serves: true, CutOff: true}},
		"starting":           {node(no, "PodStarting", no), topology.Runner{}},
		"needs a person":     {node(no, "VolumeLost", no, v1alpha1.ConditionStalled), topology.Runner{Stalled: true}},
	} {
		test.want.Name = "a"
		if got := RunnerOf(test.node, now); got != test.want {
			t.Errorf("%s: is %+v, want %+v", name, got, test.want)
		}
	}
}

func TestANodeIsReachedUnlessTheKubeletSaysOtherwise(t *testing.T) {
	pod := func(kind corev1.PodConditionType, status corev1.ConditionStatus) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: kind, Status: status}}}}
	}
	now := metav1.Now()
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"no pod": {nil, false}, "an ending one": {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}}, false},
		"one that is not ready":    {pod(corev1.PodReady, corev1.ConditionFalse), false},
		"one that is":              {pod(corev1.PodReady, corev1.ConditionTrue), true},
		"one of which all is open": {&corev1.Pod{}, true}, "another condition": {pod(corev1.PodScheduled, corev1.ConditionFalse), true},
	} {
		if got := NodeReached(c.pod); got != c.want {
			t.Errorf("%s is reached: %v, want %v", name, got, c.want)
		}
	}
}
