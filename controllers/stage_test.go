package controllers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoac "k8s.io/client-go/applyconfigurations"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"vesperdb.io/vesper/api/v1alpha1"
	applyac "vesperdb.io/vesper/api/v1alpha1/applyconfiguration"
	"vesperdb.io/vesper/internal/nodestatus"
)

// stage is a namespace in memory under a virtual clock, in which the real
// reconcilers take turns with the kubelet of these tests: what happens, and in which
// order, is the same every time, and can be told as a story. What the API server
// itself does (defaults, validation, admission) is the matter of the other tests.
type stage struct {
	*cluster
	t        *testing.T
	kubelet  *kubelet
	api      *registry
	clusters *VesperClusterReconciler
	nodes    *VesperNodeReconciler
	// cache and link are what the operator reads from and writes through.
	cache        *lateCache
	link         *connection
	stopOperator func()
	breakages    breakages

	iteration int
	written   map[string]int // writes to each kind of object
	applied   map[string]int // those of them that are the operator's
	story     []string
	last      map[string]string // what was told of each object last
}

// typeConverters know the fields of all kinds; making them takes a while.
var typeConverters = sync.OnceValue(func() []managedfields.TypeConverter {
	builtin := withoutNoStatus{clientgoac.NewTypeConverter(clientgoscheme.Scheme)}
	return []managedfields.TypeConverter{applyac.NewTypeConverter(stageScheme()), builtin, managedfields.NewDeducedTypeConverter()}
})

// withoutNoStatus lets the fake client apply kinds that have no status any more, such
// as NetworkPolicy: it takes them for having one, and sends it as null, which is not
// in their schema.
type withoutNoStatus struct{ managedfields.TypeConverter }

// ObjectToTyped implements managedfields.TypeConverter.
func (c withoutNoStatus) ObjectToTyped(object runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if o, ok := object.(*unstructured.Unstructured); ok {
		if status, there := o.Object["status"]; there && status == nil {
			bare := maps.Clone(o.Object)
			delete(bare, "status")
			object = &unstructured.Unstructured{Object: bare}
		}
	}
	return c.TypeConverter.ObjectToTyped(object, opts...)
}

// onStage runs a test in a bubble of its own time.
func onStage(t *testing.T, test func(*stage)) {
	t.Helper()
	typeConverters() // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		test(s)
	})
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, written: map[string]int{}, applied: map[string]int{}, last: map[string]string{}}
	scheme := stageScheme()
	plain := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(allNamespaced(scheme)).WithReturnManagedFields().
		WithTypeConverters(typeConverters()...).
		WithStatusSubresource(&v1alpha1.VesperBroker{}, &v1alpha1.VesperCluster{}, &v1alpha1.VesperNode{}, &appsv1.StatefulSet{}, &corev1.Pod{}, &corev1.PersistentVolumeClaim{}).
		Build()
	api := &registry{WithWatch: plain, stage: s, specs: map[string]string{}, objects: map[objectKey]client.Object{}}
	s.api = api
	s.cluster = &cluster{Client: client.NewNamespacedClient(api, "prod"), Namespace: "prod", brokers: &dropper{}}
	s.kubelet = &kubelet{c: s.cluster, ips: map[string]string{}, say: map[string]func() (nodestatus.Status, error){}, removed: map[string]int{}, drains: map[string]bool{}, tell: s.note}
	t.Cleanup(func() { s.stopOperator() })
	s.startOperator()
	synctest.Wait()
	return s
}

