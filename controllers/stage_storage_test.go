package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/resources"
)

// ofClass gives a cluster's volumes a storage class.
func ofClass(class string) func(*v1alpha1.VesperCluster) {
	return func(c *v1alpha1.VesperCluster) { c.Spec.Storage.StorageClassName = &class }
}

// sizes lists what each claim asks for and has.
func (s *stage) sizes() string {
	list := &corev1.PersistentVolumeClaimList{}
	if err := s.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		asks, has := resources.ClaimSize(&list.Items[i]), list.Items[i].Status.Capacity[corev1.ResourceStorage]
		out = append(out, strings.TrimPrefix(list.Items[i].Name, "data-shop-core-")+" "+asks.String()+"/"+has.String())
	}
	return strings.Join(out, ", ")
}

// restarts counts the pods that were stopped.
func (s *stage) restarts() (n int) {
	for _, count := range s.kubelet.removed {
		n += count
	}
	return n
}

func TestStoryOfAnExpansion(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2)
		s.chapter("spec.storage.size is 20Gi")
		s.patchCluster(`{"spec":{"storage":{"size":"20Gi"}}}`)
		s.settle()
		s.wantStory(t, "expand")
		if s.sizes() != "0a 20Gi/20Gi, 0b 20Gi/20Gi" || s.restarts() != 0 {
			t.Errorf("volumes are %s after %d restarts", s.sizes(), s.restarts())
		}
	})
}

// TestStoryOfAnExpansionThatFailsAndIsTriedWithLess: day-one list, point 9.
func TestStoryOfAnExpansionThatFailsAndIsTriedWithLess(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(2)
		s.kubelet.driver("16Gi", false)
		s.chapter("spec.storage.size is 20Gi, and the driver can make 16Gi")
		s.patchCluster(`{"spec":{"storage":{"size":"20Gi"}}}`)
		s.settle()
		s.chapter("spec.image is vesper/node:v2: one node after another is restarted all the same")
		s.patchCluster(`{"spec":{"image":"vesper/node:v2"}}`)
		s.settle()
		s.chapter("spec.storage.size is 10Gi, which the volumes have: what was asked for cannot be taken back to that")
		s.patchCluster(`{"spec":{"storage":{"size":"10Gi"}}}`)
		s.settle()
		if s.sizes() != "0a 20Gi/10Gi, 0b 20Gi/10Gi" {
			t.Errorf("volumes are %s", s.sizes())
		}
		s.chapter("spec.storage.size is 15Gi")
		s.patchCluster(`{"spec":{"storage":{"size":"15Gi"}}}`)
		s.settle()
		s.wantStory(t, "expand-and-retry")
		if s.sizes() != "0a 15Gi/15Gi, 0b 15Gi/15Gi" || s.restarts() != 2 {
			t.Errorf("volumes are %s after %d restarts, want the two of the new image", s.sizes(), s.restarts())
		}
	})
}

