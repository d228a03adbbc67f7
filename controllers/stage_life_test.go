package controllers

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

// wrote makes a node say that it has a branch up to a sequence, and the rest of what
// it usually has.
func (s *stage) wrote(node, id string, of branch.ID, seq uint64) {
	s.kubelet.answer(node, func() (nodestatus.Status, error) {
		status, err := s.kubelet.replicated(s.t.Context(), node)
		kept := branch.Revision{{Branch: of, Seq: seq}}
		for _, d := range status.Revision {
			if d.Branch != of {
				kept = kept.With(d)
			}
		}
		status.Revision = kept
		return status, err
	})
}

func TestStoryOfANewCluster(t *testing.T) {
	onStage(t, func(s *stage) {
		s.makeStageCluster(3)
		s.settle()
		s.wantStory(t, "new-cluster")
	})
}

// TestNothingIsWrittenAtRest: whatever it is that a cluster rests in, for half an hour.
func TestNothingIsWrittenAtRest(t *testing.T) {
	for rest, begin := range map[string]func(*stage){
		"all is well": func(*stage) {},
		"a node waits for two peers before it leaves": func(s *stage) {
			s.wrote("shop-core-0c", "0C", "0C", 5)
			s.scale(t, "shop", 2)
		},
		"two nodes do not answer": func(s *stage) {
			for _, node := range []string{"shop-core-0a", "shop-core-0b"} {
				s.kubelet.answer(node, func() (nodestatus.Status, error) { return nodestatus.Status{}, errors.New("connection refused") })
			}
		},
		"it is suspended": func(s *stage) { s.patchCluster(`{"spec":{"suspended":true}}`) },
	} {
		t.Run(rest, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.open(3)
				begin(s)
				s.settle()
				time.Sleep(2 * nodeFigures)
				s.settle()
				s.applied, s.written = map[string]int{}, map[string]int{}
				for range 30 * time.Minute / nodeAskReady {
					s.pass()
					time.Sleep(nodeAskReady - nodeAskSoon)
				}
				if s.writes() > 0 {
					t.Errorf("written at rest: %v, of them by applying: %v", s.written, s.applied)
				}
			})
		})
	}
}

// TestStoryOfAScaleDown: day-one list, point 7.
func TestStoryOfAScaleDown(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(3)
		s.chapter("scaled down to 2; shop-core-0b lacks two of the changesets of shop-core-0c")
		s.wrote("shop-core-0c", "0C", "0C", 5)
		s.wrote("shop-core-0a", "0A", "0C", 5)
		time.Sleep(nodeFigures)
		s.settle()
		s.scale(t, "shop", 2)
		s.settle()
		if l := s.ledger(t, "shop"); len(l.Assigned) != 3 || l.Retired != 0 {
			t.Errorf("ledger is %+v, want 0C assigned while it drains", l)
		}
		s.chapter("shop-core-0b has them")
		s.wrote("shop-core-0b", "0B", "0C", 5)
		s.settle()
		s.wantStory(t, "scale-down")
		if got := s.names(); got != "shop-core-0a shop-core-0b" {
			t.Errorf("nodes are %s", got)
		}
		if l := s.ledger(t, "shop"); len(l.Assigned) != 2 || l.Retired != 1 {
			t.Errorf("ledger is %+v, want 0C retired", l)
		}
		claim := &corev1.PersistentVolumeClaim{}
		mustGet(t, s.cluster, "data-shop-core-0c", claim)
		if claim.DeletionTimestamp != nil || claim.Annotations[v1alpha1.AnnotationRetired] != "true" {
			t.Errorf("the claim of the node that left has annotations %v, deletion %v", claim.Annotations, claim.DeletionTimestamp)
		}
		if got := s.brokers.all(); got != "0C-VESPER_DATA at mq.example.org:61613" {
			t.Errorf("dropped at the broker: %q", got)
		}
	})
}

func TestStoryOfAScaleDownThatIsTakenBack(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2)
		s.chapter("scaled down to 1; shop-core-0a lacks what shop-core-0b wrote")
		s.wrote("shop-core-0b", "0B", "0B", 99)
		s.scale(t, "shop", 1)
		s.settle()
		s.chapter("scaled up to 2 again")
		s.scale(t, "shop", 2)
		s.settle()
		s.wantStory(t, "scale-down-taken-back")
		if s.kubelet.told("shop-core-0b") || s.kubelet.removals("shop-core-0b") > 0 {
			t.Error("the node does not take writes again, or was restarted")
		}
	})
}

