package controllers

import (
	"context"
	"fmt"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/internal/resources"
)

// makeBudget makes the disruption budget of a cluster of several nodes, and takes
// away that of a cluster which has one node left.
func (s *clusterScope) makeBudget(ctx context.Context) error {
	if len(s.planned.Members) > 1 {
		_, err := s.applier().Apply(ctx, resources.ClusterDisruptionBudget(s.cluster), &policyv1.PodDisruptionBudget{})
		return err
	}
	budget, err := readMaybe(ctx, s.reconciler.client, s.cluster.Namespace, s.cluster.Name, &policyv1.PodDisruptionBudget{})
	if err != nil || budget == nil || !metav1.IsControlledBy(budget, s.cluster) || budget.DeletionTimestamp != nil {
		return err
	}
	err = s.reconciler.client.Delete(ctx, budget, client.Preconditions{UID: &budget.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting PodDisruptionBudget %s/%s of a cluster of one node: %w", budget.Namespace, budget.Name, err)
	}
	return nil
}