// TestStoryOfAClassThatCannotExpand: nothing that runs is changed, and all else of
// the spec goes through.
func TestStoryOfAClassThatCannotExpand(t *testing.T) {
	onStage(t, func(s *stage) {
		s.api.rigid = map[string]bool{"rigid": true}
		s.open(2, ofClass("rigid"), func(c *v1alpha1.VesperCluster) { c.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		s.chapter("spec.storage.size is 20Gi")
		s.patchCluster(`{"spec":{"storage":{"size":"20Gi"}}}`)
		s.settle()
		if s.restarts() != 0 {
			t.Errorf("%d pods were restarted", s.restarts())
		}
		s.chapter("deletionPolicy is Retain")
		s.patchCluster(`{"spec":{"deletionPolicy":"Retain"}}`)
		s.settle()
		claim := &corev1.PersistentVolumeClaim{}
		mustGet(t, s.cluster, "data-shop-core-0a", claim)
		if len(claim.OwnerReferences) != 0 {
			t.Error("a size that is refused keeps the volume from being kept")
		}
		s.chapter("spec.storage.size is 10Gi again")
		s.patchCluster(`{"spec":{"storage":{"size":"10Gi"}}}`)
		s.settle()
		s.wantStory(t, "expand-refused")
	})
}

// TestAnExpansionThatIsNotDoneIsToldStepByStep, while the node serves, and can be
// taken back to less.
func TestAnExpansionThatIsNotDoneIsToldStepByStep(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(1)
		s.kubelet.driver("", true)
		s.patchCluster(`{"spec":{"storage":{"size":"20Gi"}}}`)
		s.settle()
		time.Sleep(nodeFigures) // words alone wait that long
		s.settle()
		for who, want := range map[string]string{"shop": "VolumeExpanding: shop-core-0a: volume claim data-shop-core-0a grows from 10Gi to 20Gi while it is used: the storage driver is at it",
			"shop-core-0a": "VolumeExpanding: volume claim data-shop-core-0a grows from 10Gi to 20Gi while it is used: the storage driver is at it"} {
			if got := s.says(v1alpha1.ConditionStorageReady, who); got != want {
				t.Errorf("%s says %q", who, got)
			}
			if got := s.says(v1alpha1.ConditionReconciling, who); got != want {
				t.Errorf("%s reconciles %q", who, got)
			}
		}
		if got := s.says(v1alpha1.ConditionReady, "shop-core-0a"); !strings.HasPrefix(got, "Ready: ") {
			t.Errorf("the node, which serves, says %q", got)
		}
		s.patchCluster(`{"spec":{"storage":{"size":"15Gi"}}}`)
		s.settle()
		if got := s.sizes(); got != "0a 15Gi/10Gi" {
			t.Errorf("the volume is %s", got)
		}
		s.kubelet.driver("", false)
		s.settle()
		if got := s.sizes(); got != "0a 15Gi/15Gi" {
			t.Errorf("the volume is %s", got)
		}
		if got := s.says(v1alpha1.ConditionReady, "shop"); !strings.HasPrefix(got, "Ready: 1 of 1") {
			t.Errorf("the cluster says %q", got)
		}
	})
}

// classes lists the storage class of each claim, and whether its id is retired.
func (s *stage) classes() string {
	list := &corev1.PersistentVolumeClaimList{}
	if err := s.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		claim, state := &list.Items[i], ""
		if claim.Annotations[v1alpha1.AnnotationRetired] == "true" {
			state = " kept"
		}
		out = append(out, strings.TrimPrefix(claim.Name, "data-shop-core-")+" "+*claim.Spec.StorageClassName+state)
	}
	return strings.Join(out, ", ")
}

// behind makes a node say that it catches up still.
func (s *stage) behind(node, id string) {
	s.kubelet.answer(node, func() (nodestatus.Status, error) {
		status := healthy(id)
		status.Ready, status.Reason = false, nodestatus.ReasonCatchingUp
		return status, nil
	})
}

// TestStoryOfAnotherStorageClass: one node after another gets a successor, and leaves
// when that one is well.
func TestStoryOfAnotherStorageClass(t *testing.T) {
	onStage(t, func(s *stage) {
		s.open(3, ofClass("slow"))
		s.chapter("spec.storage.storageClassName is fast; shop-core-0d takes its time")
		s.behind("shop-core-0d", "0D")
		s.patchCluster(`{"spec":{"storage":{"storageClassName":"fast"}}}`)
		s.settle()
		if got := s.names(); got != "shop-core-0a shop-core-0b shop-core-0c shop-core-0d" || s.kubelet.told("shop-core-0c") {
			t.Errorf("nodes are %s; who is replaced was told to drain: %v", got, s.kubelet.told("shop-core-0c"))
		}
		s.chapter("shop-core-0d has all")
		s.kubelet.answer("shop-core-0d", nil)
		s.settle()
		s.wantStory(t, "storage-class")
		if got := s.names(); got != "shop-core-0d shop-core-0e shop-core-0f" {
			t.Errorf("nodes are %s", got)
		}
		if got := s.classes(); got != "0a slow kept, 0b slow kept, 0c slow kept, 0d fast, 0e fast, 0f fast" {
			t.Errorf("volumes are %s", got)
		}
		if l := s.ledger(t, "shop"); len(l.Assigned) != 3 || l.Retired != 3 || l.Assigned[0].Replaces+l.Assigned[1].Replaces+l.Assigned[2].Replaces != "" {
			t.Errorf("ledger is %+v", l)
		}
	})
}
