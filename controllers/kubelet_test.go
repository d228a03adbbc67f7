package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/resources"
)

// kubelet plays, in one namespace, the parts of Kubernetes that a lone API
// server lacks: StatefulSets get their pod, claims their volume, what nobody
// owns any more is collected. It also is the nodes: it answers for their status.
type kubelet struct {
	c      *cluster
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	ips     map[string]string // pod by address
	say     map[string]func() (nodestatus.Status, error)
	removed map[string]int  // pods removed, by name
	drains  map[string]bool // nodes that were told to drain
	broken  string          // pods of this image never start
	tell    func(format string, args ...any)
	starts  <-chan struct{} // while it is open no pod is started; nil is closed
	// largest is the size that the driver of the volumes can make, zero for any.
	// While growth is held, no volume grows.
	largest    resource.Quantity
	growthHeld bool
}

// newKubelet starts a kubelet that ends with the test.
func newKubelet(t *testing.T, c *cluster) *kubelet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k := &kubelet{c: c, cancel: cancel, done: make(chan struct{}), ips: map[string]string{},
		say: map[string]func() (nodestatus.Status, error){}, removed: map[string]int{}, drains: map[string]bool{}}
	go func() {
		defer close(k.done)
		for ctx.Err() == nil {
			if err := k.pass(ctx); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
				t.Errorf("kubelet: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(25 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(k.stop)
	return k
}

func (k *kubelet) stop() { k.cancel(); <-k.done }

// answer makes a node answer differently; nil makes it well again.
func (k *kubelet) answer(node string, f func() (nodestatus.Status, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.say[node] = f
}

// healthy is what a node says when all is well.
func healthy(id string) nodestatus.Status {
	return nodestatus.Status{Version: "v1", Branch: branch.ID(id), Trunk: "0A", Ready: true, Reason: nodestatus.ReasonReady, Incarnation: "i-" + id, Objects: 7,
		Revision: branch.Revision{{Branch: branch.ID(id), Seq: 3}}}
}

// Status implements nodeclient.Reader.
func (k *kubelet) Status(ctx context.Context, target nodeclient.Target) (nodestatus.Status, error) {
	address := target.Address
	k.mu.Lock()
	pod, known := k.ips[address]
	node := strings.TrimSuffix(pod, "-0")
	say, draining := k.say[node], k.drains[node]
	k.mu.Unlock()
	if !known {
		return nodestatus.Status{}, errors.New("asking the node at " + address + " for its status: connection refused")
	}
	if say != nil {
		status, err := say()
		status.Draining = status.Draining || draining
		return status, err
	}
	status, err := k.replicated(ctx, node)
	status.Draining = draining
	return status, err
}

// replicated is what a node says that has all that any of them wrote.
func (k *kubelet) replicated(ctx context.Context, node string) (status nodestatus.Status, err error) {
	nodes := &v1alpha1.VesperNodeList{}
	if err := k.c.List(ctx, nodes); err != nil {
		return status, err
	}
	var all branch.Revision
	for i := range nodes.Items {
		said := healthy(nodes.Items[i].Spec.BranchID)
		all = all.Merge(said.Revision)
		if nodes.Items[i].Name == node {
			status = said
		}
	}
	status.Revision = all
	return status, nil
}

// SetDraining implements nodeclient.Drainer. A node remembers it across restarts.
func (k *kubelet) SetDraining(_ context.Context, target nodeclient.Target, draining bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	pod, known := k.ips[target.Address]
	if !known {
		return errors.New("telling the node at " + target.Address + ": connection refused")
	}
	k.drains[strings.TrimSuffix(pod, "-0")] = draining
	return nil
}

// told reports whether a node was told to drain.
func (k *kubelet) told(node string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drains[node]
}

func (k *kubelet) pass(ctx context.Context) error {
	sets, pods, claims := &appsv1.StatefulSetList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{}
	for _, list := range []client.ObjectList{sets, pods, claims} {
		if err := k.c.List(ctx, list); err != nil {
			return err
		}
	}
	running, exists := map[string]*corev1.Pod{}, map[string]bool{}
	for i := range pods.Items {
		running[pods.Items[i].Name] = &pods.Items[i]
	}
	for i := range claims.Items {
		exists[claims.Items[i].Name] = claims.Items[i].Status.Phase == corev1.ClaimBound || !unprovided(&claims.Items[i])
		if err := k.claim(ctx, &claims.Items[i], running); err != nil {
			return err
		}
	}
	for i := range sets.Items {
		pod := sets.Items[i].Name + "-0"
		if err := k.run(ctx, &sets.Items[i], running[pod], exists); err != nil {
			return err
		}
		delete(running, pod)
	}
	for _, name := range slices.Sorted(maps.Keys(running)) {
		orphan := running[name]
		k.narrate(strings.TrimSuffix(name, "-0"), "stopped for good: it was removed")
		if err := k.remove(ctx, orphan); err != nil {
			return err
		}
	}
	return k.collect(ctx)
}

// claim binds a claim, and lets one go that is marked for deletion and not mounted.
func (k *kubelet) claim(ctx context.Context, claim *corev1.PersistentVolumeClaim, running map[string]*corev1.Pod) error {
	if claim.DeletionTimestamp != nil {
		for _, pod := range running {
			for _, volume := range pod.Spec.Volumes {
				if source := volume.PersistentVolumeClaim; source != nil && source.ClaimName == claim.Name {
					return nil
				}
			}
		}
		claim.Finalizers = nil
		return k.c.Update(ctx, claim)
	}
	if claim.Status.Phase != corev1.ClaimBound && unprovided(claim) {
		return nil
	}
	if claim.Status.Phase != corev1.ClaimBound {
		claim.Status.Phase, claim.Status.Capacity = corev1.ClaimBound, corev1.ResourceList{corev1.ResourceStorage: resources.ClaimSize(claim)}
		return k.c.Status().Update(ctx, claim)
	}
	return k.grow(ctx, claim)
}

// missingClass is a storage class that nobody provides volumes of.
const missingClass = "typo"

func unprovided(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.StorageClassName != nil && *claim.Spec.StorageClassName == missingClass
}

// grow does as the driver of a volume and the kubelet do, one step at a time.
func (k *kubelet) grow(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	k.mu.Lock()
	largest, held := k.largest, k.growthHeld
	k.mu.Unlock()
	status, asks := &claim.Status, resources.ClaimSize(claim)
	if has := status.Capacity[corev1.ResourceStorage]; asks.Cmp(has) <= 0 {
		return nil
	}
	at, told := status.AllocatedResources[corev1.ResourceStorage]
	stage := status.AllocatedResourceStatuses[corev1.ResourceStorage]
	next, kind := corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimResizing
	switch {
	case !told || at.Cmp(asks) != 0:
	case !largest.IsZero() && asks.Cmp(largest) > 0:
		next, kind = corev1.PersistentVolumeClaimControllerResizeInfeasible, corev1.PersistentVolumeClaimControllerResizeError
	case held:
		return nil
	case stage == corev1.PersistentVolumeClaimControllerResizeInProgress:
		next, kind = corev1.PersistentVolumeClaimNodeResizePending, corev1.PersistentVolumeClaimFileSystemResizePending
	case stage == corev1.PersistentVolumeClaimNodeResizePending:
		status.Capacity, status.AllocatedResources = corev1.ResourceList{corev1.ResourceStorage: asks}, corev1.ResourceList{corev1.ResourceStorage: asks}
		status.AllocatedResourceStatuses, status.Conditions = nil, nil
		k.narrate(strings.TrimPrefix(claim.Name, "data-"), "has a volume of %s", asks.String())
		return k.c.Status().Update(ctx, claim)
	}
	if told && at.Cmp(asks) == 0 && stage == next {
		return nil
	}
	status.AllocatedResources = corev1.ResourceList{corev1.ResourceStorage: asks}
	status.AllocatedResourceStatuses = map[corev1.ResourceName]corev1.ClaimResourceStatus{corev1.ResourceStorage: next}
	status.Conditions = []corev1.PersistentVolumeClaimCondition{{Type: kind, Status: corev1.ConditionTrue}}
	return k.c.Status().Update(ctx, claim)
}

// driver says what volumes the driver can make, and whether it lets them grow now.
func (k *kubelet) driver(largest string, held bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.largest, k.growthHeld = resource.Quantity{}, held
	if largest != "" {
		k.largest = resource.MustParse(largest)
	}
}

func (k *kubelet) run(ctx context.Context, set *appsv1.StatefulSet, pod *corev1.Pod, claims map[string]bool) error {
	revision := fmt.Sprintf("%s-%x", set.Name[:min(20, len(set.Name))], hashText(set.Spec.Template.String()))
	if set.Status.ObservedGeneration != set.Generation || set.Status.UpdateRevision != revision {
		set.Status.ObservedGeneration, set.Status.UpdateRevision, set.Status.CurrentRevision = set.Generation, revision, revision
		if err := k.c.Status().Update(ctx, set); err != nil {
			return err
		}
	}
	switch {
	case pod != nil && (*set.Spec.Replicas == 0 || pod.Labels[appsv1.ControllerRevisionHashLabelKey] != revision):
		k.narrate(set.Name, "%s", whyRemoved(set, pod))
		return k.remove(ctx, pod)
	case pod == nil && *set.Spec.Replicas == 1:
		return k.start(ctx, set, revision, claims)
	}
	return nil
}

// holdStarts lets no pod start until release is closed.
func (k *kubelet) holdStarts(release <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.starts = release
}

// held reports whether pods must not be started now.
func (k *kubelet) held() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.starts == nil {
		return false
	}
	select {
	case <-k.starts:
		return false
	default:
		return true
	}
}

func (k *kubelet) start(ctx context.Context, set *appsv1.StatefulSet, revision string, claims map[string]bool) error {
	if k.held() {
		return nil
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: set.Name + "-0", Namespace: set.Namespace, Labels: map[string]string{}, Annotations: set.Spec.Template.Annotations},
		Spec: *set.Spec.Template.Spec.DeepCopy()}
	maps.Copy(pod.Labels, set.Spec.Template.Labels)
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = revision
	for _, volume := range pod.Spec.Volumes {
		if source := volume.PersistentVolumeClaim; source != nil && !claims[source.ClaimName] {
			return nil
		}
	}
	if err := k.c.Create(ctx, pod); err != nil {
		return err
	}
	k.mu.Lock()
	ip := fmt.Sprintf("10.1.%d.%d", len(k.ips)/250, len(k.ips)%250+1)
	k.ips[ip+":8000"] = pod.Name
	k.mu.Unlock()
	if pod.Spec.Containers[0].Image == k.broken {
		return k.stick(ctx, pod)
	}
	k.narrate(set.Name, "started")
	yes := true
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for _, container := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: container.Name, Image: container.Image, Started: &yes, Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
	}
	return k.c.Status().Update(ctx, pod)
}

