package conditions

import (
	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// nodePod says what keeps a node's pod from running, as far as Kubernetes knows.
func nodePod(n Node) judgement {
	pod := n.Pod
	switch {
	case pod == nil && n.Verdict.Decision != topology.Run:
		return no(v1alpha1.ReasonPodMissing, "no pod: %s", n.Verdict.Message)
	case pod == nil && n.Suspended:
		return no(v1alpha1.ReasonPodMissing, "no pod: the node is suspended")
	case pod == nil:
		return no(v1alpha1.ReasonPodMissing, "the pod is not made yet")
	case pod.DeletionTimestamp != nil:
		return terminating(pod, n.Now)
	}
	if message, ok := unschedulable(pod); ok {
		return no(v1alpha1.ReasonPodUnschedulable, "pod %s: %s", pod.Name, message+claimHint(n.Volume.Claim))
	}
	if stuck, ok := stuckContainer(pod); ok {
		return stuck
	}
	switch {
	case !n.Current:
		return no(v1alpha1.ReasonPodStarting, "pod %s is being replaced by one with the current configuration", pod.Name)
	case !NodeStarted(pod):
		return no(v1alpha1.ReasonPodStarting, "pod %s is starting", pod.Name)
	}
	return yes(v1alpha1.ReasonPodRunning, "pod %s runs", pod.Name)
}

// NodeStarted reports whether the node in a pod can be asked: its process runs
// and has passed its startup probe.
func NodeStarted(pod *corev1.Pod) bool {
	if pod == nil || pod.DeletionTimestamp != nil || pod.Status.PodIP == "" || len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	for _, status := range pod.Status.ContainerStatuses {
		if status.State.Running == nil || status.Started == nil || !*status.Started {
			return false
		}
	}
	return true
}
