package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// Images that the nodes have one after the other.
const (
	firstImage  = "vesper/node:first"
	secondImage = "vesper/node:second"
)

// brokerName is that of the broker of each namespace.
const brokerName = "mq"

// sizes are those of the clusters.
func (o *options) sizes() (all []int32) {
	for left := o.nodes; left > 0; left -= clusterSize {
		all = append(all, int32(min(left, clusterSize))) //nolint:gosec // at most ten
	}
	return all
}

// clusterKey is where a cluster is.
func (o *options) clusterKey(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: fmt.Sprintf("scale-%03d", i/o.perNS), Name: fmt.Sprintf("c%04d", i)}
}

func (w *world) newBroker(namespace string) *v1alpha1.VesperBroker {
	return &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: brokerName, Namespace: namespace},
		Spec: v1alpha1.VesperBrokerSpec{External: &v1alpha1.ExternalBrokerSpec{Hosts: []string{w.broker.Addr()}}}}
}

func newCluster(key types.NamespacedName, size int32) *v1alpha1.VesperCluster {
	return &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace},
		Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: brokerName}, Channel: "CHANNEL_" + key.Name, Image: firstImage,
			Groups: []v1alpha1.NodeGroup{{Name: "core", Replicas: &size}}}}
}

// lead starts an operator that is to lead, and waits until it is ready.
func (w *world) lead(ctx context.Context) (err error) {
	if w.leader, err = w.startManager(); err != nil {
		return err
	}
	return w.leader.ready(ctx)
}

// create makes all brokers and clusters at once, and waits until all are ready.
func (w *world) create(ctx context.Context) error {
	sizes := w.options.sizes()
	for i := 0; i < len(sizes); i += w.options.perNS {
		if err := w.client.Create(ctx, namespace(w.options.clusterKey(i).Namespace)); err != nil {
			return fmt.Errorf("making a namespace: %w", err)
		}
	}
	if err := w.preparesProbes(ctx); err != nil {
		return err
	}
	if err := w.lead(ctx); err != nil {
		return err
	}
	if err := w.works(ctx); err != nil {
		return err
	}
	w.say("making %d nodes in %d clusters", w.options.nodes, len(sizes))
	meter, err := w.begin()
	if err != nil {
		return err
	}
	for i, size := range sizes {
		key := w.options.clusterKey(i)
		if i%w.options.perNS == 0 {
			if err := w.client.Create(ctx, w.newBroker(key.Namespace)); err != nil {
				return fmt.Errorf("making a broker: %w", err)
			}
		}
		if err := w.client.Create(ctx, newCluster(key, size)); err != nil {
			return fmt.Errorf("making a cluster: %w", err)
		}
	}
	if err := w.allReady(ctx, firstImage); err != nil {
		return err
	}
	took := time.Since(meter.at).Seconds()
	w.say("all were ready after %.1f s; waiting until nothing is written for %v", took, w.options.settle)
	if err := w.settle(ctx, w.options.settle); err != nil {
		return err
	}
	phase, err := meter.end()
	w.figures.Create = Create{Phase: phase, ReadySeconds: took, WritesPerNode: float64(phase.Writes) / float64(w.options.nodes),
		EventsPerNode: float64(phase.Events) / float64(w.options.nodes), ReadsPerNode: float64(phase.Reads) / float64(w.options.nodes)}
	if phase.NoOps > 0 {
		w.breaks("%d writes in creation changed nothing: %v", phase.NoOps, phase.NoOp)
	}
	return err
}

// allReady waits until all clusters and nodes are ready with an image.
func (w *world) allReady(ctx context.Context, image string) error {
	told := time.Now()
	return until(ctx, w.options.patient, "all to be ready", func() (bool, string) {
		clusters, nodes := w.fleet.ready(image)
		state := fmt.Sprintf("%d of %d clusters and %d of %d nodes are", clusters, len(w.options.sizes()), nodes, w.options.nodes)
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			w.say("%s", state)
		}
		return clusters == len(w.options.sizes()) && nodes == w.options.nodes, state
	})
}

