package controllers

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeclient"
)

// DefaultNodeImage is what a node runs whose spec names no image, unless the
// operator was started with another.
const DefaultNodeImage = "vesper/node:dev"

// How often nodes are asked, and how long their figures stand. Asking reads;
// nothing is written while nothing changed.
const (
	nodeAskSoon  = 2 * time.Second
	nodeAskReady = 30 * time.Second
	nodeFigures  = time.Minute
	// nodeLookAgain is when a hand-made node that is held back, or one whose
	// child was refused, is looked at again without being told of a change.
	nodeLookAgain = 30 * time.Second
)

// nodeWorkers is how many nodes are worked on at the same time.
const nodeWorkers = 8

// VesperNodeReconciler makes nodes run and says of each whether it replicates.
type VesperNodeReconciler struct {
	// NodeImage is what a node gets that names none: "" is DefaultNodeImage. A
	// node that runs keeps the image that it has.
	NodeImage string
	// Status asks nodes; nil does it over HTTP.
	Status nodeclient.Reader
	// Now is the time; nil is the machine's.
	Now func() time.Time

	client   client.Client
	live     client.Reader
	recorder events.EventRecorder
	poller   *nodeclient.Poller
	access   *accessReader
	pace     pacer
	sizes    sizes
	askReady time.Duration // how old the answer of a ready node may get
}

// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperbrokers;vesperclusters;vespernodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vespernodes/status,verbs=patch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vespernodes/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=configmaps;persistentvolumeclaims;secrets;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager adds the controller to mgr, whose cache should be made with CacheOptions.
func (r *VesperNodeReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.NodeImage == "" {
		r.NodeImage = DefaultNodeImage
	}
	if r.Status == nil {
		r.Status = nodeclient.New()
	}
	if r.askReady == 0 {
		r.askReady = nodeAskReady
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	r.client, r.live = mgr.GetClient(), mgr.GetAPIReader()
	r.recorder = mgr.GetEventRecorder("vespernode")
	r.access = &accessReader{client: r.client, live: r.live, now: r.Now}
	poller, answers, err := newPoller(mgr, r.Status)
	if err != nil {
		return err
	}
	r.poller = poller
	err = ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.VesperNode{}).
		Owns(&appsv1.StatefulSet{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.Secret{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(nodeOf)).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(nodeOf)).
		Watches(&v1alpha1.VesperBroker{}, handler.EnqueueRequestsFromMapFunc(r.nodesOfBroker)).
		Watches(&v1alpha1.VesperCluster{}, startedNodes()).
		WatchesRawSource(source.Channel(answers, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: nodeWorkers}).
		Named("vespernode").
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the controller of VesperNodes: %w", err)
	}
	return nil
}

// newPoller adds a poller of nodes to mgr, and returns with it what it sends when
// a node's answer is news: a VesperNode with nothing but its name.
func newPoller(mgr ctrl.Manager, reader nodeclient.Reader) (*nodeclient.Poller, <-chan event.GenericEvent, error) {
	answers := make(chan event.GenericEvent, 1024)
	poller := nodeclient.NewPoller(reader, func(ctx context.Context, node types.NamespacedName) {
		object := &v1alpha1.VesperNode{}
		object.Namespace, object.Name = node.Namespace, node.Name
		select {
		case answers <- event.GenericEvent{Object: object}:
		case <-ctx.Done():
		}
	})
	if err := mgr.Add(poller); err != nil {
		return nil, nil, fmt.Errorf("adding a poller of VesperNodes: %w", err)
	}
	return poller, answers, nil
}

// Reconcile reads the node and its children, decides whether it may run, makes
// the children what they should be, asks the node how it is, and writes the
// status if it changed.
func (r *VesperNodeReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &nodeScope{reconciler: r, node: &v1alpha1.VesperNode{}}
	if err := r.client.Get(ctx, req.NamespacedName, s.node); err != nil {
		r.poller.Forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if s.node.DeletionTimestamp != nil {
		r.sizes.forget(s.node)
		return ctrl.Result{}, nil // owned children go with it; a kept volume stays
	}
	for _, phase := range []func(context.Context) error{s.readBrokers, s.readOwn, s.readAccess, s.decide, s.act, s.ask, s.depart, s.writeStatus} {
		if err := phase(ctx); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err) // no later phase may run, least of all without a decision
		}
	}
	return ctrl.Result{RequeueAfter: s.askAgain()}, nil
}
