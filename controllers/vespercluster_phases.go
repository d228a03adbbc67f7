package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	v1alpha1ac "vesperdb.io/vesper/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// clusterScope is what one pass over one cluster knows. Phases fill it in order.
type clusterScope struct {
	reconciler *VesperClusterReconciler
	cluster    *v1alpha1.VesperCluster

	brokers map[string]conditions.BrokerRef // that the groups name, by name
	nodes   map[string]*v1alpha1.VesperNode // the cluster's own, by name
	made    []string                        // nodes that this pass made, and their ids
	mates   channelMates                    // all that write in the namespace
	claims  map[string]*corev1.PersistentVolumeClaim
	planned topology.Plan
	// behind are nodes whose turn to get the current spec has not come, behindWhy is
	// what they wait for, and rollAgain when to look at that again.
	behind    []string
	behindWhy string
	rollAgain time.Duration
	later     time.Duration // when what has just been seen may be written
	pause     conditions.Pause

	// left are the subscriptions that could not be dropped yet, nil when that was not
	// looked at; dropAgain is when to look again.
	left      []v1alpha1.LeftSubscription
	dropAgain time.Duration
	tell      []func() // once the status is written
	refused   error    // what the API server, or someone else having the name, said no to first
}

// plan reads all that bears branch ids and plans. Before ids are given out or
// retired, or nodes made or moved, all is read again from the API server itself: a cache
// may lack the neighbor who was there first, or what another operator recorded.
func (s *clusterScope) plan(ctx context.Context) error {
	if err := s.planFrom(ctx, s.reconciler.client, client.MatchingLabels{
		v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelCluster: s.cluster.Name,
	}); err != nil {
		return err
	}
	recorded := ledgerOf(s.cluster)
	isNew := func(m topology.Member) bool { return m.New || m.Moves }
	if s.planned.Ledger.Last == recorded.Last && s.planned.Ledger.Retired == recorded.Retired && !slices.ContainsFunc(s.planned.Members, isNew) && !s.removesUndrained() {
		return nil
	}
	if err := s.readAgain(ctx); err != nil {
		return err
	}
	return s.planFrom(ctx, s.reconciler.live)
}

// removesUndrained reports whether a node is to go because its volume is gone: that
// must be the API server's own word.
func (s *clusterScope) removesUndrained() bool {
	return slices.ContainsFunc(s.planned.Remove, func(name string) bool { return !conditions.NodeDrained(s.nodes[name]) })
}

// readAgain reads the cluster from the API server itself. One that is not there
// any more as it was is a conflict: the cache will say so soon.
func (s *clusterScope) readAgain(ctx context.Context) error {
	key, now := client.ObjectKeyFromObject(s.cluster), &v1alpha1.VesperCluster{}
	if err := s.reconciler.live.Get(ctx, key, now); err != nil {
		return fmt.Errorf("reading VesperCluster %s again: %w", key, err)
	}
	if now.UID != s.cluster.UID || now.DeletionTimestamp != nil {
		return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("vesperclusters").GroupResource(), key.Name, errors.New("it is being deleted"))
	}
	s.cluster = now
	return nil
}

// planFrom plans from what a reader says, and from those claims of the namespace
// that match.
func (s *clusterScope) planFrom(ctx context.Context, reader client.Reader, match ...client.ListOption) error {
	mates, err := listMates(ctx, reader, s.cluster.Namespace)
	if err != nil {
		return err
	}
	claims := &corev1.PersistentVolumeClaimList{}
	if err := reader.List(ctx, claims, append(match, client.InNamespace(s.cluster.Namespace))...); err != nil {
		return fmt.Errorf("listing the volume claims of VesperCluster %s/%s: %w", s.cluster.Namespace, s.cluster.Name, err)
	}
	inOrder(claims.Items)
	s.planned = topology.Make(s.state(mates, claims.Items))
	return nil
}

