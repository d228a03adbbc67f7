package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// Controller serves claims of storage classes whose provisioner is Name.
type Controller struct {
	// Client talks to the API server.
	Client kubernetes.Interface
	// Root is the directory that holds the volumes' directories, on node Node.
	Root, Node string
	// Events receives what a user should see at a claim.
	Events record.EventRecorder
	// Log receives what was done.
	Log *slog.Logger

	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	queue   workqueue.TypedRateLimitingInterface[string]
}

const (
	claimKey  = "claim "
	volumeKey = "volume "
)

// Run works until ctx ends, and returns only after its goroutines have. It returns an error if it could not begin.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	c.queue = workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	defer func() {
		cancel()
		c.queue.ShutDown()
		factory.Shutdown()
	}()
	if err := c.watch(factory); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	for kind, ok := range factory.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("list %v: stopped before the API server answered", kind)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for c.next(ctx) {
		}
	})
	<-ctx.Done()
	c.queue.ShutDown()
	wg.Wait()
	return nil
}

// watch enqueues what changes. A class that appears late makes its waiting claims due.
func (c *Controller) watch(factory informers.SharedInformerFactory) error {
	claims, volumes, classes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes(), factory.Storage().V1().StorageClasses()
	c.claims, c.volumes, c.classes = claims.Lister(), volumes.Lister(), classes.Lister()
	_, err1 := claims.Informer().AddEventHandler(handler(c.enqueueClaim))
	_, err2 := volumes.Informer().AddEventHandler(handler(func(obj any) {
		if v, ok := obj.(*corev1.PersistentVolume); ok {
			c.queue.Add(volumeKey + v.Name)
		}
	}))
	_, err3 := classes.Informer().AddEventHandler(handler(func(any) {
		for _, obj := range claims.Informer().GetStore().List() {
			c.enqueueClaim(obj)
		}
	}))
	return errors.Join(err1, err2, err3)
}

// enqueueClaim makes a claim due, and the volume made for it: a deleted claim may leave a volume behind.
func (c *Controller) enqueueClaim(obj any) {
	if claim, ok := obj.(*corev1.PersistentVolumeClaim); ok {
		c.queue.Add(claimKey + claim.Namespace + "/" + claim.Name)
		c.queue.Add(volumeKey + volumeName(claim))
	}
}

func handler(enqueue func(any)) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			enqueue(obj)
		},
	}
}

// next handles one key, and reports whether there may be more. What failed is tried again, ever more slowly.
func (c *Controller) next(ctx context.Context) bool {
	key, stop := c.queue.Get()
	if stop {
		return false
	}
	defer c.queue.Done(key)
	if err := c.handle(ctx, key); err != nil {
		if ctx.Err() == nil {
			c.Log.Error("Failed, will try again", "item", key, "error", err)
		}
		c.queue.AddRateLimited(key)
		return true
	}
	c.queue.Forget(key)
	return true
}

func (c *Controller) handle(ctx context.Context, key string) error {
	if name, ok := strings.CutPrefix(key, volumeKey); ok {
		volume, err := c.volumes.Get(name)
		if err != nil {
			return ignoreNotFound(err)
		}
		return c.syncVolume(ctx, volume)
	}
	namespace, name, _ := strings.Cut(strings.TrimPrefix(key, claimKey), "/")
	claim, err := c.claims.PersistentVolumeClaims(namespace).Get(name)
	if err != nil {
		return ignoreNotFound(err)
	}
	class, err := c.classOf(claim)
	if err != nil {
		return err
	}
	if ok, _ := wanted(claim, class, c.Node); ok {
		return c.provision(ctx, claim, class)
	}
	return c.expand(ctx, claim, class)
}

// classOf returns the claim's class, nil if it names none or one that does not exist.
func (c *Controller) classOf(claim *corev1.PersistentVolumeClaim) (*storagev1.StorageClass, error) {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName == "" {
		return nil, nil
	}
	class, err := c.classes.Get(*claim.Spec.StorageClassName)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return class, err
}

