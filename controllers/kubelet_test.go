package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
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
	starts  <-chan struct{} // while it is open no pod is started; nil is closed
}

// newKubelet starts a kubelet that ends with the test.
func newKubelet(t *testing.T, c *cluster) *kubelet {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k := &kubelet{c: c, cancel: cancel, done: make(chan struct{}), ips: map[string]string{},
		say: map[string]func() (nodestatus.Status, error){}, removed: map[string]int{}}
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
func (k *kubelet) Status(ctx context.Context, address string) (nodestatus.Status, error) {
	k.mu.Lock()
	pod, known := k.ips[address]
	node := strings.TrimSuffix(pod, "-0")
	say := k.say[node]
	k.mu.Unlock()
	if !known {
		return nodestatus.Status{}, errors.New("asking the node at " + address + " for its status: connection refused")
	}
	if say != nil {
		return say()
	}
	vn := &v1alpha1.VesperNode{}
	if err := k.c.Get(ctx, client.ObjectKey{Namespace: k.c.Namespace, Name: node}, vn); err != nil {
		return nodestatus.Status{}, err
	}
	return healthy(vn.Spec.BranchID), nil
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
		exists[claims.Items[i].Name] = true
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
	for _, orphan := range running {
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
	if claim.Status.Phase == corev1.ClaimBound {
		return nil
	}
	claim.Status.Phase = corev1.ClaimBound
	return k.c.Status().Update(ctx, claim)
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
	yes := true
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	for _, container := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: container.Name, Image: container.Image, Started: &yes, Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
	}
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
	// Owners are listed after what they own, so that none is missed.
	for _, list := range []client.ObjectList{services, configs, claims, sets, nodes, clusters, brokers} {
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