// state is what was read, as the planner sees it.
func (s *clusterScope) state(mates channelMates, claims []corev1.PersistentVolumeClaim) topology.State {
	state := topology.State{
		Cluster: topology.Cluster{Identity: identityOf(v1alpha1.KindCluster, s.cluster), Range: rangeOf(s.cluster), Trunk: trunkOf(s.cluster)},
		Ledger:  ledgerOf(s.cluster),
		Rollout: s.rollout(),
	}
	for _, group := range s.cluster.Spec.Groups {
		state.Cluster.Groups = append(state.Cluster.Groups, groupOf(s.cluster, group))
	}
	s.mates, state.Surroundings = mates, mates.surroundings(s.mine)
	s.nodes, s.claims = map[string]*v1alpha1.VesperNode{}, map[string]*corev1.PersistentVolumeClaim{}
	for i := range claims {
		if volume, own := s.ownVolume(&claims[i]); own {
			s.claims[volume.Name] = &claims[i]
			state.Volumes = append(state.Volumes, volume)
		}
		state.Spent = append(state.Spent, s.spent(&claims[i])...)
	}
	for i := range mates.nodes {
		if node := &mates.nodes[i]; ownNode(s.cluster, node) {
			s.nodes[node.Name] = node
			member := nodeMember(s.cluster, node, s.reconciler.now())
			state.Nodes = append(state.Nodes, onClaim(s.cluster, node, member, s.claims[resources.NodeClaimName(node.Name)]))
		}
	}
	return state
}

func (s *clusterScope) mine(o client.Object) bool {
	node, ok := o.(*v1alpha1.VesperNode)
	return o.GetUID() == s.cluster.UID || ok && ownNode(s.cluster, node)
}

func idsOf(texts []string) (ids []branch.ID) {
	for _, text := range texts {
		ids = append(ids, branch.ID(text))
	}
	return ids
}

func replicasOf(group v1alpha1.NodeGroup) int {
	if group.Replicas == nil {
		return 1
	}
	return int(*group.Replicas)
}

// record writes the ledger before anything is done that relies on it. The write
// succeeds only if the cluster is still what was read.
func (s *clusterScope) record(ctx context.Context) error {
	ledger := recorded(s.planned.Ledger)
	if equality.Semantic.DeepEqual(ledger, s.cluster.Status.Ledger) || s.pause.By != "" {
		return nil
	}
	before := s.cluster.DeepCopy()
	s.leave(ledger)
	s.cluster.Status.Ledger = ledger
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := s.reconciler.client.Status().Patch(ctx, s.cluster, patch, client.FieldOwner(apply.Owner)); err != nil {
		return fmt.Errorf("recording the branch ids of VesperCluster %s/%s: %w", before.Namespace, before.Name, err)
	}
	return nil
}

// act carries out the plan. What the API server refuses is for a person to put
// right, and goes into the status; all else is tried again.
func (s *clusterScope) act(ctx context.Context) error {
	steps := []func(context.Context) error{s.retire, s.remove, s.make, s.drop}
	if s.pause.By != "" {
		steps = []func(context.Context) error{s.hold}
	}
	for _, step := range steps {
		err := step(ctx)
		if err != nil && !isRefusal(err) {
			return err
		}
		s.refused = cmp.Or(s.refused, err)
	}
	return nil
}

// retire marks kept volumes whose ids are retired, so that even the loss of
// ledger and nodes brings none of them back.
func (s *clusterScope) retire(ctx context.Context) error {
	for _, name := range s.planned.Retire {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid": s.claims[name].UID, "annotations": map[string]string{v1alpha1.AnnotationRetired: "true"}}})
		if err != nil {
			return fmt.Errorf("encoding the mark of volume claim %s: %w", name, err)
		}
		err = s.reconciler.client.Patch(ctx, s.claims[name], client.RawPatch(types.MergePatchType, patch), client.FieldOwner(apply.Owner))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("marking volume claim %s/%s as retired: %w", s.cluster.Namespace, name, err)
		}
	}
	return nil
}

// make makes the nodes that should exist what they should be, and the Service in
// front of them. While the cluster is held back because its ids would meet
// somebody's, nothing is changed at all: the change may be what made them meet.
func (s *clusterScope) make(ctx context.Context) error {
	if r := s.planned.Refusal; r != nil && r.Reason != topology.Exhausted {
		return nil
	}
	image := s.image()
	_, err := s.applier().Apply(ctx, resources.ClusterService(s.cluster), &corev1.Service{})
	failed := []error{err, s.makeNetwork(ctx), s.makeBudget(ctx), s.tellMembers(ctx)}
	now, err := s.takeTurns(ctx, image)
	failed = append(failed, err)
	for _, member := range s.planned.Members {
		if now[member.Name] {
			failed = append(failed, s.makeNode(ctx, member, image))
		}
	}
	s.tellMade()
	return firstTransient(failed)
}

