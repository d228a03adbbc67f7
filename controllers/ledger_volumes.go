package controllers

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/topology"
)

// ownVolume is how the planner knows a claim of the cluster; false for one that is
// not its own. A claim whose labels or annotations were lost is known by its UID.
func (s *clusterScope) ownVolume(claim *corev1.PersistentVolumeClaim) (topology.Volume, bool) {
	volume := volumeOf(claim)
	recorded := s.cluster.Status.Ledger.Assigned
	i := slices.IndexFunc(recorded, func(a v1alpha1.BranchAssignment) bool { return a.VolumeUID == volume.UID })
	if i >= 0 {
		volume.ID, volume.Group = branch.ID(recorded[i].ID), recorded[i].Group
	}
	return volume, volume.ID != "" && (i >= 0 || claim.Labels[v1alpha1.LabelCluster] == s.cluster.Name)
}

// spent are the ids that no new node of the cluster may get because of a claim: the
// one whose claim would have its name, and the one that it shows to have been
// somebody's who is not there any more.
func (s *clusterScope) spent(claim *corev1.PersistentVolumeClaim) (ids []branch.ID) {
	if id := s.idOfName(claim.Name); id != "" {
		ids = append(ids, id)
	}
	cluster, node := claim.Labels[v1alpha1.LabelCluster], claim.Labels[v1alpha1.LabelNode]
	if cluster != "" && slices.ContainsFunc(s.mates.clusters, func(c v1alpha1.VesperCluster) bool { return c.Name == cluster }) ||
		slices.ContainsFunc(s.mates.nodes, func(n v1alpha1.VesperNode) bool { return n.Name == node }) {
		return ids // the other is theirs, who say themselves what they use
	}
	if id := volumeOf(claim).ID; id != "" {
		ids = append(ids, id)
	}
	return ids
}

// idOfName is the id whose node in one of the cluster's groups would have a claim
// of this name.
func (s *clusterScope) idOfName(claim string) branch.ID {
	for _, group := range s.cluster.Spec.Groups {
		prefix := topology.VolumeName(topology.NodeName(s.cluster.Name, group.Name, ""))
		if text, ok := strings.CutPrefix(claim, prefix); ok {
			if id, err := branch.ParseID(strings.ToUpper(text)); err == nil {
				return id
			}
		}
	}
	return ""
}
