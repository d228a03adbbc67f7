package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/subscriptions"
)

// startOperator starts an operator that knows nothing of what one before it knew.
func (s *stage) startOperator() {
	ctx, cancel := context.WithCancel(s.t.Context())
	poller := nodeclient.NewPoller(s.kubelet, func(context.Context, types.NamespacedName) {})
	dropping := subscriptions.NewBackground(s.brokers, func(context.Context, types.NamespacedName) {})
	done := make(chan error, 2)
	go func() { done <- poller.Start(ctx) }()
	go func() { done <- dropping.Start(ctx) }()
	s.stopOperator = func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			s.t.Error(err)
		}
	}
	lag, own := map[string]int(nil), false
	if s.cache != nil {
		lag, own = s.cache.lag, s.cache.readsOwnWrites
	}
	s.link = &connection{Client: s.api, stage: s}
	s.cache = newLateCache(s.api, s.link, lag, own)
	recorder := storyteller{s}
	s.clusters = &VesperClusterReconciler{NodeImage: "vesper/node:v1", client: s.cache, live: s.link, recorder: recorder, subscriptions: dropping}
	s.nodes = &VesperNodeReconciler{NodeImage: "vesper/node:v1", client: s.cache, live: s.link, recorder: recorder, poller: poller, askReady: nodeAskReady, Now: time.Now,
		access: &accessReader{client: s.cache, live: s.link, now: time.Now}}
	synctest.Wait()
}

// restart has another operator take over.
func (s *stage) restart() {
	s.stopOperator()
	s.startOperator()
}

// connection is what an operator writes through, and reads what its cache has not: the
// connection may break at a write.
type connection struct {
	client.Client
	stage *stage
	done  []string // writes that reached the API server
	dead  bool
}

// breakages are the writes at which the links of a stage's operators break.
type breakages struct {
	attempts int // to write
	// at says whether and how the link breaks at an attempt; nil is never.
	at func(attempt int) (breaking, bool)
	// broken is what broke.
	broken []string
}

// next is how the link breaks at the next attempt.
func (b *breakages) next(what string) (how breaking, breaks bool) {
	b.attempts++
	if b.at != nil {
		how, breaks = b.at(b.attempts)
	}
	if breaks {
		b.broken = append(b.broken, fmt.Sprintf("%s (%s)", what, how))
	}
	return how, breaks
}

// breaking is how a link breaks.
type breaking struct {
	// carriedOut means that the write reaches the API server, and only its answer is
	// lost.
	carriedOut bool
	// dies means that the operator dies of it; else it goes on and tries again.
	dies bool
}

// String says it for people.
func (b breaking) String() string {
	text := "write not carried out"
	if b.carriedOut {
		text = "answer lost"
	}
	if b.dies {
		return text + ", operator dies"
	}
	return text + ", operator lives"
}

var (
	errBroken = errors.New("the connection to the API server broke")
	errDead   = errors.New("the operator is dead")
)

// excuses reports whether an error is no surprise.
func (l *connection) excuses(err error) bool {
	return errors.Is(err, errBroken) || errors.Is(err, errDead)
}

// write lets a write through, or not.
func (l *connection) write(what string, f func() error) error {
	if l.dead {
		return errDead
	}
	how, breaks := l.stage.breakages.next(what)
	if breaks && !how.carriedOut {
		l.dead = how.dies
		return errBroken
	}
	if err := l.stage.as(byOperator, f); err != nil {
		return err
	}
	l.done = append(l.done, what)
	if breaks {
		l.dead = how.dies
		return errBroken
	}
	return nil
}

// Get implements client.Client.
func (l *connection) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	if l.dead {
		return errDead
	}
	return l.Client.Get(ctx, key, object, opts...)
}

// List implements client.Client.
func (l *connection) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if l.dead {
		return errDead
	}
	return l.Client.List(ctx, list, opts...)
}

