package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// TestADivergenceIsShownOnTheNodeAndItsClusterAndToldOnce: it is there while it
// lasts, also while the node is silent, and makes nothing unready.
func TestADivergenceIsShownOnTheNodeAndItsClusterAndToldOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operateAsking(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	says := func(d ...nodestatus.Divergence) func() (nodestatus.Status, error) {
		return func() (nodestatus.Status, error) { s := healthy("0A"); s.Divergence = d; return s, nil }
	}
	n := &v1alpha1.VesperNode{}
	mustGet(t, c, "shop-core-0a", n)
	k.answer("shop-core-0a", says(nodestatus.Divergence{Peer: "0B", Objects: []string{"lamp"}}))
	c.poke(t, n)
	diverged := c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionDiverged, metav1.ConditionTrue, v1alpha1.ReasonPeersDiffer)
	if !strings.Contains(diverged.Message, "peer 0B (objects lamp)") {
		t.Errorf("the node says %q", diverged.Message)
	}
	onCluster := c.clusterSays(t, "shop", v1alpha1.ConditionDiverged, metav1.ConditionTrue, v1alpha1.ReasonPeersDiffer)
	if !strings.Contains(onCluster.Message, "shop-core-0a: ") {
		t.Errorf("the cluster says %q", onCluster.Message)
	}
	c.clusterReady(t, "shop", "shop-core-0a")

	k.answer("shop-core-0a", func() (nodestatus.Status, error) { return nodestatus.Status{}, errors.New("no answer within 2s") })
	c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStatusUnknown)
	mustGet(t, c, "shop-core-0a", n)
	if !meta.IsStatusConditionTrue(n.Status.Conditions, v1alpha1.ConditionDiverged) {
		t.Error("the divergence is forgotten while the node is silent")
	}
	k.answer("shop-core-0a", nil)
	eventually(t, func() error {
		cl := &v1alpha1.VesperCluster{}
		mustGet(t, c, "shop-core-0a", n)
		mustGet(t, c, "shop", cl)
		if meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionDiverged) != nil || meta.FindStatusCondition(cl.Status.Conditions, v1alpha1.ConditionDiverged) != nil {
			return errors.New("the divergence is over and still shown")
		}
		return nil
	})
	eventually(t, func() error {
		list, told := &eventsv1.EventList{}, 0
		if err := c.List(t.Context(), list); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Reason == v1alpha1.ReasonPeersDiffer && e.Regarding.Kind == v1alpha1.KindNode {
				told++
			}
		}
		if told != 1 {
			return fmt.Errorf("the divergence was told %d times, want once", told)
		}
		return nil
	})
}