// stageScheme has the kinds that are on the stage alone: the fake client goes through
// all of them at each write.
var stageScheme = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	for group, kinds := range map[schema.GroupVersion][]runtime.Object{
		corev1.SchemeGroupVersion: {&corev1.Secret{}, &corev1.SecretList{}, &corev1.ConfigMap{}, &corev1.ConfigMapList{}, &corev1.Service{}, &corev1.ServiceList{},
			&corev1.Pod{}, &corev1.PodList{}, &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolumeClaimList{}},
		appsv1.SchemeGroupVersion:       {&appsv1.StatefulSet{}, &appsv1.StatefulSetList{}},
		networkingv1.SchemeGroupVersion: {&networkingv1.NetworkPolicy{}, &networkingv1.NetworkPolicyList{}},
		policyv1.SchemeGroupVersion:     {&policyv1.PodDisruptionBudget{}, &policyv1.PodDisruptionBudgetList{}},
	} {
		scheme.AddKnownTypes(group, kinds...)
		metav1.AddToGroupVersion(scheme, group)
	}
	return scheme
})

// allNamespaced maps the kinds of a scheme.
func allNamespaced(scheme *runtime.Scheme) meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(scheme.PrioritizedVersionsAllGroups())
	for gvk := range scheme.AllKnownTypes() {
		mapper.Add(gvk, meta.RESTScopeNamespace)
	}
	return mapper
}

// pass lets everybody have a turn, and time go on as long as a question takes.
func (s *stage) pass() {
	s.t.Helper()
	s.iteration++
	if err := s.as(byKubelet, func() error { return s.kubelet.pass(s.t.Context()) }); err != nil {
		s.t.Fatalf("kubelet: %v", err)
	}
	clusters, nodes := &v1alpha1.VesperClusterList{}, &v1alpha1.VesperNodeList{}
	if err := s.List(s.t.Context(), nodes); err != nil {
		s.t.Fatal(err)
	}
	for i := range nodes.Items {
		s.reconcile(s.nodes.Reconcile, &nodes.Items[i])
	}
	if err := s.List(s.t.Context(), clusters); err != nil {
		s.t.Fatal(err)
	}
	for i := range clusters.Items {
		s.reconcile(s.clusters.Reconcile, &clusters.Items[i])
	}
	s.look()
	s.cache.hear()
	time.Sleep(nodeAskSoon)
	synctest.Wait()
}

func (s *stage) reconcile(f func(context.Context, ctrl.Request) (ctrl.Result, error), object client.Object) {
	s.t.Helper()
	_, err := f(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)})
	switch {
	case s.link.dead:
		s.restart()
	case err != nil && !s.link.excuses(err) && !s.cache.excuses(err):
		s.t.Fatalf("reconciling %s: %v", object.GetName(), err)
	}
}

// quietPasses are those without a write after which a world is at rest.
const quietPasses = 5

// settle lets pass after pass go by until nothing is written any more.
func (s *stage) settle() {
	s.t.Helper()
	s.settleFor(quietPasses)
}

// settleFor lets pass after pass go by until so many brought no write.
func (s *stage) settleFor(quiet int) {
	s.t.Helper()
	for range 500 {
		before := s.writes()
		for range quiet {
			s.pass()
		}
		if s.writes() == before && s.cache.current() {
			return
		}
	}
	s.t.Fatalf("no rest after %d iterations:\n%s", s.iteration, s.tale())
}

func (s *stage) writes() (n int) {
	for _, count := range s.written {
		n += count
	}
	return n
}

func (s *stage) note(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("iteration %d: ", s.iteration)+fmt.Sprintf(format, args...))
}

// chapter begins another part of the story, whose iterations count from one.
func (s *stage) chapter(title string) {
	s.iteration = 0
	s.story = append(s.story, "# "+title)
}

func (s *stage) tale() string { return strings.Join(s.story, "\n") + "\n" }

// look tells what is new of the nodes and of the cluster.
func (s *stage) look() {
	nodes, clusters := &v1alpha1.VesperNodeList{}, &v1alpha1.VesperClusterList{}
	if err := s.List(s.t.Context(), nodes); err != nil {
		s.t.Fatal(err)
	}
	if err := s.List(s.t.Context(), clusters); err != nil {
		s.t.Fatal(err)
	}
	for i := range nodes.Items {
		s.tellOf(nodes.Items[i].Name, nodes.Items[i].Status.Conditions, v1alpha1.ConditionReady, false)
	}
	for i := range clusters.Items {
		s.tellOf(clusters.Items[i].Name, clusters.Items[i].Status.Conditions, v1alpha1.ConditionReady, true)
	}
}

