package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/brokerprobe"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/stomp"
)

// brokerScope is what one pass over one broker knows. Phases fill it in order.
type brokerScope struct {
	reconciler *VesperBrokerReconciler
	broker     *v1alpha1.VesperBroker
	now        time.Time // of the pass; only compared with what the API server recorded

	// Of a managed broker; nil when there is none.
	claim       *corev1.PersistentVolumeClaim
	statefulSet *appsv1.StatefulSet
	pod         *corev1.Pod

	// Of the Secret that nodes log in with, the operator's or the user's.
	secretExists bool
	secret       map[string][]byte

	answers []brokerprobe.Answer
	pause   conditions.Pause
	refused error // what the API server, or someone else having the name, said no to first
	resize  error // why the API server does not take the size of the volume claim
}

// isRefusal reports whether trying again soon would only fail again: the API
// server understood and said no, or the name belongs to someone else. All other
// errors pass, and say nothing about the broker.
func isRefusal(err error) bool {
	_, foreign := errors.AsType[*apply.ForeignError](err)
	return foreign || apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

func (s *brokerScope) managed() bool { return s.broker.Spec.ActiveMQ != nil }

// credentialsSecret names the Secret that nodes log in with, "" for no login. It
// follows from the spec alone, so that no failure makes nodes log in with nothing.
func (s *brokerScope) credentialsSecret() string {
	if s.managed() {
		return resources.BrokerSecretName(s.broker.Name)
	}
	if ref := s.broker.Spec.External.CredentialsSecretRef; ref != nil {
		return ref.Name
	}
	return ""
}

func (s *brokerScope) applier() apply.Applier {
	return apply.Applier{Client: s.reconciler.client, Live: s.reconciler.live, For: s.broker.UID}
}

func (s *brokerScope) replicas() int32 {
	if spec := s.broker.Spec.ActiveMQ; spec != nil && spec.Replicas != nil {
		return *spec.Replicas
	}
	return 1
}

// read finds what exists of a managed broker.
func (s *brokerScope) read(ctx context.Context) (err error) {
	if !s.managed() {
		return nil
	}
	name := s.broker.Name
	if s.claim, err = brokerChild(ctx, s, resources.BrokerClaimName(name), &corev1.PersistentVolumeClaim{}); err != nil {
		return err
	}
	if s.statefulSet, err = brokerChild(ctx, s, resources.BrokerName(name), &appsv1.StatefulSet{}); err != nil {
		return err
	}
	s.pod, err = brokerChild(ctx, s, resources.BrokerPodName(name), &corev1.Pod{})
	return err
}

// brokerChild reads a child that may not exist, from the cache.
func brokerChild[T client.Object](ctx context.Context, s *brokerScope, name string, into T) (found T, err error) {
	key := types.NamespacedName{Namespace: s.broker.Namespace, Name: name}
	err = s.reconciler.client.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("reading %T %s: %w", into, key, err)
	}
	return into, nil
}

// makeChildren makes a managed broker's children what they should be, those
// first that others mount.
func (s *brokerScope) makeChildren(ctx context.Context) error {
	if !s.managed() {
		return nil
	}
	b := s.desired()
	if err := s.makeSecret(ctx, b); err != nil {
		return err
	}
	config, err := resources.BrokerConfig(b)
	if err != nil {
		return err
	}
	statefulSet, err := resources.BrokerStatefulSet(b)
	if err != nil {
		return err
	}
	if err := s.apply(ctx, config, &corev1.ConfigMap{}); err != nil {
		return err
	}
	if err := s.makeClaim(ctx, b); err != nil {
		return err
	}
	for _, child := range []struct {
		desired runtime.ApplyConfiguration
		live    client.Object
	}{
		{resources.BrokerHeadlessService(b), &corev1.Service{}},
		{resources.BrokerService(b), &corev1.Service{}},
		{resources.BrokerNetworkPolicy(b), &networkingv1.NetworkPolicy{}},
		{statefulSet, &appsv1.StatefulSet{}},
	} {
		if err := s.apply(ctx, child.desired, child.live); err != nil {
			return err
		}
	}
	return nil
}

func (s *brokerScope) apply(ctx context.Context, desired runtime.ApplyConfiguration, live client.Object) error {
	return applyUnless(ctx, s.pause.By != "", &s.pause.Waiting, s.applier(), desired, live)
}

// makeClaim makes the volume claim, or corrects the one that exists. One that is on
// its way out is left alone.
func (s *brokerScope) makeClaim(ctx context.Context, b resources.Broker) (err error) {
	if s.claim != nil && s.claim.DeletionTimestamp != nil {
		return nil
	}
	existing := s.claim
	s.resize, err = s.reconciler.sizes.apply(s.broker, existing, s.size(), s.now, func(size resource.Quantity) error {
		claim := &corev1.PersistentVolumeClaim{}
		if err := s.apply(ctx, resources.BrokerClaim(b, size, existing), claim); err != nil {
			return err
		}
		if s.pause.By == "" {
			s.claim = claim
		}
		return nil
	})
	return err
}

