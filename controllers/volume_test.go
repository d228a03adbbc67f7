package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/resources"
)

// storageClass makes a storage class, whose volumes can grow or not.
func (c *cluster) storageClass(t *testing.T, expands bool) string {
	t.Helper()
	plain, err := client.New(c.cfg, client.Options{Scheme: testScheme()})
	if err != nil {
		t.Fatal(err)
	}
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{GenerateName: "class-"}, Provisioner: "example.org/none", AllowVolumeExpansion: &expands}
	if err := plain.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	return class.Name
}

// volumeIs waits until a claim asks for a size and has another.
func (c *cluster) volumeIs(t *testing.T, claim, asks, has string) {
	t.Helper()
	eventually(t, func() error {
		live := &corev1.PersistentVolumeClaim{}
		if err := c.get(claim, live); err != nil {
			return err
		}
		asked, capacity := resources.ClaimSize(live), live.Status.Capacity[corev1.ResourceStorage]
		if asked.String() != asks || capacity.String() != has {
			return fmt.Errorf("claim %s asks for %s and has %s, want %s and %s", claim, asked.String(), capacity.String(), asks, has)
		}
		return nil
	})
}

// TestVolumesGrowInUseAndAFailedExpansionIsTriedWithLess on the real API server, whose
// rules about sizes are the point: day-one list, point 9.
func TestVolumesGrowInUseAndAFailedExpansionIsTriedWithLess(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2, ofClass(c.storageClass(t, true)))
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")

	c.patch(t, cl, `{"spec":{"storage":{"size":"12Gi"}}}`)
	c.volumeIs(t, "data-shop-core-0a", "12Gi", "12Gi")
	c.volumeIs(t, "data-shop-core-0b", "12Gi", "12Gi")
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")

	k.driver("16Gi", false)
	c.patch(t, cl, `{"spec":{"storage":{"size":"20Gi"}}}`)
	failed := c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonVolumeExpansionFailed)
	if !strings.Contains(failed.Message, "Set spec.storage.size to more than 12Gi and less than 20Gi") {
		t.Errorf("the cluster says %q, want the remedy", failed.Message)
	}
	c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonVolumeExpansionFailed)
	c.nodeReady(t, "shop-core-0b")

	c.patch(t, cl, `{"spec":{"storage":{"size":"12Gi"}}}`) // which the API server does not take back
	c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionStorageReady, metav1.ConditionTrue, v1alpha1.ReasonVolumeLarger)
	c.volumeIs(t, "data-shop-core-0a", "20Gi", "12Gi")

	c.patch(t, cl, `{"spec":{"storage":{"size":"15Gi"}}}`)
	c.volumeIs(t, "data-shop-core-0a", "15Gi", "15Gi")
	c.volumeIs(t, "data-shop-core-0b", "15Gi", "15Gi")
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")

	c.patch(t, cl, `{"spec":{"storage":{"size":"5Gi"}}}`)
	larger := c.clusterSays(t, "shop", v1alpha1.ConditionStorageReady, metav1.ConditionTrue, v1alpha1.ReasonVolumeLarger)
	if !strings.Contains(larger.Message, "volumes never shrink") {
		t.Errorf("the cluster says %q", larger.Message)
	}
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	if n := k.removals("shop-core-0a") + k.removals("shop-core-0b"); n != 0 {
		t.Errorf("%d pods were restarted for the size of their volumes", n)
	}
	if writes := op.quietFor(2 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

// TestABrokersVolumeGrowsAndItsLimitsFollowOnceItHas: until then the store may not
// fill what is not there, and a size that is refused keeps no fix from the pod.
func TestABrokersVolumeGrowsAndItsLimitsFollowOnceItHas(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	k.driver("", true)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	b := managedBroker()
	class := c.storageClass(t, true)
	b.Spec.ActiveMQ.Storage.StorageClassName = &class
	c.mustCreate(t, b)
	c.volumeIs(t, "mq-broker-data", "1Gi", "1Gi")
	limit := func() string {
		config := &corev1.ConfigMap{}
		c.mustGet(t, "mq-broker-config", config)
		_, after, _ := strings.Cut(config.Data["activemq.xml"], "<storeUsage limit=\"")
		text, _, _ := strings.Cut(after, "\"")
		return text
	}
	before := limit()
	c.patch(t, b, `{"spec":{"activemq":{"storage":{"size":"2Gi"}}}}`)
	eventually(t, func() error {
		live := &v1alpha1.VesperBroker{}
		mustGet(t, c, "mq", live)
		if got := reasonOf(live.Status.Conditions, v1alpha1.ConditionStorageReady); got != v1alpha1.ReasonVolumeExpanding {
			return fmt.Errorf("the broker says %s of its volume", got)
		}
		return nil
	})
	if got := limit(); got != before {
		t.Errorf("the limit of the store is %s before the volume has grown, was %s", got, before)
	}
	k.driver("", false)
	c.volumeIs(t, "mq-broker-data", "2Gi", "2Gi")
	eventually(t, func() error {
		live := &v1alpha1.VesperBroker{}
		mustGet(t, c, "mq", live)
		if got := limit(); got == before || !meta.IsStatusConditionTrue(live.Status.Conditions, v1alpha1.ConditionStorageReady) {
			return fmt.Errorf("the limit of the store is %s, was %s", got, before)
		}
		return nil
	})
}

// TestABrokersVolumeThatCannotGrowKeepsNoFixFromItsPod.
func TestABrokersVolumeThatCannotGrowKeepsNoFixFromItsPod(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	newKubelet(t, c)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	b := managedBroker()
	class := c.storageClass(t, false)
	b.Spec.ActiveMQ.Storage.StorageClassName = &class
	c.mustCreate(t, b)
	c.volumeIs(t, "mq-broker-data", "1Gi", "1Gi")
	c.patch(t, b, `{"spec":{"activemq":{"image":"mq:fixed","storage":{"size":"2Gi"}}}}`)
	eventually(t, func() error {
		live := &v1alpha1.VesperBroker{}
		mustGet(t, c, "mq", live)
		said := meta.FindStatusCondition(live.Status.Conditions, v1alpha1.ConditionStorageReady)
		if said == nil || said.Reason != v1alpha1.ReasonVolumeExpansionRefused || !strings.Contains(said.Message, "set spec.activemq.storage.size back to 1Gi") {
			return fmt.Errorf("the broker says %+v of its volume", said)
		}
		if image := c.template(t, "mq-broker"); !strings.Contains(image, "mq:fixed") {
			return fmt.Errorf("the pod has no fix: %s", image)
		}
		return nil
	})
}

// TestAnotherStorageClassReplacesOneNodeAfterAnother on the real API server: as many
// nodes as are asked for stay all the while, and the old volumes are kept.
func TestAnotherStorageClassReplacesOneNodeAfterAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operateAsking(t, k)
	c.readyBroker(t, "mq")
	slow, fast := c.storageClass(t, false), c.storageClass(t, true)
	cl := c.makeCluster(t, "shop", 2, ofClass(slow))
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	c.patch(t, cl, fmt.Sprintf(`{"spec":{"storage":{"storageClassName":%q,"size":"12Gi"}}}`, fast))
	seen := map[string]bool{}
	eventually(t, func() error {
		nodes, stay := &v1alpha1.VesperNodeList{}, 0
		if err := c.List(t.Context(), nodes); err != nil {
			return err
		}
		for _, n := range nodes.Items {
			if seen[n.Name] = true; !n.Spec.Draining {
				stay++
			}
		}
		if stay < 2 || len(nodes.Items) > 3 {
			t.Errorf("%d nodes stay of %d, want two and at most one more", stay, len(nodes.Items))
		}
		live := &v1alpha1.VesperCluster{}
		mustGet(t, c, "shop", live)
		if len(live.Status.Ledger.Assigned) != 2 || live.Status.Ledger.Retired != 2 || !meta.IsStatusConditionTrue(live.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("the ledger is %+v, the conditions %+v", live.Status.Ledger, live.Status.Conditions)
		}
		return nil
	})
	c.clusterReady(t, "shop", "shop-core-0c", "shop-core-0d")
	for claim, class := range map[string]string{"data-shop-core-0a": slow, "data-shop-core-0b": slow, "data-shop-core-0c": fast, "data-shop-core-0d": fast} {
		live := &corev1.PersistentVolumeClaim{}
		mustGet(t, c, claim, live)
		if old := class == slow; *live.Spec.StorageClassName != class || live.DeletionTimestamp != nil || old != (live.Annotations[v1alpha1.AnnotationRetired] == "true") {
			t.Errorf("claim %s is of class %s with annotations %v", claim, *live.Spec.StorageClassName, live.Annotations)
		}
	}
	if len(seen) != 4 || k.removals("shop-core-0c")+k.removals("shop-core-0d") != 0 {
		t.Errorf("nodes were %v; successors were restarted %d times", seen, k.removals("shop-core-0c")+k.removals("shop-core-0d"))
	}
	if writes := op.quietFor(2 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

// TestAWrongStorageClassIsPutRightByAnEdit: volumes that never came to be hold up nobody.
func TestAWrongStorageClassIsPutRightByAnEdit(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2, ofClass(missingClass))
	pending := c.clusterSays(t, "shop", v1alpha1.ConditionStorageReady, metav1.ConditionFalse, v1alpha1.ReasonVolumePending)
	if !strings.Contains(pending.Message, "storage class "+missingClass+" has to provide it") {
		t.Errorf("the cluster says %q", pending.Message)
	}
	c.patch(t, cl, fmt.Sprintf(`{"spec":{"storage":{"storageClassName":%q}}}`, c.storageClass(t, true)))
	c.clusterReady(t, "shop", "shop-core-0c", "shop-core-0d")
}

// TestANodeMadeByHandKeepsItsVolumeAndSaysSo when it is given another storage class.
func TestANodeMadeByHandKeepsItsVolumeAndSaysSo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	n := c.makeNode(t, "pin", "7X")
	c.nodeReady(t, "pin")
	c.patch(t, n, fmt.Sprintf(`{"spec":{"storage":{"storageClassName":%q}}}`, c.storageClass(t, true)))
	said := c.nodeSays(t, "pin", v1alpha1.ConditionStorageReady, metav1.ConditionTrue, v1alpha1.ReasonVolumeOtherClass)
	if !strings.Contains(said.Message, "make another VesperNode of that class") {
		t.Errorf("the node says %q", said.Message)
	}
	c.nodeReady(t, "pin")
	if k.removals("pin") != 0 {
		t.Error("the node was restarted")
	}
}