// narrate tells what happens to a node, to whoever listens.
func (k *kubelet) narrate(node, format string, args ...any) {
	if k.tell != nil {
		k.tell("%s", node+" "+fmt.Sprintf(format, args...))
	}
}

// whyRemoved says why a pod is not wanted as it is.
func whyRemoved(set *appsv1.StatefulSet, pod *corev1.Pod) string {
	was, is := pod.Spec.Containers[0], set.Spec.Template.Spec.Containers[0]
	switch {
	case *set.Spec.Replicas == 0:
		return "stopped: it is not to run"
	case was.Image != is.Image:
		return "stopped for a restart: its image changed from " + was.Image + " to " + is.Image
	case pod.Annotations[v1alpha1.AnnotationConfigHash] != set.Spec.Template.Annotations[v1alpha1.AnnotationConfigHash]:
		return "stopped for a restart: its configuration changed"
	case was.Resources.String() != is.Resources.String():
		return "stopped for a restart: its resources changed"
	}
	return "stopped for a restart"
}

// stick leaves a pod as one whose image cannot be pulled.
func (k *kubelet) stick(ctx context.Context, pod *corev1.Pod) error {
	k.narrate(strings.TrimSuffix(pod.Name, "-0"), "cannot start: its image %s cannot be pulled", k.broken)
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image"}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: waiting}}}
	return k.c.Status().Update(ctx, pod)
}

