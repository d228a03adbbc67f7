package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/resources"
)

func (c *cluster) makeNode(t *testing.T, name, id string) *v1alpha1.VesperNode {
	t.Helper()
	n := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace},
		Spec: v1alpha1.VesperNodeSpec{BranchID: id, BrokerRef: v1alpha1.LocalReference{Name: "mq"}}}
	mustCreate(t, c, n)
	return n
}

func (c *cluster) nodeReady(t *testing.T, name string) {
	t.Helper()
	c.nodeSays(t, name, v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready")
}

// poke makes the operator look at a node without waiting for its own time.
func (c *cluster) poke(t *testing.T, n *v1alpha1.VesperNode) {
	t.Helper()
	c.patch(t, n, fmt.Sprintf(`{"metadata":{"annotations":{"poke":"%d"}}}`, time.Now().UnixNano()))
}

// olderThanNow waits until what is made next has a later creation time.
func olderThanNow(object client.Object) {
	for time.Since(object.GetCreationTimestamp().Time) < time.Second+50*time.Millisecond {
		time.Sleep(50 * time.Millisecond)
	}
}

func TestANodeMadeByHandRunsUnderItsPinnedID(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeNode(t, "pin", "7X")
	c.nodeReady(t, "pin")
	config := &corev1.ConfigMap{}
	mustGet(t, c, "pin-config", config)
	if text := config.Data["node.yaml"]; !strings.Contains(text, `branchId: "7X"`) || !strings.Contains(text, `trunkId: "0A"`) {
		t.Errorf("configuration is\n%s", text)
	}
	if writes := op.quietFor(3 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

func TestAPinnedIDWithinAClustersRangeIsRefusedUntilTheRangeIsNarrowed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	olderThanNow(cl)
	n := c.makeNode(t, "pin", "ZZ")
	stalled := c.nodeSays(t, "pin", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChannelShared)
	if !strings.Contains(stalled.Message, "VesperCluster shop") {
		t.Errorf("message is %q", stalled.Message)
	}
	sets := &appsv1.StatefulSetList{}
	if err := c.List(t.Context(), sets); err != nil || len(sets.Items) != 1 {
		t.Errorf("%d StatefulSets exist, %v, want the cluster's only", len(sets.Items), err)
	}
	c.patch(t, cl, `{"spec":{"branchIDs":{"to":"YZ"}}}`)
	c.clusterReady(t, "shop", "pin", "shop-core-0a")
	c.poke(t, n)
	c.nodeReady(t, "pin")
}

func TestAClusterBesideAnOlderPinnedIDInItsRangeIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	n := c.makeNode(t, "pin", "0B")
	c.nodeReady(t, "pin")
	olderThanNow(n)
	c.makeCluster(t, "shop", 1)
	stalled := c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChannelShared)
	if !strings.Contains(stalled.Message, "VesperNode pin") {
		t.Errorf("message is %q", stalled.Message)
	}
	if err := c.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	c.clusterReady(t, "shop", "shop-core-0a")
}

// loseVolume deletes a node's claim and pod, as a person or a broken disk would.
func (c *cluster) loseVolume(t *testing.T, node string) {
	t.Helper()
	for _, object := range []client.Object{
		&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-" + node, Namespace: c.Namespace}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: node + "-0", Namespace: c.Namespace}},
	} {
		if err := c.Delete(t.Context(), object, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
}

// claimLike is a claim that a person makes under a node's name, as a clone, a
// restored snapshot or a backup would come.
func (c *cluster) claimLike(t *testing.T, node, annotation string, change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data-" + node, Namespace: c.Namespace, Annotations: map[string]string{v1alpha1.AnnotationBranchID: annotation, v1alpha1.AnnotationTrunkID: "0A"},
			Labels: resources.NodeLabels(&v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{v1alpha1.LabelCluster: "shop"}}, Spec: v1alpha1.VesperNodeSpec{Group: "core"}})},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
	for _, f := range change {
		f(claim)
	}
	mustCreate(t, c, claim)
	return claim
}

