package conditions

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// boundClaim asks for a size on a volume that has another.
func boundClaim(asks, has string) *corev1.PersistentVolumeClaim {
	class := "slow"
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-pin"}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class, VolumeName: "pv-1"}}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(asks)}
	claim.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(has)}}
	return claim
}

// resizing says how far an expansion to a size is.
func resizing(claim *corev1.PersistentVolumeClaim, to string, stage corev1.ClaimResourceStatus) *corev1.PersistentVolumeClaim {
	claim.Status.AllocatedResources = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(to)}
	claim.Status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{corev1.ResourceStorage: stage}
	return claim
}

func conditioned(claim *corev1.PersistentVolumeClaim, kind corev1.PersistentVolumeClaimConditionType) *corev1.PersistentVolumeClaim {
	claim.Status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: kind, Status: corev1.ConditionTrue, Message: "words of the driver 4711"}}
	return claim
}

// TestWhatIsSaidOfAVolume is the table of what can become of one, with the reason in
// StorageReady, which stays True, what is said of it beside Ready, which stays True
// too, and the words.
func TestWhatIsSaidOfAVolume(t *testing.T) {
	const progress, person = v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled
	fast := "fast"
	refused := func(text string) func(*Volume) { return func(v *Volume) { v.Refused = errors.New(text) } }
	for name, test := range map[string]struct {
		size   string
		claim  *corev1.PersistentVolumeClaim
		change func(*Volume)
		reason string
		also   string
		says   string
	}{
		"as asked":             {"10Gi", boundClaim("10Gi", "10Gi"), nil, v1alpha1.ReasonVolumeBound, "", "bound to pv-1"},
		"the driver gave more": {"10Gi", boundClaim("10Gi", "12Gi"), nil, v1alpha1.ReasonVolumeBound, "", ""},
		"larger than asked":    {"5Gi", boundClaim("10Gi", "10Gi"), nil, v1alpha1.ReasonVolumeLarger, "", "more than spec.storage.size (5Gi)"},
		"nobody is at it yet":  {"20Gi", boundClaim("20Gi", "10Gi"), nil, v1alpha1.ReasonVolumeExpanding, progress, "has not taken that up yet"},
		"Resizing of old": {"20Gi", conditioned(boundClaim("20Gi", "10Gi"), corev1.PersistentVolumeClaimResizing), nil,
			v1alpha1.ReasonVolumeExpanding, progress, "grows from 10Gi to 20Gi while it is used: the storage driver is at it"},
		"FileSystemResizePending": {"20Gi", conditioned(boundClaim("20Gi", "10Gi"), corev1.PersistentVolumeClaimFileSystemResizePending), nil,
			v1alpha1.ReasonVolumeExpanding, progress, "its file system follows"},
		"controller in progress": {"20Gi", resizing(boundClaim("20Gi", "10Gi"), "20Gi", corev1.PersistentVolumeClaimControllerResizeInProgress), nil,
			v1alpha1.ReasonVolumeExpanding, progress, "the storage driver is at it"},
		"node in progress": {"20Gi", resizing(boundClaim("20Gi", "10Gi"), "20Gi", corev1.PersistentVolumeClaimNodeResizeInProgress), nil,
			v1alpha1.ReasonVolumeExpanding, progress, "its file system grows"},
		"controller cannot": {"20Gi", conditioned(resizing(boundClaim("20Gi", "10Gi"), "20Gi", corev1.PersistentVolumeClaimControllerResizeInfeasible), corev1.PersistentVolumeClaimControllerResizeError), nil,
			v1alpha1.ReasonVolumeExpansionFailed, person, "Set spec.storage.size to more than 10Gi and less than 20Gi"},
		"node cannot": {"20Gi", resizing(boundClaim("20Gi", "10Gi"), "20Gi", corev1.PersistentVolumeClaimNodeResizeInfeasible), nil,
			v1alpha1.ReasonVolumeExpansionFailed, person, "is used as it is"},
		"failed, and wanted as before, which cannot be": {"10Gi", resizing(boundClaim("20Gi", "10Gi"), "20Gi", corev1.PersistentVolumeClaimControllerResizeInfeasible), nil,
			v1alpha1.ReasonVolumeLarger, "", "has the 10Gi that spec.storage.size asks for, and still asks for 20Gi"},
		"another size is tried, and the failure is of the one before": {"15Gi", resizing(boundClaim("15Gi", "10Gi"), "20Gi", corev1.PersistentVolumeClaimControllerResizeInfeasible), nil,
			v1alpha1.ReasonVolumeExpanding, progress, "grows from 10Gi to 15Gi while it is used: the storage driver has not taken that up yet"},
		"class cannot expand": {"20Gi", boundClaim("10Gi", "10Gi"), refused("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"),
			v1alpha1.ReasonVolumeExpansionRefused, person, `set allowVolumeExpansion: true on the class`},
		"quota":                {"20Gi", boundClaim("10Gi", "10Gi"), refused("exceeded quota: q"), v1alpha1.ReasonVolumeExpansionRefused, person, "raise the quota"},
		"refused for whatever": {"20Gi", boundClaim("10Gi", "10Gi"), refused("a webhook says no"), v1alpha1.ReasonVolumeExpansionRefused, person, "set spec.storage.size back to 10Gi"},
		"of another class": {"10Gi", boundClaim("10Gi", "10Gi"), func(v *Volume) { v.Class, v.OtherClass = &fast, "the remedy" },
			v1alpha1.ReasonVolumeOtherClass, "", `is of storage class "slow" and spec.storage asks for fast: the remedy`},
		"of another class, and replaced": {"20Gi", boundClaim("10Gi", "10Gi"), func(v *Volume) { v.Class, v.Moves = &fast, true },
			v1alpha1.ReasonVolumeOtherClass, progress, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n, size := wellNode(), resource.MustParse(test.size)
			n.Volume = Volume{Claim: test.claim, Size: &size, Field: "spec.storage"}
			if test.change != nil {
				test.change(&n.Volume)
			}
			all := ForNode(n)
			storage := meta.FindStatusCondition(all, v1alpha1.ConditionStorageReady)
			if storage.Status != metav1.ConditionTrue || storage.Reason != test.reason || !strings.Contains(storage.Message, test.says) {
				t.Errorf("StorageReady is %+v, want True, %s, saying %q", storage, test.reason, test.says)
			}
			if strings.Contains(storage.Message, "4711") {
				t.Errorf("%q repeats words that change with every attempt", storage.Message)
			}
			if !meta.IsStatusConditionTrue(all, v1alpha1.ConditionReady) {
				t.Error("a node that serves is not Ready because of its volume")
			}
			for _, kind := range []string{progress, person} {
				if got := meta.IsStatusConditionTrue(all, kind); got != (kind == test.also) {
					t.Errorf("%s is %v", kind, got)
				}
			}
			broker := ForBroker(Broker{Managed: true, Replicas: 1, SecretExists: true, Volume: n.Volume})
			if got := meta.FindStatusCondition(broker, v1alpha1.ConditionStorageReady); got == nil || got.Reason != test.reason {
				t.Errorf("a broker says %+v of it, want %s", got, test.reason)
			}
		})
	}
}
