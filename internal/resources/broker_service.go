package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	networkingv1 "k8s.io/api/networking/v1"
)

// BrokerService is the address that nodes use. While the broker is not ready a
// connection is refused at once, so that a node waits for nothing.
func BrokerService(b Broker) *corev1ac.ServiceApplyConfiguration {
	return brokerService(b, BrokerName(b.Object.Name), corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP))
}

// BrokerHeadlessService gives the broker's pod its DNS name, ready or not.
func BrokerHeadlessService(b Broker) *corev1ac.ServiceApplyConfiguration {
	return brokerService(b, BrokerHeadlessName(b.Object.Name),
		corev1ac.ServiceSpec().WithClusterIP(corev1.ClusterIPNone).WithPublishNotReadyAddresses(true))
}

func brokerService(b Broker, name string, spec *corev1ac.ServiceSpecApplyConfiguration) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(name, b.Object.Namespace).
		WithLabels(BrokerLabels(b.Object.Name)).
		WithOwnerReferences(brokerOwner(b.Object)).
		WithSpec(spec.
			WithSelector(brokerSelector(b.Object.Name)).
			WithPorts(corev1ac.ServicePort().WithName(StompPortName).WithProtocol(corev1.ProtocolTCP).
				WithPort(StompPort).WithTargetPort(intstr.FromString(StompPortName))))
}

// BrokerNetworkPolicy lets anyone reach the broker's STOMP port, where a login
// is needed, and nothing else; and the broker reach no one: it never opens a
// connection.
func BrokerNetworkPolicy(b Broker) *networkingv1ac.NetworkPolicyApplyConfiguration {
	return networkingv1ac.NetworkPolicy(BrokerName(b.Object.Name), b.Object.Namespace).
		WithLabels(BrokerLabels(b.Object.Name)).
		WithOwnerReferences(brokerOwner(b.Object)).
		WithSpec(networkingv1ac.NetworkPolicySpec().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(brokerSelector(b.Object.Name))).
			WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress).
			WithIngress(networkingv1ac.NetworkPolicyIngressRule().WithPorts(
				networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(intstr.FromInt32(StompPort)))))
}
