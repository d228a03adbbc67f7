package conditions

import (
	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// nodeStorage says whether the branch's data has its volume.
func nodeStorage(n Node) judgement {
	switch n.Verdict.Reason {
	case topology.VolumeLost, topology.BranchMismatch, topology.VolumeNotOwn, topology.VolumeRetired, topology.VolumeTerminating:
		return no(string(n.Verdict.Reason), "%s", n.Verdict.Message)
	case topology.Recording, topology.Invalid, topology.ChannelShared, topology.TrunkConflict, topology.Exhausted:
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
	case n.larger() != "":
		return yes(v1alpha1.ReasonVolumeLarger,
			"volume claim %[1]s has %[2]s, more than spec.storage.size, and is kept as it is: volumes never shrink. For a smaller one make new nodes (a further group of the cluster, or another VesperNode) and remove this one when they are ready; else set the size to %[2]s",
			claim.Name, n.larger())
	default:
		return yes(v1alpha1.ReasonVolumeBound, "volume claim %s is bound to %s", claim.Name, claim.Spec.VolumeName)
	}
}

// larger is the size of a claim that is larger than the spec asks for, else "".
func (n Node) larger() string {
	has := n.Claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if n.Size == nil || has.Cmp(*n.Size) <= 0 {
		return ""
	}
	return has.String()
}

func classOf(claim *corev1.PersistentVolumeClaim) string {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName == "" {
		return "it names no storage class, and the Kubernetes cluster may have no default one"
	}
	return "storage class " + *claim.Spec.StorageClassName + " has to provide it"
}