func (s *stage) tellOf(name string, all []metav1.Condition, kind string, message bool) {
	condition := meta.FindStatusCondition(all, kind)
	if condition == nil {
		return
	}
	text := fmt.Sprintf("%s is %s", name, condition.Reason)
	if message {
		text += ": " + condition.Message
	}
	if s.last[name] != text {
		s.last[name] = text
		s.note("%s", text)
	}
}

// registry gives objects what an API server gives them: a UID, a generation, a time.
type registry struct {
	client.WithWatch
	stage *stage
	specs map[string]string
	made  int
	// by is who writes now, log what was written, objects all that there is.
	by      writer
	log     []change
	mu      sync.RWMutex // of objects: the nodes read them when they are asked
	objects map[objectKey]client.Object
	// onChange are told of what was written.
	onChange []func(change)
	// rigid are storage classes whose volumes cannot grow.
	rigid map[string]bool
	// terminating means that the namespace is being deleted: nothing new is taken.
	terminating bool
}

// Create implements client.Client.
func (r *registry) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	if err := r.WithWatch.Create(ctx, object, opts...); err != nil {
		return err
	}
	return r.register(ctx, object)
}

// Update implements client.Client.
func (r *registry) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	if err := r.WithWatch.Update(ctx, object, opts...); err != nil {
		return err
	}
	return r.register(ctx, object)
}

// Patch implements client.Client.
func (r *registry) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if err := r.sameObject(ctx, object, patch); err != nil {
		return err
	}
	if err := r.WithWatch.Patch(ctx, object, patch, opts...); err != nil {
		return err
	}
	return r.register(ctx, object)
}

// Apply implements client.Client.
func (r *registry) Apply(ctx context.Context, desired runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	if r.terminating {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "objects"}, "prod", errors.New("unable to create new content in namespace prod because it is being terminated"))
	}
	raw, err := json.Marshal(desired)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(raw, object); err != nil {
		return err
	}
	if err := r.refusesSize(object); err != nil {
		return err
	}
	if err := r.WithWatch.Apply(ctx, desired, opts...); err != nil {
		return err
	}
	r.stage.applied[object.GetKind()]++
	typed, err := r.Scheme().New(object.GroupVersionKind())
	if err != nil {
		return err
	}
	live := typed.(client.Object)
	if err := r.WithWatch.Get(ctx, client.ObjectKeyFromObject(object), live); err != nil {
		return err
	}
	if err := r.register(ctx, live); err != nil {
		return err
	}
	live.GetObjectKind().SetGroupVersionKind(object.GroupVersionKind())
	if raw, err = json.Marshal(live); err != nil {
		return err
	}
	return json.Unmarshal(raw, desired)
}

