package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// groupOf is how the planner knows a group.
func groupOf(cluster *v1alpha1.VesperCluster, group v1alpha1.NodeGroup) topology.Group {
	g := topology.Group{Name: group.Name, Replicas: replicasOf(group), Channel: resources.GroupChannel(cluster, group),
		Parent: group.Parent, Intermittent: group.Intermittent, Suspended: group.Suspended || cluster.Spec.Suspended, Remove: idsOf(group.Remove)}
	if group.Relays != nil {
		g.Relays = int(*group.Relays)
	}
	return g
}

// readBrokers finds the brokers that the groups name.
func (s *clusterScope) readBrokers(ctx context.Context) error {
	s.brokers = map[string]conditions.BrokerRef{}
	for _, group := range s.cluster.Spec.Groups {
		ref := conditions.BrokerRef{Name: resources.GroupChannel(s.cluster, group).Broker}
		if _, known := s.brokers[ref.Name]; known {
			continue
		}
		if group.BrokerRef != nil {
			ref.Field = fmt.Sprintf("brokerRef.name of group %s", group.Name)
		}
		var err error
		if ref.Object, err = readMaybe(ctx, s.reconciler.client, s.cluster.Namespace, ref.Name, &v1alpha1.VesperBroker{}); err != nil {
			return err
		}
		s.brokers[ref.Name] = ref
	}
	return nil
}

// needed are the brokers that must be there for the cluster to be Ready: those of
// the groups that may not be away; of a cluster of such alone, all.
func (s *clusterScope) needed() (refs conditions.BrokerRefs) {
	var names []string
	for _, group := range s.cluster.Spec.Groups {
		if name := resources.GroupChannel(s.cluster, group).Broker; !group.Intermittent && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(s.brokers))
	}
	for _, name := range names {
		refs = append(refs, s.brokers[name])
	}
	return refs
}

// unknownHash is no broker's: a node that has it waits for its turn.
const unknownHash = "0"

// brokerHash returns, for each broker, the hash of the settings that a node may be
// configured with. While nobody can tell where a broker is, a node keeps what it
// has of it; one that is to use it anew waits for its turn.
func (s *clusterScope) brokerHash(node string) func(broker string) string {
	existing := s.nodes[node]
	return func(broker string) string {
		switch ref := s.brokers[broker]; {
		case ref.Usable():
			return resources.BrokerHash(ref.Object.Status)
		case existing == nil:
			return ""
		case existing.Spec.BrokerRef.Name == broker:
			return existing.Spec.BrokerHash
		}
		for _, link := range existing.Spec.Links {
			if link.BrokerRef.Name == broker {
				return link.BrokerHash
			}
		}
		return unknownHash
	}
}

// tellMembers lists, for each set of channels that nodes of the cluster join, who
// must have a changeset before it may leave their logs: all nodes on these
// channels, those of other clusters and those to come among them. A node that
// leaves counts until it is gone. Nodes of an intermittent group count only at
// their own site: what they lack when they come back is in a snapshot.
func (s *clusterScope) tellMembers(ctx context.Context) error {
	if !s.cluster.Spec.Retention.Limited() {
		return nil
	}
	told := map[string]bool{}
	for _, member := range s.planned.Members {
		name := resources.MembersNameOf(s.cluster, member)
		if told[name] {
			continue
		}
		told[name] = true
		if _, err := s.applier().Apply(ctx, resources.ClusterMembers(s.cluster, name, s.membersFor(member)), &corev1.ConfigMap{}); err != nil {
			return err
		}
	}
	return nil
}

// membersFor are the ids of those who share a channel with a member.
func (s *clusterScope) membersFor(member topology.Member) (ids []branch.ID) {
	hears := s.mates.brokers.Reach(member.Channels(), nil)
	for i := range s.mates.nodes {
		n := &s.mates.nodes[i]
		waits := !n.Spec.Intermittent || n.Labels[v1alpha1.LabelCluster] == s.cluster.Name && n.Spec.Group == member.Group
		if waits && s.mates.brokers.Meets(hears, resources.NodeChannels(n)) {
			ids = append(ids, branch.ID(n.Spec.BranchID))
		}
	}
	for _, other := range s.planned.Members {
		if waits := !other.Intermittent || other.Group == member.Group; waits && s.mates.brokers.Meets(hears, other.Channels()) {
			ids = append(ids, other.ID)
		}
	}
	return ids
}

// groupStatuses say of each group how many of its nodes are there.
func (s *clusterScope) groupStatuses() (out []v1alpha1.GroupStatus) {
	for _, group := range s.cluster.Spec.Groups {
		status := v1alpha1.GroupStatus{Name: group.Name, Parent: group.Parent, Replicas: int32(replicasOf(group))} //nolint:gosec // at most 1000
		for _, member := range s.planned.Members {
			node := s.nodes[member.Name]
			if member.Group != group.Name || node == nil || member.Succeeds != "" {
				continue
			}
			if conditions.NodeReady(node) {
				status.ReadyReplicas++
			} else if conditions.Away(node) {
				status.Away++
			}
			if len(member.Links) > 0 {
				status.Relays = append(status.Relays, member.Name)
			}
		}
		out = append(out, status)
	}
	return out
}
