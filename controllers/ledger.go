package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
	ledger := topology.Ledger{Trunk: branch.ID(recorded.TrunkID), First: branch.ID(recorded.FirstBranchID), Last: branch.ID(recorded.LastBranchID), Retired: recorded.Retired}
	for _, a := range recorded.Assigned {
		ledger.Assigned = append(ledger.Assigned, assignment(a))
	}
	return ledger
}

func assignment(a v1alpha1.BranchAssignment) topology.Assignment {
	return topology.Assignment{ID: branch.ID(a.ID), Group: a.Group, Started: a.Started, VolumeUID: a.VolumeUID, Replaces: branch.ID(a.Replaces)}
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
	out := v1alpha1.BranchLedger{TrunkID: string(ledger.Trunk), FirstBranchID: string(ledger.First), LastBranchID: string(ledger.Last), Retired: ledger.Retired}
	for _, a := range ledger.Assigned {
		out.Assigned = append(out.Assigned, v1alpha1.BranchAssignment{ID: string(a.ID), Group: a.Group, Started: a.Started, VolumeUID: a.VolumeUID, Replaces: string(a.Replaces)})
	}
	return out
}

// volumeOf is how the planner knows a volume claim. An id that is none is left
// out. The operator makes no claim from anything: one that has a source is a copy.
func volumeOf(claim *corev1.PersistentVolumeClaim) topology.Volume {
	volume := topology.Volume{
		Name:    claim.Name,
		UID:     string(claim.UID),
		Group:   claim.Labels[v1alpha1.LabelGroup],
		Retired: claim.Annotations[v1alpha1.AnnotationRetired] == "true",
		Leaving: claim.DeletionTimestamp != nil,
		Copied:  claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil,
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
func nodeMember(cluster *v1alpha1.VesperCluster, node *v1alpha1.VesperNode, now time.Time) topology.Node {
	owner := metav1.GetControllerOf(node)
	return topology.Node{
		Name:      node.Name,
		ID:        branch.ID(node.Spec.BranchID),
		Trunk:     resources.NodeTrunk(node),
		VolumeUID: node.Status.VolumeUID,
		Group:     node.Spec.Group,
		Channels:  resources.NodeChannels(node),
		Links:     linksOf(node),
		Leaving:   node.DeletionTimestamp != nil || owner != nil && owner.UID != cluster.UID,
		Draining:  node.Spec.Draining,
		Drained:   conditions.NodeDrained(node),
		Health:    conditions.RunnerOf(node, now),
	}
}

// onClaim completes what the planner knows of a node with its volume claim, nil when
// there is none.
func onClaim(cluster *v1alpha1.VesperCluster, node *v1alpha1.VesperNode, member topology.Node, claim *corev1.PersistentVolumeClaim) topology.Node {
	member.Misplaced = conditions.OfOtherClass(claim, cluster.Spec.Storage.StorageClassName)
	member.Blank = member.Misplaced && claim.Status.Phase != corev1.ClaimBound && claim.Spec.VolumeName == "" && node.Status.Incarnation == ""
	return member
}

func linksOf(node *v1alpha1.VesperNode) (links []topology.Link) {
	for _, l := range node.Spec.Links {
		links = append(links, topology.Link{Name: l.Name, Channel: topology.Channel{Broker: l.BrokerRef.Name, Name: l.Channel}})
	}
	return links
}

// channelMates are all that write, or may, in one namespace, and its brokers.
type channelMates struct {
	clusters []v1alpha1.VesperCluster
	nodes    []v1alpha1.VesperNode
	brokers  topology.Brokers
}

func listMates(ctx context.Context, reader client.Reader, namespace string) (channelMates, error) {
	clusters, nodes, brokers := &v1alpha1.VesperClusterList{}, &v1alpha1.VesperNodeList{}, &v1alpha1.VesperBrokerList{}
	for what, list := range map[string]client.ObjectList{"VesperClusters": clusters, "VesperNodes": nodes, "VesperBrokers": brokers} {
		if err := reader.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return channelMates{}, fmt.Errorf("listing %s in %s: %w", what, namespace, err)
		}
	}
	inOrder(clusters.Items)
	inOrder(nodes.Items)
	inOrder(brokers.Items)
	return channelMates{clusters: clusters.Items, nodes: nodes.Items, brokers: sameBrokers(brokers.Items)}, nil
}

// inOrder sorts objects of one namespace by name. A cache lists them in any order,
// and what is said of several must not change when nothing else does.
func inOrder[T any, P interface {
	*T
	client.Object
}](items []T) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(P(&a).GetName(), P(&b).GetName()) })
}

