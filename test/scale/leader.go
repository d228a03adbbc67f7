package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// probes is the namespace of clusters that are made to see whether the operator
// works. No machine runs their pods, and requests about them are not counted.
const probes = "probes"

// preparesProbes makes the namespace of the probes, and their broker.
func (w *world) preparesProbes(ctx context.Context) error {
	if err := w.client.Create(ctx, namespace(probes)); err != nil {
		return fmt.Errorf("making a namespace: %w", err)
	}
	if err := w.client.Create(ctx, w.newBroker(probes)); err != nil {
		return fmt.Errorf("making a broker: %w", err)
	}
	return nil
}

// works makes a cluster of one node and waits for its StatefulSet: by then the
// operator has given out a branch id, and all its controllers work.
func (w *world) works(ctx context.Context) error {
	w.tries++
	key := types.NamespacedName{Namespace: probes, Name: fmt.Sprintf("probe%d", w.tries)}
	if err := w.client.Create(ctx, newCluster(key, 1)); err != nil {
		return fmt.Errorf("making a cluster: %w", err)
	}
	if err := until(ctx, w.options.patient, "a new cluster to get its StatefulSet", func() (bool, string) {
		sets := &appsv1.StatefulSetList{}
		if err := w.client.List(ctx, sets, client.InNamespace(probes), client.MatchingLabels{v1alpha1.LabelCluster: key.Name}); err != nil {
			return false, err.Error()
		}
		return len(sets.Items) > 0, "there is none"
	}); err != nil {
		return err
	}
	return w.clearProbes(ctx)
}

// clearProbes removes what belongs to probes: nobody collects garbage here.
func (w *world) clearProbes(ctx context.Context) error {
	for _, object := range []client.Object{&v1alpha1.VesperCluster{}, &v1alpha1.VesperNode{}, &appsv1.StatefulSet{}, &corev1.PersistentVolumeClaim{}, &corev1.ConfigMap{}} {
		if err := w.client.DeleteAllOf(ctx, object, client.InNamespace(probes)); err != nil {
			return fmt.Errorf("clearing away a probe: %w", err)
		}
	}
	return nil
}

// changeLeader has the leader change in each way there is, and measures how long
// it takes until the next one works: a leader that is ended gently while another
// one waits; a container that is killed and started again in its pod; and a leader
// that is killed with its machine, for which only another pod can take over.
func (w *world) changeLeader(ctx context.Context) error {
	gentle, err := w.succeed(ctx, syscall.SIGTERM)
	if err != nil {
		return err
	}
	again, err := w.restartInItsPod(ctx)
	if err != nil {
		return err
	}
	forced, err := w.succeed(ctx, syscall.SIGKILL)
	if err != nil {
		return err
	}
	w.figures.Leader = Leader{TermSeconds: gentle.Seconds, AgainSeconds: again.Seconds, KillSeconds: forced.Seconds,
		Term: gentle, Again: again, Kill: forced}
	for how, phase := range map[string]Phase{"SIGTERM": gentle, "SIGKILL in its pod": again, "SIGKILL": forced} {
		if phase.Writes > 0 {
			w.breaks("%d writes of an operator that took over after %s from one of a healthy fleet: %v", phase.Writes, how, phase.Requests)
		}
	}
	return nil
}

// restartInItsPod kills the leader, starts it anew as the same pod, at once as a
// kubelet does the first time, and measures the time until it works.
func (w *world) restartInItsPod(ctx context.Context) (Phase, error) {
	w.say("the leader is killed and its container started again")
	last := w.leader
	meter, err := w.begin0()
	if err != nil {
		return Phase{}, err
	}
	if err := last.signal(ctx, syscall.SIGKILL); err != nil {
		return Phase{}, err
	}
	next, err := w.startManagerAs(last.pod)
	if err != nil {
		return Phase{}, err
	}
	w.leader = next
	return w.takesOver(ctx, meter)
}

// succeed starts a second operator, ends the one that leads, and measures the time
// until the second works.
func (w *world) succeed(ctx context.Context, signal syscall.Signal) (Phase, error) {
	w.say("the leader is ended with %v while a second operator waits", signal)
	next, err := w.startManager()
	if err != nil {
		return Phase{}, err
	}
	if err := next.ready(ctx); err != nil {
		return Phase{}, err
	}
	if err := pause(ctx, 5*time.Second); err != nil { // so that it has tried to lead, in vain
		return Phase{}, err
	}
	last := w.leader
	meter, err := w.begin0()
	if err != nil {
		return Phase{}, err
	}
	w.leader = next
	ending := make(chan error, 1)
	go func() { ending <- last.signal(ctx, signal) }()
	phase, err := w.takesOver(ctx, meter)
	return phase, errors.Join(err, <-ending)
}

// takesOver measures the time until an operator works, and what it did until it
// was at rest.
func (w *world) takesOver(ctx context.Context, meter *meter) (Phase, error) {
	if err := w.works(ctx); err != nil {
		return Phase{}, err
	}
	took := time.Since(meter.at).Seconds()
	if err := w.settle(ctx, w.options.after); err != nil {
		return Phase{}, err
	}
	phase, err := meter.end()
	phase.Seconds = took
	return phase, err
}
