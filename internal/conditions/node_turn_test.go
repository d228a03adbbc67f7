package conditions

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

func TestWhichNodeMayRestart(t *testing.T) {
	node := func(ready metav1.ConditionStatus, reason string, runs metav1.ConditionStatus, more ...string) *v1alpha1.VesperNode {
		n := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: v1alpha1.VesperNodeStatus{ObservedGeneration: 2}}
		n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason}, {Type: v1alpha1.ConditionPodRunning, Status: runs}}
		for _, kind := range more {
			n.Status.Conditions = append(n.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue})
		}
		return n
	}
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	well, cutOff, starting := node(yes, "Ready", yes), node(no, "BrokerUnreachable", yes), node(no, "PodStarting", no)
	catchingUp, lost := node(no, "CatchingUp", yes), node(no, "VolumeLost", no, v1alpha1.ConditionStalled)
	changed := node(yes, "Ready", yes)
	changed.Generation = 3 // was just given a new spec
	for _, test := range []struct {
		name   string
		node   *v1alpha1.VesperNode
		others []*v1alpha1.VesperNode
		want   bool
	}{
		{"alone", well, nil, true},
		{"ready, all others ready", well, []*v1alpha1.VesperNode{well, well}, true},
		{"ready, another starting", well, []*v1alpha1.VesperNode{well, starting}, false},
		{"ready, another catching up", well, []*v1alpha1.VesperNode{catchingUp}, false},
		{"ready, another just changed", well, []*v1alpha1.VesperNode{changed}, false},
		{"ready, another cut off", well, []*v1alpha1.VesperNode{cutOff}, false},
		{"cut off, all others too", cutOff, []*v1alpha1.VesperNode{cutOff, cutOff}, true},
		{"cut off, another ready", cutOff, []*v1alpha1.VesperNode{well}, true},
		{"cut off, another catching up", cutOff, []*v1alpha1.VesperNode{catchingUp}, true},
		{"cut off, another starting", cutOff, []*v1alpha1.VesperNode{well, starting}, false},
		{"cut off, another just changed", cutOff, []*v1alpha1.VesperNode{changed}, false},
		{"cut off, another that a person must see to", cutOff, []*v1alpha1.VesperNode{lost}, true},
		{"starting, another too", starting, []*v1alpha1.VesperNode{starting}, true},
		{"catching up, another starting", catchingUp, []*v1alpha1.VesperNode{starting}, true},
		{"just changed, another starting", changed, []*v1alpha1.VesperNode{starting}, true},
	} {
		if got := NodeMayRestart(test.node, test.others); got != test.want {
			t.Errorf("%s: may restart is %v, want %v", test.name, got, test.want)
		}
	}
}
