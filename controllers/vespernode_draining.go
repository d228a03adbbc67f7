package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// depart judges how far a node is on its way out. That it has drained stands for
// as long as its spec does: it takes no writes any more, and may end at any time.
func (s *nodeScope) depart(ctx context.Context) error {
	if !s.node.Spec.Draining {
		return nil
	}
	said := meta.FindStatusCondition(s.node.Status.Conditions, v1alpha1.ConditionDrained)
	if conditions.NodeDrained(s.node) {
		s.departure = &topology.Departure{Drained: true, Message: said.Message}
		return nil
	}
	peers, err := s.peers(ctx)
	if err != nil {
		return err
	}
	leaver := s.leaver(peers)
	departure := leaver.Departure()
	s.departure = &departure
	if leaver.Draining && !departure.Drained {
		s.hurry(leaver)
	}
	return nil
}

// hurry has those asked soon who lack something: ready nodes are asked seldom.
func (s *nodeScope) hurry(l topology.Leaver) {
	for _, p := range l.Peers {
		if !p.Excused && (!p.Heard || l.Lacks(p) > 0) {
			s.reconciler.poller.Refresh(client.ObjectKey{Namespace: s.node.Namespace, Name: p.Name}, nodeAskSoon)
		}
	}
}

// leaver is what the planner has to know of a node before it may go.
func (s *nodeScope) leaver(peers []topology.Peer) topology.Leaver {
	l := topology.Leaver{Name: s.node.Name, ID: s.id(), VolumeName: resources.NodeClaimName(s.node.Name),
		VolumeKept: s.node.Spec.DeletionPolicy != v1alpha1.DeletionDelete, Peers: peers, Empty: s.lost() || s.neverRan()}
	switch {
	case l.Empty:
	case s.node.Spec.Suspended:
		l.Silent = "it is suspended"
	case !conditions.NodeStarted(s.pod):
		l.Silent = "its pod does not run"
	case s.answer == nil:
		l.Silent = "it has not answered yet"
	case s.answer.Err != nil:
		l.Silent = s.answer.Err.Error()
	default:
		said := s.answer.Status
		l.Branch, l.Draining, l.Revision, l.Unsent = said.Branch, said.Draining, said.Revision, said.Outbox.Changesets
		if s.answer.Refused != nil {
			l.Refused = s.answer.Refused.Error()
		}
	}
	return l
}

// lost reports whether the volume that held what the node wrote does not exist any more.
func (s *nodeScope) lost() bool {
	return slices.ContainsFunc(s.volumeUIDs(), func(recorded string) bool {
		return recorded != "" && (s.claim == nil || string(s.claim.UID) != recorded)
	})
}

// neverRan reports whether the node cannot have written anything: it was never
// heard, and has no volume, or no pod of it was set up, or none of its pod's
// containers ever ran.
func (s *nodeScope) neverRan() bool {
	switch {
	case s.node.Status.Incarnation != "":
		return false
	case s.claim == nil, s.claim.Status.Phase == corev1.ClaimPending && s.claim.Spec.VolumeName == "":
		return true
	case s.pod == nil:
		return s.statefulSet == nil
	}
	return !slices.ContainsFunc(s.pod.Status.ContainerStatuses, func(status corev1.ContainerStatus) bool {
		return status.RestartCount > 0 || status.State.Waiting == nil || status.LastTerminationState.Terminated != nil
	})
}

// peers are those who stay, by name: the other nodes of its cluster, or, of a node
// without any, all others on its channel.
func (s *nodeScope) peers(ctx context.Context) ([]topology.Peer, error) {
	list := &v1alpha1.VesperNodeList{}
	if err := s.reconciler.client.List(ctx, list, client.InNamespace(s.node.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the peers of VesperNode %s: %w", s.key(), err)
	}
	inOrder(list.Items)
	var mates, others []topology.Peer
	for i := range list.Items {
		switch other := &list.Items[i]; {
		case other.UID == s.node.UID, other.Spec.Draining, other.DeletionTimestamp != nil:
		case resources.ClusterOf(s.node) != "" && resources.ClusterOf(other) == resources.ClusterOf(s.node):
			mates = append(mates, s.peer(other))
		case other.Spec.BrokerRef.Name == s.node.Spec.BrokerRef.Name && other.Spec.Channel == s.node.Spec.Channel:
			others = append(others, s.peer(other))
		}
	}
	if len(mates) > 0 {
		return mates, nil
	}
	return others, nil
}

// peer is what is known of a node that stays: its own last word, what the leaving
// node last heard of it, or what its status has; what it has applied only grows.
func (s *nodeScope) peer(node *v1alpha1.VesperNode) topology.Peer {
	p := topology.Peer{Name: node.Name, ID: branch.ID(node.Spec.BranchID), Excused: excused(node)}
	learn := func(incarnation string, revision branch.Revision) {
		if incarnation == node.Status.Incarnation && incarnation != "" {
			p.Heard, p.Revision = true, p.Revision.Merge(revision)
		}
	}
	if meta.IsStatusConditionPresentAndEqual(node.Status.Conditions, v1alpha1.ConditionStorageReady, metav1.ConditionFalse) {
		return p // its volume may be gone, and what it had with it
	}
	if revision, err := branch.ParseRevision(node.Status.Revision); err == nil {
		learn(node.Status.Incarnation, revision)
	}
	if answer, known := s.reconciler.poller.Last(client.ObjectKeyFromObject(node)); known && answer.Err == nil && answer.Status.Branch == p.ID {
		learn(answer.Status.Incarnation, answer.Status.Revision)
	}
	if s.answer != nil && s.answer.Err == nil {
		for _, heard := range s.answer.Status.Peers {
			if heard.Branch == p.ID {
				learn(heard.Incarnation, heard.Revision)
			}
		}
	}
	return p
}

// excused reports whether a node that stays need not be waited for: it is suspended,
// or not ready and of a group that may be away for days. One of such a group that is
// ready has all in a moment, and may be the only one.
func excused(node *v1alpha1.VesperNode) bool {
	return node.Spec.Suspended || node.Spec.Intermittent && !conditions.NodeReady(node)
}

// writes is what the node should be told about writes.
func (s *nodeScope) writes() nodeclient.Writes {
	switch {
	case s.pause.By != "":
		return nodeclient.LeaveWrites
	case s.node.Spec.Draining:
		return nodeclient.DrainWrites
	}
	return nodeclient.TakeWrites
}
