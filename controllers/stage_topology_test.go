package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/nodestatus"
)

// with adds groups below core, each with a broker of its own.
func (s *stage) with(groups ...v1alpha1.NodeGroup) func(*v1alpha1.VesperCluster) {
	s.t.Helper()
	for _, g := range groups {
		s.readyBroker(s.t, g.BrokerRef.Name)
	}
	return func(c *v1alpha1.VesperCluster) { c.Spec.Groups = append(c.Spec.Groups, groups...) }
}

// cutOff makes a node say that it has what it wrote itself, and that its broker is away.
func (s *stage) cutOff(node, id string) {
	s.kubelet.answer(node, func() (nodestatus.Status, error) {
		status := healthy(id)
		status.Ready, status.Reason = false, nodestatus.ReasonBrokerUnreachable
		return status, nil
	})
}

// droppedSubscriptions are those that the brokers were asked to drop, in order.
func (s *stage) droppedSubscriptions() string {
	all := strings.Split(s.brokers.all(), "; ")
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// TestARelayThatLeavesKeepsNothingAtItsParentsBroker: not in its group's channel, and
// not in that of the group above.
func TestARelayThatLeavesKeepsNothingAtItsParentsBroker(t *testing.T) {
	const both = "0B-VESPER_DATA at mq-store.example.org:61613; 0B-VESPER_DATA of 0B-parent-core at mq.example.org:61613"
	onStage(t, func(s *stage) {
		s.open(1, s.with(below("store", "core", 2)))
		s.patchCluster(`{"spec":{"groups":[{"name":"core","replicas":1},{"name":"store","parent":"core","brokerRef":{"name":"mq-store"},"replicas":1,"remove":["0B"]}]}}`)
		s.settle()
		if got := s.names(); got != "shop-core-0a shop-store-0c" {
			t.Fatalf("nodes are %s", got)
		}
		if got := s.droppedSubscriptions(); got != both {
			t.Errorf("dropped are %q, want %q", got, both)
		}
		if n := s.node(t, "shop-store-0c"); len(n.Spec.Links) != 1 {
			t.Errorf("nobody relays any more: links are %+v", n.Spec.Links)
		}
	})
	onStage(t, func(s *stage) { // removed by hand with its volume: nobody can read any more what it was
		s.open(1, s.with(below("store", "core", 2)))
		for _, object := range []client.Object{&v1alpha1.VesperNode{}, &corev1.PersistentVolumeClaim{}} {
			object.SetName("shop-store-0b")
			if _, ok := object.(*corev1.PersistentVolumeClaim); ok {
				object.SetName("data-shop-store-0b")
			}
			if err := s.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
		s.settle()
		if got := s.droppedSubscriptions(); got != both {
			t.Errorf("of a node that is gone are dropped %q, want %q", got, both)
		}
	})
}

// TestNobodyWaitsForNodesThatMayBeAway: neither one that leaves nor a rollout.
func TestNobodyWaitsForNodesThatMayBeAway(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(3, s.with(below("till", "core", 1, mayBeAway)))
		s.cutOff("shop-till-0d", "0D")
		s.wrote("shop-core-0c", "0C", "0C", 9) // the till has none of it
		for _, id := range []string{"0A", "0B"} {
			s.wrote("shop-core-"+strings.ToLower(id), id, "0C", 9)
		}
		time.Sleep(nodeFigures)
		s.settle()
		if n := s.node(t, "shop-till-0d"); !conditions.Away(n) {
			t.Fatalf("the till is not away: %+v", n.Status.Conditions)
		}
		s.patchCluster(`{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		for _, node := range []string{"shop-core-0a", "shop-core-0b", "shop-core-0c"} {
			if n := s.kubelet.removals(node); n != 1 {
				t.Errorf("%s was restarted %d times for a new image, want once", node, n)
			}
		}
		s.patchCluster(`{"spec":{"groups":[{"name":"core","replicas":2},{"name":"till","parent":"core","brokerRef":{"name":"mq-till"},"replicas":1,"intermittent":true}]}}`)
		s.settle()
		if got := s.names(); got != "shop-core-0a shop-core-0b shop-till-0d" {
			t.Errorf("nodes are %s; shop-core-0c says %s", got, s.says(v1alpha1.ConditionDrained, "shop-core-0c"))
		}
	})
}

// TestANodeThatMayBeAwayIsWaitedForWhileItIsThere: it may be the only one that has
// what the leaving node wrote.
func TestANodeThatMayBeAwayIsWaitedForWhileItIsThere(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2, func(c *v1alpha1.VesperCluster) { c.Spec.Groups[0].Intermittent = true })
		s.wrote("shop-core-0b", "0B", "0B", 9)
		s.patchCluster(`{"spec":{"groups":[{"name":"core","replicas":1,"intermittent":true}]}}`)
		s.settle()
		if got := s.says(v1alpha1.ConditionDrained, "shop-core-0b"); !strings.Contains(got, "waits for shop-core-0a (lacks 6 changesets)") {
			t.Errorf("shop-core-0b says %q, want it to wait for shop-core-0a", got)
		}
		s.wrote("shop-core-0a", "0A", "0B", 9)
		s.settle()
		if got := s.names(); got != "shop-core-0a" {
			t.Errorf("nodes are %s", got)
		}
	})
}

// managed makes a broker as one that the operator runs.
func (s *stage) managed(name string) {
	s.t.Helper()
	b := s.readyBroker(s.t, name)
	b.Spec = v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{}}
	if err := s.Update(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
}

// brokersOut are the brokers that the cluster's NetworkPolicy lets nodes reach.
func (s *stage) brokersOut(t *testing.T) (names []string) {
	t.Helper()
	policy := &networkingv1.NetworkPolicy{}
	mustGet(t, s.cluster, "shop", policy)
	for _, rule := range policy.Spec.Egress {
		for _, to := range rule.To {
			names = append(names, to.PodSelector.MatchLabels[v1alpha1.LabelBroker])
		}
	}
	return names
}

// TestNodesMayReachTheBrokersOfAllGroups: of those that are there, and of those that
// still leave.
func TestNodesMayReachTheBrokersOfAllGroups(t *testing.T) {
	onStage(t, func(s *stage) {
		s.managed("mq")
		s.managed("mq-store")
		s.makeCluster(t, "shop", 1, func(c *v1alpha1.VesperCluster) {
			c.Spec.Channel, c.Spec.BranchIDs, c.Spec.DeletionPolicy = v1alpha1.DefaultChannel, v1alpha1.BranchIDRange{Width: 2}, v1alpha1.DeletionRetain
			c.Spec.Groups = append(c.Spec.Groups, below("store", "core", 1))
		})
		s.settle()
		if got := s.brokersOut(t); !slices.Equal(got, []string{"mq", "mq-store"}) {
			t.Errorf("nodes may reach %v, want the brokers of both groups", got)
		}
		s.wrote("shop-store-0b", "0B", "0B", 9)
		s.patchCluster(`{"spec":{"groups":[{"name":"core","replicas":1}]}}`)
		s.settle()
		if got := s.brokersOut(t); !slices.Equal(got, []string{"mq", "mq-store"}) {
			t.Errorf("while a node drains, nodes may reach %v, want its broker too", got)
		}
		s.wrote("shop-core-0a", "0A", "0B", 9)
		s.settle()
		if got := s.brokersOut(t); !slices.Equal(got, []string{"mq"}) {
			t.Errorf("when it is gone, nodes may reach %v", got)
		}
	})
}

// TestARelayMayReachTheBrokerThatItsLinkStillNames: in a move of the group above to
// another broker, relays are changed last.
func TestARelayMayReachTheBrokerThatItsLinkStillNames(t *testing.T) {
	relay := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-store-0b"}, Spec: v1alpha1.VesperNodeSpec{
		BrokerRef: v1alpha1.LocalReference{Name: "mq-store"}, Channel: v1alpha1.DefaultChannel,
		Links: []v1alpha1.NodeLink{{Name: "parent-core", BrokerRef: v1alpha1.LocalReference{Name: "old"}, Channel: v1alpha1.DefaultChannel}}}}
	s := &clusterScope{brokers: map[string]conditions.BrokerRef{"mq": {}, "mq-store": {}}, nodes: map[string]*v1alpha1.VesperNode{relay.Name: relay}}
	if got := s.brokerNames(); !slices.Equal(got, []string{"mq", "mq-store", "old"}) {
		t.Errorf("brokers are %v", got)
	}
}
