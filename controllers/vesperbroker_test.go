package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/brokerprobe"
	"vesperdb.io/vesper/internal/stomp"
)

// fakeProber answers as told and remembers what it was asked.
type fakeProber struct {
	mu      sync.Mutex
	answer  brokerprobe.Answer
	asked   int
	hosts   []string
	virtual string
	login   stomp.Credentials
	noLogin bool
}

func (p *fakeProber) Probe(ctx context.Context, hosts []string, virtualHost string, source stomp.CredentialSource) []brokerprobe.Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	p.hosts, p.virtual, p.noLogin = slices.Clone(hosts), virtualHost, source == nil
	if source != nil {
		p.login, _ = source(ctx)
	}
	answers := make([]brokerprobe.Answer, len(hosts))
	for i, host := range hosts {
		answers[i] = p.answer
		answers[i].Host = host
	}
	return answers
}

func (p *fakeProber) say(a brokerprobe.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = a
}

func (p *fakeProber) lastAsked() (asked int, hosts []string, login stomp.Credentials, noLogin bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked, p.hosts, p.login, p.noLogin
}

func (c *cluster) runBrokers(t *testing.T, r *VesperBrokerReconciler) *operator {
	t.Helper()
	return c.run(t, func(m manager.Manager) error { return r.SetupWithManager(m) })
}

func managedBroker() *v1alpha1.VesperBroker {
	size := resource.MustParse("1Gi")
	return &v1alpha1.VesperBroker{
		ObjectMeta: metav1.ObjectMeta{Name: "mq"},
		Spec:       v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{Storage: v1alpha1.Storage{Size: &size}}},
	}
}

func externalBroker(secret string, hosts ...string) *v1alpha1.VesperBroker {
	b := &v1alpha1.VesperBroker{
		ObjectMeta: metav1.ObjectMeta{Name: "mq"},
		Spec:       v1alpha1.VesperBrokerSpec{External: &v1alpha1.ExternalBrokerSpec{Hosts: hosts}},
	}
	if secret != "" {
		b.Spec.External.CredentialsSecretRef = &v1alpha1.LocalReference{Name: secret}
	}
	return b
}

func (c *cluster) mustCreate(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("making %T %s: %v", object, object.GetName(), err)
		}
	}
}

func (c *cluster) get(name string, into client.Object) error {
	return c.Get(context.Background(), types.NamespacedName{Namespace: c.Namespace, Name: name}, into)
}

func (c *cluster) mustGet(t *testing.T, name string, into client.Object) {
	t.Helper()
	if err := c.get(name, into); err != nil {
		t.Fatalf("reading %T %s: %v", into, name, err)
	}
}

// wantBroker waits until the broker's condition has the status, the reason and
// a message with the words, and returns the broker.
func (c *cluster) wantBroker(t *testing.T, condition string, status metav1.ConditionStatus, reason, words string) *v1alpha1.VesperBroker {
	t.Helper()
	b := &v1alpha1.VesperBroker{}
	eventually(t, func() error {
		if err := c.get("mq", b); err != nil {
			return err
		}
		got := meta.FindStatusCondition(b.Status.Conditions, condition)
		if got == nil || got.Status != status || got.Reason != reason || !strings.Contains(got.Message, words) || got.ObservedGeneration != b.Generation {
			return fmt.Errorf("conditions are %+v at generation %d, want %s %s %s %q", b.Status.Conditions, b.Generation, condition, status, reason, words)
		}
		return nil
	})
	return b
}

// editBroker changes the broker's spec, over writes of the operator in between.
func (c *cluster) editBroker(t *testing.T, edit func(*v1alpha1.VesperBrokerSpec)) {
	t.Helper()
	eventually(t, func() error {
		var b v1alpha1.VesperBroker
		if err := c.get("mq", &b); err != nil {
			return err
		}
		edit(&b.Spec)
		return c.Update(t.Context(), &b)
	})
}

