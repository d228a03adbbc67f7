package resources

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"vesperdb.io/vesper/api/v1alpha1"
)

// grown is a bound claim that asks for a size, on a volume that has another.
func grown(asks, has string) *corev1.PersistentVolumeClaim {
	claim := claimOf(asks, nil, "")
	claim.Status.Phase = corev1.ClaimBound
	if has != "" {
		claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(has)}
	}
	return claim
}

// TestAClaimAsksForNothingThatTheAPIServerCannotTake: volumes grow and never shrink,
// and an expansion that is not done may be taken back to more than the volume has.
func TestAClaimAsksForNothingThatTheAPIServerCannotTake(t *testing.T) {
	cases := map[string]struct {
		spec         string
		existing     *corev1.PersistentVolumeClaim
		want, usable string
	}{
		"new":                                        {"5Gi", nil, "5Gi", "5Gi"},
		"new without a size":                         {"", nil, "10Gi", "10Gi"},
		"larger than before":                         {"5Gi", grown("1Gi", "1Gi"), "5Gi", "1Gi"},
		"smaller than before":                        {"1Gi", grown("5Gi", "5Gi"), "5Gi", "5Gi"},
		"the same in other units":                    {"1024Mi", grown("1Gi", "1Gi"), "1Gi", "1Gi"},
		"not bound":                                  {"5Gi", claimOf("1Gi", nil, ""), "1Gi", "1Gi"},
		"smaller, and what it has is not known":      {"1Gi", grown("5Gi", ""), "5Gi", "5Gi"},
		"less of an expansion that is not done":      {"15Gi", grown("20Gi", "10Gi"), "15Gi", "10Gi"},
		"more of an expansion that is not done":      {"30Gi", grown("20Gi", "10Gi"), "30Gi", "10Gi"},
		"as before an expansion that is not done":    {"10Gi", grown("20Gi", "10Gi"), "20Gi", "10Gi"},
		"less than before an expansion":              {"5Gi", grown("20Gi", "10Gi"), "20Gi", "10Gi"},
		"less than the driver gave, and was asked":   {"10Gi", grown("11Gi", "12Gi"), "11Gi", "11Gi"},
		"the driver gave more than it was asked":     {"10Gi", grown("10Gi", "12Gi"), "10Gi", "10Gi"},
		"more than asked, less than the driver gave": {"11Gi", grown("10Gi", "12Gi"), "11Gi", "11Gi"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			storage := v1alpha1.Storage{}
			if c.spec != "" {
				size := resource.MustParse(c.spec)
				storage.Size = &size
			}
			size := VolumeSize(storage, c.existing)
			if usable := UsableSize(size, c.existing); size.String() != c.want || usable.String() != c.usable {
				t.Errorf("asks for %s and may fill %s, want %s and %s", size.String(), usable.String(), c.want, c.usable)
			}
		})
	}
}
