package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

func TestTheVolumeGoesWithTheBrokerOnlyWhenAskedTo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionDelete, v1alpha1.DeletionRetain} {
		c.editBroker(t, func(spec *v1alpha1.VesperBrokerSpec) { spec.ActiveMQ.DeletionPolicy = policy })
		eventually(t, func() error {
			var claim corev1.PersistentVolumeClaim
			if err := c.get("mq-broker-data", &claim); err != nil {
				return err
			}
			if owned := metav1.IsControlledBy(&claim, b); owned != (policy == v1alpha1.DeletionDelete) {
				return fmt.Errorf("under %s the claim is owned: %v", policy, owned)
			}
			return nil
		})
	}
	if writes := op.quietFor(500 * time.Millisecond); len(writes) > 0 {
		t.Errorf("writes at rest: %v", writes)
	}
}

func TestASmallerSizeLeavesTheVolumeAsItIs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	smaller := resource.MustParse("256Mi")
	c.editBroker(t, func(spec *v1alpha1.VesperBrokerSpec) { spec.ActiveMQ.Storage.Size = &smaller })
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	var claim corev1.PersistentVolumeClaim
	c.mustGet(t, "mq-broker-data", &claim)
	if got := claim.Spec.Resources.Requests.Storage(); got.String() != "1Gi" {
		t.Errorf("the claim asks for %s, want 1Gi as before", got)
	}
	if stalled := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionStalled); stalled != nil {
		t.Errorf("a smaller size stalls the broker: %s", stalled.Message)
	}
}

func TestScaledToZeroSaysSoAndKeepsTheVolume(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	b := managedBroker()
	zero := int32(0)
	b.Spec.ActiveMQ.Replicas = &zero
	c.mustCreate(t, b)
	b = c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonScaledToZero, "replicas is 0")
	if meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReconciling) != nil {
		t.Error("a broker scaled to zero says that it is reconciling")
	}
	c.mustGet(t, "mq-broker-data", &corev1.PersistentVolumeClaim{})
}
