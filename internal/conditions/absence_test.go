package conditions

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// site is a node of an intermittent group that was up before.
func site(name string, ready metav1.ConditionStatus, reason string, change ...func(*v1alpha1.VesperNode)) *v1alpha1.VesperNode {
	n := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.VesperNodeSpec{Intermittent: true}}
	n.Status.Incarnation = "i"
	n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, Message: "words of " + name}}
	for _, f := range change {
		f(n)
	}
	return n
}

func stalled(n *v1alpha1.VesperNode) {
	n.Status.Conditions = append(n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue})
}

func TestWhoIsAway(t *testing.T) {
	no := metav1.ConditionFalse
	for _, test := range []struct {
		name string
		node *v1alpha1.VesperNode
		want bool
	}{
		{"its broker is not reached", site("a", no, "BrokerUnreachable"), true},
		{"itself is not reached", site("a", no, v1alpha1.ReasonStatusUnknown), true},
		{"its machine is gone", site("a", no, v1alpha1.ReasonPodTerminating), true},
		{"it comes back", site("a", no, "CatchingUp"), true},
		{"it is there", site("a", metav1.ConditionTrue, "Ready"), false},
		{"it was never there", site("a", no, v1alpha1.ReasonPodStarting, func(n *v1alpha1.VesperNode) { n.Status.Incarnation = "" }), false},
		{"its group may not be away", site("a", no, "BrokerUnreachable", func(n *v1alpha1.VesperNode) { n.Spec.Intermittent = false }), false},
		{"its image cannot be pulled", site("a", no, v1alpha1.ReasonImagePullFailed), false},
		{"its volume is lost", site("a", no, v1alpha1.ReasonVolumeLost, stalled), false},
		{"a person must see to it", site("a", no, "CatchingUp", stalled), false},
		{"it was just given a new spec", site("a", no, "CatchingUp", func(n *v1alpha1.VesperNode) { n.Generation = 2 }), false},
	} {
		if got := Away(test.node); got != test.want {
			t.Errorf("%s: away is %v, want %v", test.name, got, test.want)
		}
	}
}

// TestAClusterIsReadyWhileThoseAreAwayWhoMayBe, and says who that is.
func TestAClusterIsReadyWhileThoseAreAwayWhoMayBe(t *testing.T) {
	yes, no := metav1.ConditionTrue, metav1.ConditionFalse
	here, away := site("core", yes, "Ready"), site("store-12", no, "BrokerUnreachable")
	for _, test := range []struct {
		name   string
		change func(*Cluster)
		status metav1.ConditionStatus
		reason string
		says   string
	}{
		{"one is away", func(*Cluster) {}, yes, "Ready", "1 of 2 nodes are connected, subscribed and caught up; away, which their groups may be: store-12: BrokerUnreachable"},
		{"one is away and one that may not is not ready", func(c *Cluster) {
			c.Members[0] = site("core", no, "CatchingUp", func(n *v1alpha1.VesperNode) { n.Spec.Intermittent = false })
		}, no, v1alpha1.ReasonNodesNotReady, "0 of 2 nodes are ready; away, which their groups may be: store-12: BrokerUnreachable; core: CatchingUp"},
		{"one is away and one is not made yet", func(c *Cluster) { c.Wanted, c.Assigned = 3, 3 }, no, v1alpha1.ReasonScaling, "making the others"},
		{"one is away and one is being removed", func(c *Cluster) { c.Leaving = []string{"old"} }, no, v1alpha1.ReasonScaling, "removing old"},
		{"one lost its volume", func(c *Cluster) { c.Members[1] = site("store-12", no, v1alpha1.ReasonVolumeLost, stalled) }, no, v1alpha1.ReasonNodesStalled, "words of store-12"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Cluster{Brokers: BrokerRefs{usable(yes, v1alpha1.ReasonBrokerReady)}, Wanted: 2, Assigned: 2, Members: []*v1alpha1.VesperNode{here, away}}
			test.change(&c)
			all := ForCluster(c)
			if ready := all[0]; ready.Status != test.status || ready.Reason != test.reason || !strings.Contains(ready.Message, test.says) {
				t.Errorf("Ready is %+v, want %s, %s, saying %q", ready, test.status, test.reason, test.says)
			}
		})
	}
}

func TestNoChangeWaitsForWhoIsAway(t *testing.T) {
	now := time.Now()
	here, away := RunnerOf(site("core", metav1.ConditionTrue, "Ready"), now), RunnerOf(site("store-12", metav1.ConditionFalse, "BrokerUnreachable"), now)
	here.Differs, here.Restarts = true, true
	if turn := (topology.Rollout{}).Turn([]topology.Runner{here, away}); len(turn.Change) != 1 {
		t.Errorf("a ready node waits for one that is away: %+v", turn)
	}
	broken := RunnerOf(site("store-13", metav1.ConditionFalse, v1alpha1.ReasonImagePullFailed), now)
	if turn := (topology.Rollout{}).Turn([]topology.Runner{here, away, broken}); len(turn.Change) != 0 {
		t.Errorf("a ready node does not wait for one whose image cannot be pulled: %+v", turn)
	}
}

func TestAnInvalidSpecIsToldBeforeAllElse(t *testing.T) {
	c := Cluster{Brokers: BrokerRefs{{Name: "mq"}}, Wanted: 2, Assigned: 1, Refusal: &topology.Refusal{Reason: topology.Invalid, Message: "group a has no such parent"}}
	all := ForCluster(c)
	want := "group a has no such parent; until then nothing that runs is changed"
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionValid} {
		if got := meta.FindStatusCondition(all, kind); got == nil || got.Status != metav1.ConditionFalse || got.Reason != v1alpha1.ReasonSpecInvalid || got.Message != want {
			t.Errorf("%s is %+v, want False, %q", kind, got, want)
		}
	}
	if !meta.IsStatusConditionTrue(all, v1alpha1.ConditionStalled) {
		t.Error("the cluster does not say that a person must act")
	}
	c.Refusal = nil
	if !meta.IsStatusConditionTrue(ForCluster(c), v1alpha1.ConditionValid) {
		t.Error("a spec that can be carried out is not Valid")
	}
}

func TestTheFirstBrokerThatIsNotReadyIsNamed(t *testing.T) {
	well, refused := usable(metav1.ConditionTrue, v1alpha1.ReasonBrokerReady), usable(metav1.ConditionFalse, v1alpha1.ReasonBrokerRefused)
	refused.Name = "mq-store"
	missing := BrokerRef{Name: "mq-till", Field: "brokerRef.name of group till"}
	for _, test := range []struct {
		brokers BrokerRefs
		ready   bool
		usable  bool
		says    string
	}{
		{BrokerRefs{well, well}, true, true, "VesperBroker mq: of the broker; VesperBroker mq: of the broker"},
		{BrokerRefs{well, refused, missing}, false, false, "VesperBroker mq-store: of the broker"},
		{BrokerRefs{well, refused}, false, true, "VesperBroker mq-store: of the broker"},
		{BrokerRefs{well, missing}, false, false, "there is no VesperBroker mq-till in this namespace: make it, or correct brokerRef.name of group till"},
	} {
		if got := test.brokers.ready(); got.message != test.says || test.brokers.Ready() != test.ready || test.brokers.Usable() != test.usable {
			t.Errorf("%v: %+v, usable %v", test.brokers, got, test.brokers.Usable())
		}
	}
}
