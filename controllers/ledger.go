package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// identityOf is how the planner knows an object.
func identityOf(kind string, object client.Object) topology.Identity {
	return topology.Identity{Kind: kind, Name: object.GetName(), Created: object.GetCreationTimestamp().Time, UID: string(object.GetUID())}
}

// rangeOf is the range of ids that a cluster may give out.
func rangeOf(cluster *v1alpha1.VesperCluster) topology.Range {
	ids := cluster.Spec.BranchIDs
	return topology.NewRange(int(ids.Width), branch.ID(ids.From), branch.ID(ids.To))
}

// trunkOf is a cluster's trunk id: the spec's, or the lowest of its width.
func trunkOf(cluster *v1alpha1.VesperCluster) branch.ID {
	if cluster.Spec.TrunkID != "" {
		return branch.ID(cluster.Spec.TrunkID)
	}
	return branch.First(int(cluster.Spec.BranchIDs.Width))
}

// ledgerOf is the recorded ledger of a cluster.
func ledgerOf(cluster *v1alpha1.VesperCluster) topology.Ledger {
	recorded := cluster.Status.Ledger
	ledger := topology.Ledger{Trunk: branch.ID(recorded.TrunkID), Last: branch.ID(recorded.LastBranchID), Retired: recorded.Retired}
	for _, a := range recorded.Assigned {
		ledger.Assigned = append(ledger.Assigned, assignment(a))
	}
	return ledger
}

func assignment(a v1alpha1.BranchAssignment) topology.Assignment {
	return topology.Assignment{ID: branch.ID(a.ID), Group: a.Group, Started: a.Started, VolumeUID: a.VolumeUID}
}

// assignmentOf is what a cluster recorded of an id, nil when it did not.
func assignmentOf(cluster *v1alpha1.VesperCluster, id branch.ID) *topology.Assignment {
	i := slices.IndexFunc(cluster.Status.Ledger.Assigned, func(a v1alpha1.BranchAssignment) bool { return a.ID == string(id) })
	if i < 0 {
		return nil
	}
	found := assignment(cluster.Status.Ledger.Assigned[i])
	return &found
}

// recorded is a ledger as the status holds it.
func recorded(ledger topology.Ledger) v1alpha1.BranchLedger {
	out := v1alpha1.BranchLedger{TrunkID: string(ledger.Trunk), LastBranchID: string(ledger.Last), Retired: ledger.Retired}
	for _, a := range ledger.Assigned {
		out.Assigned = append(out.Assigned, v1alpha1.BranchAssignment{ID: string(a.ID), Group: a.Group, Started: a.Started, VolumeUID: a.VolumeUID})
	}
	return out
}

// volumeOf is how the planner knows a volume claim. An id that is none is left out.
func volumeOf(claim *corev1.PersistentVolumeClaim) topology.Volume {
	volume := topology.Volume{
		Name:    claim.Name,
		UID:     string(claim.UID),
		Group:   claim.Labels[v1alpha1.LabelGroup],
		Retired: claim.Annotations[v1alpha1.AnnotationRetired] == "true",
		Leaving: claim.DeletionTimestamp != nil,
	}
	volume.ID, _ = branch.ParseID(claim.Annotations[v1alpha1.AnnotationBranchID])
	volume.Trunk, _ = branch.ParseID(claim.Annotations[v1alpha1.AnnotationTrunkID])
	return volume
}

// ownNode reports whether a node is one of the cluster's: made by it, or by a
// cluster of its name before it.
func ownNode(cluster *v1alpha1.VesperCluster, node *v1alpha1.VesperNode) bool {
	owner := metav1.GetControllerOf(node)
	return node.Labels[v1alpha1.LabelCluster] == cluster.Name &&
		node.Name == topology.NodeName(cluster.Name, node.Spec.Group, branch.ID(node.Spec.BranchID)) &&
		(owner == nil || owner.Kind == v1alpha1.KindCluster && owner.Name == cluster.Name)
}

