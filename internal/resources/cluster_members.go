package resources

import (
	"slices"
	"strings"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
)

// membersKey is the key of a members' ConfigMap, and the name of the file that
// nodes read.
const membersKey = "members"

// ClusterMembersName is the name of the ConfigMap that lists the members of a
// cluster's channel.
func ClusterMembersName(cluster string) string { return cluster + "-members" }

// ClusterMembers lists the branch ids of all nodes of the channel, one a line and
// sorted. It is mounted by the nodes and no part of their configuration's hash:
// they read it again by themselves.
func ClusterMembers(cluster *v1alpha1.VesperCluster, ids []branch.ID) *corev1ac.ConfigMapApplyConfiguration {
	sorted := slices.Sorted(slices.Values(ids))
	var text strings.Builder
	for _, id := range slices.Compact(sorted) {
		text.WriteString(string(id) + "\n")
	}
	return corev1ac.ConfigMap(ClusterMembersName(cluster.Name), cluster.Namespace).
		WithLabels(ClusterLabels(cluster.Name)).
		WithOwnerReferences(clusterOwner(cluster)).
		WithData(map[string]string{membersKey: text.String()})
}
