package controllers

import (
	"testing"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

// TestStoryOfARollout: day-one list, point 6.
func TestStoryOfARollout(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(3)
		s.chapter("spec.image is vesper/node:v2")
		s.patchCluster(`{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		s.wantStory(t, "rollout")
		for _, node := range []string{"shop-core-0a", "shop-core-0b", "shop-core-0c"} {
			if n := s.kubelet.removals(node); n != 1 {
				t.Errorf("%s was restarted %d times", node, n)
			}
		}
	})
}

// TestStoryOfABadChangeAndItsFix: the change stops at the first node, whose pod is
// stuck, and the fix goes to that one at once. Day-one list, point 5.
func TestStoryOfABadChangeAndItsFix(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(3)
		s.chapter("spec.image is one that cannot be pulled")
		s.kubelet.broken = "vesper/node:typo"
		s.patchCluster(`{"spec":{"image":"vesper/node:typo"}}`)
		s.settle()
		if n := s.kubelet.removals("shop-core-0b") + s.kubelet.removals("shop-core-0c"); n != 0 {
			t.Errorf("%d other nodes were stopped for a change that had failed", n)
		}
		s.chapter("spec.image is vesper/node:v2")
		s.patchCluster(`{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		s.wantStory(t, "bad-change-and-fix")
	})
}

// TestStoryOfAChangeThatMakesNodesDiverge: replication health gates a rollout.
func TestStoryOfAChangeThatMakesNodesDiverge(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2)
		s.kubelet.answer("shop-core-0a", func() (nodestatus.Status, error) {
			status, err := s.kubelet.replicated(s.t.Context(), "shop-core-0a")
			if s.kubelet.removals("shop-core-0a") == 1 { // on the first new image
				status.Divergence = []nodestatus.Divergence{{Peer: "0B", Revision: branch.Revision{{Branch: "0A", Seq: 3}}}}
			}
			return status, err
		})
		s.chapter("spec.image is vesper/node:v2, with which the state of shop-core-0a differs from that of its peer")
		s.patchCluster(`{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		if n := s.kubelet.removals("shop-core-0b"); n != 0 {
			t.Errorf("shop-core-0b was restarted %d times although the first has diverged", n)
		}
		s.chapter("spec.image is vesper/node:v3, with which it does not")
		s.patchCluster(`{"spec":{"image":"vesper/node:v3"}}`)
		s.settle()
		s.wantStory(t, "diverged-rollout")
		if a, b := s.kubelet.removals("shop-core-0a"), s.kubelet.removals("shop-core-0b"); a != 2 || b != 1 {
			t.Errorf("restarts are %d and %d, want 2 and 1: the second goes straight to the fix", a, b)
		}
	})
}

func TestStoryOfARolloutThatIsHeld(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2)
		s.chapter("spec.image is vesper/node:v2, and spec.rollout.held is true")
		s.patchCluster(`{"spec":{"image":"vesper/node:v2","rollout":{"held":true}}}`)
		s.settle()
		if n := s.kubelet.removals("shop-core-0a") + s.kubelet.removals("shop-core-0b"); n != 0 {
			t.Errorf("%d nodes were restarted while the rollout was held", n)
		}
		s.chapter("held no longer, two at a time")
		s.patchCluster(`{"spec":{"rollout":{"held":null,"maxUnavailable":2}}}`)
		s.settle()
		s.wantStory(t, "held-rollout")
	})
}

// TestChangesThatNeedNoRestartAreForAllAtOnce, also while a rollout is held.
func TestChangesThatNeedNoRestartAreForAllAtOnce(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(3, func(c *v1alpha1.VesperCluster) { c.Spec.Rollout = &v1alpha1.Rollout{Held: true} })
		s.patchCluster(`{"spec":{"deletionPolicy":"Delete"}}`)
		s.pass()
		nodes := &v1alpha1.VesperNodeList{}
		if err := s.List(t.Context(), nodes); err != nil {
			t.Fatal(err)
		}
		for _, node := range nodes.Items {
			if node.Spec.DeletionPolicy != v1alpha1.DeletionDelete {
				t.Errorf("%s has not got what restarts nothing", node.Name)
			}
		}
		s.settle()
		if s.kubelet.removals("shop-core-0a")+s.kubelet.removals("shop-core-0b")+s.kubelet.removals("shop-core-0c") != 0 {
			t.Error("a node was restarted")
		}
	})
}