func (s *clusterScope) applier() apply.Applier {
	return apply.Applier{Client: s.reconciler.client, Live: s.reconciler.live, For: s.cluster.UID}
}

func (s *clusterScope) makeNode(ctx context.Context, member topology.Member, image string) error {
	node, desired := &v1alpha1.VesperNode{}, s.desiredNode(member, image)
	was := s.nodes[member.Name]
	outcome, err := s.applier().Apply(ctx, desired, node)
	if err != nil {
		return err
	}
	s.nodes[member.Name] = node
	switch {
	case outcome == apply.Created && member.Succeeds != "":
		s.event("NodeMade", "Make", "Made VesperNode %s with branch id %s, which takes the place of %s on a volume of another storage class", member.Name, member.ID, member.Succeeds)
	case outcome == apply.Created:
		s.made = append(s.made, fmt.Sprintf("%s with branch id %s", member.Name, member.ID))
	case was != nil && node.Spec.Draining && !was.Spec.Draining:
		s.eventOf(node, "NodeDraining", "Drain", "VesperNode %s leaves: it takes no more writes, and goes when its peers have all that it wrote", member.Name)
	}
	return nil
}

// suspended reports whether the nodes of a group are not meant to run.
func (s *clusterScope) suspended(group string) bool {
	return s.cluster.Spec.Suspended || slices.ContainsFunc(s.cluster.Spec.Groups, func(g v1alpha1.NodeGroup) bool { return g.Name == group && g.Suspended })
}

func (s *clusterScope) desiredNode(member topology.Member, image string) *v1alpha1ac.VesperNodeApplyConfiguration {
	node := resources.ClusterNode(s.cluster, member, image, s.brokerHash(member.Name))
	if s.suspended(member.Group) {
		node.Spec.WithSuspended(true)
	}
	return node
}

// firstTransient returns an error after which a pass should be repeated, before
// one that only a person can put right.
func firstTransient(all []error) error {
	if i := slices.IndexFunc(all, func(err error) bool { return err != nil && !isRefusal(err) }); i >= 0 {
		return all[i]
	}
	return cmp.Or(all...)
}

// image is the spec's, or what the oldest node was given: a newer operator
// changes no cluster. Only a cluster without nodes gets the operator's.
func (s *clusterScope) image() string {
	if s.cluster.Spec.Image != "" {
		return s.cluster.Spec.Image
	}
	for _, member := range s.planned.Members {
		if node := s.nodes[member.Name]; node != nil && node.Spec.Image != "" {
			return node.Spec.Image
		}
	}
	return s.reconciler.NodeImage
}

// announce has something told once the status is written.
func (s *clusterScope) announce(tell func()) { s.tell = append(s.tell, tell) }

func (s *clusterScope) warn(reason, action, format string, args ...any) {
	s.reconciler.recorder.Eventf(s.cluster, nil, corev1.EventTypeWarning, reason, action, format, args...)
}

func (s *clusterScope) event(reason, action, format string, args ...any) {
	s.reconciler.recorder.Eventf(s.cluster, nil, corev1.EventTypeNormal, reason, action, format, args...)
}

// tellMade tells of all nodes that a pass made in one event: a large cluster is made
// with as few writes as there can be.
func (s *clusterScope) tellMade() {
	const most = 900 // bytes; the API server takes 1024
	var names strings.Builder
	for i, made := range s.made {
		if names.Len()+len(made) > most {
			fmt.Fprintf(&names, " and %d more", len(s.made)-i)
			break
		}
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString(made)
	}
	if len(s.made) > 0 {
		s.event("NodeMade", "Make", "Made VesperNode %s", names.String())
	}
}

// eventOf is an event of the cluster about one of its nodes: without it, several of
// one kind in one pass are one to the recorder, with the note of the first.
func (s *clusterScope) eventOf(node *v1alpha1.VesperNode, reason, action, format string, args ...any) {
	s.reconciler.recorder.Eventf(s.cluster, node, corev1.EventTypeNormal, reason, action, format, args...)
}
