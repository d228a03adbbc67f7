package conditions

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// Volume is what was read of the volume claim of a node or of a broker.
type Volume struct {
	// Claim is nil when there is none.
	Claim *corev1.PersistentVolumeClaim
	// Field is the field of the spec that says what the volume should be, such as
	// spec.storage. Size and Class are what it asks for; nil is the default.
	Field string
	Size  *resource.Quantity
	Class *string
	// Refused is why the API server does not take Size, nil when it does.
	Refused error
	// Moves is true when somebody replaces what is on a volume of another class;
	// OtherClass is what is said of one.
	Moves      bool
	OtherClass string
}

// judge says how a claim is that nobody else has to say anything of. What it says of
// the size and the class of a bound one makes nothing unready.
func (v Volume) judge() judgement {
	claim := v.Claim
	switch {
	case claim == nil:
		return no(v1alpha1.ReasonPending, "the volume claim is not made yet")
	case claim.Status.Phase != corev1.ClaimBound:
		return no(v1alpha1.ReasonVolumePending, "volume claim %s has no volume yet: %s", claim.Name, classOf(claim))
	}
	for _, rule := range []func(Volume) (judgement, bool){moving, sizeRefused, expanding, otherClass, larger} {
		if j, ok := rule(v); ok {
			return j
		}
	}
	return yes(v1alpha1.ReasonVolumeBound, "volume claim %s is bound to %s", claim.Name, claim.Spec.VolumeName)
}

func (v Volume) asks() resource.Quantity {
	return v.Claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

func (v Volume) has() resource.Quantity { return v.Claim.Status.Capacity[corev1.ResourceStorage] }

// class is that of the claim, "" for none.
func (v Volume) class() string {
	if v.Claim.Spec.StorageClassName == nil {
		return ""
	}
	return *v.Claim.Spec.StorageClassName
}

// OfOtherClass reports whether a claim is of another storage class than is asked for.
func OfOtherClass(claim *corev1.PersistentVolumeClaim, class *string) bool {
	return claim != nil && class != nil && (claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != *class)
}

func moving(v Volume) (judgement, bool) {
	j, other := otherClass(v)
	return j, other && v.Moves
}

func otherClass(v Volume) (judgement, bool) {
	if !OfOtherClass(v.Claim, v.Class) {
		return judgement{}, false
	}
	return yes(v1alpha1.ReasonVolumeOtherClass, "volume claim %s is of storage class %q and %s asks for %s: %s",
		v.Claim.Name, v.class(), v.Field, *v.Class, v.OtherClass), true
}

// sizeRefused says why the API server does not take the size, and what to do.
func sizeRefused(v Volume) (judgement, bool) {
	if v.Refused == nil {
		return judgement{}, false
	}
	asks, text := v.asks(), v.Refused.Error()
	remedy := fmt.Sprintf("set %s.size back to %s, or put right what it says; it is tried again every few minutes", v.Field, asks.String())
	switch {
	case strings.Contains(text, "must support resize"):
		remedy = fmt.Sprintf("if the driver of storage class %q can expand volumes, set allowVolumeExpansion: true on the class, and it is tried again within minutes; "+
			"else name a class that can in %s.storageClassName, or set %s.size back to %s", v.class(), v.Field, v.Field, asks.String())
	case strings.Contains(text, "exceeded quota"):
		remedy = fmt.Sprintf("raise the quota, and it is tried again within minutes, or set %s.size back to %s", v.Field, asks.String())
	}
	return yes(v1alpha1.ReasonVolumeExpansionRefused, "volume claim %s stays at %s, and nothing that runs is changed, since the API server refuses another size (%s): %s",
		v.Claim.Name, asks.String(), text, remedy), true
}

// expanding says how far an expansion is, from what the claim says of it.
func expanding(v Volume) (judgement, bool) {
	asks, has := v.asks(), v.has()
	if has.IsZero() || asks.Cmp(has) <= 0 {
		return judgement{}, false
	}
	if v.Size != nil && has.Cmp(*v.Size) >= 0 {
		return yes(v1alpha1.ReasonVolumeLarger,
			"volume claim %[1]s has the %[2]s that %[3]s.size asks for, and still asks for %[4]s: Kubernetes lets an expansion that is not done be taken back to more than the volume has, and not to less. "+
				"It may grow yet; to ask for less, set %[3]s.size to more than %[2]s",
			v.Claim.Name, has.String(), v.Field, asks.String()), true
	}
	grows := fmt.Sprintf("volume claim %s grows from %s to %s while it is used", v.Claim.Name, has.String(), asks.String())
	switch v.stage() {
	case corev1.PersistentVolumeClaimControllerResizeInfeasible, corev1.PersistentVolumeClaimNodeResizeInfeasible:
		return yes(v1alpha1.ReasonVolumeExpansionFailed,
			"the storage driver cannot make volume claim %[1]s %[2]s large (see kubectl describe pvc %[1]s): it has %[3]s and is used as it is. "+
				"Set %[4]s.size to more than %[3]s and less than %[2]s to try that instead, or make room for the driver, which tries again by itself",
			v.Claim.Name, asks.String(), has.String(), v.Field), true
	case corev1.PersistentVolumeClaimNodeResizePending:
		return yes(v1alpha1.ReasonVolumeExpanding, "%s: the volume has grown, and its file system follows when the machine of the pod has seen that", grows), true
	case corev1.PersistentVolumeClaimNodeResizeInProgress:
		return yes(v1alpha1.ReasonVolumeExpanding, "%s: its file system grows", grows), true
	case corev1.PersistentVolumeClaimControllerResizeInProgress:
		return yes(v1alpha1.ReasonVolumeExpanding, "%s: the storage driver is at it", grows), true
	}
	return yes(v1alpha1.ReasonVolumeExpanding, "%s: the storage driver has not taken that up yet", grows), true
}

// stage is how far the claim says that its expansion is; "" as long as that is about
// another size than it asks for now. The driver's own words are not repeated: they
// change with every attempt.
func (v Volume) stage() (stage corev1.ClaimResourceStatus) {
	if at, told := v.Claim.Status.AllocatedResources[corev1.ResourceStorage]; told && at.Cmp(v.asks()) != 0 {
		return ""
	}
	if told := v.Claim.Status.AllocatedResourceStatuses[corev1.ResourceStorage]; told != "" {
		return told
	}
	for _, c := range v.Claim.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == corev1.PersistentVolumeClaimFileSystemResizePending:
			return corev1.PersistentVolumeClaimNodeResizePending
		case c.Type == corev1.PersistentVolumeClaimResizing:
			stage = corev1.PersistentVolumeClaimControllerResizeInProgress
		}
	}
	return stage
}

