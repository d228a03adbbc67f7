package controllers

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// remove deletes nodes whose ids are retired, each once its own fresh word is
// that the broker has all that it wrote. What they own goes with them; a kept
// volume stays.
func (s *clusterScope) remove(ctx context.Context) error {
	for _, name := range s.planned.Remove {
		node := s.nodes[name]
		leaver, err := s.leaver(ctx, node)
		if err != nil {
			return err
		}
		if why := leaver.Stays(); why != "" {
			s.staying = append(s.staying, why)
			continue
		}
		err = s.reconciler.client.Delete(ctx, node, client.Preconditions{UID: &node.UID})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting VesperNode %s/%s: %w", s.cluster.Namespace, name, err)
		}
		s.reconciler.poller.Forget(client.ObjectKeyFromObject(node))
		s.event("NodeRemoved", "Remove", "Removed VesperNode %s: branch id %s is retired for ever", name, node.Spec.BranchID)
	}
	return nil
}

// leaver is what the planner has to know of a node before it is removed.
func (s *clusterScope) leaver(ctx context.Context, node *v1alpha1.VesperNode) (topology.Leaver, error) {
	l := topology.Leaver{Name: node.Name, ID: branch.ID(node.Spec.BranchID), VolumeName: resources.NodeClaimName(node.Name),
		VolumeKept: node.Spec.DeletionPolicy != v1alpha1.DeletionDelete}
	children, err := s.childrenOf(ctx, node)
	if err != nil {
		return l, err
	}
	if l.Empty = children.lost(node) || children.neverRan(node); l.Empty {
		return l, nil
	}
	if !conditions.NodeStarted(children.pod) {
		l.Silent = "its pod does not run"
		return l, nil
	}
	target := nodeclient.Target{PodUID: children.pod.UID, Address: net.JoinHostPort(children.pod.Status.PodIP, strconv.Itoa(int(resources.NodePort)))}
	answer, known := s.reconciler.poller.Ask(client.ObjectKeyFromObject(node), target, clusterAskLeaver)
	switch {
	case !known || time.Since(answer.Asked) > clusterAnswerStands:
		l.Silent = "it has not answered yet"
	case answer.Err != nil:
		l.Silent = answer.Err.Error()
	default:
		l.Branch, l.Wrote, l.Unsent = answer.Status.Branch, answer.Status.Revision.At(l.ID) > 0, answer.Status.Outbox.Changesets
	}
	return l, nil
}

// nodeChildren are what exists of a node; nil for what does not.
type nodeChildren struct {
	claim       *corev1.PersistentVolumeClaim
	statefulSet *appsv1.StatefulSet
	pod         *corev1.Pod
}

// childrenOf reads what exists of a node. That its volume is gone must be the
// API server's own word, not a cache's.
func (s *clusterScope) childrenOf(ctx context.Context, node *v1alpha1.VesperNode) (c nodeChildren, err error) {
	cached, live := s.reconciler.client, s.reconciler.live
	if c.claim, err = readMaybe(ctx, live, node.Namespace, resources.NodeClaimName(node.Name), &corev1.PersistentVolumeClaim{}); err != nil {
		return c, err
	}
	if c.statefulSet, err = readMaybe(ctx, cached, node.Namespace, node.Name, &appsv1.StatefulSet{}); err != nil {
		return c, err
	}
	c.pod, err = readMaybe(ctx, cached, node.Namespace, resources.NodePodName(node.Name), &corev1.Pod{})
	return c, err
}

// lost reports whether the volume that held what the node wrote does not exist any more.
func (c nodeChildren) lost(node *v1alpha1.VesperNode) bool {
	recorded := node.Status.VolumeUID
	if c.statefulSet != nil {
		recorded = cmp.Or(recorded, c.statefulSet.Annotations[v1alpha1.AnnotationVolumeUID])
	}
	return recorded != "" && (c.claim == nil || string(c.claim.UID) != recorded)
}

// neverRan reports whether the node cannot have written anything: it was never
// heard, and has no volume, or no pod of it was set up, or none of its pod's
// containers ever ran.
func (c nodeChildren) neverRan(node *v1alpha1.VesperNode) bool {
	switch {
	case node.Status.Incarnation != "":
		return false
	case c.claim == nil, c.claim.Status.Phase == corev1.ClaimPending && c.claim.Spec.VolumeName == "":
		return true
	case c.pod == nil:
		return c.statefulSet == nil
	}
	return !slices.ContainsFunc(c.pod.Status.ContainerStatuses, func(status corev1.ContainerStatus) bool {
		return status.RestartCount > 0 || status.State.Waiting == nil || status.LastTerminationState.Terminated != nil
	})
}
