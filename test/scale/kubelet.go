package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// kubelet plays what a lone API server lacks: StatefulSets get their pod, claims
// their volume, pods run. It is told by watches and lists nothing.
type kubelet struct {
	client client.Client
	cache  client.Reader
	nodes  *nodes
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	broken func(format string, args ...any)

	mu      sync.Mutex
	held    map[types.NamespacedName]bool                            // nodes whose pods find no machine
	done    map[types.UID]bool                                       // pods that were made run, or removed
	down    map[types.NamespacedName]map[types.NamespacedName]string // by cluster: nodes whose pods were replaced and are not ready
	most    int                                                      // of one cluster's nodes at once, since count began
	removed int
}

// kubeletWorkers is how many nodes are looked after at the same time.
const kubeletWorkers = 16

func startKubelet(ctx context.Context, c client.Client, watched cache.Cache, n *nodes, broken func(string, ...any)) (*kubelet, error) {
	k := &kubelet{client: c, cache: watched, nodes: n, broken: broken, held: map[types.NamespacedName]bool{}, done: map[types.UID]bool{},
		down:  map[types.NamespacedName]map[types.NamespacedName]string{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](20*time.Millisecond, time.Second))}
	for _, object := range []client.Object{&appsv1.StatefulSet{}, &corev1.Pod{}, &corev1.PersistentVolumeClaim{}} {
		informer, err := watched.GetInformer(ctx, object)
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", object, err)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: k.enqueue, UpdateFunc: func(_, o any) { k.enqueue(o) }, DeleteFunc: k.enqueue}); err != nil {
			return nil, fmt.Errorf("watching %T: %w", object, err)
		}
	}
	for range kubeletWorkers {
		go k.work(ctx)
	}
	context.AfterFunc(ctx, k.queue.ShutDown)
	return k, nil
}

// enqueue has the node looked after that an object belongs to.
func (k *kubelet) enqueue(o any) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	object, ok := o.(client.Object)
	if !ok || object.GetNamespace() == probes || object.GetLabels()[v1alpha1.LabelNode] == "" {
		return
	}
	k.queue.Add(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetLabels()[v1alpha1.LabelNode]})
}

func (k *kubelet) work(ctx context.Context) {
	for {
		node, ended := k.queue.Get()
		if ended {
			return
		}
		err := k.look(ctx, node)
		switch {
		case err == nil || ctx.Err() != nil:
			k.queue.Forget(node)
		case apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err):
			k.queue.AddRateLimited(node)
		default:
			k.broken("the machine of node %s failed: %v", node, err)
		}
		k.queue.Done(node)
	}
}

// look makes of a node's StatefulSet, claim and pod what Kubernetes would.
func (k *kubelet) look(ctx context.Context, node types.NamespacedName) error {
	set, pod := &appsv1.StatefulSet{}, &corev1.Pod{}
	if err := k.cache.Get(ctx, node, set); err != nil {
		return client.IgnoreNotFound(err)
	}
	err := k.cache.Get(ctx, podOf(node), pod)
	if apierrors.IsNotFound(err) {
		pod = nil
	} else if err != nil {
		return err
	}
	bound, err := k.bind(ctx, set)
	if err != nil {
		return err
	}
	revision := revisionOf(set)
	if err := k.tell(ctx, set, pod, revision); err != nil || !bound {
		return err
	}
	switch {
	case pod == nil && *set.Spec.Replicas > 0:
		return k.start(ctx, node, set, revision)
	case pod == nil:
		return nil
	case *set.Spec.Replicas == 0 || pod.Labels[appsv1.ControllerRevisionHashLabelKey] != revision:
		return k.remove(ctx, node, pod)
	}
	return k.run(ctx, node, pod)
}

func podOf(node types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: node.Namespace, Name: node.Name + "-0"}
}

func revisionOf(set *appsv1.StatefulSet) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(set.Spec.Template.String()))
	return fmt.Sprintf("%s-%x", set.Name[:min(40, len(set.Name))], hash.Sum32())
}

