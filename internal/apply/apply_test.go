package apply

import (
	"context"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// api is a fake API server that counts what is written to it.
type api struct {
	client.Client
	writes int
}

func newAPI(t *testing.T, objects ...client.Object) *api {
	t.Helper()
	a := &api{}
	a.Client = fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).WithReturnManagedFields().
		WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				a.writes++
				return c.Apply(ctx, obj, opts...)
			},
		}).Build()
	return a
}

func (a *api) applier() Applier { return Applier{Client: a, Live: a} }

func owner(uid string) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().WithAPIVersion("vesperdb.io/v1alpha1").WithKind("VesperBroker").
		WithName("mq").WithUID(types.UID(uid)).WithController(true)
}

func configMap(data map[string]string) *corev1ac.ConfigMapApplyConfiguration {
	return corev1ac.ConfigMap("mq-config", "shop").
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": Owner, "app.kubernetes.io/instance": "mq"}).
		WithOwnerReferences(owner("u1")).WithData(data)
}

func mustApply(t *testing.T, a Applier, desired runtime.ApplyConfiguration, live client.Object, want Outcome) {
	t.Helper()
	got, err := a.Apply(t.Context(), desired, live)
	if err != nil || got != want {
		t.Fatalf("Apply = %s, %v; want %s", got, err, want)
	}
}

func TestTheSecondApplyOfTheSameWritesNothing(t *testing.T) {
	a := newAPI(t)
	var live corev1.ConfigMap
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Created)
	if live.Data["a"] != "1" || live.ResourceVersion == "" {
		t.Fatalf("after creation live = %+v, want the object as the API server has it", live)
	}
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Unchanged)
	if a.writes != 1 {
		t.Errorf("%d writes, want 1", a.writes)
	}
}

func TestAHandEditIsUndone(t *testing.T) {
	a := newAPI(t)
	var live corev1.ConfigMap
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Created)
	live.Data["a"] = "edited"
	if err := a.Update(t.Context(), &live); err != nil {
		t.Fatal(err)
	}
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Updated)
	if live.Data["a"] != "1" {
		t.Errorf("a = %q, want the hand edit undone", live.Data["a"])
	}
}

func TestWhatOthersAddIsLeftAlone(t *testing.T) {
	a := newAPI(t)
	var live corev1.ConfigMap
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Created)
	live.Annotations["someone/else"] = "x"
	if err := a.Update(t.Context(), &live); err != nil {
		t.Fatal(err)
	}
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Unchanged)
	if live.Annotations["someone/else"] != "x" || a.writes != 1 {
		t.Errorf("annotations %v after %d writes, want the other's kept after 1", live.Annotations, a.writes)
	}
}

func TestAFieldNoLongerWantedIsGivenUp(t *testing.T) {
	a := newAPI(t)
	var live corev1.ConfigMap
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1", "b": "2"}), &live, Created)
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Updated)
	if _, still := live.Data["b"]; still {
		t.Errorf("data = %v, want b gone", live.Data)
	}
}

func TestAnObjectOfSomeoneElseIsNotTakenOver(t *testing.T) {
	yes := true
	labels := map[string]string{"app.kubernetes.io/managed-by": Owner, "app.kubernetes.io/instance": "mq"}
	cases := map[string]struct {
		found metav1.ObjectMeta
		why   string
	}{
		"no labels": {metav1.ObjectMeta{}, "managed-by"},
		"of another broker": {metav1.ObjectMeta{Labels: map[string]string{
			"app.kubernetes.io/managed-by": Owner, "app.kubernetes.io/instance": "other"}}, `instance is "other"`},
		"of another owner": {metav1.ObjectMeta{Labels: labels, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Thing", Name: "t", UID: "u2", Controller: &yes}}}, "controlled by Thing t"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.found.Name, c.found.Namespace = "mq-config", "shop"
			a := newAPI(t, &corev1.ConfigMap{ObjectMeta: c.found, Data: map[string]string{"theirs": "1"}})
			_, err := a.applier().Apply(t.Context(), configMap(map[string]string{"a": "1"}), &corev1.ConfigMap{})
			var foreign *ForeignError
			if !errors.As(err, &foreign) || !strings.Contains(err.Error(), c.why) {
				t.Fatalf("Apply = %v, want a ForeignError that says %q", err, c.why)
			}
			if a.writes != 0 {
				t.Errorf("%d writes, want none", a.writes)
			}
		})
	}
}

