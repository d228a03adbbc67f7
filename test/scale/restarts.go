package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// remove ends a pod that is not what its StatefulSet wants.
func (k *kubelet) remove(ctx context.Context, node types.NamespacedName, pod *corev1.Pod) error {
	k.isDown(node, pod)
	k.nodes.stop(node)
	return client.IgnoreNotFound(k.client.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID}))
}

func clusterOfPod(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Labels[v1alpha1.LabelCluster]}
}

// isDown notes that a node restarts. One that does while another of its cluster
// does, too, is a promise broken.
func (k *kubelet) isDown(node types.NamespacedName, pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cluster := clusterOfPod(pod)
	if k.down[cluster] == nil {
		k.down[cluster] = map[types.NamespacedName]string{}
	}
	if _, already := k.down[cluster][node]; already {
		return
	}
	k.down[cluster][node] = string(pod.UID)
	k.removed++
	if n := len(k.down[cluster]); n > k.most {
		k.most = n
	}
	if len(k.down[cluster]) == 2 {
		k.broken("two nodes of cluster %s restart at once, the second is %s", cluster, node.Name)
	}
}

func (k *kubelet) isUp(node types.NamespacedName, pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.down[clusterOfPod(pod)], node)
}

// count returns how many pods the operator had replaced, and the most of one
// cluster at once, since it was called before.
func (k *kubelet) count() (removed, most int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	removed, most = k.removed, k.most
	k.removed, k.most = 0, 0
	return removed, most
}

// evict ends the pods of nodes; the new ones find no machine until they are let go.
func (k *kubelet) evict(ctx context.Context, all []types.NamespacedName) error {
	k.mu.Lock()
	for _, node := range all {
		k.held[node] = true
	}
	k.mu.Unlock()
	for _, node := range all {
		k.nodes.stop(node)
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name = podOf(node).Namespace, podOf(node).Name
		if err := k.client.Delete(ctx, pod, client.GracePeriodSeconds(0)); err != nil {
			return err
		}
	}
	return nil
}

// release finds machines for all pods.
func (k *kubelet) release() {
	k.mu.Lock()
	held := k.held
	k.held = map[types.NamespacedName]bool{}
	k.mu.Unlock()
	for node := range held {
		k.queue.Add(node)
	}
}
