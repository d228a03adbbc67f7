package conditions

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/brokerprobe"
)

func readyBrokerPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "mq-broker-0"},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
}

// managed is a managed broker at which all is well; change what is not.
func managed(change ...func(*Broker)) Broker {
	b := Broker{Managed: true, Replicas: 1, Secret: "mq-broker-auth", SecretExists: true, Pod: readyBrokerPod(),
		Answers: []brokerprobe.Answer{{Host: "mq:61613", Server: "ActiveMQ/6.1.7"}}}
	for _, f := range change {
		f(&b)
	}
	return b
}

// external is an external broker of two hosts at which all is well.
func external(change ...func(*Broker)) Broker {
	b := Broker{Replicas: 1, Secret: "login", SecretExists: true,
		Answers: []brokerprobe.Answer{{Host: "a:1", Server: "RabbitMQ/3.10"}, {Host: "b:2"}}}
	for _, f := range change {
		f(&b)
	}
	return b
}

func waiting(reason, message string) func(*Broker) {
	return func(b *Broker) {
		b.Answers = nil
		b.Pod = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "mq-broker-0"}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Name: "activemq", Image: "mq:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}}
	}
}

func answers(a ...brokerprobe.Answer) func(*Broker) { return func(b *Broker) { b.Answers = a } }

func failing(err error) func(*Broker) { return func(b *Broker) { b.ApplyError = err } }

var (
	invalid   = apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "StatefulSet"}, "mq-broker", nil)
	forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "x", errors.New("exceeded quota"))
	foreign   = &apply.ForeignError{Kind: "Service", Namespace: "shop", Name: "mq-broker", Why: "no label"}
)

