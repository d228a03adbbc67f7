package controllers

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// nodeOf finds the node of a pod or claim by its label: a pod belongs to a
// StatefulSet, a kept claim to nobody.
func nodeOf(_ context.Context, child client.Object) []reconcile.Request {
	name := child.GetLabels()[v1alpha1.LabelNode]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: child.GetNamespace(), Name: name}}}
}

// nodesOfBroker finds the nodes that a broker matters to.
func (r *VesperNodeReconciler) nodesOfBroker(ctx context.Context, broker client.Object) []reconcile.Request {
	nodes := &v1alpha1.VesperNodeList{}
	if err := r.client.List(ctx, nodes, client.InNamespace(broker.GetNamespace())); err != nil {
		log.FromContext(ctx).Error(err, "Listed no VesperNodes for a broker", "broker", broker.GetName())
		return nil
	}
	var requests []reconcile.Request
	for i := range nodes.Items {
		if slices.ContainsFunc(resources.NodeChannels(&nodes.Items[i]), func(c topology.Channel) bool { return c.Broker == broker.GetName() }) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&nodes.Items[i])})
		}
	}
	return requests
}

// startedNodes wakes the nodes whose ids a cluster has just recorded as in use, all
// of them when it is paused or no longer, and none for any other change of a cluster.
func startedNodes() handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		before, ok := e.ObjectOld.(*v1alpha1.VesperCluster)
		after, ok2 := e.ObjectNew.(*v1alpha1.VesperCluster)
		if !ok || !ok2 {
			return
		}
		for _, name := range newlyStarted(before, after) {
			queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: after.Namespace, Name: name}})
		}
	}}
}

// newlyStarted names the nodes whose ids after has as started and before had not;
// of a cluster whose pause began or ended, all.
func newlyStarted(before, after *v1alpha1.VesperCluster) []string {
	started := map[string]bool{}
	if before.Spec.Paused == after.Spec.Paused {
		for _, a := range before.Status.Ledger.Assigned {
			started[a.ID] = a.Started
		}
	}
	var names []string
	for _, a := range after.Status.Ledger.Assigned {
		if a.Started && !started[a.ID] {
			names = append(names, topology.NodeName(after.Name, a.Group, branch.ID(a.ID)))
		}
	}
	return names
}
