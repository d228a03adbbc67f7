package conditions

import (
	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// nodeStorage says whether the branch's data has its volume.
func nodeStorage(n Node) judgement {
	switch n.Verdict.Reason {
	case topology.VolumeLost, topology.BranchMismatch, topology.VolumeRetired, topology.VolumeTerminating:
		return no(string(n.Verdict.Reason), "%s", n.Verdict.Message)
	case topology.Recording, topology.ChannelShared, topology.TrunkConflict, topology.Exhausted:
	}
	switch claim := n.Claim; {
	case claim == nil:
		return no(v1alpha1.ReasonPending, "the volume claim is not made yet")
	case claim.DeletionTimestamp != nil:
		return no(v1alpha1.ReasonVolumeTerminating,
			"volume claim %s is marked for deletion and goes, with the data of branch %s, when the pod ends: delete the VesperNode, so that a node with a fresh id takes its place",
			claim.Name, n.Branch)
	case claim.Status.Phase != corev1.ClaimBound:
		return no(v1alpha1.ReasonVolumePending, "volume claim %s has no volume yet: %s", claim.Name, classOf(claim))
	default:
		return yes(v1alpha1.ReasonVolumeBound, "volume claim %s is bound to %s", claim.Name, claim.Spec.VolumeName)
	}
}

func classOf(claim *corev1.PersistentVolumeClaim) string {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName == "" {
		return "it names no storage class, and the Kubernetes cluster may have no default one"
	}
	return "storage class " + *claim.Spec.StorageClassName + " has to provide it"
}
