package controllers

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// nodeScope is what one pass over one node knows. Phases fill it in order.
type nodeScope struct {
	reconciler *VesperNodeReconciler
	node       *v1alpha1.VesperNode

	brokers conditions.BrokerRefs // of its own channel, and of its links in their order

	// What exists of the node; nil when it does not.
	claim       *corev1.PersistentVolumeClaim
	statefulSet *appsv1.StatefulSet
	pod         *corev1.Pod

	access   nodeAccess
	assigned *topology.Assignment // what the cluster recorded of the id
	pause    conditions.Pause
	verdict  topology.Verdict
	answer   *nodeclient.Answer
	// departure is how far the node is on its way out, nil while it is to stay.
	departure *topology.Departure
	later     time.Duration // when what has just been seen may be written
	refused   error         // what the API server, or someone else having the name, said no to first
	resize    error         // why the API server does not take the size of the volume claim
}

func (s *nodeScope) key() types.NamespacedName { return client.ObjectKeyFromObject(s.node) }

func (s *nodeScope) id() branch.ID { return branch.ID(s.node.Spec.BranchID) }

// readBrokers finds the brokers and, of a cluster's node, what the cluster
// recorded of its id.
func (s *nodeScope) readBrokers(ctx context.Context) (err error) {
	s.brokers = conditions.BrokerRefs{{Name: s.node.Spec.BrokerRef.Name}}
	for _, link := range s.node.Spec.Links {
		s.brokers = append(s.brokers, conditions.BrokerRef{Name: link.BrokerRef.Name, Field: "brokerRef.name of link " + link.Name})
	}
	for i := range s.brokers {
		ref := &s.brokers[i]
		if ref.Object, err = readMaybe(ctx, s.reconciler.client, s.node.Namespace, ref.Name, &v1alpha1.VesperBroker{}); err != nil {
			return err
		}
	}
	if s.node.Spec.Paused {
		s.pause.By = "spec.paused"
	}
	owner := metav1.GetControllerOf(s.node)
	if owner == nil || owner.Kind != v1alpha1.KindCluster {
		return nil
	}
	cluster, err := readMaybe(ctx, s.reconciler.client, s.node.Namespace, owner.Name, &v1alpha1.VesperCluster{})
	if err != nil || cluster == nil || cluster.UID != owner.UID {
		return err
	}
	s.assigned = assignmentOf(cluster, s.id())
	if cluster.Spec.Paused && s.pause.By == "" {
		s.pause.By = "spec.paused of VesperCluster " + cluster.Name
	}
	return nil
}

// readMaybe reads an object that may not exist: nil, or found is into.
func readMaybe[T client.Object](ctx context.Context, reader client.Reader, namespace, name string, into T) (found T, err error) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	err = reader.Get(ctx, key, into)
	if apierrors.IsNotFound(err) {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("reading %T %s: %w", into, key, err)
	}
	return into, nil
}

// readOwn finds what exists of the node. A claim that the cache does not know is
// looked for at the API server too: it may be another's, or have lost its labels.
func (s *nodeScope) readOwn(ctx context.Context) (err error) {
	namespace, name, cached := s.node.Namespace, s.node.Name, s.reconciler.client
	if s.claim, err = readMaybe(ctx, cached, namespace, resources.NodeClaimName(name), &corev1.PersistentVolumeClaim{}); err != nil {
		return err
	}
	if s.claim == nil {
		if s.claim, err = readMaybe(ctx, s.reconciler.live, namespace, resources.NodeClaimName(name), &corev1.PersistentVolumeClaim{}); err != nil {
			return err
		}
	}
	if s.statefulSet, err = readMaybe(ctx, cached, namespace, name, &appsv1.StatefulSet{}); err != nil {
		return err
	}
	s.pod, err = readMaybe(ctx, cached, namespace, resources.NodePodName(name), &corev1.Pod{})
	return err
}

// decide asks the planner whether the node may run.
func (s *nodeScope) decide(ctx context.Context) error {
	candidate := topology.Candidate{
		Identity:   identityOf(v1alpha1.KindNode, s.node),
		ID:         s.id(),
		Trunk:      resources.NodeTrunk(s.node),
		Cluster:    resources.ClusterOf(s.node),
		Assigned:   s.assigned,
		Started:    s.statefulSet != nil,
		Moved:      s.statefulSet != nil && !resources.AdmittedTo(s.statefulSet.Annotations[v1alpha1.AnnotationBroker], s.node),
		VolumeUIDs: s.volumeUIDs(),
		VolumeName: resources.NodeClaimName(s.node.Name),
	}
	if s.claim != nil {
		volume := volumeOf(s.claim)
		candidate.Volume = &volume
	}
	if candidate.Cluster == "" && (!candidate.Started || candidate.Moved) {
		around, err := surroundingsOfNode(ctx, s.reconciler.live, s.node)
		if err != nil {
			return err
		}
		candidate.Party, candidate.Surroundings = s.party(), around
	}
	s.verdict = topology.Admit(candidate)
	return nil
}

