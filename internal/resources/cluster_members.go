package resources

import (
	"slices"
	"strings"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/topology"
)

// membersKey is the key of a members' ConfigMap, and the name of the file that
// nodes read.
const membersKey = "members"

// ClusterMembersName is the name of the ConfigMap that lists the members of a
// cluster's channel.
func ClusterMembersName(cluster string) string { return cluster + "-members" }

// MembersNameOf is the name of the ConfigMap that lists the members of the
// channels that a node joins: each waits for those that it hears. The nodes of a
// group on the cluster's own channel have one in common; a relay has its own
// list, and so have the groups elsewhere.
func MembersNameOf(cluster *v1alpha1.VesperCluster, m topology.Member) string {
	own := topology.Channel{Broker: cluster.Spec.BrokerRef.Name, Name: cluster.Spec.Channel}
	switch {
	case len(m.Links) > 0:
		return cluster.Name + "-" + m.Group + "-relay-members"
	case m.Channel != own || m.Intermittent:
		return cluster.Name + "-" + m.Group + "-members"
	}
	return ClusterMembersName(cluster.Name)
}

// ClusterMembers lists branch ids, one a line and sorted, under the name. It is
// mounted by the nodes and no part of their configuration's hash: they read it
// again by themselves.
func ClusterMembers(cluster *v1alpha1.VesperCluster, name string, ids []branch.ID) *corev1ac.ConfigMapApplyConfiguration {
	sorted := slices.Sorted(slices.Values(ids))
	var text strings.Builder
	for _, id := range slices.Compact(sorted) {
		text.WriteString(string(id) + "\n")
	}
	return corev1ac.ConfigMap(name, cluster.Namespace).
		WithLabels(ClusterLabels(cluster.Name)).
		WithOwnerReferences(clusterOwner(cluster)).
		WithData(map[string]string{membersKey: text.String()})
}
