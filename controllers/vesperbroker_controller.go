package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/brokerprobe"
	"vesperdb.io/vesper/internal/stomp"
)

// DefaultBrokerImage is the ActiveMQ Classic that a broker gets which names no
// image, unless the operator was started with another.
const DefaultBrokerImage = "apache/activemq-classic:6.1.7"

// How long until a broker is asked again. Asking reads; nothing is written
// while the answer stays the same. What happens to pods is watched.
const (
	brokerAskReady     = time.Minute
	brokerAskSettling  = time.Second
	brokerAskSoon      = 5 * time.Second
	brokerAskPatient   = 30 * time.Second
	brokerImpatientFor = 5 * time.Minute
	// brokerSettlesFor is how long a Service may take to lead to a pod that became ready.
	brokerSettlesFor = 15 * time.Second
)

// BrokerProber asks hosts for a STOMP CONNECT, in bounded time, and returns one
// answer for each, in their order. A nil source means no login.
type BrokerProber interface {
	Probe(ctx context.Context, hosts []string, virtualHost string, credentials stomp.CredentialSource) []brokerprobe.Answer
}

// VesperBrokerReconciler makes managed brokers run, and says of every broker
// whether nodes can use it.
type VesperBrokerReconciler struct {
	// Image is what a broker gets that names none: "" is DefaultBrokerImage. A
	// broker that runs keeps the image that it has.
	Image string
	// Prober asks brokers; nil does it over the network.
	Prober BrokerProber

	client   client.Client
	live     client.Reader
	recorder events.EventRecorder
	sizes    sizes
}

// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperbrokers,verbs=get;list;watch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperbrokers/status,verbs=patch
// +kubebuilder:rbac:groups=vesperdb.io,resources=vesperbrokers/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=configmaps;persistentvolumeclaims;secrets;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// SetupWithManager adds the controller to mgr, whose cache should be made with CacheOptions.
func (r *VesperBrokerReconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Image == "" {
		r.Image = DefaultBrokerImage
	}
	if r.Prober == nil {
		r.Prober = brokerprobe.Prober{}
	}
	r.client, r.live = mgr.GetClient(), mgr.GetAPIReader()
	r.recorder = mgr.GetEventRecorder("vesperbroker")
	err := ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.VesperBroker{}).
		Owns(&appsv1.StatefulSet{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.Secret{}).
		Owns(&corev1.Service{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(brokerOf)).
		Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(brokerOf)).
		Named("vesperbroker").
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the controller of VesperBrokers: %w", err)
	}
	return nil
}

// brokerOf finds the broker of a pod or claim by its label: a pod belongs to a
// StatefulSet, a kept claim to nobody.
func brokerOf(_ context.Context, child client.Object) []reconcile.Request {
	name := child.GetLabels()[v1alpha1.LabelBroker]
	if name == "" || child.GetLabels()[v1alpha1.LabelComponent] != v1alpha1.ComponentBroker {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: child.GetNamespace(), Name: name}}}
}

// Reconcile reads the broker and its children, makes the children what they
// should be, asks the broker for a CONNECT, and writes the status if it changed.
func (r *VesperBrokerReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &brokerScope{reconciler: r, broker: &v1alpha1.VesperBroker{}, now: time.Now()}
	if err := r.client.Get(ctx, req.NamespacedName, s.broker); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if s.broker.DeletionTimestamp != nil {
		return ctrl.Result{}, nil // owned children go with it; a kept volume stays
	}
	if s.broker.Spec.Paused {
		s.pause.By = "spec.paused"
	}
	for _, phase := range []func(context.Context) error{s.read, s.makeChildren, s.readCredentials, s.ask} {
		err := phase(ctx)
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: brokerAskSettling}, nil // what was read is old
		}
		if err != nil && !isRefusal(err) {
			return ctrl.Result{}, err // says nothing about the broker: the status stays
		}
		s.refused = cmp.Or(s.refused, err)
	}
	if err := s.writeStatus(ctx); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{RequeueAfter: s.askAgain()}, nil
}
