package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/subscriptions"
)

const (
	// clusterLookAgain is when a cluster that someone else keeps from going on
	// is looked at again without being told of a change.
	clusterLookAgain = 30 * time.Second
	// clusterConflict is when a pass is repeated that met a newer object.
	clusterConflict = 100 * time.Millisecond
)

// VesperClusterReconciler gives the nodes of clusters their branch ids, makes
// and removes the nodes, and says how they are.
type VesperClusterReconciler struct {
	// NodeImage is what the nodes of a new cluster get that names none: "" is
	// DefaultNodeImage. A cluster that has nodes keeps the image that they have.
	NodeImage string
	// Subscriptions drops what nodes that are gone have left at their brokers; nil
	// does it over the network.
	Subscriptions subscriptions.Dropper

	client   client.Client
	live     client.Reader
	recorder events.EventRecorder
	pace     pacer
	// subscriptions are those being dropped.
	subscriptions *subscriptions.Background
}

// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperbrokers,verbs=get;list;watch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperclusters/status,verbs=patch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups=vesperdb.io,resources=vespernodes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=configmaps;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager adds the controller to mgr, whose cache should be made with CacheOptions.
func (r *VesperClusterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.NodeImage == "" {
		r.NodeImage = DefaultNodeImage
	}
	r.client, r.live = mgr.GetClient(), mgr.GetAPIReader()
	r.recorder = mgr.GetEventRecorder("vespercluster")
	dropped, err := r.dropInBackground(mgr)
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.VesperCluster{}).
		Owns(&v1alpha1.VesperNode{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(clusterOf)).
		Watches(&v1alpha1.VesperBroker{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfBroker)).
		Watches(&v1alpha1.VesperCluster{}, handler.EnqueueRequestsFromMapFunc(r.clustersOnChannel), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.VesperNode{}, handler.EnqueueRequestsFromMapFunc(r.clustersOnChannel), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(dropped, &handler.EnqueueRequestForObject{})).
		Named("vespercluster").
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the controller of VesperClusters: %w", err)
	}
	return nil
}

// dropInBackground adds what drops subscriptions to mgr, and returns with it what it
// sends after each attempt: a VesperCluster with nothing but its name.
func (r *VesperClusterReconciler) dropInBackground(mgr ctrl.Manager) (<-chan event.GenericEvent, error) {
	if r.Subscriptions == nil {
		r.Subscriptions = subscriptions.Client{}
	}
	ended := make(chan event.GenericEvent, 64)
	r.subscriptions = subscriptions.NewBackground(r.Subscriptions, func(ctx context.Context, cluster types.NamespacedName) {
		object := &v1alpha1.VesperCluster{}
		object.Namespace, object.Name = cluster.Namespace, cluster.Name
		select {
		case ended <- event.GenericEvent{Object: object}:
		case <-ctx.Done():
		}
	})
	if err := mgr.Add(r.subscriptions); err != nil {
		return nil, fmt.Errorf("adding what drops subscriptions: %w", err)
	}
	return ended, nil
}

// Reconcile reads the cluster and all that bears branch ids, plans, records the
// ids, makes and removes nodes, and writes the status if it changed.
func (r *VesperClusterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &clusterScope{reconciler: r, cluster: &v1alpha1.VesperCluster{}}
	if err := r.client.Get(ctx, req.NamespacedName, s.cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if s.cluster.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // owned nodes go with it; kept volumes stay
	}
	if s.cluster.Spec.Paused {
		s.pause.By = "spec.paused"
	}
	for _, phase := range []func(context.Context) error{s.readBrokers, s.plan, s.record, s.act, s.writeStatus} {
		if err := phase(ctx); apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: clusterConflict}, nil // what was read is old
		} else if err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err) // no later phase may run, least of all without a record
		}
	}
	return ctrl.Result{RequeueAfter: s.lookAgain()}, nil
}
