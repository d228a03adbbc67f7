package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// NodeService is the address of one node's HTTP API, while the node is ready.
func NodeService(n Node) *corev1ac.ServiceApplyConfiguration {
	return nodeService(n, n.Object.Name, corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP))
}

// NodeHeadlessService gives the node's pod its DNS name, ready or not.
func NodeHeadlessService(n Node) *corev1ac.ServiceApplyConfiguration {
	return nodeService(n, NodeHeadlessName(n.Object.Name),
		corev1ac.ServiceSpec().WithClusterIP(corev1.ClusterIPNone).WithPublishNotReadyAddresses(true))
}

func nodeService(n Node, name string, spec *corev1ac.ServiceSpecApplyConfiguration) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(name, n.Object.Namespace).
		WithLabels(NodeLabels(n.Object)).
		WithOwnerReferences(nodeOwner(n.Object)).
		WithSpec(spec.WithSelector(nodeSelector(n.Object.Name)).WithPorts(httpPort(n.Object.Spec.TLS)))
}

func httpPort(tls *v1alpha1.NodeTLS) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().WithName(NodePortName).WithProtocol(corev1.ProtocolTCP).WithAppProtocol(appProtocol(tls)).
		WithPort(NodePort).WithTargetPort(intstr.FromString(NodePortName))
}
