package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// takeTurns says which nodes may be made what they should be now: those that do not
// exist, are not meant to run, or leave, at once; the others one after another.
func (s *clusterScope) takeTurns(ctx context.Context, image string) (map[string]bool, error) {
	now, runners := map[string]bool{}, []topology.Runner{}
	for _, member := range s.planned.Members {
		node := s.nodes[member.Name]
		if node == nil || member.Draining || node.Spec.Suspended || s.suspended(member.Group) {
			now[member.Name] = true
			continue
		}
		runner, err := s.runner(ctx, member, node, image)
		if err != nil {
			return nil, err
		}
		runners = append(runners, runner)
	}
	turn := s.rollout().Turn(runners)
	for _, name := range turn.Change {
		now[name] = true
	}
	s.behind, s.behindWhy, s.rollAgain = turn.Wait, turn.Why, turn.Again
	return now, nil
}

// runner is a node as it is now, beside what it should be.
func (s *clusterScope) runner(ctx context.Context, member topology.Member, node *v1alpha1.VesperNode, image string) (topology.Runner, error) {
	runner, desired := conditions.RunnerOf(node, s.reconciler.now()), s.desiredNode(member, image)
	pod, err := readMaybe(ctx, s.reconciler.client, node.Namespace, resources.NodePodName(node.Name), &corev1.Pod{})
	if err != nil {
		return runner, err
	}
	runner.Unreached = !conditions.NodeReached(pod)
	if runner.Differs, err = s.applier().Differs(ctx, desired, &v1alpha1.VesperNode{}); err != nil || !runner.Differs {
		return runner, err
	}
	runner.Restarts, err = resources.NodeRestarts(node.Spec, desired.Spec)
	return runner, err
}

// rollout is how changes go through the cluster.
func (s *clusterScope) rollout() topology.Rollout {
	roll, spec := topology.Rollout{Budget: 1}, s.cluster.Spec.Rollout
	if spec == nil {
		return roll
	}
	roll.Held = spec.Held
	if spec.MaxUnavailable != nil {
		roll.Budget = int(*spec.MaxUnavailable)
	}
	if spec.PauseSeconds != nil {
		roll.Pause = time.Duration(*spec.PauseSeconds) * time.Second
	}
	return roll
}

func (r *VesperClusterReconciler) now() time.Time { return time.Now() }
