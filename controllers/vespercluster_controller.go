package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeclient"
)

const (
	// clusterLookAgain is when a cluster that someone else keeps from going on
	// is looked at again without being told of a change.
	clusterLookAgain = 30 * time.Second
	// clusterConflict is when a pass is repeated that met a newer object.
	clusterConflict = 100 * time.Millisecond
	// clusterAskLeaver is how often a node that is to be removed is asked what it
	// has to send; clusterAnswerStands is how old an answer may be to count.
	clusterAskLeaver    = 2 * time.Second
	clusterAnswerStands = 2 * clusterAskLeaver
)

// VesperClusterReconciler gives the nodes of clusters their branch ids, makes
// and removes the nodes, and says how they are.
type VesperClusterReconciler struct {
	// NodeImage is what the nodes of a new cluster get that names none: "" is
	// DefaultNodeImage. A cluster that has nodes keeps the image that they have.
	NodeImage string
	// Status asks nodes that are to be removed; nil does it over HTTP.
	Status nodeclient.Reader

	client   client.Client
	live     client.Reader
	recorder events.EventRecorder
	pace     pacer
	poller   *nodeclient.Poller // of nodes that are to be removed
}

// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperbrokers,verbs=get;list;watch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperclusters/status,verbs=patch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups=vesperdb.io,resources=vespernodes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=configmaps;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager adds the controller to mgr, whose cache should be made with CacheOptions.
func (r *VesperClusterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.NodeImage == "" {
		r.NodeImage = DefaultNodeImage
	}
	r.client, r.live = mgr.GetClient(), mgr.GetAPIReader()
	r.recorder = mgr.GetEventRecorder("vespercluster")
	if r.Status == nil {
		r.Status = nodeclient.New()
	}
	poller, answers, err := newPoller(mgr, r.Status)
	if err != nil {
		return err
	}
	r.poller = poller
	err = ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.VesperCluster{}).
		Owns(&v1alpha1.VesperNode{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(clusterOf)).
		Watches(&v1alpha1.VesperBroker{}, handler.EnqueueRequestsFromMapFunc(r.clustersOfBroker)).
		Watches(&v1alpha1.VesperCluster{}, handler.EnqueueRequestsFromMapFunc(r.clustersOnChannel), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.VesperNode{}, handler.EnqueueRequestsFromMapFunc(r.clustersOnChannel), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(answers, handler.EnqueueRequestsFromMapFunc(r.clusterOfNode))).
		Named("vespercluster").
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the controller of VesperClusters: %w", err)
	}
	return nil
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
	for _, phase := range []func(context.Context) error{s.readBroker, s.plan, s.record, s.act, s.writeStatus} {
		if err := phase(ctx); apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: clusterConflict}, nil // what was read is old
		} else if err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err) // no later phase may run, least of all without a record
		}
	}
	return ctrl.Result{RequeueAfter: s.lookAgain()}, nil
}
