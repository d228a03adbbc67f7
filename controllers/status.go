package controllers

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/conditions"
)

// tellReady records an event when an object became Ready, ceased to be, or needs
// a person for a new reason; not for each step on the way.
func tellReady(recorder events.EventRecorder, object runtime.Object, before, after []metav1.Condition) {
	ready, stalled := meta.FindStatusCondition(after, v1alpha1.ConditionReady), meta.FindStatusCondition(after, v1alpha1.ConditionStalled)
	if ready == nil {
		return
	}
	was, is := meta.IsStatusConditionTrue(before, v1alpha1.ConditionReady), ready.Status == metav1.ConditionTrue
	switch {
	case stalled != nil && is && was: // of its volume, which tells itself
	case stalled != nil && reasonOf(before, v1alpha1.ConditionStalled) != stalled.Reason:
		recorder.Eventf(object, nil, corev1.EventTypeWarning, stalled.Reason, "Stall", "%s", note(stalled.Message))
	case was && !is && away(object):
		recorder.Eventf(object, nil, corev1.EventTypeNormal, ready.Reason, "Observe", "away: %s", note(ready.Message))
	case was && !is:
		recorder.Eventf(object, nil, corev1.EventTypeWarning, ready.Reason, "Observe", "no longer ready: %s", note(ready.Message))
	case is && !was:
		recorder.Eventf(object, nil, corev1.EventTypeNormal, ready.Reason, "Observe", "%s", note(ready.Message))
	}
}

// away reports whether an object is a node that may be cut off, and is.
func away(object runtime.Object) bool {
	node, ok := object.(*v1alpha1.VesperNode)
	return ok && conditions.Away(node)
}

// tellAlarms records an event when something is wrong that does not make an
// object unready, once as long as it lasts.
func tellAlarms(recorder events.EventRecorder, object runtime.Object, before, after []metav1.Condition) {
	for _, condition := range after {
		if conditions.IsAlarm(condition.Type) && meta.FindStatusCondition(before, condition.Type) == nil {
			recorder.Eventf(object, nil, corev1.EventTypeWarning, condition.Reason, "Observe", "%s", note(condition.Message))
		}
	}
}

// tellVolume records an event when a volume begins to grow, has grown, or cannot.
func tellVolume(recorder events.EventRecorder, object runtime.Object, before, after []metav1.Condition) {
	was, is := reasonOf(before, v1alpha1.ConditionStorageReady), meta.FindStatusCondition(after, v1alpha1.ConditionStorageReady)
	switch {
	case is == nil || is.Reason == was:
	case is.Reason == v1alpha1.ReasonVolumeExpanding:
		recorder.Eventf(object, nil, corev1.EventTypeNormal, is.Reason, "Expand", "%s", note(is.Message))
	case is.Reason == v1alpha1.ReasonVolumeExpansionFailed, is.Reason == v1alpha1.ReasonVolumeExpansionRefused:
		recorder.Eventf(object, nil, corev1.EventTypeWarning, is.Reason, "Expand", "%s", note(is.Message))
	case was == v1alpha1.ReasonVolumeExpanding && is.Status == metav1.ConditionTrue:
		recorder.Eventf(object, nil, corev1.EventTypeNormal, "VolumeExpanded", "Expand", "the volume has grown: %s", note(is.Message))
	}
}

// reasonOf is the reason of a condition that is there, else "".
func reasonOf(all []metav1.Condition, kind string) string {
	if condition := meta.FindStatusCondition(all, kind); condition != nil {
		return condition.Reason
	}
	return ""
}

// maxNote keeps an event's text below the API's limit of 1024 bytes.
const maxNote = 960

func note(message string) string { return clip(message, maxNote) }

// clip shortens a text to about so many bytes.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