// makePod stands in for the StatefulSet controller and the kubelet.
func (c *cluster) makePod(t *testing.T, ready corev1.ConditionStatus) *corev1.Pod {
	t.Helper()
	var set appsv1.StatefulSet
	eventually(t, func() error { return c.get("mq-broker", &set) })
	pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Name = "mq-broker-0"
	c.mustCreate(t, pod)
	c.setPodReady(t, pod, ready)
	return pod
}

func (c *cluster) setPodReady(t *testing.T, pod *corev1.Pod, ready corev1.ConditionStatus) {
	t.Helper()
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatalf("setting the pod's status: %v", err)
	}
}

func TestAManagedBrokerBecomesReadyWhenItAnswersItsOwnLogin(t *testing.T) {
	c, prober := newCluster(t), &fakeProber{}
	prober.say(brokerprobe.Answer{Failed: "connection refused"})
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: prober})
	c.mustCreate(t, managedBroker())

	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "not made yet")
	if want := "mq-broker." + c.Namespace + ".svc:61613"; !slices.Equal(b.Status.Hosts, []string{want}) {
		t.Errorf("hosts %v before the broker answers, want %s", b.Status.Hosts, want)
	}
	if b.Status.Type != v1alpha1.BrokerTypeManaged || b.Status.Image != DefaultBrokerImage || b.Status.Flavor != v1alpha1.FlavorActiveMQ {
		t.Errorf("status %+v, want a managed ActiveMQ with the default image", b.Status)
	}
	c.wantBroker(t, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonBrokerStarting, "")

	pod := c.makePod(t, corev1.ConditionFalse)
	c.wantBroker(t, v1alpha1.ConditionPodRunning, metav1.ConditionFalse, v1alpha1.ReasonPodStarting, "mq-broker-0")
	if asked, _, _, _ := prober.lastAsked(); asked != 0 {
		t.Errorf("the broker was asked %d times before its pod was ready", asked)
	}
	c.setPodReady(t, pod, corev1.ConditionTrue)
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable, "connection refused")

	prober.say(brokerprobe.Answer{Server: "ActiveMQ/6.1.7"})
	b = c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "answered as ActiveMQ/6.1.7")
	if b.Status.Server != "ActiveMQ/6.1.7" || meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReconciling) != nil {
		t.Errorf("status of a ready broker %+v, want its server and no Reconciling", b.Status)
	}
	var secret corev1.Secret
	c.mustGet(t, b.Status.CredentialsSecret, &secret)
	_, hosts, login, _ := prober.lastAsked()
	if !slices.Equal(hosts, b.Status.Hosts) || login.Passcode != string(secret.Data["password"]) || login.Login != string(secret.Data["username"]) {
		t.Errorf("asked %v as %s, want the broker's own hosts and credentials", hosts, login.Login)
	}
	if writes := op.quietFor(time.Second); len(writes) > 0 {
		t.Errorf("writes at rest: %v", writes)
	}
}

func TestABrokerWhoseServiceLagsBehindItsPodIsStarting(t *testing.T) {
	c, prober := newCluster(t), &fakeProber{}
	prober.say(brokerprobe.Answer{Failed: "connection refused"})
	c.runBrokers(t, &VesperBrokerReconciler{Prober: prober})
	c.mustCreate(t, managedBroker())
	pod := c.makePod(t, corev1.ConditionFalse)
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
	if err := c.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "its Service does not lead to it yet")
	prober.say(brokerprobe.Answer{})
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "")
}