func TestStoryOfANamedNodeThatIsReplaced(t *testing.T) {
	onStage(t, func(s *stage) {
		cl := s.open(2)
		s.chapter("groups[0].remove is [0A], and replicas stay 2")
		s.patch(t, cl, `{"spec":{"groups":[{"name":"core","replicas":2,"remove":["0A"]}]}}`)
		s.settle()
		s.wantStory(t, "replace-a-named-node")
		if got := s.names(); got != "shop-core-0b shop-core-0c" {
			t.Errorf("nodes are %s", got)
		}
	})
}

func TestStoryOfAScaleDownWhileTheBrokerIsAway(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2)
		s.chapter("scaled down to 1; the broker does not answer")
		s.brokers.fail(errors.New("dropping the durable subscription of 0B at mq.example.org:61613: connection refused"))
		s.scale(t, "shop", 1)
		s.settle()
		cl := &v1alpha1.VesperCluster{}
		mustGet(t, s.cluster, "shop", cl)
		if len(cl.Status.Subscriptions) != 1 || cl.Status.Subscriptions[0].Problem != "" {
			t.Errorf("left subscriptions are %+v, want one without a problem yet", cl.Status.Subscriptions)
		}
		s.chapter("the box of two minutes is over")
		time.Sleep(subscriptionBox)
		s.settle()
		mustGet(t, s.cluster, "shop", cl)
		if len(cl.Status.Subscriptions) != 1 || !strings.Contains(cl.Status.Subscriptions[0].Problem, "connection refused") {
			t.Errorf("left subscriptions are %+v, want one with its problem", cl.Status.Subscriptions)
		}
		s.chapter("the broker is back")
		s.brokers.fail(nil)
		time.Sleep(subscriptionSeldom)
		s.settle()
		s.wantStory(t, "scale-down-without-the-broker")
		mustGet(t, s.cluster, "shop", cl)
		if len(cl.Status.Subscriptions) != 0 {
			t.Errorf("left subscriptions are %+v, want none", cl.Status.Subscriptions)
		}
	})
}