// rest lets the operator have nothing to do.
func (w *world) rest(ctx context.Context) error {
	w.say("at rest for %v", w.options.quiet)
	meter, err := w.begin()
	if err != nil {
		return err
	}
	if err := pause(ctx, w.options.quiet); err != nil {
		return err
	}
	if w.figures.Rest, err = meter.end(); err != nil {
		return err
	}
	if n := w.figures.Rest.Writes; n > 0 {
		w.breaks("%d writes at rest: %v", n, w.figures.Rest.Requests)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// notReady has half of the pods of a tenth of the clusters find no machine.
func (w *world) notReady(ctx context.Context) error {
	var evicted []types.NamespacedName
	for i := 0; i < len(w.options.sizes()); i += 10 {
		members := w.fleet.membersOf(w.options.clusterKey(i))
		evicted = append(evicted, members[:(len(members)+1)/2]...)
	}
	w.say("%d pods find no machine", len(evicted))
	if err := w.kubelet.evict(ctx, evicted); err != nil {
		return fmt.Errorf("ending pods: %w", err)
	}
	if err := w.settle(ctx, w.options.settle); err != nil {
		return err
	}
	if _, nodes := w.fleet.ready(firstImage); nodes != w.options.nodes-len(evicted) {
		w.breaks("%d of %d nodes are ready while %d pods find no machine", nodes, w.options.nodes, len(evicted))
	}
	meter, err := w.begin()
	if err != nil {
		return err
	}
	if err := pause(ctx, w.options.pending); err != nil {
		return err
	}
	phase, err := meter.end()
	if err != nil {
		return err
	}
	if phase.Writes > 0 {
		w.breaks("%d writes while nodes are not ready: %v", phase.Writes, phase.Requests)
	}
	at := time.Now()
	w.kubelet.release()
	if err := w.allReady(ctx, firstImage); err != nil {
		return err
	}
	w.figures.NotReady = NotReady{Phase: phase, Pods: len(evicted), ReadySeconds: time.Since(at).Seconds(),
		WritesPerSecond: float64(phase.Writes) / phase.Seconds, ReadsPerSecond: float64(phase.Reads) / phase.Seconds}
	return w.settle(ctx, w.options.settle)
}

// restart ends the operator and starts it again over a fleet with which all is well.
func (w *world) restart(ctx context.Context) error {
	w.say("restarting the operator")
	if err := w.leader.signal(ctx, syscall.SIGTERM); err != nil {
		return err
	}
	w.nodes.forgetAsked()
	meter, err := w.begin0()
	if err != nil {
		return err
	}
	if err := w.lead(ctx); err != nil {
		return err
	}
	if err := w.works(ctx); err != nil {
		return err
	}
	works := time.Since(meter.at).Seconds()
	if err := until(ctx, w.options.patient, "all nodes to be asked", func() (bool, string) {
		left := w.nodes.notAsked()
		return left == 0, fmt.Sprintf("%d are not asked yet", left)
	}); err != nil {
		return err
	}
	asked := time.Since(meter.at).Seconds()
	if err := w.settle(ctx, w.options.after); err != nil {
		return err
	}
	phase, err := meter.end()
	w.figures.Restart = Restart{Phase: phase, WorksSeconds: works, AskedSeconds: asked}
	if phase.Writes > 0 {
		w.breaks("%d writes of an operator that was restarted over a healthy fleet: %v", phase.Writes, phase.Requests)
	}
	return err
}

// begin0 begins to measure an operator that is to be started.
func (w *world) begin0() (*meter, error) {
	w.leader = nil
	return w.begin()
}

// roll gives all nodes another image at once.
func (w *world) roll(ctx context.Context) error {
	w.say("rolling another image through all")
	w.kubelet.count()
	meter, err := w.begin()
	if err != nil {
		return err
	}
	for i := range w.options.sizes() {
		cluster := &v1alpha1.VesperCluster{}
		key := w.options.clusterKey(i)
		cluster.Namespace, cluster.Name = key.Namespace, key.Name
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"image":"`+secondImage+`"}}`))
		if err := w.client.Patch(ctx, cluster, patch); err != nil {
			return fmt.Errorf("changing the image of a cluster: %w", err)
		}
	}
	if err := w.allReady(ctx, secondImage); err != nil {
		return err
	}
	took := time.Since(meter.at).Seconds()
	if err := w.settle(ctx, w.options.after); err != nil {
		return err
	}
	phase, err := meter.end()
	removed, most := w.kubelet.count()
	if removed != w.options.nodes {
		w.breaks("a rolling change of %d nodes replaced %d pods", w.options.nodes, removed)
	}
	w.figures.Roll = Roll{Phase: phase, ReadySeconds: took, Restarts: removed, AtOnce: most, WritesPerNode: float64(phase.Writes) / float64(w.options.nodes)}
	return err
}