// TestTheLastNodeWithDataThatLostItsVolumeIsLeftToAPerson, and never starts again
// under its id.
func TestTheLastNodeWithDataThatLostItsVolumeIsLeftToAPerson(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	eventually(t, func() error {
		c.loseVolume(t, "shop-core-0a")
		set := &appsv1.StatefulSet{}
		mustGet(t, c, "shop-core-0a", set)
		if *set.Spec.Replicas != 0 {
			return errors.New("the StatefulSet still asks for a pod")
		}
		return nil
	})
	stalled := c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonVolumeLost)
	if !strings.Contains(stalled.Message, "Delete VesperNode shop-core-0a") {
		t.Errorf("message is %q, want the remedy", stalled.Message)
	}
	eventually(t, func() error {
		trouble := c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNodesStalled)
		if !strings.Contains(trouble.Message, "shop-core-0a: VolumeLost") {
			return fmt.Errorf("the cluster says %q", trouble.Message)
		}
		return nil
	})
	c.claimLike(t, "shop-core-0a", "0A") // a new claim under the old name changes nothing
	time.Sleep(time.Second)
	set, n := &appsv1.StatefulSet{}, &v1alpha1.VesperNode{}
	mustGet(t, c, "shop-core-0a", set)
	mustGet(t, c, "shop-core-0a", n)
	if *set.Spec.Replicas != 0 {
		t.Error("the node was started on a new, empty claim under its old id")
	}
	if err := c.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	c.clusterReady(t, "shop", "shop-core-0b")
}

func TestAVolumeOfAnotherBranchIsNotTakenUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data-pin", Namespace: c.Namespace, Annotations: map[string]string{v1alpha1.AnnotationBranchID: "7X"}},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}
	mustCreate(t, c, claim)
	c.makeNode(t, "pin", "7Y")
	stalled := c.nodeSays(t, "pin", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonBranchMismatch)
	if !strings.Contains(stalled.Message, "branch 7X") {
		t.Errorf("message is %q", stalled.Message)
	}
	mustGet(t, c, "data-pin", claim)
	if claim.Annotations[v1alpha1.AnnotationBranchID] != "7X" || len(claim.Labels) != 0 {
		t.Errorf("the claim was changed: %v %v", claim.Annotations, claim.Labels)
	}
}

func TestReadyIsTheNodesOwnWord(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	said := func(change func(*nodestatus.Status)) func() (nodestatus.Status, error) {
		return func() (nodestatus.Status, error) { s := healthy("7X"); change(&s); return s, nil }
	}
	k.answer("pin", func() (nodestatus.Status, error) { return nodestatus.Status{}, errors.New("no answer within 2s") })
	c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeNode(t, "pin", "7X")
	c.nodeSays(t, "pin", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStatusUnknown)
	c.nodeSays(t, "pin", v1alpha1.ConditionPodRunning, metav1.ConditionTrue, v1alpha1.ReasonPodRunning)
	k.answer("pin", said(func(s *nodestatus.Status) {
		s.Ready, s.Reason, s.Message = false, nodestatus.ReasonCatchingUp, "3 changesets to go"
	}))
	c.nodeSays(t, "pin", v1alpha1.ConditionReconciling, metav1.ConditionTrue, "CatchingUp")
	k.answer("pin", said(func(s *nodestatus.Status) { s.Branch = "7Z" }))
	c.nodeSays(t, "pin", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonWrongBranch)
	k.answer("pin", said(func(s *nodestatus.Status) {
		s.Ready, s.Reason, s.Message = false, nodestatus.ReasonStorageFailed, "no space left on device"
	}))
	c.nodeSays(t, "pin", v1alpha1.ConditionStalled, metav1.ConditionTrue, "StorageFailed")
	k.answer("pin", nil)
	c.nodeReady(t, "pin")
}

func TestANodeThatHangsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	release := make(chan struct{})
	k.answer("shop-core-0a", func() (nodestatus.Status, error) { <-release; return nodestatus.Status{}, errors.New("hung") })
	c.operate(t, k)
	t.Cleanup(func() { close(release) })
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 3)
	c.nodeReady(t, "shop-core-0b")
	c.nodeReady(t, "shop-core-0c")
}

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func TestFiguresThatAlwaysMoveAreWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	now := &clock{now: time.Now()}
	var mu sync.Mutex
	objects := int64(0)
	k.answer("pin", func() (nodestatus.Status, error) {
		mu.Lock()
		defer mu.Unlock()
		objects++
		s := healthy("7X")
		s.Objects = objects
		return s, nil
	})
	op := c.run(t, func(mgr manager.Manager) error {
		return (&VesperNodeReconciler{Status: k, Now: now.Now, askReady: 100 * time.Millisecond}).SetupWithManager(mgr)
	})
	c.readyBroker(t, "mq")
	n := c.makeNode(t, "pin", "7X")
	c.nodeReady(t, "pin")
	op.quietFor(time.Second)
	objectsWritten := func() int64 { mustGet(t, c, "pin", n); return *n.Status.Objects }
	before, writes := objectsWritten(), op.Writes()
	for range 20 {
		c.poke(t, n)
	}
	time.Sleep(time.Second)
	if got := op.WritesSince(writes); len(got) > 0 || objectsWritten() != before {
		t.Errorf("within a minute the operator wrote %v", got)
	}
	now.forward(2 * time.Minute)
	eventually(t, func() error {
		c.poke(t, n)
		if got := objectsWritten(); got == before {
			return errors.New("the figures are still the old ones")
		}
		return nil
	})
	if got := op.WritesSince(writes); len(got) > 2 {
		t.Errorf("the operator wrote %v for one new figure", got)
	}
}

func TestChildrenThatPeopleChangeOrDeleteAreRepaired(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeNode(t, "pin", "7X")
	c.nodeReady(t, "pin")
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "pin", Namespace: c.Namespace}}
	c.patch(t, set, `{"spec":{"replicas":3}}`)
	c.patch(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "pin-config", Namespace: c.Namespace}}, `{"data":{"node.yaml":"branchId: 0A"}}`)
	if err := c.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "pin", Namespace: c.Namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		config, service := &corev1.ConfigMap{}, &corev1.Service{}
		mustGet(t, c, "pin", set)
		mustGet(t, c, "pin-config", config)
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: "pin"}, service); err != nil {
			return err
		}
		if *set.Spec.Replicas != 1 || !strings.Contains(config.Data["node.yaml"], "7X") {
			return fmt.Errorf("replicas are %d, configuration is %q", *set.Spec.Replicas, config.Data["node.yaml"])
		}
		return nil
	})
	if err := c.Delete(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: "pin"}, &appsv1.StatefulSet{})
	})
	c.nodeReady(t, "pin")
}

func TestANewerOperatorRestartsNoNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	start := func(image string) *operator {
		return c.run(t,
			func(mgr manager.Manager) error {
				return (&VesperClusterReconciler{NodeImage: image, Subscriptions: c.brokers}).SetupWithManager(mgr)
			},
			func(mgr manager.Manager) error {
				return (&VesperNodeReconciler{NodeImage: image, Status: k}).SetupWithManager(mgr)
			})
	}
	op := start("vesper/node:v1")
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	n := c.makeNode(t, "pin", "7X")
	_ = n
	op.Stop()
	start("vesper/node:v2")
	c.scale(t, "shop", 2)
	c.clusterReady(t, "shop", "pin", "shop-core-0a", "shop-core-0b")
	if removed := k.removals("shop-core-0a"); removed != 0 {
		t.Errorf("the pod was replaced %d times", removed)
	}
	added := &v1alpha1.VesperNode{}
	mustGet(t, c, "shop-core-0b", added)
	if added.Spec.Image != "vesper/node:v1" {
		t.Errorf("the added node has image %s, the others v1", added.Spec.Image)
	}
	c.patch(t, cl, `{"spec":{"image":"vesper/node:v2"}}`)
	eventually(t, func() error {
		if k.removals("shop-core-0a") != 1 || k.removals("shop-core-0b") != 1 {
			return errors.New("the pods were not replaced for the new image")
		}
		return nil
	})
	c.clusterReady(t, "shop", "pin", "shop-core-0a", "shop-core-0b")
}

