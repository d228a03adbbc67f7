package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// TestAnOperatorThatDiesAtAnyWriteIsTakenOverWithoutHarm makes a cluster, then
// scales it down and up, with an operator that dies at its k-th write, whether
// that was carried out or not, and lets another take over: the nodes and ids are
// those of an operator that did not die, and every id has its own volume.
func TestAnOperatorThatDiesAtAnyWriteIsTakenOverWithoutHarm(t *testing.T) {
	startAPIServer(t)
	step := int64(3)
	if testing.Short() {
		step = 10
	}
	for k := int64(1); k <= 30; k += step {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, carried out %v", k, lost), func(t *testing.T) {
				t.Parallel()
				c := newCluster(t)
				kubelet := newKubelet(t, c)
				c.readyBroker(t, "mq")
				c.makeCluster(t, "shop", 2)
				c.dieAndTakeOver(t, kubelet, k, lost)
				c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
				c.scale(t, "shop", 1)
				c.dieAndTakeOver(t, kubelet, k, lost)
				c.clusterReady(t, "shop", "shop-core-0a")
				c.scale(t, "shop", 2)
				c.dieAndTakeOver(t, kubelet, k, lost)
				c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0c")
				c.wantOwnVolumes(t)
			})
		}
	}
}

// dieAndTakeOver runs an operator until it dies at its k-th write or has nothing
// more to do, and then another, which goes on running.
func (c *cluster) dieAndTakeOver(t *testing.T, kubelet *kubelet, k int64, lost bool) {
	t.Helper()
	if c.second != nil {
		c.second.Stop()
	}
	first := &operator{dieAt: k, lostAnswer: lost}
	c.operateAs(t, first, kubelet)
	for idle, seen := 0, int64(0); idle < 12 && first.Writes() < k; idle++ {
		if now := first.Writes(); now != seen {
			idle, seen = 0, now
		}
		time.Sleep(50 * time.Millisecond)
	}
	first.Stop()
	c.second = c.operate(t, kubelet)
}

// wantOwnVolumes checks the ledger against the claims that exist.
func (c *cluster) wantOwnVolumes(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		for _, a := range c.ledger(t, "shop").Assigned {
			claim := &corev1.PersistentVolumeClaim{}
			mustGet(t, c, "data-shop-core-"+map[string]string{"0A": "0a", "0C": "0c"}[a.ID], claim)
			if a.VolumeUID != string(claim.UID) || claim.Annotations[v1alpha1.AnnotationBranchID] != a.ID {
				return fmt.Errorf("ledger has %+v for claim %s of uid %s", a, claim.Name, claim.UID)
			}
		}
		return nil
	})
}

// TestAStaleCacheBringsBackNoRetiredID plans from a cache that still has an id
// assigned which another operator has retired since.
func TestAStaleCacheBringsBackNoRetiredID(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	stale := c.makeCluster(t, "shop", 2)
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data-shop-core-0b", Namespace: c.Namespace, Annotations: map[string]string{v1alpha1.AnnotationBranchID: "0B"},
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelCluster: "shop", v1alpha1.LabelGroup: "core"}},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
	mustCreate(t, c, claim)
	stale.Status.Ledger = v1alpha1.BranchLedger{TrunkID: "0A", LastBranchID: "0B", Assigned: []v1alpha1.BranchAssignment{
		{ID: "0A", Group: "core"}, {ID: "0B", Group: "core", Started: true, VolumeUID: string(claim.UID)}}}
	if err := c.Status().Update(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	fresh := stale.DeepCopy()
	fresh.Status.Ledger.Assigned, fresh.Status.Ledger.Retired = fresh.Status.Ledger.Assigned[:1], 1
	if err := c.Status().Update(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	c.scale(t, "shop", 1)

	s := &clusterScope{reconciler: &VesperClusterReconciler{client: c.Client, live: c.Client}, cluster: stale}
	if err := s.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.planned.Members) != 1 || s.planned.Members[0].ID != "0A" {
		t.Errorf("the plan has members %+v, want 0A alone: 0B is retired", s.planned.Members)
	}
}