func TestAManagedBrokersChildren(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}, Image: "example.org/mq:1"})
	c.mustCreate(t, managedBroker())
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	for name, child := range map[string]client.Object{
		"mq-broker":          &appsv1.StatefulSet{},
		"mq-broker-config":   &corev1.ConfigMap{},
		"mq-broker-auth":     &corev1.Secret{},
		"mq-broker-headless": &corev1.Service{},
		"mq-broker-data":     &corev1.PersistentVolumeClaim{},
	} {
		c.mustGet(t, name, child)
		if child.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy || child.GetLabels()[v1alpha1.LabelBroker] != "mq" {
			t.Errorf("%T %s has the labels %v", child, name, child.GetLabels())
		}
		_, kept := child.(*corev1.PersistentVolumeClaim)
		if owned := metav1.IsControlledBy(child, b); owned == kept {
			t.Errorf("%T %s is owned by the broker: %v", child, name, owned)
		}
	}
	c.mustGet(t, "mq-broker", &networkingv1.NetworkPolicy{})
	var service corev1.Service
	c.mustGet(t, "mq-broker", &service)
	if service.Spec.ClusterIP == corev1.ClusterIPNone || len(service.Spec.Ports) != 1 || service.Spec.Ports[0].Port != 61613 {
		t.Errorf("the client service is %+v, want a cluster IP with STOMP's port", service.Spec)
	}
	var set appsv1.StatefulSet
	c.mustGet(t, "mq-broker", &set)
	if image := set.Spec.Template.Spec.Containers[0].Image; image != "example.org/mq:1" || *set.Spec.Replicas != 1 {
		t.Errorf("the StatefulSet runs %d of %s", *set.Spec.Replicas, image)
	}
}

func TestThePodPassesTheRestrictedSecurityStandard(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace, Labels: map[string]string{
		"kubernetes.io/metadata.name": c.Namespace, "pod-security.kubernetes.io/enforce": "restricted"}}}
	if err := c.Update(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	c.makePod(t, corev1.ConditionFalse) // is refused by admission if not
}

func TestCredentialsAreMadeOnceAndNeverChangeByThemselves(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	var secret corev1.Secret
	c.mustGet(t, "mq-broker-auth", &secret)
	password := string(secret.Data["password"])
	if len(password) < 32 {
		t.Fatalf("the password has %d characters, want at least 32", len(password))
	}
	op.Stop()

	// Another operator over the same objects, and a broken file of the broker.
	secret.Data["users.properties"] = []byte("vesper=other\n")
	if err := c.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	eventually(t, func() error {
		if err := c.get("mq-broker-auth", &secret); err != nil {
			return err
		}
		if got := string(secret.Data["users.properties"]); got != "vesper="+password+"\n" {
			return errors.New("users.properties is not restored from the password")
		}
		return nil
	})
	if string(secret.Data["password"]) != password {
		t.Error("the password changed")
	}

	// A password that a person sets is taken over into the broker's files.
	secret.Data["password"] = []byte("chosen")
	if err := c.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := c.get("mq-broker-auth", &secret); err != nil {
			return err
		}
		if got := string(secret.Data["users.properties"]); got != "vesper=chosen\n" {
			return fmt.Errorf("users.properties is %q", got)
		}
		return nil
	})
	if string(secret.Data["password"]) != "chosen" {
		t.Error("the chosen password was not kept")
	}
	var config corev1.ConfigMap
	c.mustGet(t, "mq-broker-config", &config)
	for name, text := range config.Data {
		if strings.Contains(text, password) || strings.Contains(text, "chosen") {
			t.Errorf("the password is in %s of the ConfigMap", name)
		}
	}
}

func TestANewerOperatorRestartsNoBroker(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}, Image: "mq:old"})
	c.mustCreate(t, managedBroker())
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	var before, after appsv1.StatefulSet
	c.mustGet(t, "mq-broker", &before)
	op.Stop()

	op = c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}, Image: "mq:new"})
	if writes := op.quietFor(time.Second); len(writes) > 0 {
		t.Errorf("the newer operator wrote %v", writes)
	}
	c.mustGet(t, "mq-broker", &after)
	if after.Generation != before.Generation {
		t.Errorf("the StatefulSet went from generation %d to %d", before.Generation, after.Generation)
	}

	// A broker that names its image gets it, and a new one gets the newer operator's.
	c.editBroker(t, func(spec *v1alpha1.VesperBrokerSpec) { spec.ActiveMQ.Image = "mq:named" })
	other := managedBroker()
	other.Name = "other"
	c.mustCreate(t, other)
	for name, image := range map[string]string{"mq-broker": "mq:named", "other-broker": "mq:new"} {
		eventually(t, func() error {
			if err := c.get(name, &after); err != nil {
				return err
			}
			if got := after.Spec.Template.Spec.Containers[0].Image; got != image {
				return fmt.Errorf("%s runs %s, want %s", name, got, image)
			}
			return nil
		})
	}
}