// size is what the volume claim should ask for.
func (s *brokerScope) size() resource.Quantity {
	return resources.VolumeSize(s.broker.Spec.ActiveMQ.Storage, s.claim)
}

// desired is what the children are built from.
func (s *brokerScope) desired() resources.Broker {
	return resources.Broker{
		Object:     s.broker,
		Image:      s.image(),
		VolumeSize: resources.UsableSize(s.size(), s.claim),
	}
}

// image is the spec's, or what the broker was given before, as the status or
// else the StatefulSet remembers it: a newer operator restarts no broker. Only a
// broker that never ran gets the operator's.
func (s *brokerScope) image() string {
	images := []string{s.broker.Spec.ActiveMQ.Image, s.broker.Status.Image}
	if s.statefulSet != nil {
		for _, container := range s.statefulSet.Spec.Template.Spec.Containers {
			if container.Name == resources.BrokerContainer {
				images = append(images, container.Image)
			}
		}
	}
	return cmp.Or(append(images, s.reconciler.Image)...)
}

// makeSecret makes the credentials once, and from then on only keeps the
// broker's own files in step with them. It asks the API server, not the cache,
// before it makes new ones: they must never change by themselves.
func (s *brokerScope) makeSecret(ctx context.Context, b resources.Broker) error {
	existing := &corev1.Secret{}
	key := types.NamespacedName{Namespace: s.broker.Namespace, Name: resources.BrokerSecretName(s.broker.Name)}
	err := s.reconciler.client.Get(ctx, key, existing)
	if apierrors.IsNotFound(err) {
		err = s.reconciler.live.Get(ctx, key, existing)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Secret %s: %w", key, err)
	}
	made := err != nil
	secret := &corev1.Secret{}
	applier := s.applier()
	applier.Seen = existing.ResourceVersion // a password that a person sets meanwhile must not be undone
	if s.pause.By != "" {
		return s.holdSecret(ctx, applier, b, existing, made)
	}
	outcome, err := applier.Apply(ctx, resources.BrokerSecret(b, resources.BrokerCredentials(existing.Data)), secret)
	if err != nil {
		return err
	}
	if made && outcome == apply.Created {
		s.event(eventCredentialsMade, "Made", "Made the credentials of the broker in Secret %s", key.Name)
	}
	s.secretExists, s.secret = true, secret.Data
	return nil
}

// holdSecret notes that the Secret would be changed if the broker were not paused.
func (s *brokerScope) holdSecret(ctx context.Context, applier apply.Applier, b resources.Broker, existing *corev1.Secret, missing bool) error {
	s.secretExists, s.secret = !missing, existing.Data
	if missing {
		s.pause.Waiting = append(s.pause.Waiting, "Secret "+resources.BrokerSecretName(s.broker.Name))
		return nil
	}
	return applyUnless(ctx, true, &s.pause.Waiting, applier, resources.BrokerSecret(b, resources.BrokerCredentials(existing.Data)), &corev1.Secret{})
}

// readCredentials finds the Secret that nodes log in with. One of the user's is
// read from the API server each time: the cache holds only the operator's own.
func (s *brokerScope) readCredentials(ctx context.Context) error {
	if s.managed() || s.credentialsSecret() == "" {
		return nil
	}
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: s.broker.Namespace, Name: s.credentialsSecret()}
	if err := s.reconciler.live.Get(ctx, key, secret); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading Secret %s: %w", key, err)
	}
	s.secretExists, s.secret = true, secret.Data
	return nil
}

// missingKey is the key of the credentials that is not there, "" when both are.
func (s *brokerScope) missingKey() string {
	for _, key := range []string{v1alpha1.CredentialsUsernameKey, v1alpha1.CredentialsPasswordKey} {
		if len(s.secret[key]) == 0 {
			return key
		}
	}
	return ""
}

// ask sends a CONNECT to every host, once there is someone to answer and something to log in with.
func (s *brokerScope) ask(ctx context.Context) error {
	if s.managed() && !conditions.BrokerPodReady(s.pod) {
		return nil
	}
	var credentials stomp.CredentialSource
	if s.credentialsSecret() != "" {
		if !s.secretExists || s.missingKey() != "" {
			return nil
		}
		credentials = stomp.StaticCredentials(string(s.secret[v1alpha1.CredentialsUsernameKey]), string(s.secret[v1alpha1.CredentialsPasswordKey]))
	}
	s.answers = s.reconciler.Prober.Probe(ctx, resources.BrokerHosts(s.broker), s.virtualHost(), credentials)
	return nil
}

// virtualHost is the broker's to ask for, "" for its usual one.
func (s *brokerScope) virtualHost() string {
	if s.managed() {
		return ""
	}
	return s.broker.Spec.External.VirtualHost
}