// party says where a node that a person made was admitted to, and is to write.
func (s *nodeScope) party() topology.Party {
	p := topology.Party{Wanted: resources.NodeChannels(s.node)}
	if s.statefulSet == nil {
		return p
	}
	for _, channel := range p.Wanted {
		if resources.Admitted(s.statefulSet.Annotations[v1alpha1.AnnotationBroker], s.node, channel) {
			p.Now = append(p.Now, channel)
		}
	}
	return p
}

// volumeUIDs are the records of the claim that holds the branch's data: any one
// of them may be lost.
func (s *nodeScope) volumeUIDs() []string {
	uids := []string{s.node.Status.VolumeUID}
	if s.statefulSet != nil {
		uids = append(uids, s.statefulSet.Annotations[v1alpha1.AnnotationVolumeUID])
	}
	if s.assigned != nil {
		uids = append(uids, s.assigned.VolumeUID)
	}
	return uids
}

// act makes the children. What the API server refuses is for a person to put
// right, and goes into the status; all else is tried again.
func (s *nodeScope) act(ctx context.Context) error {
	err := s.makeChildren(ctx)
	if err != nil && !isRefusal(err) {
		return err
	}
	s.refused = err
	return nil
}

// makeChildren makes the children what they should be: one that must not run loses
// its pod, and nothing is made for one that is held back.
func (s *nodeScope) makeChildren(ctx context.Context) error {
	switch {
	case (s.verdict.Decision == topology.Stop || s.node.Spec.Suspended) && s.statefulSet != nil:
		return cmp.Or(s.makeStatefulSet(ctx, true), s.keepClaim(ctx))
	case s.heldBack():
		return s.keepClaim(ctx)
	}
	return s.makeAll(ctx)
}

// keepClaim has deletionPolicy apply to the volume of a node that is left as it is
// otherwise: whoever wants the data kept may delete the node next.
func (s *nodeScope) keepClaim(ctx context.Context) error {
	if s.verdict.Decision != topology.Run || s.claim == nil || s.statefulSet == nil {
		return nil
	}
	return s.makeClaim(ctx)
}

// heldBack reports whether nothing is to be made now: the node must not run, nobody
// can tell where its broker is, the nodes before it get the broker's new settings,
// or something is wrong with its tokens or certificates.
func (s *nodeScope) heldBack() bool {
	return s.verdict.Decision != topology.Run || s.node.Spec.Suspended || !s.brokers.Usable() || s.waitsForTurn() != "" || s.access.problem != nil
}

// makeAll makes all children, those first that others mount.
func (s *nodeScope) makeAll(ctx context.Context) error {
	if err := s.makeOperatorSecret(ctx); err != nil {
		return err
	}
	config, err := resources.NodeConfigMap(s.desired(false))
	if err != nil {
		return err
	}
	if err := s.apply(ctx, config, &corev1.ConfigMap{}); err != nil {
		return err
	}
	if err := s.makeClaim(ctx); err != nil {
		return err
	}
	for _, service := range []runtime.ApplyConfiguration{resources.NodeHeadlessService(s.desired(false)), resources.NodeService(s.desired(false))} {
		if err := s.apply(ctx, service, &corev1.Service{}); err != nil {
			return err
		}
	}
	return s.makeStatefulSet(ctx, false)
}

// waitsForTurn names a broker that has settings which the node's cluster has not
// let it have yet. One that has no StatefulSet has nothing to restart.
func (s *nodeScope) waitsForTurn() string {
	if s.statefulSet == nil || !s.brokers.Usable() {
		return ""
	}
	hashes := []string{s.node.Spec.BrokerHash}
	for _, link := range s.node.Spec.Links {
		hashes = append(hashes, link.BrokerHash)
	}
	for i, hash := range hashes {
		if hash != "" && hash != resources.BrokerHash(s.brokers[i].Object.Status) {
			return s.brokers[i].Name
		}
	}
	return ""
}

