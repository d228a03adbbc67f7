package controllers

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// unsent makes a node say that the broker has not confirmed some of its changesets.
func unsent(id string, changesets uint64) func() (nodestatus.Status, error) {
	return func() (nodestatus.Status, error) {
		s := healthy(id)
		s.Outbox.Changesets = changesets
		return s, nil
	}
}

// scalingSays waits until the cluster's NodesReady is Scaling with a part in its message.
func (c *cluster) scalingSays(t *testing.T, part string) {
	t.Helper()
	eventually(t, func() error {
		said := c.clusterSays(t, "shop", v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonScaling)
		if !strings.Contains(said.Message, part) {
			return errors.New("the cluster says: " + said.Message)
		}
		return nil
	})
}

func TestScalingDownWaitsUntilTheNodeHasSentAllThatItWrote(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	k.answer("shop-core-0c", unsent("0C", 12))
	c.scale(t, "shop", 2)
	c.scalingSays(t, "shop-core-0c has 12 changesets to send that the broker has not confirmed: bring the broker back, or delete VesperNode shop-core-0c")
	if l := c.ledger(t, "shop"); l.Retired != 1 || len(l.Assigned) != 2 {
		t.Errorf("ledger is %+v, want 0C retired while its node waits", l)
	}
	if writes := op.quietFor(clusterAskLeaver + time.Second); len(writes) > 0 {
		t.Errorf("while it waits and nothing changes the operator wrote %v", writes)
	}
	if n := k.removals("shop-core-0c"); n != 0 {
		t.Errorf("the pod of the node that still has to send was removed %d times", n)
	}
	c.wantNodes(t, "shop-core-0a", "shop-core-0b", "shop-core-0c")
	k.answer("shop-core-0c", nil)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
}

func TestALeavingNodeThatCannotBeAskedGoesByHandOnlyAndItsVolumeIsKept(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	k.answer("shop-core-0b", func() (nodestatus.Status, error) { return nodestatus.Status{}, errors.New("no answer within 2s") })
	c.scale(t, "shop", 1)
	c.scalingSays(t, "shop-core-0b may have changesets to send and cannot be asked (no answer within 2s)")
	c.wantNodes(t, "shop-core-0a", "shop-core-0b")
	if err := c.Delete(t.Context(), &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b", Namespace: c.Namespace}}); err != nil {
		t.Fatal(err)
	}
	c.clusterReady(t, "shop", "shop-core-0a")
	claim := &corev1.PersistentVolumeClaim{}
	mustGet(t, c, "data-shop-core-0b", claim)
	if claim.DeletionTimestamp != nil || claim.Annotations[v1alpha1.AnnotationRetired] != "true" {
		t.Errorf("the claim has annotations %v, deletion %v, want it kept and marked", claim.Annotations, claim.DeletionTimestamp)
	}
}

func TestALeavingNodeWhosePodDoesNotRunIsWaitedForIfItEverAnswered(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	k.stop() // nobody makes the pod anew
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b-0", Namespace: c.Namespace}}
	if err := c.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	c.scale(t, "shop", 1)
	c.scalingSays(t, "cannot be asked (its pod does not run)")
	c.wantNodes(t, "shop-core-0a", "shop-core-0b")
}

func TestALeavingNodeThatNeverRanGoesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, nil) // no kubelet: no volume is bound, no pod made
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionPodRunning, metav1.ConditionFalse, v1alpha1.ReasonPodMissing)
	c.scale(t, "shop", 1)
	c.wantNodes(t, "shop-core-0a")
}
