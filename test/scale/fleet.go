package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
)

// fleet is what is known, from watches, of clusters and nodes.
type fleet struct {
	mu       sync.Mutex
	nodes    map[types.NamespacedName]member
	clusters map[types.NamespacedName]clusterState
	ids      map[string]types.UID // by namespace, channel and branch id, for ever
	broken   func(format string, args ...any)
}

// member is a VesperNode.
type member struct {
	branch  branch.ID
	cluster types.NamespacedName
	image   string
	ready   bool
}

// clusterState is a VesperCluster.
type clusterState struct {
	ready   bool
	image   string
	members map[types.NamespacedName]branch.ID
}

func newFleet(broken func(format string, args ...any)) *fleet {
	return &fleet{nodes: map[types.NamespacedName]member{}, clusters: map[types.NamespacedName]clusterState{}, ids: map[string]types.UID{}, broken: broken}
}

// watch begins to follow clusters and nodes. saw gets the resource versions of all
// that is watched here and by the kubelet.
func (f *fleet) watch(ctx context.Context, c cache.Cache, saw func(uint64)) error {
	for _, object := range []client.Object{&v1alpha1.VesperNode{}, &v1alpha1.VesperCluster{}, &v1alpha1.VesperBroker{},
		&appsv1.StatefulSet{}, &corev1.Pod{}, &corev1.PersistentVolumeClaim{}} {
		informer, err := c.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
		see := func(o any) {
			object, ok := o.(client.Object)
			if !ok {
				return
			}
			if version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64); err == nil {
				saw(version)
			}
			f.see(object)
		}
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: see, UpdateFunc: func(_, o any) { see(o) }, DeleteFunc: f.gone}); err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
	}
	return nil
}

func (f *fleet) see(object client.Object) {
	if object.GetNamespace() == probes {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch o := object.(type) {
	case *v1alpha1.VesperNode:
		f.seeNode(o)
	case *v1alpha1.VesperCluster:
		state := f.clusters[client.ObjectKeyFromObject(o)]
		state.ready, state.image = isReady(o.Status.Conditions, o.Generation, o.Status.ObservedGeneration), o.Spec.Image
		f.clusters[client.ObjectKeyFromObject(o)] = state
	}
}

// seeNode notes a node, and that its id is its own.
func (f *fleet) seeNode(node *v1alpha1.VesperNode) {
	key, of := client.ObjectKeyFromObject(node), types.NamespacedName{Namespace: node.Namespace, Name: node.Labels[v1alpha1.LabelCluster]}
	id := node.Namespace + "/" + node.Spec.Channel + "/" + node.Spec.BranchID
	if had, known := f.ids[id]; known && had != node.UID {
		f.broken("branch id %s was given to two nodes, the second is %s", id, key)
	}
	f.ids[id] = node.UID
	f.nodes[key] = member{branch: branch.ID(node.Spec.BranchID), cluster: of, image: node.Spec.Image,
		ready: isReady(node.Status.Conditions, node.Generation, node.Status.ObservedGeneration)}
	state := f.clusters[of]
	if state.members == nil {
		state.members = map[types.NamespacedName]branch.ID{}
	}
	state.members[key] = branch.ID(node.Spec.BranchID)
	f.clusters[of] = state
}

func (f *fleet) gone(o any) {
	node, ok := o.(*v1alpha1.VesperNode)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := client.ObjectKeyFromObject(node)
	delete(f.clusters[f.nodes[key].cluster].members, key)
	delete(f.nodes, key)
}

func isReady(conditions []metav1.Condition, generation, observed int64) bool {
	return observed == generation && meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReady)
}

// ready counts the clusters and nodes that are ready with an image.
func (f *fleet) ready(image string) (clusters, nodes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clusters {
		if c.ready && c.image == image {
			clusters++
		}
	}
	for _, n := range f.nodes {
		if n.ready && n.image == image {
			nodes++
		}
	}
	return clusters, nodes
}

// of returns a node and the branch ids of its cluster.
func (f *fleet) of(node types.NamespacedName) (found member, mates []branch.ID, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, known = f.nodes[node]
	for _, id := range f.clusters[found.cluster].members {
		mates = append(mates, id)
	}
	return found, mates, known
}

// membersOf returns the nodes of a cluster.
func (f *fleet) membersOf(cluster types.NamespacedName) (all []types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.clusters[cluster].members {
		all = append(all, key)
	}
	return all
}

// until waits for something to hold.
func until(ctx context.Context, patience time.Duration, what string, holds func() (bool, string)) error {
	deadline := time.Now().Add(patience)
	for {
		ok, state := holds()
		switch {
		case ok:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("waited %v for %s: %s", patience, what, state)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