func (k *kubelet) remove(ctx context.Context, pod *corev1.Pod) error {
	k.mu.Lock()
	k.removed[pod.Name]++
	for address, name := range k.ips {
		if name == pod.Name {
			k.ips[address] = "gone"
		}
	}
	k.mu.Unlock()
	return k.c.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

// removals counts how often a node's pod was removed.
func (k *kubelet) removals(node string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.removed[node+"-0"]
}

// collect deletes what belongs to something that is gone.
func (k *kubelet) collect(ctx context.Context) error {
	alive := map[types.UID]bool{}
	brokers, clusters, nodes := &v1alpha1.VesperBrokerList{}, &v1alpha1.VesperClusterList{}, &v1alpha1.VesperNodeList{}
	sets, claims, configs, services := &appsv1.StatefulSetList{}, &corev1.PersistentVolumeClaimList{}, &corev1.ConfigMapList{}, &corev1.ServiceList{}
	policies, budgets, secrets := &networkingv1.NetworkPolicyList{}, &policyv1.PodDisruptionBudgetList{}, &corev1.SecretList{}
	// Owners are listed after what they own, so that none is missed.
	for _, list := range []client.ObjectList{policies, budgets, secrets, services, configs, claims, sets, nodes, clusters, brokers} {
		if err := k.c.List(ctx, list); err != nil {
			return err
		}
	}
	var owned []client.Object
	for i := range brokers.Items {
		alive[brokers.Items[i].UID] = true
	}
	for i := range clusters.Items {
		alive[clusters.Items[i].UID] = true
	}
	for i := range nodes.Items {
		alive[nodes.Items[i].UID] = true
		owned = append(owned, &nodes.Items[i])
	}
	for i := range sets.Items {
		owned = append(owned, &sets.Items[i])
	}
	for i := range claims.Items {
		owned = append(owned, &claims.Items[i])
	}
	for i := range configs.Items {
		owned = append(owned, &configs.Items[i])
	}
	for i := range services.Items {
		owned = append(owned, &services.Items[i])
	}
	for i := range policies.Items {
		owned = append(owned, &policies.Items[i])
	}
	for i := range budgets.Items {
		owned = append(owned, &budgets.Items[i])
	}
	for i := range secrets.Items {
		owned = append(owned, &secrets.Items[i])
	}
	for _, object := range owned {
		if owner := metav1.GetControllerOf(object); owner != nil && !alive[owner.UID] && object.GetDeletionTimestamp() == nil {
			if err := client.IgnoreNotFound(k.c.Delete(ctx, object)); err != nil {
				return err
			}
		}
	}
	return nil
}

func hashText(text string) uint32 {
	hash := uint32(2166136261)
	for i := range len(text) {
		hash = (hash ^ uint32(text[i])) * 16777619
	}
	return hash
}