// nodeMember is how the planner knows one of the cluster's nodes. One of an
// earlier cluster of the name is on its way out.
func nodeMember(cluster *v1alpha1.VesperCluster, node *v1alpha1.VesperNode) topology.Node {
	owner := metav1.GetControllerOf(node)
	return topology.Node{
		Name:    node.Name,
		ID:      branch.ID(node.Spec.BranchID),
		Trunk:   resources.NodeTrunk(node),
		Group:   node.Spec.Group,
		Leaving: node.DeletionTimestamp != nil || owner != nil && owner.UID != cluster.UID,
		Drained: conditions.NodeDrained(node),
	}
}

// channelMates are all clusters and nodes of one namespace.
type channelMates struct {
	clusters []v1alpha1.VesperCluster
	nodes    []v1alpha1.VesperNode
}

// onChannel lists the branch ids of the nodes on a channel of a broker.
func (m channelMates) onChannel(broker, channel string) (out []branch.ID) {
	for i := range m.nodes {
		if spec := m.nodes[i].Spec; spec.BrokerRef.Name == broker && spec.Channel == channel {
			out = append(out, branch.ID(spec.BranchID))
		}
	}
	return out
}

func listMates(ctx context.Context, reader client.Reader, namespace string) (channelMates, error) {
	clusters, nodes := &v1alpha1.VesperClusterList{}, &v1alpha1.VesperNodeList{}
	if err := reader.List(ctx, clusters, client.InNamespace(namespace)); err != nil {
		return channelMates{}, fmt.Errorf("listing VesperClusters in %s: %w", namespace, err)
	}
	if err := reader.List(ctx, nodes, client.InNamespace(namespace)); err != nil {
		return channelMates{}, fmt.Errorf("listing VesperNodes in %s: %w", namespace, err)
	}
	inOrder(clusters.Items)
	inOrder(nodes.Items)
	return channelMates{clusters: clusters.Items, nodes: nodes.Items}, nil
}

// inOrder sorts objects of one namespace by name. A cache lists them in any order,
// and what is said of several must not change when nothing else does.
func inOrder[T any, P interface {
	*T
	client.Object
}](items []T) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(P(&a).GetName(), P(&b).GetName()) })
}

// neighbors are those on a channel of a broker, but for the ones that are mine.
func (m channelMates) neighbors(broker, channel string, mine func(client.Object) bool) []topology.Neighbor {
	var out []topology.Neighbor
	for i := range m.clusters {
		c := &m.clusters[i]
		if c.Spec.BrokerRef.Name == broker && c.Spec.Channel == channel && !mine(c) {
			out = append(out, topology.Neighbor{Identity: identityOf(v1alpha1.KindCluster, c), Range: rangeOf(c), Trunk: trunkOf(c), Used: m.usedBy(c)})
		}
	}
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.Spec.BrokerRef.Name == broker && n.Spec.Channel == channel && resources.ClusterOf(n) == "" && !mine(n) {
			id := branch.ID(n.Spec.BranchID)
			out = append(out, topology.Neighbor{Identity: identityOf(v1alpha1.KindNode, n), Range: topology.Range{From: id, To: id},
				Trunk: resources.NodeTrunk(n), Used: []branch.ID{id}})
		}
	}
	return out
}

// usedBy are the ids that another cluster recorded, and those of its nodes.
func (m channelMates) usedBy(cluster *v1alpha1.VesperCluster) []branch.ID {
	var ids []branch.ID
	for _, a := range cluster.Status.Ledger.Assigned {
		ids = append(ids, branch.ID(a.ID))
	}
	for i := range m.nodes {
		if ownNode(cluster, &m.nodes[i]) {
			ids = append(ids, branch.ID(m.nodes[i].Spec.BranchID))
		}
	}
	return ids
}

// neighborsOfNode are the others on the channel of a node that a person made.
func neighborsOfNode(ctx context.Context, reader client.Reader, node *v1alpha1.VesperNode) ([]topology.Neighbor, error) {
	mates, err := listMates(ctx, reader, node.Namespace)
	if err != nil {
		return nil, err
	}
	return mates.neighbors(node.Spec.BrokerRef.Name, node.Spec.Channel, func(o client.Object) bool { return o.GetUID() == node.UID }), nil
}
