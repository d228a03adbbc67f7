package resources

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/topology"
)

// NodePort is where a node serves its HTTP API.
const NodePort int32 = nodeconfig.DefaultHTTPPort

// NodePortName is the name of NodePort in pods and Services.
const NodePortName = "http"

// NodeContainer is the name of the container that runs a node.
const NodeContainer = "vesper-node"

// Node is what the children of a node are built from.
type Node struct {
	// Object is the VesperNode.
	Object *v1alpha1.VesperNode
	// Broker is the status of its VesperBroker: hosts, flavor, credentials.
	Broker v1alpha1.VesperBrokerStatus
	// Links are the statuses of the brokers of its links, in their order.
	Links []v1alpha1.VesperBrokerStatus
	// Image to run: the spec's, or what runs already, or the operator's default.
	Image string
	// Stopped: the process must not run.
	Stopped bool
	// VolumeUID is that of the volume claim; empty in everything but the StatefulSet.
	VolumeUID string
}

// BrokerHash is the same for brokers that nodes are configured alike for.
func BrokerHash(broker v1alpha1.VesperBrokerStatus) string {
	parts := map[string]string{"hosts": strings.Join(broker.Hosts, ","), "flavor": string(broker.Flavor), "secret": broker.CredentialsSecret}
	if broker.VirtualHost != "" { // left out otherwise, so that a newer operator changes no hash
		parts["virtualHost"] = broker.VirtualHost
	}
	return hashOf(parts)
}

// NodePodName is the name of a node's only pod.
func NodePodName(node string) string { return node + "-0" }

// NodeConfigName is the name of a node's ConfigMap.
func NodeConfigName(node string) string { return node + "-config" }

// NodeHeadlessName is the name of the Service that gives the pod its DNS name.
func NodeHeadlessName(node string) string { return node + "-headless" }

// NodeClaimName is the name of a node's volume claim.
func NodeClaimName(node string) string { return topology.VolumeName(node) }

// NodeTrunk is a node's trunk id: the spec's, or the lowest of its width.
func NodeTrunk(node *v1alpha1.VesperNode) branch.ID {
	if node.Spec.TrunkID != "" {
		return branch.ID(node.Spec.TrunkID)
	}
	return branch.First(len(node.Spec.BranchID))
}

// NodeLabels are the labels of all children of a node.
func NodeLabels(node *v1alpha1.VesperNode) map[string]string {
	labels := nodeSelector(node.Name)
	labels[v1alpha1.LabelInstance] = node.Name
	labels[v1alpha1.LabelComponent] = v1alpha1.ComponentNode
	labels[v1alpha1.LabelPartOf] = v1alpha1.PartOfVesper
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	if cluster := systemOf(node); cluster != "" {
		labels[v1alpha1.LabelCluster] = cluster
	}
	if node.Spec.Group != "" {
		labels[v1alpha1.LabelGroup] = node.Spec.Group
	}
	return labels
}

// ClusterOf names the VesperCluster that controls a node, "" for none.
func ClusterOf(node *v1alpha1.VesperNode) string {
	if owner := metav1.GetControllerOf(node); owner != nil && owner.Kind == v1alpha1.KindCluster {
		return owner.Name
	}
	return ""
}

// systemOf names the cluster in whose Service a node is: the one that controls
// it, or did, so that a node whose cluster was deleted around it is not restarted.
func systemOf(node *v1alpha1.VesperNode) string {
	if cluster := ClusterOf(node); cluster != "" || node.Spec.Group == "" {
		return cluster
	}
	return node.Labels[v1alpha1.LabelCluster]
}

// nodeSelector selects a node's pod. It can never change: a StatefulSet's selector is immutable.
func nodeSelector(node string) map[string]string {
	return map[string]string{v1alpha1.LabelName: v1alpha1.AppNode, v1alpha1.LabelNode: node}
}

// nodeOwner makes a child go when its node goes.
func nodeOwner(node *v1alpha1.VesperNode) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindNode).
		WithName(node.Name).WithUID(node.UID).WithController(true).WithBlockOwnerDeletion(true)
}

// graceMargin is what a pod gets beyond the time in which its node drains.
const graceMargin = 15 * time.Second