// provision makes the directory, then the volume; the control plane binds it to the claim.
func (c *Controller) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	if why := refusal(claim); why != "" {
		c.Events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", why)
		return nil
	}
	directory, err := makeDirectory(c.Root, volumeName(claim))
	if err != nil {
		c.Events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", err.Error())
		return err
	}
	volume := volumeFor(claim, class, directory, c.Node)
	_, err = c.Client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create the volume %s for the claim %s/%s: %w", volume.Name, claim.Namespace, claim.Name, err)
	}
	c.Log.Info("Provisioned volume", "volume", volume.Name, "claim", claim.Namespace+"/"+claim.Name)
	c.Events.Event(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Provisioned volume "+volume.Name)
	return nil
}

// syncVolume removes the directory of a volume that nobody claims any more, then the volume. In this order: a directory
// that cannot be removed keeps its volume, and so its name.
func (c *Controller) syncVolume(ctx context.Context, volume *corev1.PersistentVolume) error {
	lives, err := c.claimLives(volume)
	if err != nil {
		return err
	}
	erase, release := fate(volume, lives)
	if erase {
		if err := removeDirectory(c.Root, volume.Spec.Local.Path); err != nil {
			return err
		}
	}
	if erase || release {
		return c.letGo(ctx, volume)
	}
	return nil
}

// letGo takes our finalizer off a volume and deletes it unless that is under way.
func (c *Controller) letGo(ctx context.Context, volume *corev1.PersistentVolume) error {
	volumes := c.Client.CoreV1().PersistentVolumes()
	if kept := withoutFinalizer(volume.Finalizers); len(kept) != len(volume.Finalizers) {
		update := volume.DeepCopy()
		update.Finalizers = kept
		if _, err := volumes.Update(ctx, update, metav1.UpdateOptions{}); err != nil {
			return ignoreNotFound(fmt.Errorf("release the volume %s: %w", volume.Name, err))
		}
	}
	if volume.DeletionTimestamp == nil {
		if err := volumes.Delete(ctx, volume.Name, metav1.DeleteOptions{}); ignoreNotFound(err) != nil {
			return fmt.Errorf("delete the volume %s: %w", volume.Name, err)
		}
	}
	c.Log.Info("Removed volume", "volume", volume.Name)
	return nil
}

// claimLives reports whether the very claim that the volume was made for still exists.
func (c *Controller) claimLives(volume *corev1.PersistentVolume) (bool, error) {
	ref := volume.Spec.ClaimRef
	if ref == nil {
		return false, nil
	}
	claim, err := c.claims.PersistentVolumeClaims(ref.Namespace).Get(ref.Name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return claim.UID == ref.UID, nil
}

// expand grants a claim that asks for more than its volume has: a directory has no size, so only the books change.
func (c *Controller) expand(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	if claim.DeletionTimestamp != nil || claim.Spec.VolumeName == "" || claim.Status.Phase != corev1.ClaimBound || class == nil || class.Provisioner != Name {
		return nil
	}
	asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if has := claim.Status.Capacity[corev1.ResourceStorage]; asked.Cmp(has) <= 0 {
		return nil
	}
	volume, err := c.volumes.Get(claim.Spec.VolumeName)
	if err != nil || !ours(volume) {
		return ignoreNotFound(err)
	}
	if has := volume.Spec.Capacity[corev1.ResourceStorage]; asked.Cmp(has) > 0 {
		update := volume.DeepCopy()
		update.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: asked}
		if _, err := c.Client.CoreV1().PersistentVolumes().Update(ctx, update, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("expand the volume %s: %w", volume.Name, err)
		}
	}
	update := claim.DeepCopy()
	update.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: asked}
	update.Status.Conditions = nil
	if _, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("expand the claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	c.Log.Info("Expanded volume", "volume", volume.Name, "size", asked.String())
	return nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