// larger says of a claim that is larger than asked for that it is kept so.
func larger(v Volume) (judgement, bool) {
	asks := v.asks()
	if v.Size == nil || asks.Cmp(*v.Size) <= 0 {
		return judgement{}, false
	}
	return yes(v1alpha1.ReasonVolumeLarger,
		"volume claim %[1]s has %[2]s, more than %[3]s.size (%[4]s), and is kept as it is: volumes never shrink. For a smaller one make a new one "+
			"(a further group of the cluster, another VesperNode or VesperBroker) and remove this one when that is ready; else set the size to %[2]s",
		v.Claim.Name, asks.String(), v.Field, v.Size.String()), true
}

// progress is what a condition about a volume adds to one who is ready: the volume
// grows, or a person has to do something about that.
func (j judgement) progress(moves bool) []metav1.Condition {
	switch j.reason {
	case v1alpha1.ReasonVolumeExpanding:
		return []metav1.Condition{yes(j.reason, "%s", j.message).named(v1alpha1.ConditionReconciling)}
	case v1alpha1.ReasonVolumeOtherClass:
		if moves {
			return []metav1.Condition{yes(j.reason, "%s", j.message).named(v1alpha1.ConditionReconciling)}
		}
	case v1alpha1.ReasonVolumeExpansionRefused, v1alpha1.ReasonVolumeExpansionFailed:
		return []metav1.Condition{yes(j.reason, "%s", j.message).named(v1alpha1.ConditionStalled)}
	}
	return nil
}

func classOf(claim *corev1.PersistentVolumeClaim) string {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName == "" {
		return "it names no storage class, and the Kubernetes cluster may have no default one"
	}
	return "storage class " + *claim.Spec.StorageClassName + " has to provide it"
}
