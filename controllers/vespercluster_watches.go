package controllers

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
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
		return slices.ContainsFunc(c.Spec.Groups, func(g v1alpha1.NodeGroup) bool { return resources.GroupChannel(c, g).Broker == broker.GetName() })
	})
}

// clustersOnChannel finds the clusters in one system with another one, or with a
// node that a person made: their ids must not meet. The nodes that a cluster made
// are the business of others only where these list all members of the channel.
func (r *VesperClusterReconciler) clustersOnChannel(ctx context.Context, other client.Object) []reconcile.Request {
	var channels []topology.Channel
	var owner types.UID
	switch o := other.(type) {
	case *v1alpha1.VesperCluster:
		channels = groupChannels(o)
	case *v1alpha1.VesperNode:
		if by := metav1.GetControllerOf(o); by != nil {
			owner = by.UID
		}
		channels = resources.NodeChannels(o)
	}
	mates, err := listMates(ctx, r.client, other.GetNamespace())
	if err != nil {
		log.FromContext(ctx).Error(err, "Found no VesperClusters on a channel", "namespace", other.GetNamespace())
		return nil
	}
	carriers := mates.surroundings(func(client.Object) bool { return true }).Carriers
	for i := range mates.clusters {
		carriers = append(carriers, groupChannels(&mates.clusters[i]))
	}
	reached := mates.brokers.Reach(channels, carriers)
	return r.clusters(ctx, other.GetNamespace(), func(c *v1alpha1.VesperCluster) bool {
		concerned := owner == "" || c.UID != owner && c.Spec.Retention.Limited()
		return concerned && c.UID != other.GetUID() && mates.brokers.Meets(reached, groupChannels(c))
	})
}

func groupChannels(cluster *v1alpha1.VesperCluster) (all []topology.Channel) {
	for _, group := range cluster.Spec.Groups {
		all = append(all, resources.GroupChannel(cluster, group))
	}
	return all
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