// TestStoryOfScalingToZero: the last node is not deleted with its data. Day-one list, point 8.
func TestStoryOfScalingToZero(t *testing.T) {
	onStage(t, func(s *stage) {
		cl := s.open(1, func(c *v1alpha1.VesperCluster) { c.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		s.chapter("scaled to 0 under deletionPolicy Delete")
		s.scale(t, "shop", 0)
		s.settle()
		if got := s.names(); got != "shop-core-0a" {
			t.Errorf("nodes are %q", got)
		}
		s.chapter("deletionPolicy is Retain")
		s.patch(t, cl, `{"spec":{"deletionPolicy":"Retain"}}`)
		s.settle()
		s.wantStory(t, "scale-to-zero")
		claim := &corev1.PersistentVolumeClaim{}
		mustGet(t, s.cluster, "data-shop-core-0a", claim)
		if s.names() != "" || claim.DeletionTimestamp != nil {
			t.Errorf("nodes are %q, the claim's deletion %v; want the volume alone", s.names(), claim.DeletionTimestamp)
		}
	})
}

// TestStoryOfASuspendedCluster: scaled to nothing and back, ids and volumes are kept.
func TestStoryOfASuspendedCluster(t *testing.T) {
	onStage(t, func(s *stage) {
		cl := s.open(2)
		claims := s.claims()
		s.chapter("spec.suspended is true")
		s.patch(t, cl, `{"spec":{"suspended":true}}`)
		s.settle()
		if got := s.pods(); got != "" {
			t.Errorf("pods are %s, want none", got)
		}
		s.chapter("a change of the image meanwhile restarts nothing")
		s.patch(t, cl, `{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		s.chapter("spec.suspended is false again")
		s.patch(t, cl, `{"spec":{"suspended":false}}`)
		s.settle()
		s.wantStory(t, "suspend")
		if l := s.ledger(t, "shop"); l.Retired != 0 || len(l.Assigned) != 2 || l.LastBranchID != "0B" {
			t.Errorf("ledger is %+v, want the ids as they were", l)
		}
		if got := s.claims(); got != claims {
			t.Errorf("claims are %s, were %s", got, claims)
		}
	})
}

func TestStoryOfASuspendedGroupAndASuspendedNode(t *testing.T) {
	onStage(t, func(s *stage) {
		one := int32(1)
		cl := s.open(1, func(c *v1alpha1.VesperCluster) {
			c.Spec.Groups = append(c.Spec.Groups, v1alpha1.NodeGroup{Name: "edge", Replicas: &one})
		})
		s.chapter("group edge is suspended")
		s.patch(t, cl, `{"spec":{"groups":[{"name":"core","replicas":1},{"name":"edge","replicas":1,"suspended":true}]}}`)
		s.settle()
		s.chapter("it waits for nobody that the others get a new image")
		s.patch(t, cl, `{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		s.chapter("group edge runs again, and VesperNode shop-core-0a is suspended by hand")
		s.patch(t, cl, `{"spec":{"groups":[{"name":"core","replicas":1},{"name":"edge","replicas":1}]}}`)
		node := &v1alpha1.VesperNode{}
		mustGet(t, s.cluster, "shop-core-0a", node)
		s.patch(t, node, `{"spec":{"suspended":true}}`)
		s.settle()
		s.wantStory(t, "suspend-a-part")
		if got := s.pods(); got != "shop-edge-0b-0" {
			t.Errorf("pods are %s, want that of the group alone", got)
		}
	})
}

// TestStoryOfAPausedCluster: nothing is changed, all is told.
func TestStoryOfAPausedCluster(t *testing.T) {
	onStage(t, func(s *stage) {
		cl := s.open(2)
		s.chapter("spec.paused is true")
		s.patch(t, cl, `{"spec":{"paused":true}}`)
		s.settle()
		changed := s.changed()
		s.chapter("the spec asks for another image and a third node")
		s.patch(t, cl, `{"spec":{"image":"vesper/node:v2","groups":[{"name":"core","replicas":3}]}}`)
		s.settle()
		s.chapter("the StatefulSet of shop-core-0b is deleted, and shop-core-0a catches up")
		if err := s.Delete(t.Context(), &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b", Namespace: s.Namespace}}); err != nil {
			t.Fatal(err)
		}
		s.kubelet.answer("shop-core-0a", func() (nodestatus.Status, error) {
			status := healthy("0A")
			status.Ready, status.Reason = false, nodestatus.ReasonCatchingUp
			return status, nil
		})
		time.Sleep(nodeAskReady)
		s.settle()
		if got := s.changed(); got != changed {
			t.Errorf("while it was paused the operator changed %s, had changed %s", got, changed)
		}
		if got := s.says(v1alpha1.ConditionPaused, "shop"); !strings.Contains(got, "this waits for its end: shop-core-0a, shop-core-0b, shop-core-0c") {
			t.Errorf("the cluster says %q", got)
		}
		if got := s.says(v1alpha1.ConditionPaused, "shop-core-0b"); !strings.Contains(got, "spec.paused of VesperCluster shop is set; this waits for its end: StatefulSet shop-core-0b") {
			t.Errorf("the node says %q", got)
		}
		s.chapter("spec.paused is false again, and shop-core-0a is well")
		s.kubelet.answer("shop-core-0a", nil)
		s.patch(t, cl, `{"spec":{"paused":false}}`)
		s.settle()
		s.wantStory(t, "pause")
	})
}

func TestAPausedNodeIsLeftAloneAndItsMatesAreNot(t *testing.T) {
	onStage(t, func(s *stage) {
		cl := s.open(2)
		node := &v1alpha1.VesperNode{}
		mustGet(t, s.cluster, "shop-core-0a", node)
		s.patch(t, node, `{"spec":{"paused":true}}`)
		s.settle()
		s.patch(t, cl, `{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		if n := s.kubelet.removals("shop-core-0a"); n != 0 {
			t.Errorf("the paused node was restarted %d times", n)
		}
		if got := s.says(v1alpha1.ConditionReady, "shop-core-0a"); !strings.HasPrefix(got, "Paused: the spec is not carried out while spec.paused is set: StatefulSet shop-core-0a") {
			t.Errorf("the paused node says %q", got)
		}
		mustGet(t, s.cluster, "shop-core-0a", node)
		s.patch(t, node, `{"spec":{"paused":null}}`)
		s.settle()
		if got := s.says(v1alpha1.ConditionReady, "shop"); !strings.HasPrefix(got, "Ready: 2 of 2") || s.kubelet.removals("shop-core-0a") != 1 || s.kubelet.removals("shop-core-0b") != 1 {
			t.Errorf("afterwards the cluster says %q, restarts are %d and %d", got, s.kubelet.removals("shop-core-0a"), s.kubelet.removals("shop-core-0b"))
		}
	})
}
