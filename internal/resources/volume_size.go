package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"vesperdb.io/vesper/api/v1alpha1"
)

// defaultVolumeSize is the API's default of storage.size.
var defaultVolumeSize = resource.MustParse("10Gi")

// VolumeSize is the size that a claim should ask for: the spec's, but never one that
// the API server cannot take from an existing claim. A claim may ask for less than
// before only while the volume has less than that: an expansion that failed, or is
// not done, is taken back. One that is not bound keeps what it asks for. existing
// may be nil.
func VolumeSize(storage v1alpha1.Storage, existing *corev1.PersistentVolumeClaim) resource.Quantity {
	size := defaultVolumeSize
	if storage.Size != nil {
		size = *storage.Size
	}
	if existing == nil {
		return size
	}
	asks, has := ClaimSize(existing), existing.Status.Capacity[corev1.ResourceStorage]
	switch {
	case existing.Status.Phase != corev1.ClaimBound:
		return asks
	case size.Cmp(asks) > 0, !has.IsZero() && size.Cmp(has) > 0 && size.Cmp(asks) < 0:
		return size
	}
	return asks
}

// ClaimSize is the size that a claim asks for.
func ClaimSize(claim *corev1.PersistentVolumeClaim) resource.Quantity {
	return claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

// UsableSize is what may be filled of the volume of a claim that should ask for a
// size: less, as long as the volume has not grown to it. existing may be nil.
func UsableSize(size resource.Quantity, existing *corev1.PersistentVolumeClaim) resource.Quantity {
	if existing == nil {
		return size
	}
	if has := existing.Status.Capacity[corev1.ResourceStorage]; !has.IsZero() && has.Cmp(size) < 0 {
		return has
	}
	return size
}