// sameBrokers finds VesperBrokers that stand for one broker.
func sameBrokers(brokers []v1alpha1.VesperBroker) topology.Brokers {
	addresses := map[string][]string{}
	for i := range brokers {
		b := &brokers[i]
		hosts, virtual := b.Status.Hosts, b.Status.VirtualHost
		if external := b.Spec.External; external != nil {
			hosts, virtual = external.Hosts, external.VirtualHost
		}
		addresses[b.Name] = nil
		for _, host := range hosts {
			addresses[b.Name] = append(addresses[b.Name], host+"/"+virtual)
		}
	}
	return topology.SameBrokers(addresses)
}

// surroundings are all but those that are mine.
func (m channelMates) surroundings(mine func(client.Object) bool) topology.Surroundings {
	out := topology.Surroundings{Brokers: m.brokers}
	for i := range m.clusters {
		c := &m.clusters[i]
		if !mine(c) {
			out.Neighbors = append(out.Neighbors, topology.Neighbor{Identity: identityOf(v1alpha1.KindCluster, c), Party: m.partyOf(c),
				Range: rangeOf(c), Given: ledgerOf(c).Given(), Trunk: trunkOf(c), Used: m.usedBy(c)})
		}
	}
	for i := range m.nodes {
		n := &m.nodes[i]
		if held(n) {
			continue // it carries nothing between the channels that its spec names
		}
		out.Carriers = append(out.Carriers, resources.NodeChannels(n))
	}
	return m.withHandMade(out, mine)
}

// withHandMade adds the nodes that a person made.
func (m channelMates) withHandMade(out topology.Surroundings, mine func(client.Object) bool) topology.Surroundings {
	for i := range m.nodes {
		n := &m.nodes[i]
		if resources.ClusterOf(n) != "" || mine(n) {
			continue
		}
		id, party := branch.ID(n.Spec.BranchID), topology.Party{Wanted: resources.NodeChannels(n)}
		if !held(n) {
			party.Now = party.Wanted
		}
		out.Neighbors = append(out.Neighbors, topology.Neighbor{Identity: identityOf(v1alpha1.KindNode, n), Party: party,
			Range: topology.Range{From: id, To: id}, Trunk: resources.NodeTrunk(n), Used: []branch.ID{id}})
	}
	return out
}

// held reports whether a node says that it was not admitted to its channels. One
// that has said nothing yet is taken for one that was.
func held(node *v1alpha1.VesperNode) bool {
	reason := reasonOf(node.Status.Conditions, v1alpha1.ConditionBranchIDsAssigned)
	return resources.ClusterOf(node) == "" && (reason == v1alpha1.ReasonChannelShared || reason == v1alpha1.ReasonTrunkConflict)
}

// partyOf says where a cluster writes and is to write.
func (m channelMates) partyOf(cluster *v1alpha1.VesperCluster) (p topology.Party) {
	for _, group := range cluster.Spec.Groups {
		p.Wanted = append(p.Wanted, resources.GroupChannel(cluster, group))
	}
	for i := range m.nodes {
		if ownNode(cluster, &m.nodes[i]) {
			p.Now = append(p.Now, resources.NodeChannels(&m.nodes[i])...)
		}
	}
	return p
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

// surroundingsOfNode are the others around a node that a person made.
func surroundingsOfNode(ctx context.Context, reader client.Reader, node *v1alpha1.VesperNode) (topology.Surroundings, error) {
	mates, err := listMates(ctx, reader, node.Namespace)
	if err != nil {
		return topology.Surroundings{}, err
	}
	return mates.surroundings(func(o client.Object) bool { return o.GetUID() == node.UID }), nil
}
