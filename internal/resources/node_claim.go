package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// NodeClaim is the volume of a node's data, which asks for a size. Its annotations
// say for ever which branch the data belongs to. It belongs to the node, and goes
// with it, only under deletionPolicy Delete. existing may be nil.
func NodeClaim(n Node, size resource.Quantity, existing *corev1.PersistentVolumeClaim) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithAccessModes(corev1.ReadWriteOnce).
		WithResources(corev1ac.VolumeResourceRequirements().
			WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if class := claimClass(n.Object.Spec.Storage, existing); class != nil {
		spec.WithStorageClassName(*class)
	}
	claim := corev1ac.PersistentVolumeClaim(NodeClaimName(n.Object.Name), n.Object.Namespace).
		WithLabels(NodeLabels(n.Object)).
		WithAnnotations(map[string]string{
			v1alpha1.AnnotationBranchID: n.Object.Spec.BranchID,
			v1alpha1.AnnotationTrunkID:  string(NodeTrunk(n.Object)),
		}).
		WithSpec(spec)
	if n.Object.Spec.DeletionPolicy == v1alpha1.DeletionDelete {
		claim.WithOwnerReferences(nodeOwner(n.Object))
	}
	return claim
}
