package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// TestStuckPodsAreToldOnTheNodeAndItsCluster: day-one list, point 3. Each is told at
// once, with what to do, and nothing is written while it lasts.
func TestStuckPodsAreToldOnTheNodeAndItsCluster(t *testing.T) {
	waiting := func(reason, last string) func(*corev1.Pod) {
		return func(pod *corev1.Pod) {
			pod.Status.ContainerStatuses[0].Started, pod.Status.ContainerStatuses[0].State = nil, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
			pod.Status.ContainerStatuses[0].LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: last}}
		}
	}
	for name, test := range map[string]struct {
		hurt   func(*stage, *corev1.Pod)
		reason string
		says   string
	}{
		"crash-looping": {status(waiting("CrashLoopBackOff", "Error")), v1alpha1.ReasonCrashLooping, "see kubectl logs shop-core-0b-0 -c vesper-node --previous"},
		"out of memory": {status(waiting("CrashLoopBackOff", "OOMKilled")), v1alpha1.ReasonCrashLooping, "it needs more memory than its limit"},
		"no image":      {status(waiting("ImagePullBackOff", "")), v1alpha1.ReasonImagePullFailed, "cannot be pulled"},
		"unschedulable": {status(func(pod *corev1.Pod) {
			pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
				Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available: 3 Insufficient memory."}}}
		}), v1alpha1.ReasonPodUnschedulable, "3 Insufficient memory"},
		"terminating for long": {func(s *stage, pod *corev1.Pod) {
			pod.Finalizers = []string{"example.org/machine-is-gone"}
			if err := s.Update(s.t.Context(), pod); err != nil {
				s.t.Fatal(err)
			}
			s.drop(pod)
			s.settle()
			if got := s.says(v1alpha1.ConditionReady, "shop-core-0b"); !strings.HasPrefix(got, "PodTerminating: ") {
				s.t.Errorf("while it ends the node says %q", got)
			}
			time.Sleep(2 * time.Minute)
		}, v1alpha1.ReasonPodStuckTerminating, "only when it is off for certain"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.open(2)
				pod := &corev1.Pod{}
				mustGet(t, s.cluster, "shop-core-0b-0", pod)
				test.hurt(s, pod)
				s.settle()
				for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionPodRunning} {
					if got := s.says(kind, "shop-core-0b"); !strings.HasPrefix(got, test.reason+": ") || !strings.Contains(got, test.says) {
						t.Errorf("%s of the node says %q, want %s and %q", kind, got, test.reason, test.says)
					}
				}
				if got := s.says(v1alpha1.ConditionReady, "shop"); !strings.Contains(got, "1 of 2 nodes are ready") || !strings.Contains(got, "shop-core-0b: "+test.reason) {
					t.Errorf("the cluster says %q", got)
				}
				writes := s.writes()
				for range 10 {
					time.Sleep(nodeAskReady)
					s.pass()
				}
				if s.writes() != writes {
					t.Errorf("%d writes while nothing changed", s.writes()-writes)
				}
			})
		})
	}
}

// status changes a pod's status as its kubelet does.
func status(change func(*corev1.Pod)) func(*stage, *corev1.Pod) {
	return func(s *stage, pod *corev1.Pod) {
		change(pod)
		if err := s.Status().Update(s.t.Context(), pod); err != nil {
			s.t.Fatal(err)
		}
	}
}