func TestAChangeGoesThroughTheNodesOneByOneAndStopsAtOneThatStaysAway(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	k.answer("shop-core-0a", func() (nodestatus.Status, error) {
		s := healthy("0A")
		s.Ready, s.Reason = k.removals("shop-core-0a") == 0, nodestatus.ReasonCatchingUp
		return s, nil
	})
	c.patch(t, cl, `{"spec":{"image":"vesper/node:bad"}}`)
	rolling := c.clusterSays(t, "shop", v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonRolling)
	if !strings.Contains(rolling.Message, "still to come: shop-core-0b, shop-core-0c") {
		t.Errorf("message is %q", rolling.Message)
	}
	c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionReady, metav1.ConditionFalse, "CatchingUp")
	time.Sleep(2 * time.Second)
	if removed := k.removals("shop-core-0b") + k.removals("shop-core-0c"); removed != 0 {
		t.Errorf("%d other nodes were restarted while the first was away", removed)
	}
	k.answer("shop-core-0a", func() (nodestatus.Status, error) {
		s := healthy("0A")
		s.Ready = k.removals("shop-core-0a") == 2 // on the fixed image
		return s, nil
	})
	c.patch(t, cl, `{"spec":{"image":"vesper/node:fixed"}}`)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	for _, node := range []string{"shop-core-0b", "shop-core-0c"} {
		if n := k.removals(node); n != 1 {
			t.Errorf("%s was restarted %d times, want once, straight to the fix", node, n)
		}
	}
}

func TestARefusedResizeKeepsNoFixFromThePod(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	n := c.makeNode(t, "pin", "7X")
	c.nodeReady(t, "pin")
	c.patch(t, n, `{"spec":{"storage":{"size":"20Gi"},"image":"vesper/node:fixed"}}`)
	refused := c.nodeSays(t, "pin", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonVolumeExpansionRefused)
	if !strings.Contains(refused.Message, "volume claim data-pin stays at 10Gi") || !strings.Contains(refused.Message, "set allowVolumeExpansion: true on the class") {
		t.Errorf("message is %q, want the claim and the remedy in it", refused.Message)
	}
	c.nodeSays(t, "pin", v1alpha1.ConditionConfigApplied, metav1.ConditionFalse, v1alpha1.ReasonVolumeExpansionRefused)
	eventually(t, func() error {
		set := &appsv1.StatefulSet{}
		mustGet(t, c, "pin", set)
		if image := set.Spec.Template.Spec.Containers[0].Image; image != "vesper/node:fixed" {
			return fmt.Errorf("image is %s", image)
		}
		return nil
	})
	c.nodeReady(t, "pin")
	c.patch(t, n, `{"spec":{"storage":{"size":"10Gi"}}}`)
	c.nodeSays(t, "pin", v1alpha1.ConditionStorageReady, metav1.ConditionTrue, v1alpha1.ReasonVolumeBound)
	c.nodeReady(t, "pin")
}

func TestNodesPassTheRestrictedPodSecurityStandard(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	all, err := client.New(c.cfg, client.Options{Scheme: testScheme()})
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}}
	if err := all.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))); err != nil {
		t.Fatal(err)
	}
	c.operate(t, newKubelet(t, c)) // which fails the test when the API server refuses the pod
	c.readyBroker(t, "mq")
	c.makeNode(t, "pin", "7X")
	c.nodeReady(t, "pin")
	plain := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: c.Namespace}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}
	wantRefused(t, c.Create(t.Context(), plain), "violates PodSecurity")
}

func TestNothingHoldsUpDeletion(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	n := &v1alpha1.VesperNode{}
	mustGet(t, c, "shop", cl)
	mustGet(t, c, "shop-core-0a", n)
	if len(cl.Finalizers)+len(n.Finalizers) > 0 {
		t.Errorf("finalizers are %v and %v, want none: they would hold up the deletion of the namespace", cl.Finalizers, n.Finalizers)
	}
	if err := c.Delete(t.Context(), cl, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	c.wantNodes(t) // a cluster that is being deleted makes no node anew
}

func TestWhatAPersonWantsToKnowIsToldOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	op.quietFor(time.Second)
	list := &eventsv1.EventList{}
	if err := c.List(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, e := range list.Items {
		got[e.Regarding.Kind+" "+e.Reason]++
	}
	want := map[string]int{"VesperCluster NodeMade": 1, "VesperCluster Ready": 1, "VesperNode Ready": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("events are %v, want %v", got, want)
	}
}

func TestNodesThatAreMadeTogetherAreToldOfInOneEvent(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	op.quietFor(time.Second)
	list := &eventsv1.EventList{}
	if err := c.List(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list.Items {
		if e.Reason == "NodeMade" {
			got = append(got, e.Note)
		}
	}
	want := "Made VesperNode shop-core-0a with branch id 0A, shop-core-0b with branch id 0B, shop-core-0c with branch id 0C"
	if len(got) != 1 || got[0] != want {
		t.Errorf("nodes were told of by %q, want %q", got, want)
	}
}