// TestTheStateOfABroker is the specification of Ready, Reconciling and Stalled:
// what was read on the left, what a person sees on the right.
func TestTheStateOfABroker(t *testing.T) {
	const (
		well    = "" // neither Reconciling nor Stalled
		waits   = v1alpha1.ConditionReconciling
		stalled = v1alpha1.ConditionStalled
	)
	cases := map[string]struct {
		seen   Broker
		ready  bool
		reason string
		says   string
		state  string
	}{
		"managed, all is well":       {managed(), true, "BrokerReady", "mq:61613 answered as ActiveMQ/6.1.7", well},
		"no pod yet":                 {managed(func(b *Broker) { b.Pod, b.Answers = nil, nil }), false, "BrokerStarting", "not made yet", waits},
		"pod starting":               {managed(waiting("ContainerCreating", "")), false, "BrokerStarting", "mq-broker-0 does not answer", waits},
		"pod ending":                 {managed(func(b *Broker) { b.Pod.DeletionTimestamp, b.Answers = &metav1.Time{}, nil }), false, "BrokerStarting", "is ending", waits},
		"image not pulled":           {managed(waiting("ImagePullBackOff", "Back-off 5m0s")), false, "ImagePullFailed", "image mq:1 cannot be pulled: see kubectl describe pod mq-broker-0", waits},
		"image never pulled":         {managed(waiting("ErrImageNeverPull", "no")), false, "ImagePullFailed", "ErrImageNeverPull", waits},
		"crashing":                   {managed(waiting("CrashLoopBackOff", "back-off 10s")), false, "CrashLooping", "kubectl logs mq-broker-0 -c activemq --previous", waits},
		"cannot start":               {managed(waiting("CreateContainerConfigError", "secret not found")), false, "CrashLooping", "secret not found", waits},
		"scaled to zero":             {managed(func(b *Broker) { b.Replicas, b.Pod, b.Answers = 0, nil, nil }), false, "ScaledToZero", "replicas is 0", well},
		"pod runs, service does not": {managed(answers(brokerprobe.Answer{Host: "mq:61613", Failed: "no answer within 3s"})), false, "BrokerUnreachable", "mq:61613 did not answer: no answer within 3s", waits},
		"service not there yet":      {managed(answers(brokerprobe.Answer{Host: "mq:61613", Failed: "connection refused"}), func(b *Broker) { b.Settling = true }), false, "BrokerStarting", "its Service does not lead to it yet: mq:61613", waits},
		"service there already":      {managed(func(b *Broker) { b.Settling = true }), true, "BrokerReady", "", well},
		"own login refused":          {managed(answers(brokerprobe.Answer{Host: "mq:61613", Refused: "password is invalid."})), false, "BrokerRefused", "refused the login", waits},
		"children forbidden":         {managed(failing(forbidden)), false, "ApplyFailed", "exceeded quota", waits},
		"children invalid":           {managed(failing(fmt.Errorf("applying: %w", invalid))), false, "ApplyFailed", "mq-broker", stalled},
		"name taken":                 {managed(failing(fmt.Errorf("x: %w", foreign))), false, "NameTaken", "Service shop/mq-broker belongs to someone else", stalled},
		"external, all is well":      {external(), true, "BrokerReady", "a:1 answered as RabbitMQ/3.10; b:2 answered", well},
		"external without login":     {external(func(b *Broker) { b.Secret, b.SecretExists = "", false }), true, "BrokerReady", "", well},
		"secret missing":             {external(func(b *Broker) { b.SecretExists, b.Answers = false, nil }), false, "CredentialsMissing", "Secret login does not exist in this namespace: make it with the keys username and password", waits},
		"key missing":                {external(func(b *Broker) { b.MissingKey, b.Answers = "password", nil }), false, "CredentialsMissing", "Secret login has no key password", waits},
		"one of two hosts away":      {external(answers(brokerprobe.Answer{Host: "a:1", Failed: "connection refused"}, brokerprobe.Answer{Host: "b:2"})), true, "BrokerReady", "a:1 did not answer: connection refused; b:2 answered", well},
		"one of two hosts refuses":   {external(answers(brokerprobe.Answer{Host: "a:1"}, brokerprobe.Answer{Host: "b:2", Refused: "no"})), true, "BrokerReady", "b:2 refused the login: no", well},
		"both hosts away":            {external(answers(brokerprobe.Answer{Host: "a:1", Failed: "x"}, brokerprobe.Answer{Host: "b:2", Failed: "y"})), false, "BrokerUnreachable", "a:1 did not answer: x; b:2 did not answer: y", waits},
		"login refused":              {external(answers(brokerprobe.Answer{Host: "a:1", Refused: "bad"}, brokerprobe.Answer{Host: "b:2", Failed: "y"})), false, "BrokerRefused", "a:1 refused the login: bad", stalled},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ForBroker(c.seen)
			ready := meta.FindStatusCondition(got, v1alpha1.ConditionReady)
			if (ready.Status == metav1.ConditionTrue) != c.ready || ready.Reason != c.reason || !strings.Contains(ready.Message, c.says) {
				t.Errorf("Ready is %s %s %q, want %v %s %q", ready.Status, ready.Reason, ready.Message, c.ready, c.reason, c.says)
			}
			for _, state := range []string{waits, stalled} {
				condition := meta.FindStatusCondition(got, state)
				if (condition != nil) != (state == c.state) {
					t.Errorf("%s is %+v, want it only if the state is it: %q", state, condition, c.state)
				} else if condition != nil && (condition.Status != metav1.ConditionTrue || condition.Reason != ready.Reason || condition.Message != ready.Message) {
					t.Errorf("%s is %+v, want Ready's reason and message", state, condition)
				}
			}
		})
	}
}

func TestConditionsPassTheAPIsValidation(t *testing.T) {
	long := managed(answers(brokerprobe.Answer{Host: "mq:61613", Refused: strings.Repeat("x", 40000)}))
	for _, b := range []Broker{managed(), external(), long, managed(failing(invalid)), {}} {
		for _, condition := range ForBroker(b) {
			if condition.Type == "" || condition.Status == "" || condition.Reason == "" || len(condition.Message) > 32768 {
				t.Errorf("condition %+v of %d characters would be refused", condition.Type, len(condition.Message))
			}
		}
	}
}