// Create implements client.Client.
func (l *connection) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return l.write(fmt.Sprintf("create %T %s", object, object.GetName()), func() error { return l.Client.Create(ctx, object, opts...) })
}

// Update implements client.Client.
func (l *connection) Update(ctx context.Context, object client.Object, opts ...client.UpdateOption) error {
	return l.write(fmt.Sprintf("update %T %s", object, object.GetName()), func() error { return l.Client.Update(ctx, object, opts...) })
}

// Patch implements client.Client.
func (l *connection) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return l.write(fmt.Sprintf("patch %T %s", object, object.GetName()), func() error { return l.Client.Patch(ctx, object, patch, opts...) })
}

// Delete implements client.Client.
func (l *connection) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	return l.write(fmt.Sprintf("delete %T %s", object, object.GetName()), func() error { return l.Client.Delete(ctx, object, opts...) })
}

// DeleteAllOf implements client.Client.
func (l *connection) DeleteAllOf(ctx context.Context, object client.Object, opts ...client.DeleteAllOfOption) error {
	return l.write(fmt.Sprintf("delete all %T", object), func() error { return l.Client.DeleteAllOf(ctx, object, opts...) })
}

// Apply implements client.Client.
func (l *connection) Apply(ctx context.Context, desired runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	what := "apply"
	if named, ok := desired.(applied); ok {
		what = fmt.Sprintf("apply %s %s", *named.GetKind(), *named.GetName())
	}
	return l.write(what, func() error { return l.Client.Apply(ctx, desired, opts...) })
}

// applied is an apply configuration that says what it is of.
type applied interface {
	GetKind() *string
	GetName() *string
}

// Status implements client.Client.
func (l *connection) Status() client.SubResourceWriter { return statusLink{l.Client.Status(), l} }

type statusLink struct {
	client.SubResourceWriter
	link *connection
}

// Patch implements client.SubResourceWriter.
func (s statusLink) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.link.write(fmt.Sprintf("patch the status of %T %s", object, object.GetName()), func() error { return s.SubResourceWriter.Patch(ctx, object, patch, opts...) })
}

// lateCache reads as from informers: each kind of object on its own hears of what is
// written, some writes late, and lists have no order.
type lateCache struct {
	client.Client // writes
	api           *registry
	// lag is by how many writes a kind is late at most; "" stands for the others.
	lag map[string]int
	// readsOwnWrites: what the operator itself wrote is heard of at once, with all
	// of that kind that was written before, as controller-runtime can have it.
	readsOwnWrites bool
	heard          map[string]int // of the log, by kind
	views          map[string]map[types.NamespacedName]client.Object
	random         *rand.Rand
}

// newLateCache returns a cache that begins with all there is, as a new operator's.
func newLateCache(api *registry, writes client.Client, lag map[string]int, readsOwnWrites bool) *lateCache {
	c := &lateCache{Client: writes, api: api, lag: lag, readsOwnWrites: readsOwnWrites, heard: map[string]int{},
		views: map[string]map[types.NamespacedName]client.Object{}, random: rand.New(rand.NewPCG(1, uint64(len(api.log))))}
	for key, object := range api.objects {
		c.put(key.kind, object)
	}
	for _, kind := range cachedKinds {
		c.heard[kind] = len(api.log)
	}
	return c
}

// cachedKinds are all that operators read from a cache; those of ownKinds as far as
// they bear the operator's label.
var (
	ownKinds    = []string{"Secret", "ConfigMap", "Pod", "PersistentVolumeClaim", "Service", "StatefulSet", "NetworkPolicy", "PodDisruptionBudget"}
	cachedKinds = append([]string{"VesperBroker", "VesperCluster", "VesperNode"}, ownKinds...)
)

func (c *lateCache) put(kind string, object client.Object) {
	if c.views[kind] == nil {
		c.views[kind] = map[types.NamespacedName]client.Object{}
	}
	if slices.Contains(ownKinds, kind) && object.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		delete(c.views[kind], client.ObjectKeyFromObject(object))
		return
	}
	c.views[kind][client.ObjectKeyFromObject(object)] = object
}

