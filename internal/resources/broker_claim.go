package resources

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// BrokerClaim is the volume of the broker's messages, which asks for a size. It
// belongs to the broker, and goes with it, only under deletionPolicy Delete.
// existing may be nil.
func BrokerClaim(b Broker, size resource.Quantity, existing *corev1.PersistentVolumeClaim) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	name := b.Object.Name
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithAccessModes(corev1.ReadWriteOnce).
		WithResources(corev1ac.VolumeResourceRequirements().WithRequests(corev1.ResourceList{corev1.ResourceStorage: size}))
	if class := claimClass(b.Object.Spec.ActiveMQ.Storage, existing); class != nil {
		spec.WithStorageClassName(*class)
	}
	claim := corev1ac.PersistentVolumeClaim(BrokerClaimName(name), b.Object.Namespace).
		WithLabels(BrokerLabels(name)).WithSpec(spec)
	if b.Object.Spec.ActiveMQ.DeletionPolicy == v1alpha1.DeletionDelete {
		claim.WithOwnerReferences(brokerOwner(b.Object))
	}
	return claim
}

// claimClass is the storage class to apply. That of an existing claim cannot
// change: if the operator once set it, it must go on saying the same, and if
// not, it must go on saying nothing.
func claimClass(storage v1alpha1.Storage, existing *corev1.PersistentVolumeClaim) *string {
	if existing == nil {
		return storage.StorageClassName
	}
	for _, entry := range existing.ManagedFields {
		ours := entry.Manager == v1alpha1.ManagedBy && entry.Operation == metav1.ManagedFieldsOperationApply
		if ours && entry.FieldsV1 != nil && strings.Contains(entry.FieldsV1.GetRawString(), `"f:storageClassName"`) {
			return existing.Spec.StorageClassName
		}
	}
	return nil
}