func TestPodRunningIsOnlyOfManagedBrokers(t *testing.T) {
	if meta.FindStatusCondition(ForBroker(external()), v1alpha1.ConditionPodRunning) != nil {
		t.Error("an external broker has a condition of a pod")
	}
	if !meta.IsStatusConditionTrue(ForBroker(managed()), v1alpha1.ConditionPodRunning) {
		t.Error("a running managed broker lacks PodRunning")
	}
}

func TestAnUnschedulablePodNamesTheClaimThatIsNotBound(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available"}}}}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "mq-broker-data"}}
	for phase, says := range map[corev1.PersistentVolumeClaimPhase]string{
		corev1.ClaimPending: "pod p: 0/3 nodes are available (volume claim mq-broker-data is not bound)",
		corev1.ClaimBound:   "pod p: 0/3 nodes are available",
	} {
		claim.Status.Phase = phase
		got := brokerPod(Broker{Managed: true, Replicas: 1, Pod: pod, Volume: Volume{Claim: claim}})
		if got.reason != v1alpha1.ReasonPodUnschedulable || got.message != says {
			t.Errorf("with a claim that is %s: %s %q, want %q", phase, got.reason, got.message, says)
		}
	}
}

func TestACrashSaysHowTheContainerEnded(t *testing.T) {
	status := corev1.ContainerStatus{}
	for _, c := range []struct {
		last *corev1.ContainerStateTerminated
		says string
	}{
		{nil, "ends again and again"},
		{&corev1.ContainerStateTerminated{Reason: "OOMKilled"}, "more memory than its limit"},
		{&corev1.ContainerStateTerminated{Reason: "Error"}, "with Error"},
	} {
		status.LastTerminationState.Terminated = c.last
		if got := lastExit(status); !strings.Contains(got, c.says) {
			t.Errorf("after %+v: %q, want %q", c.last, got, c.says)
		}
	}
}

func TestAnImageThatIsRetriedKeepsItsMessage(t *testing.T) {
	// The kubelet alternates between the two words, with other texts: a status that followed would be written each time.
	first, second := brokerPod(managed(waiting("ErrImagePull", "rpc error 1"))), brokerPod(managed(waiting("ImagePullBackOff", "Back-off 20s")))
	if first != second {
		t.Errorf("%+v, then %+v", first, second)
	}
}

func TestTheServerIsThatOfTheFirstHostThatTookTheLogin(t *testing.T) {
	got := BrokerServer([]brokerprobe.Answer{{Server: "refused", Refused: "x"}, {Host: "b", Server: "B/1"}, {Server: "C/1"}})
	if got != "B/1" {
		t.Errorf("server %q, want B/1", got)
	}
	if got := BrokerServer(nil); got != "" {
		t.Errorf("server %q of a broker that was not asked", got)
	}
}

func TestABrokerPodIsReadyWhenItIsAndDoesNotEnd(t *testing.T) {
	ending := readyBrokerPod()
	ending.DeletionTimestamp = &metav1.Time{}
	for _, c := range []struct {
		pod  *corev1.Pod
		want bool
	}{{nil, false}, {&corev1.Pod{}, false}, {readyBrokerPod(), true}, {ending, false}} {
		if got := BrokerPodReady(c.pod); got != c.want {
			t.Errorf("ready %v of %+v, want %v", got, c.pod, c.want)
		}
	}
}

func TestABrokerSettlesForAWhileAfterItsPodBecameReady(t *testing.T) {
	now := metav1.Now()
	pod := readyBrokerPod()
	pod.Status.Conditions[0].LastTransitionTime = now
	if !BrokerSettling(pod, now.Add(9*time.Second), 10*time.Second) || BrokerSettling(pod, now.Add(10*time.Second), 10*time.Second) {
		t.Error("it does not settle for exactly the ten seconds")
	}
	if BrokerSettling(nil, now.Time, time.Hour) || BrokerSettling(&corev1.Pod{}, now.Time, time.Hour) {
		t.Error("a pod that is not ready settles")
	}
}