// late is by how many writes a kind may be late.
func (c *lateCache) late(kind string) int {
	if n, named := c.lag[kind]; named {
		return n
	}
	return c.lag[""]
}

// hearUntil has a kind hear of the log up to a place.
func (c *lateCache) hearUntil(kind string, place int) {
	for ; c.heard[kind] < place; c.heard[kind]++ {
		switch said := c.api.log[c.heard[kind]]; {
		case said.kind != kind:
		case said.after == nil:
			delete(c.views[kind], client.ObjectKeyFromObject(said.before))
		default:
			c.put(kind, said.after)
		}
	}
}

// view is a kind as it is heard of now.
func (c *lateCache) view(kind string) map[types.NamespacedName]client.Object {
	c.hearUntil(kind, len(c.api.log)-c.late(kind))
	return c.views[kind]
}

// hear has each kind hear of one more write at least: time passes.
func (c *lateCache) hear() {
	for _, kind := range cachedKinds {
		c.hearUntil(kind, min(c.heard[kind]+1, len(c.api.log)))
	}
}

// current reports whether all is heard.
func (c *lateCache) current() bool {
	for _, kind := range cachedKinds {
		if c.view(kind); c.heard[kind] < len(c.api.log) {
			return false
		}
	}
	return true
}

// excuses reports whether an error comes of being late.
func (c *lateCache) excuses(err error) bool {
	return len(c.lag) > 0 && (apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err))
}

// Get implements client.Client.
func (c *lateCache) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(object, c.Scheme())
	if err != nil {
		return err
	}
	found := c.view(gvk.Kind)[key]
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.Name)
	}
	fill(object, found)
	return nil
}

// List implements client.Client.
func (c *lateCache) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, c.Scheme())
	if err != nil {
		return err
	}
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	var found []runtime.Object
	view := c.view(strings.TrimSuffix(gvk.Kind, "List"))
	for _, key := range slices.SortedFunc(maps.Keys(view), func(a, b types.NamespacedName) int { return strings.Compare(a.Name, b.Name) }) {
		if options.Namespace != "" && key.Namespace != options.Namespace {
			continue
		}
		if options.LabelSelector == nil || options.LabelSelector.Matches(labels.Set(view[key].GetLabels())) {
			found = append(found, view[key].DeepCopyObject())
		}
	}
	c.random.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return meta.SetList(list, found)
}

// wrote has a kind hear of what the operator itself wrote.
func (c *lateCache) wrote(kind string, err error) error {
	if err == nil && c.readsOwnWrites {
		c.hearUntil(kind, len(c.api.log))
	}
	return err
}

func (c *lateCache) kindOf(object client.Object) string {
	key, err := c.api.keyOf(object)
	if err != nil {
		panic(err)
	}
	return key.kind
}

// Patch implements client.Client.
func (c *lateCache) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return c.wrote(c.kindOf(object), c.Client.Patch(ctx, object, patch, opts...))
}

// Delete implements client.Client.
func (c *lateCache) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	return c.wrote(c.kindOf(object), c.Client.Delete(ctx, object, opts...))
}

// Apply implements client.Client.
func (c *lateCache) Apply(ctx context.Context, desired runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	named, ok := desired.(applied)
	if !ok {
		return fmt.Errorf("%T does not name its kind", desired)
	}
	return c.wrote(*named.GetKind(), c.Client.Apply(ctx, desired, opts...))
}

// Status implements client.Client.
func (c *lateCache) Status() client.SubResourceWriter { return statusCache{c.Client.Status(), c} }

type statusCache struct {
	client.SubResourceWriter
	cache *lateCache
}

// Patch implements client.SubResourceWriter.
func (s statusCache) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.cache.wrote(s.cache.kindOf(object), s.SubResourceWriter.Patch(ctx, object, patch, opts...))
}
