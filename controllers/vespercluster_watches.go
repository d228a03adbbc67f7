package controllers

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"vesperdb.io/vesper/api/v1alpha1"
)

// clusterOf finds the cluster of a claim by its label: a kept claim belongs to nobody.
func clusterOf(_ context.Context, claim client.Object) []reconcile.Request {
	name := claim.GetLabels()[v1alpha1.LabelCluster]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: claim.GetNamespace(), Name: name}}}
}

// clustersOfBroker finds the clusters that a broker matters to.
func (r *VesperClusterReconciler) clustersOfBroker(ctx context.Context, broker client.Object) []reconcile.Request {
	return r.clusters(ctx, broker.GetNamespace(), func(c *v1alpha1.VesperCluster) bool {
		return c.Spec.BrokerRef.Name == broker.GetName()
	})
}

// clustersOnChannel finds the clusters beside another one, or beside a node that
// a person made: their ids must not meet. The nodes that a cluster made are the
// business of others only where these list all members of the channel.
func (r *VesperClusterReconciler) clustersOnChannel(ctx context.Context, other client.Object) []reconcile.Request {
	var broker, channel string
	var owner types.UID
	switch o := other.(type) {
	case *v1alpha1.VesperCluster:
		broker, channel = o.Spec.BrokerRef.Name, o.Spec.Channel
	case *v1alpha1.VesperNode:
		if by := metav1.GetControllerOf(o); by != nil {
			owner = by.UID
		}
		broker, channel = o.Spec.BrokerRef.Name, o.Spec.Channel
	}
	return r.clusters(ctx, other.GetNamespace(), func(c *v1alpha1.VesperCluster) bool {
		concerned := owner == "" || c.UID != owner && c.Spec.Retention.Limited()
		return concerned && c.Spec.BrokerRef.Name == broker && c.Spec.Channel == channel && c.UID != other.GetUID()
	})
}

func (r *VesperClusterReconciler) clusters(ctx context.Context, namespace string, matters func(*v1alpha1.VesperCluster) bool) []reconcile.Request {
	list := &v1alpha1.VesperClusterList{}
	if err := r.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		log.FromContext(ctx).Error(err, "Listed no VesperClusters", "namespace", namespace)
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if matters(&list.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
