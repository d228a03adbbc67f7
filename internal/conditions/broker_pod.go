package conditions

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// pullFailures are the kubelet's words for an image that does not come.
var pullFailures = []string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}

// brokerPod says what keeps a managed broker's pod from answering, as far as
// Kubernetes knows.
func brokerPod(b Broker) judgement {
	pod := b.Pod
	switch {
	case !b.Managed:
		return judgement{}
	case pod == nil && b.Replicas == 0:
		return no(v1alpha1.ReasonScaledToZero, "spec.activemq.replicas is 0")
	case pod == nil:
		return no(v1alpha1.ReasonPodMissing, "the broker's pod is not made yet")
	case pod.DeletionTimestamp != nil:
		return terminating(pod, b.Now)
	}
	if message, ok := unschedulable(pod); ok {
		return no(v1alpha1.ReasonPodUnschedulable, "pod %s: %s", pod.Name, message+claimHint(b.Volume.Claim))
	}
	if stuck, ok := stuckContainer(pod); ok {
		return stuck
	}
	if !podReady(pod) {
		return no(v1alpha1.ReasonPodStarting, "pod %s does not answer a STOMP CONNECT yet", pod.Name)
	}
	return yes(v1alpha1.ReasonPodRunning, "pod %s runs", pod.Name)
}

// stuckAfter is how long after its grace period a pod may be there that is to end.
const stuckAfter = time.Minute

// PodStuckAt is when a pod that is being deleted counts as stuck; false of one that is not.
func PodStuckAt(pod *corev1.Pod) (time.Time, bool) {
	if pod == nil || pod.DeletionTimestamp == nil {
		return time.Time{}, false
	}
	return pod.DeletionTimestamp.Add(stuckAfter), true // which has the grace period in it
}

// terminating says that a pod ends, or that it should have ended long ago.
func terminating(pod *corev1.Pod, now time.Time) judgement {
	at, _ := PodStuckAt(pod)
	if now.Before(at) {
		return no(v1alpha1.ReasonPodTerminating, "pod %s is ending", pod.Name)
	}
	return no(v1alpha1.ReasonPodStuckTerminating, "pod %[1]s should have ended at %[2]s and is there still, on machine %[3]s, which is perhaps not heard any more: "+
		"bring the machine back; or, only when it is off for certain, since two processes must never use one volume, kubectl delete pod %[1]s --force",
		pod.Name, pod.DeletionTimestamp.UTC().Format(time.RFC3339), pod.Spec.NodeName)
}

func unschedulable(pod *corev1.Pod) (string, bool) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable {
			return condition.Message, true
		}
	}
	return "", false
}

// claimHint names a claim that no volume has been found for: the scheduler's
// own message does not say which.
func claimHint(claim *corev1.PersistentVolumeClaim) string {
	if claim == nil || claim.Status.Phase == corev1.ClaimBound {
		return ""
	}
	return " (volume claim " + claim.Name + " is not bound)"
}

func stuckContainer(pod *corev1.Pod) (judgement, bool) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting := status.State.Waiting
		switch {
		case waiting == nil:
		case slices.Contains(pullFailures, waiting.Reason):
			return no(v1alpha1.ReasonImagePullFailed, "pod %s: image %s cannot be pulled: %s", pod.Name, status.Image, pullMessage(pod, waiting)), true
		case waiting.Reason == "CrashLoopBackOff":
			return no(v1alpha1.ReasonCrashLooping, "pod %s: container %s %s; see kubectl logs %s -c %s --previous",
				pod.Name, status.Name, lastExit(status), pod.Name, status.Name), true
		case waiting.Reason == "CreateContainerConfigError", waiting.Reason == "CreateContainerError", waiting.Reason == "RunContainerError":
			return no(v1alpha1.ReasonCrashLooping, "pod %s: container %s cannot start: %s", pod.Name, status.Name, waiting.Message), true
		}
	}
	return judgement{}, false
}

// pullMessage does not repeat the kubelet's words: they change with every attempt.
func pullMessage(pod *corev1.Pod, waiting *corev1.ContainerStateWaiting) string {
	if waiting.Reason == "ErrImagePull" || waiting.Reason == "ImagePullBackOff" {
		return "see kubectl describe pod " + pod.Name
	}
	return waiting.Reason
}

func lastExit(status corev1.ContainerStatus) string {
	last := status.LastTerminationState.Terminated
	switch {
	case last == nil:
		return "ends again and again"
	case last.Reason == "OOMKilled":
		return "ends again and again: it needs more memory than its limit"
	default:
		return "ends again and again with " + last.Reason
	}
}

func podReady(pod *corev1.Pod) bool {
	ready, _ := podReadySince(pod)
	return ready
}

func podReadySince(pod *corev1.Pod) (ready bool, since time.Time) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return true, c.LastTransitionTime.Time
		}
	}
	return false, time.Time{}
}

// BrokerSettling reports whether a managed broker's pod became ready in the
// time d before now.
func BrokerSettling(pod *corev1.Pod, now time.Time, d time.Duration) bool {
	if pod == nil {
		return false
	}
	ready, since := podReadySince(pod)
	return ready && now.Sub(since) < d
}

// BrokerPodReady reports whether a managed broker's pod passes its probe.
func BrokerPodReady(pod *corev1.Pod) bool {
	return pod != nil && pod.DeletionTimestamp == nil && podReady(pod)
}
