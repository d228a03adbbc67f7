package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/topology"
)

// writeStatus computes the status from the scope and writes it if it differs
// from what is there. A change of Ready is told in an event.
func (s *clusterScope) writeStatus(ctx context.Context) error {
	before := s.cluster.DeepCopy()
	s.fillStatus()
	if equality.Semantic.DeepEqual(before.Status, s.cluster.Status) {
		return nil
	}
	r, now := s.reconciler, time.Now()
	if s.later = r.pace.wait(s.cluster.UID, before.Status.Conditions, s.cluster.Status.Conditions, now); s.later > 0 {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.client.Status().Patch(ctx, s.cluster, patch, client.FieldOwner(apply.Owner)); err != nil {
		return fmt.Errorf("writing the status of VesperCluster %s/%s: %w", before.Namespace, before.Name, err)
	}
	r.pace.wrote(s.cluster.UID, now)
	for _, tell := range s.tell {
		tell()
	}
	tellReady(r.recorder, s.cluster, before.Status.Conditions, s.cluster.Status.Conditions)
	return nil
}

func (s *clusterScope) fillStatus() {
	seen, status := s.seen(), &s.cluster.Status
	ready := seen.ReadyNodes()
	status.ObservedGeneration = s.cluster.Generation
	status.Replicas, status.ReadyReplicas = int32(seen.Wanted), int32(ready) //nolint:gosec // at most 64 groups of 1000
	if s.left != nil {
		status.Subscriptions = s.left
	}
	status.Nodes = fmt.Sprintf("%d/%d", ready, seen.Wanted)
	status.Groups = s.groupStatuses()
	setBrokerConditions(&status.Conditions, s.cluster.Generation, conditions.ForCluster(seen))
}

// seen is the scope as the conditions see it.
func (s *clusterScope) seen() conditions.Cluster {
	seen := conditions.Cluster{Behind: s.behind, BehindWhy: s.behindWhy, Brokers: s.needed(), Refusal: s.planned.Refusal, ApplyError: s.refused,
		Assigned: len(s.cluster.Status.Ledger.Assigned), Suspended: s.cluster.Spec.Suspended, Pause: s.pause, Move: s.planned.Move, Class: s.class()}
	stopped := map[string]bool{} // groups of a cluster that is to run otherwise
	for _, group := range s.cluster.Spec.Groups {
		if stopped[group.Name] = group.Suspended && !s.cluster.Spec.Suspended; !stopped[group.Name] {
			seen.Wanted += replicasOf(group)
		}
	}
	members := map[string]bool{}
	for _, member := range s.planned.Members {
		members[member.Name] = true
		node := s.nodes[member.Name]
		switch {
		case member.Succeeds != "": // it comes on top of those that are asked for
			seen.Successor = node
		case !member.Draining && !stopped[member.Group]:
			seen.Members = append(seen.Members, node)
			continue
		}
		if member.Draining {
			seen.Draining = append(seen.Draining, node)
		}
		if assignmentOf(s.cluster, member.ID) != nil {
			seen.Assigned--
		}
	}
	for name := range s.nodes {
		if !members[name] {
			seen.Leaving = append(seen.Leaving, name)
		}
	}
	slices.Sort(seen.Leaving)
	return seen
}

// class is the storage class that is asked for, "" for the default one.
func (s *clusterScope) class() string {
	if name := s.cluster.Spec.Storage.StorageClassName; name != nil {
		return *name
	}
	return ""
}

// soonest is the shorter of two times that are not 0.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// lookAgain says when to look again without being told of a change; zero is not at all.
func (s *clusterScope) lookAgain() time.Duration {
	switch {
	case s.later > 0:
		return s.later
	case s.dropAgain > 0 || s.rollAgain > 0 || s.planned.Move.Again > 0:
		return soonest(soonest(s.dropAgain, s.rollAgain), s.planned.Move.Again)
	case s.refused != nil, s.planned.Refusal != nil && s.planned.Refusal.Reason == topology.ChannelShared:
		return clusterLookAgain // what it depends on may change
	}
	return 0 // all it waits for is watched
}
