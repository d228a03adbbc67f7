package conditions

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/brokerprobe"
)

// Broker is what was read of a broker in one pass, from which all its
// conditions follow.
type Broker struct {
	// Managed is true for a broker that the operator runs, with Replicas wanted.
	Managed  bool
	Replicas int32
	// ApplyError is why a child could not be written, nil when all are as they should be.
	ApplyError error
	// Secret names the Secret with the credentials; "" means no login.
	Secret string
	// SecretExists and MissingKey ("" for none) say what was found of it.
	SecretExists bool
	MissingKey   string
	// Pod is the managed broker's pod, nil when there is none.
	Pod *corev1.Pod
	// Now is the time of the pass.
	Now time.Time
	// Settling is true for the first seconds after the pod became ready, in
	// which its Service may not lead to it yet.
	Settling bool
	// Volume is that of a managed broker's messages.
	Volume Volume
	// Answers are those of the hosts; nil when they were not asked.
	Answers []brokerprobe.Answer
	// Pause does not make a broker unready that nodes can use.
	Pause Pause
}

// judgement is a condition without its bookkeeping.
type judgement struct {
	status          metav1.ConditionStatus
	reason, message string
}

func (j judgement) named(kind string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: j.status, Reason: j.reason, Message: bounded(j.message)}
}

func yes(reason, format string, args ...any) judgement {
	return judgement{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func no(reason, format string, args ...any) judgement {
	return judgement{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

// maxMessage keeps a message well below the API's limit of 32 KiB.
const maxMessage = 2048

func bounded(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return message[:maxMessage] + "…"
}

// ForBroker returns the conditions that a broker should have, Ready first;
// those that are not among them should be removed.
func ForBroker(b Broker) []metav1.Condition {
	credentials, pod, reachable := brokerCredentials(b), brokerPod(b), brokerReachable(b)
	ready := brokerReady(b, credentials, pod, reachable)
	all := []metav1.Condition{ready.named(v1alpha1.ConditionReady)}
	if stalled, ok := brokerStalled(b, ready); ok {
		all = append(all, stalled.named(v1alpha1.ConditionStalled))
	} else if reconciling, ok := brokerReconciling(ready); ok {
		all = append(all, reconciling.named(v1alpha1.ConditionReconciling))
	}
	all = append(all, credentials.named(v1alpha1.ConditionCredentialsReady))
	if b.Managed {
		storage := brokerStorage(b)
		if ready.passed() {
			all = append(all, storage.progress(false)...)
		}
		all = append(all, storage.named(v1alpha1.ConditionStorageReady), pod.named(v1alpha1.ConditionPodRunning))
	}
	return append(append(all, reachable.named(v1alpha1.ConditionReachable)), b.Pause.condition()...)
}

// brokerReady is the first of what is wrong, in the order in which a person
// would have to put it right.
func brokerReady(b Broker, credentials, pod, reachable judgement) judgement {
	switch {
	case b.ApplyError != nil:
		return brokerApply(b.ApplyError)
	case credentials.status != metav1.ConditionTrue:
		return credentials
	case b.Managed && b.Replicas == 0:
		return no(v1alpha1.ReasonScaledToZero, "spec.activemq.replicas is 0: nodes take writes and replicate them when it is 1 again")
	case b.Managed && pod.status != metav1.ConditionTrue:
		return brokerStarting(pod)
	case b.Settling && reachable.reason == v1alpha1.ReasonBrokerUnreachable:
		return no(v1alpha1.ReasonBrokerStarting, "pod %s runs, its Service does not lead to it yet: %s", b.Pod.Name, reachable.message)
	default:
		return reachable
	}
}

// brokerStorage says whether a managed broker has its volume.
func brokerStorage(b Broker) judgement {
	if claim := b.Volume.Claim; claim != nil && claim.DeletionTimestamp != nil {
		return no(v1alpha1.ReasonVolumeTerminating, "volume claim %s is marked for deletion and goes when the pod ends, with the messages that nodes have not taken yet, "+
			"which they then repair among themselves: delete pod %s to have it made anew now", claim.Name, claim.Labels[v1alpha1.LabelInstance]+"-broker-0")
	}
	return b.Volume.judge()
}

// brokerStarting says that a pod is on its way, and keeps the reason of one that is not.
func brokerStarting(pod judgement) judgement {
	switch pod.reason {
	case v1alpha1.ReasonPodMissing, v1alpha1.ReasonPodStarting, v1alpha1.ReasonPodTerminating:
		return no(v1alpha1.ReasonBrokerStarting, "%s", pod.message)
	default:
		return pod
	}
}

func brokerApply(err error) judgement {
	if foreign, ok := asForeign(err); ok {
		return no(v1alpha1.ReasonNameTaken, "%s", foreign.Error())
	}
	return no(v1alpha1.ReasonApplyFailed, "%s", err.Error())
}

// brokerStalled is true where trying again changes nothing until a person acts.
func brokerStalled(b Broker, ready judgement) (judgement, bool) {
	switch {
	case ready.status == metav1.ConditionTrue:
		return judgement{}, false
	case ready.reason == v1alpha1.ReasonNameTaken, ready.reason == v1alpha1.ReasonBrokerRefused && !b.Managed:
		return yes(ready.reason, "%s", ready.message), true
	case ready.reason == v1alpha1.ReasonApplyFailed && apierrors.IsInvalid(b.ApplyError):
		return yes(ready.reason, "%s", ready.message), true
	default:
		return judgement{}, false
	}
}

// brokerReconciling is true while the operator waits for what comes by itself or
// that it asks for again. A broker scaled to zero waits for nothing.
func brokerReconciling(ready judgement) (judgement, bool) {
	if ready.status == metav1.ConditionTrue || ready.reason == v1alpha1.ReasonScaledToZero {
		return judgement{}, false
	}
	return yes(ready.reason, "%s", ready.message), true
}

func asForeign(err error) (*apply.ForeignError, bool) {
	return errors.AsType[*apply.ForeignError](err)
}
