package resources

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// ClusterDisruptionBudget lets one node of a cluster be evicted at a time, when
// machines are drained. It helps from two nodes on: of a single one it could only
// keep its machine from being drained. A pod that is not ready may always go: it
// serves nobody, and must not keep a machine from being mended.
func ClusterDisruptionBudget(cluster *v1alpha1.VesperCluster) *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	return policyv1ac.PodDisruptionBudget(cluster.Name, cluster.Namespace).
		WithLabels(ClusterLabels(cluster.Name)).
		WithOwnerReferences(clusterOwner(cluster)).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(clusterPods(cluster.Name))))
}