// bind gives the claims of a pod their volumes, and reports whether all have one.
func (k *kubelet) bind(ctx context.Context, set *appsv1.StatefulSet) (bool, error) {
	for _, volume := range set.Spec.Template.Spec.Volumes {
		source := volume.PersistentVolumeClaim
		if source == nil {
			continue
		}
		claim := &corev1.PersistentVolumeClaim{}
		if err := k.cache.Get(ctx, types.NamespacedName{Namespace: set.Namespace, Name: source.ClaimName}, claim); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		if claim.Status.Phase == corev1.ClaimBound {
			continue
		}
		if claim.Spec.VolumeName == "" {
			before := claim.DeepCopy()
			claim.Spec.VolumeName = "pv-" + string(claim.UID)
			if err := k.client.Patch(ctx, claim, client.MergeFrom(before)); err != nil {
				return false, fmt.Errorf("binding claim %s: %w", claim.Name, err)
			}
		}
		before := claim.DeepCopy()
		claim.Status.Phase, claim.Status.Capacity = corev1.ClaimBound, claim.Spec.Resources.Requests
		if err := k.client.Status().Patch(ctx, claim, client.MergeFrom(before)); err != nil {
			return false, fmt.Errorf("binding claim %s: %w", claim.Name, err)
		}
	}
	return true, nil
}

// tell writes the status of a StatefulSet when it changed.
func (k *kubelet) tell(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod, revision string) error {
	want := set.DeepCopy()
	want.Status.ObservedGeneration, want.Status.UpdateRevision, want.Status.CurrentRevision = set.Generation, revision, revision
	want.Status.Replicas, want.Status.ReadyReplicas, want.Status.AvailableReplicas = 0, 0, 0
	if pod != nil {
		want.Status.Replicas = 1
	}
	if pod != nil && pod.Status.Phase == corev1.PodRunning {
		want.Status.ReadyReplicas, want.Status.AvailableReplicas = 1, 1
	}
	if equality.Semantic.DeepEqual(set.Status, want.Status) {
		return nil
	}
	return k.client.Status().Patch(ctx, want, client.MergeFrom(set))
}

func (k *kubelet) start(ctx context.Context, node types.NamespacedName, set *appsv1.StatefulSet, revision string) error {
	yes := true
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: podOf(node).Name, Namespace: set.Namespace, Labels: maps.Clone(set.Spec.Template.Labels), Annotations: set.Spec.Template.Annotations,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: set.Name, UID: set.UID, Controller: &yes}}},
		Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = revision
	if err := k.client.Create(ctx, pod); err != nil {
		return err
	}
	return k.run(ctx, node, pod)
}

// run makes a pod run that does not yet, or says that no machine takes it.
func (k *kubelet) run(ctx context.Context, node types.NamespacedName, pod *corev1.Pod) error {
	k.mu.Lock()
	held, done := k.held[node], k.done[pod.UID]
	k.done[pod.UID] = done || !held
	k.mu.Unlock()
	before := pod.DeepCopy()
	switch {
	case done:
		return nil
	case held && len(pod.Status.Conditions) > 0:
		return nil
	case held:
		pod.Status.Phase = corev1.PodPending
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			Message: "0/3 nodes are available: 3 Insufficient memory."}}
		return k.client.Status().Patch(ctx, pod, client.MergeFrom(before))
	}
	address, err := k.nodes.start(node)
	if err != nil {
		return err
	}
	yes := true
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for _, container := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: container.Name, Image: container.Image, ImageID: container.Image,
			Started: &yes, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}})
	}
	if err := k.client.Status().Patch(ctx, pod, client.MergeFrom(before)); err != nil {
		k.mu.Lock()
		delete(k.done, pod.UID)
		k.mu.Unlock()
		return err
	}
	k.isUp(node, pod)
	return nil
}