func TestControlCanBeGivenUpByTheOneThatHasIt(t *testing.T) {
	a := newAPI(t)
	var live corev1.ConfigMap
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Created)
	free := configMap(map[string]string{"a": "1"})
	free.OwnerReferences = nil
	if _, err := a.applier().Apply(t.Context(), free, &live); err == nil {
		t.Fatal("an object that another one controls was taken over")
	}
	mustApply(t, Applier{Client: a, Live: a, For: "u1"}, free, &live, Updated)
	if len(live.OwnerReferences) != 0 {
		t.Errorf("owners %v, want none", live.OwnerReferences)
	}
}

func TestAnUnlabelledObjectThatTheCacheHidesIsFoundBeforeCreation(t *testing.T) {
	server := newAPI(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "mq-config", Namespace: "shop"}})
	cached := newAPI(t) // a label-scoped cache knows nothing of it
	_, err := Applier{Client: cached, Live: server}.Apply(t.Context(), configMap(nil), &corev1.ConfigMap{})
	var foreign *ForeignError
	if !errors.As(err, &foreign) || cached.writes != 0 {
		t.Fatalf("Apply = %v after %d writes, want a ForeignError and none", err, cached.writes)
	}
}

func TestAReadThatFailsNamesTheObjectAndWritesNothing(t *testing.T) {
	failing := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no route")
		},
	})
	_, err := Applier{Client: failing, Live: failing}.Apply(t.Context(), configMap(nil), &corev1.ConfigMap{})
	if err == nil || !strings.Contains(err.Error(), "reading ConfigMap shop/mq-config: no route") {
		t.Errorf("Apply = %v, want what was read and why it failed", err)
	}
}

func TestAConfigurationWithoutANameIsRefused(t *testing.T) {
	a := newAPI(t)
	_, err := a.applier().Apply(t.Context(), &corev1ac.ConfigMapApplyConfiguration{}, &corev1.ConfigMap{})
	if err == nil || !strings.Contains(err.Error(), "needs a kind and a name") {
		t.Errorf("Apply = %v, want it refused", err)
	}
}

// statefulSet uses the lists and scalars in which the API server's form and ours could differ.
func statefulSet() *appsv1ac.StatefulSetApplyConfiguration {
	return appsv1ac.StatefulSet("mq", "shop").WithSpec(appsv1ac.StatefulSetSpec().WithReplicas(1).WithServiceName("mq").
		WithTemplate(corev1ac.PodTemplateSpec().WithSpec(corev1ac.PodSpec().
			WithVolumes(corev1ac.Volume().WithName("tmp").WithEmptyDir(corev1ac.EmptyDirVolumeSource())).
			WithContainers(corev1ac.Container().WithName("broker").WithImage("x").WithCommand("a", "b").
				WithPorts(corev1ac.ContainerPort().WithName("stomp").WithContainerPort(61613).WithProtocol(corev1.ProtocolTCP)).
				WithReadinessProbe(corev1ac.Probe().WithHTTPGet(corev1ac.HTTPGetAction().WithPort(intstr.FromString("stomp")))).
				WithResources(corev1ac.ResourceRequirements().WithRequests(corev1.ResourceList{
					corev1.ResourceMemory: resource.MustParse("1024Mi"), corev1.ResourceCPU: resource.MustParse("1000m")}))))))
}

func TestTheServersWayOfWritingTheSameIsNoDifference(t *testing.T) {
	a := newAPI(t)
	var live appsv1.StatefulSet
	mustApply(t, a.applier(), statefulSet(), &live, Created)
	// Defaults, and a sidecar that another controller put in front of ours.
	live.Spec.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	pod := &live.Spec.Template.Spec
	pod.Containers = append([]corev1.Container{{Name: "sidecar", Image: "y"}}, pod.Containers...)
	pod.Containers[1].TerminationMessagePath = "/dev/termination-log"
	if err := a.Update(t.Context(), &live); err != nil {
		t.Fatal(err)
	}
	mustApply(t, a.applier(), statefulSet(), &live, Unchanged)
}