func (r *registry) register(ctx context.Context, object client.Object) error {
	gvk, err := apiutil.GVKForObject(object, r.Scheme())
	if err != nil {
		return err
	}
	r.stage.written[gvk.Kind]++
	raw, err := json.Marshal(object)
	if err != nil {
		return err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	spec, err := json.Marshal(fields["spec"])
	if err != nil {
		return err
	}
	key := gvk.Kind + "/" + object.GetName()
	if object.GetUID() != "" && r.specs[key] == string(spec) {
		return r.changed(ctx, object)
	}
	r.specs[key] = string(spec)
	if object.GetUID() == "" {
		r.made++
		object.SetUID(types.UID(fmt.Sprintf("uid-%03d", r.made)))
		object.SetCreationTimestamp(metav1.Now())
	}
	object.SetGeneration(object.GetGeneration() + 1)
	if err := r.WithWatch.Update(ctx, object); err != nil {
		return err
	}
	return r.changed(ctx, object)
}

// storyteller tells the events that a person would see.
type storyteller struct{ stage *stage }

// Eventf implements events.EventRecorder.
func (s storyteller) Eventf(regarding, _ runtime.Object, kind, reason, _, format string, args ...any) {
	if kind == corev1.EventTypeWarning && !slices.Contains([]string{"SubscriptionKept"}, reason) {
		return // the condition that it repeats is told
	}
	if reason == v1alpha1.ReasonReady {
		return
	}
	s.stage.note("%s", fmt.Sprintf(format, args...))
}

var _ events.EventRecorder = storyteller{}

// makeStageCluster makes a cluster as the API server would store it.
func (s *stage) makeStageCluster(replicas int32, change ...func(*v1alpha1.VesperCluster)) *v1alpha1.VesperCluster {
	s.t.Helper()
	b := &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: "mq", Namespace: s.Namespace},
		Spec: v1alpha1.VesperBrokerSpec{External: &v1alpha1.ExternalBrokerSpec{Hosts: []string{"mq.example.org:61613"}}}}
	mustCreate(s.t, s.cluster, b)
	b.Status = v1alpha1.VesperBrokerStatus{ObservedGeneration: 1, Type: v1alpha1.BrokerTypeExternal, Hosts: b.Spec.External.Hosts, Flavor: v1alpha1.FlavorAuto}
	s.tellBroker(s.t, b, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)
	return s.makeShop(replicas, change...)
}

// makeShop makes the cluster alone.
func (s *stage) makeShop(replicas int32, change ...func(*v1alpha1.VesperCluster)) *v1alpha1.VesperCluster {
	s.t.Helper()
	return s.makeCluster(s.t, "shop", replicas, append([]func(*v1alpha1.VesperCluster){func(c *v1alpha1.VesperCluster) {
		c.Spec.Channel, c.Spec.BranchIDs, c.Spec.DeletionPolicy = v1alpha1.DefaultChannel, v1alpha1.BranchIDRange{Width: 2}, v1alpha1.DeletionRetain
	}}, change...)...)
}

// open is a cluster that is ready when the story begins.
func (s *stage) open(replicas int32, change ...func(*v1alpha1.VesperCluster)) *v1alpha1.VesperCluster {
	s.t.Helper()
	c := s.makeStageCluster(replicas, change...)
	s.settle()
	if got := s.says(v1alpha1.ConditionReady, "shop"); !strings.HasPrefix(got, "Ready: ") {
		s.t.Fatalf("the cluster is not ready: %s\n%s", got, s.tale())
	}
	s.story = nil
	return c
}

func (s *stage) says(kind, name string) string {
	c := &v1alpha1.VesperCluster{}
	n := &v1alpha1.VesperNode{}
	var all []metav1.Condition
	if name == "shop" {
		mustGet(s.t, s.cluster, name, c)
		all = c.Status.Conditions
	} else if s.Get(s.t.Context(), client.ObjectKey{Namespace: s.Namespace, Name: name}, n) == nil {
		all = n.Status.Conditions
	}
	if condition := meta.FindStatusCondition(all, kind); condition != nil {
		return cmp.Or(condition.Reason, "-") + ": " + condition.Message
	}
	return ""
}

// claims lists the volume claims with their UIDs.
func (s *stage) claims() string {
	list := &corev1.PersistentVolumeClaimList{}
	if err := s.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name+"="+string(list.Items[i].UID))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// pods lists the pods.
func (s *stage) pods() string {
	list := &corev1.PodList{}
	if err := s.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// changed counts what the operator itself writes, but for status.
func (s *stage) changed() string { return fmt.Sprint(s.applied) }

func (s *stage) names() string {
	nodes := &v1alpha1.VesperNodeList{}
	if err := s.List(s.t.Context(), nodes); err != nil {
		s.t.Fatal(err)
	}
	found := map[string]bool{}
	for i := range nodes.Items {
		found[nodes.Items[i].Name] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), " ")
}