func TestChildrenThatPeopleChangeOrDeleteComeBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	var set appsv1.StatefulSet
	c.mustGet(t, "mq-broker", &set)
	set.Spec.Template.Spec.Containers[0].Image = "edited"
	if err := c.Update(t.Context(), &set); err != nil {
		t.Fatal(err)
	}
	var config corev1.ConfigMap
	c.mustGet(t, "mq-broker-config", &config)
	if err := c.Delete(t.Context(), &config); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := errors.Join(c.get("mq-broker", &set), c.get("mq-broker-config", &corev1.ConfigMap{})); err != nil {
			return err
		}
		if image := set.Spec.Template.Spec.Containers[0].Image; image != DefaultBrokerImage {
			return fmt.Errorf("the edited image %s stays", image)
		}
		return nil
	})
}

func TestARefusedEditIsToldAndTheFixGoesThrough(t *testing.T) {
	c, prober := newCluster(t), &fakeProber{}
	c.runBrokers(t, &VesperBrokerReconciler{Prober: prober})
	c.mustCreate(t, managedBroker())
	c.makePod(t, corev1.ConditionTrue)
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "")
	var before, after appsv1.StatefulSet
	c.mustGet(t, "mq-broker", &before)
	wrong := &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
	c.editBroker(t, func(spec *v1alpha1.VesperBrokerSpec) { spec.ActiveMQ.Resources = wrong })
	c.wantBroker(t, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonApplyFailed, "must be less than or equal to memory limit")
	c.wantBroker(t, v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "")
	c.mustGet(t, "mq-broker", &after)
	if after.Generation != before.Generation {
		t.Error("the refused edit changed the StatefulSet that runs")
	}
	c.editBroker(t, func(spec *v1alpha1.VesperBrokerSpec) { spec.ActiveMQ.Resources = nil })
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "")
	if meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionStalled) != nil {
		t.Error("the broker is still stalled after the fix")
	}
}

func TestANameInUseIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	theirs := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "mq-broker"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	c.mustCreate(t, theirs)
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	c.wantBroker(t, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNameTaken, "Service "+c.Namespace+"/mq-broker")
	var found corev1.Service
	c.mustGet(t, "mq-broker", &found)
	if found.Spec.Ports[0].Port != 80 || found.ResourceVersion != theirs.ResourceVersion {
		t.Errorf("the other's Service was changed to %+v", found.Spec)
	}
	if writes := op.quietFor(time.Second); len(writes) > 0 {
		t.Errorf("writes while stalled: %v", writes)
	}
}

func TestAChangeOfReadyIsToldInOneEvent(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, externalBroker("", "a:1"))
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady, "")
	op.quietFor(time.Second)
	var list eventsv1.EventList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, event := range list.Items {
		if event.Regarding.Kind == "VesperBroker" {
			told = append(told, event.Reason+": "+event.Note)
		}
	}
	if len(told) != 1 || told[0] != "BrokerReady: a:1 answered" {
		t.Errorf("events %q, want one that says it is ready", told)
	}
}

func TestABrokerHasNothingThatHoldsUpItsDeletion(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	c.mustCreate(t, managedBroker())
	b := c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerStarting, "")
	if err := c.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if err := c.get("mq", b); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the broker is still there: %v", b.Finalizers)
		}
		return nil
	})
	c.mustGet(t, "mq-broker-data", &corev1.PersistentVolumeClaim{})
}

func TestABrokerBeingDeletedInTheForegroundIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	b := managedBroker()
	b.Finalizers = []string{"example.org/hold"}
	c.mustCreate(t, b)
	if err := c.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	op := c.runBrokers(t, &VesperBrokerReconciler{Prober: &fakeProber{}})
	if writes := op.quietFor(time.Second); op.Writes() != 0 {
		t.Errorf("children were made for a broker that goes: %v", writes)
	}
	c.mustGet(t, "mq", b)
	b.Finalizers = nil
	if err := c.Update(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}
