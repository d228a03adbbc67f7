package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
)

// eventCredentialsMade is the reason of the event that says where the generated
// credentials are. The other events carry the reason of the Ready condition.
const eventCredentialsMade = "CredentialsMade"

// writeStatus computes the status from the scope and writes it if it differs
// from what is there. A change of Ready is told in an event.
func (s *brokerScope) writeStatus(ctx context.Context) error {
	before := s.broker.DeepCopy()
	s.fillStatus()
	if equality.Semantic.DeepEqual(before.Status, s.broker.Status) {
		return nil
	}
	err := s.reconciler.client.Status().Patch(ctx, s.broker, client.MergeFrom(before), client.FieldOwner(apply.Owner))
	if err != nil {
		return fmt.Errorf("writing the status of VesperBroker %s/%s: %w", before.Namespace, before.Name, err)
	}
	s.tell(before)
	return nil
}

func (s *brokerScope) fillStatus() {
	status := &s.broker.Status
	status.ObservedGeneration = s.broker.Generation
	status.Hosts = slices.Clone(resources.BrokerHosts(s.broker))
	status.CredentialsSecret = s.credentialsSecret()
	if server := conditions.BrokerServer(s.answers); server != "" {
		status.Server = server
	}
	if s.managed() {
		status.Type, status.Flavor, status.Image = v1alpha1.BrokerTypeManaged, v1alpha1.FlavorActiveMQ, s.shownImage()
	} else {
		status.Type, status.Flavor = v1alpha1.BrokerTypeExternal, s.broker.Spec.External.Flavor
		status.VirtualHost = s.broker.Spec.External.VirtualHost
	}
	setBrokerConditions(&status.Conditions, s.broker.Generation, conditions.ForBroker(s.seen()))
}

// shownImage is what the broker runs, or will when its children are made.
func (s *brokerScope) shownImage() string {
	if s.pause.By != "" && s.broker.Status.Image != "" {
		return s.broker.Status.Image
	}
	return s.image()
}

// seen is the scope as the conditions see it.
func (s *brokerScope) seen() conditions.Broker {
	return conditions.Broker{
		Pause: s.pause, Managed: s.managed(), Replicas: s.replicas(), ApplyError: s.refused,
		Secret: s.credentialsSecret(), SecretExists: s.secretExists, MissingKey: s.missingKey(),
		Pod: s.pod, Now: s.now, Settling: s.settling(), Volume: s.volume(), Answers: s.answers,
	}
}

// volume is that of a managed broker's messages, as the conditions see it.
func (s *brokerScope) volume() conditions.Volume {
	if !s.managed() {
		return conditions.Volume{}
	}
	storage := s.broker.Spec.ActiveMQ.Storage
	return conditions.Volume{Claim: s.claim, Field: "spec.activemq.storage", Size: storage.Size, Class: storage.StorageClassName, Refused: s.resize,
		OtherClass: "a volume keeps its class; make another VesperBroker of that class and name it in spec.brokerRef of the clusters, or set the class back"}
}

func (s *brokerScope) settling() bool {
	return s.managed() && conditions.BrokerSettling(s.pod, s.now, brokerSettlesFor)
}

// setBrokerConditions makes have be want, and keeps the time of the last transition
// of those whose status did not change.
func setBrokerConditions(have *[]metav1.Condition, generation int64, want []metav1.Condition) {
	*have = slices.DeleteFunc(*have, func(c metav1.Condition) bool {
		return meta.FindStatusCondition(want, c.Type) == nil
	})
	for _, condition := range want {
		condition.ObservedGeneration = generation
		meta.SetStatusCondition(have, condition)
	}
}

// tell records an event when Ready changed or stays false for another reason.
func (s *brokerScope) tell(before *v1alpha1.VesperBroker) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(s.broker.Status.Conditions, v1alpha1.ConditionReady)
	tellVolume(s.reconciler.recorder, s.broker, before.Status.Conditions, s.broker.Status.Conditions)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return
	}
	s.event(is.Reason, "Reconcile", "%s", is.Message)
}

// event tells a person about the broker; as a warning, if the broker is not Ready
// for a reason that does not pass by itself.
func (s *brokerScope) event(reason, action, format string, args ...any) {
	kind := corev1.EventTypeWarning
	switch reason {
	case eventCredentialsMade, v1alpha1.ReasonBrokerReady, v1alpha1.ReasonBrokerStarting, v1alpha1.ReasonPending, v1alpha1.ReasonScaledToZero:
		kind = corev1.EventTypeNormal
	}
	s.reconciler.recorder.Eventf(s.broker, nil, kind, reason, action, format, args...)
}

// askAgain says when to look again without being told of a change; zero is not
// at all.
func (s *brokerScope) askAgain() time.Duration {
	ready := meta.FindStatusCondition(s.broker.Status.Conditions, v1alpha1.ConditionReady)
	stuck, ending := conditions.PodStuckAt(s.pod)
	switch {
	case ending && s.now.Before(stuck):
		return stuck.Sub(s.now)
	case s.refused != nil:
		return brokerAskPatient // what it depends on may change
	case s.managed() && s.answers == nil && s.resize != nil:
		return resizeAgain
	case s.managed() && s.answers == nil:
		return 0 // its pod is watched
	case ready != nil && ready.Status == metav1.ConditionTrue:
		return brokerAskReady
	case s.settling():
		return brokerAskSettling
	case ready != nil && s.now.Sub(ready.LastTransitionTime.Time) > brokerImpatientFor:
		return brokerAskPatient
	default:
		return brokerAskSoon
	}
}