func TestCovers(t *testing.T) {
	m := func(kv ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	l := func(items ...any) []any { return items }
	cases := []struct {
		name      string
		has, want any
		covered   bool
	}{
		{"equal scalars", int64(1), int64(1), true},
		{"unequal scalars", "a", "b", false},
		{"number is not text", int64(1), "1", false},
		{"more than wanted", m("a", "1", "b", "2"), m("a", "1"), true},
		{"less than wanted", m("a", "1"), m("a", "1", "b", "2"), false},
		{"empty map wanted, none there", nil, m(), true},
		{"map wanted, none there", nil, m("a", "1"), false},
		{"empty list wanted, none there", nil, l(), true},
		{"list wanted, none there", nil, l("a"), false},
		{"list of text in another order", l("b", "a"), l("a", "b"), false},
		{"list of text with one more", l("a", "b"), l("a"), false},
		{"members found by name in another order", l(m("name", "x"), m("name", "a", "v", "1")), l(m("name", "a", "v", "1")), true},
		{"member of that name differs", l(m("name", "a", "v", "2")), l(m("name", "a", "v", "1")), false},
		{"member of that name is missing", l(m("name", "x")), l(m("name", "a")), false},
		{"two mounts of one volume", l(m("mountPath", "/a", "name", "v"), m("mountPath", "/b", "name", "v")),
			l(m("mountPath", "/b", "name", "v")), true},
		{"mount at another path", l(m("mountPath", "/a", "name", "v")), l(m("mountPath", "/b", "name", "v")), false},
		{"one port, two protocols", l(m("port", int64(1), "protocol", "TCP"), m("port", int64(1), "protocol", "UDP")),
			l(m("port", int64(1), "protocol", "UDP")), true},
		{"members without a key, with defaults", l(m("key", "k", "mode", int64(1))), l(m("key", "k")), true},
		{"members without a key, one more", l(m("key", "k"), m("key", "l")), l(m("key", "k")), false},
		{"wrong shape", "text", m("a", "1"), false},
		{"list member of the wrong shape", l("text"), l(m("name", "a")), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := covers(c.has, c.want); got != c.covered {
				t.Errorf("covers(%v, %v) = %v, want %v", c.has, c.want, got, c.covered)
			}
		})
	}
}

func TestTheClientLearnsTheVersionItWrote(t *testing.T) {
	// A client that reads its own writes waits for this version in the typed cache.
	a := newAPI(t)
	want, err := decode(configMap(map[string]string{"a": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	written := &configuration{object: want}
	if err := a.Apply(t.Context(), written, client.FieldOwner(Owner)); err != nil {
		t.Fatal(err)
	}
	if written.ResourceVersion == nil || *written.ResourceVersion == "" || *written.GetName() != "mq-config" || *written.GetNamespace() != "shop" {
		t.Errorf("after the write the configuration is %+v, want the server's version in it", written)
	}
}

func TestDiffersTellsWhatApplyWouldWriteAndWritesNothing(t *testing.T) {
	a := newAPI(t)
	desired := configMap(map[string]string{"a": "1"})
	differs := func() bool {
		t.Helper()
		got, err := a.applier().Differs(t.Context(), desired, &corev1.ConfigMap{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if !differs() {
		t.Error("an object that does not exist does not differ")
	}
	mustApply(t, a.applier(), desired, &corev1.ConfigMap{}, Created)
	if writes := a.writes; differs() || a.writes != writes {
		t.Errorf("an object as it should be differs, or %d writes became %d", writes, a.writes)
	}
	desired = configMap(map[string]string{"a": "2"})
	if !differs() {
		t.Error("an object with another value does not differ")
	}
}

func TestWhatWasMadeFromAnOldVersionIsRefused(t *testing.T) {
	a := newAPI(t)
	var live corev1.ConfigMap
	mustApply(t, a.applier(), configMap(map[string]string{"a": "1"}), &live, Created)
	seen := live.ResourceVersion
	live.Data["a"] = "chosen by a person"
	if err := a.Update(t.Context(), &live); err != nil {
		t.Fatal(err)
	}
	stale := a.applier()
	stale.Seen = seen
	if _, err := stale.Apply(t.Context(), configMap(map[string]string{"a": "1"}), &live); !apierrors.IsConflict(err) {
		t.Errorf("a write made from an old version gave %v, want a conflict", err)
	}
	if err := a.Get(t.Context(), client.ObjectKeyFromObject(&live), &live); err != nil || live.Data["a"] != "chosen by a person" {
		t.Errorf("a = %q, %v: the person's change was undone", live.Data["a"], err)
	}
}