// makeClaim makes the volume claim, or corrects the one that exists. One that is
// on its way out is left alone.
func (s *nodeScope) makeClaim(ctx context.Context) (err error) {
	if s.claim != nil && s.claim.DeletionTimestamp != nil {
		return nil
	}
	existing := s.claim
	s.resize, err = s.reconciler.sizes.apply(s.node, existing, s.size(), s.reconciler.Now(), func(size resource.Quantity) error {
		claim, applier := &corev1.PersistentVolumeClaim{}, s.applier()
		applier.Known = s.volumeUIDs()
		if err := applyUnless(ctx, s.pause.By != "", &s.pause.Waiting, applier, resources.NodeClaim(s.desired(false), size, existing), claim); err != nil {
			return err
		}
		if s.pause.By == "" {
			s.claim = claim
		}
		return nil
	})
	return err
}

// size is what the volume claim should ask for. A volume that is given up for one of
// another storage class does not grow any more.
func (s *nodeScope) size() resource.Quantity {
	if s.moves() {
		return resources.ClaimSize(s.claim)
	}
	return resources.VolumeSize(s.node.Spec.Storage, s.claim)
}

// moves reports whether the node's cluster replaces it, since its volume is of
// another storage class.
func (s *nodeScope) moves() bool {
	return resources.ClusterOf(s.node) != "" && conditions.OfOtherClass(s.claim, s.node.Spec.Storage.StorageClassName)
}

func (s *nodeScope) makeStatefulSet(ctx context.Context, stopped bool) error {
	desired, err := resources.NodeStatefulSet(s.desired(stopped))
	if err != nil {
		return err
	}
	live := &appsv1.StatefulSet{}
	if err := s.apply(ctx, desired, live); err != nil {
		return err
	}
	if s.pause.By == "" {
		s.statefulSet = live
	}
	return nil
}

func (s *nodeScope) apply(ctx context.Context, desired runtime.ApplyConfiguration, live client.Object) error {
	return applyUnless(ctx, s.pause.By != "", &s.pause.Waiting, s.applier(), desired, live)
}

func (s *nodeScope) applier() apply.Applier {
	return apply.Applier{Client: s.reconciler.client, Live: s.reconciler.live, For: s.node.UID}
}

// desired is what the children are built from.
func (s *nodeScope) desired(stopped bool) resources.Node {
	n := resources.Node{Object: s.node, Image: s.image(), Stopped: stopped, VolumeUID: cmp.Or(s.volumeUIDs()...)}
	for i, broker := range s.brokers {
		status := v1alpha1.VesperBrokerStatus{}
		if broker.Object != nil {
			status = broker.Object.Status
		}
		if i == 0 {
			n.Broker = status
		} else {
			n.Links = append(n.Links, status)
		}
	}
	if n.VolumeUID == "" && s.claim != nil {
		n.VolumeUID = string(s.claim.UID)
	}
	return n
}

// image is the spec's, or what the node was given before: a newer operator
// restarts no node. Only a node that never ran gets the operator's.
func (s *nodeScope) image() string {
	images := []string{s.node.Spec.Image, s.node.Status.Image}
	if s.statefulSet != nil {
		for _, container := range s.statefulSet.Spec.Template.Spec.Containers {
			if container.Name == resources.NodeContainer {
				images = append(images, container.Image)
			}
		}
	}
	return cmp.Or(append(images, s.reconciler.NodeImage)...)
}

// ask asks the node how it is, in the background: this pass uses what it said last.
func (s *nodeScope) ask(_ context.Context) error {
	if !conditions.NodeStarted(s.pod) {
		s.reconciler.poller.Forget(s.key())
		return nil
	}
	target := nodeclient.Target{PodUID: s.pod.UID, Address: net.JoinHostPort(s.pod.Status.PodIP, strconv.Itoa(int(resources.NodePort))), Access: s.access.as(s.pod), Writes: s.writes()}
	if answer, known := s.reconciler.poller.Ask(s.key(), target, s.askAfter()); known {
		s.answer = &answer
	}
	return nil
}

// current reports whether the pod is the one that the StatefulSet now describes.
func (s *nodeScope) current() bool {
	if s.statefulSet == nil || s.pod == nil {
		return false
	}
	set := s.statefulSet
	return set.Status.ObservedGeneration >= set.Generation && s.pod.Labels[appsv1.ControllerRevisionHashLabelKey] == set.Status.UpdateRevision
}
