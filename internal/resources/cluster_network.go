package resources

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	networkingv1ac "k8s.io/client-go/applyconfigurations/networking/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// operatorPods selects the operator's pods, in whatever namespace it is installed.
var operatorPods = map[string]string{v1alpha1.LabelName: v1alpha1.ManagedBy}

// dnsPorts are where names are looked up: behind the usual port some
// distributions listen at 5353, and a policy sees that one.
var dnsPorts = []int32{53, 5353}

// ClusterNetworkPolicy says who reaches the nodes of a cluster and whom they
// reach. brokers are all that its nodes connect to. One that the operator does
// not run may be anywhere, also behind a Service that listens at another port
// than its pods, so with it nodes may reach everything.
func ClusterNetworkPolicy(cluster *v1alpha1.VesperCluster, brokers []*v1alpha1.VesperBroker) *networkingv1ac.NetworkPolicyApplyConfiguration {
	spec := networkingv1ac.NetworkPolicySpec().
		WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(clusterPods(cluster.Name))).
		WithPolicyTypes(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress)
	network := v1alpha1.NodeNetwork{}
	if cluster.Spec.Network != nil {
		network = *cluster.Spec.Network
	}
	if network.Mode == v1alpha1.NetworkOpen {
		spec.WithIngress(networkingv1ac.NetworkPolicyIngressRule()).WithEgress(networkingv1ac.NetworkPolicyEgressRule())
	} else {
		spec.WithIngress(clientsIn(cluster.Name, network.Clients)).WithEgress(brokersOut(brokers)...)
	}
	return networkingv1ac.NetworkPolicy(cluster.Name, cluster.Namespace).
		WithLabels(ClusterLabels(cluster.Name)).WithOwnerReferences(clusterOwner(cluster)).WithSpec(spec)
}

// clientsIn lets the given clients, all when there are none, reach the HTTP port.
func clientsIn(cluster string, clients []networkingv1.NetworkPolicyPeer) *networkingv1ac.NetworkPolicyIngressRuleApplyConfiguration {
	rule := networkingv1ac.NetworkPolicyIngressRule().WithPorts(tcp(NodePort))
	if len(clients) == 0 {
		return rule
	}
	rule.WithFrom(
		networkingv1ac.NetworkPolicyPeer().WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(clusterPods(cluster))),
		networkingv1ac.NetworkPolicyPeer().WithNamespaceSelector(metav1ac.LabelSelector()).
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(operatorPods)))
	for _, client := range clients {
		rule.WithFrom(applyPeer(client))
	}
	return rule
}

// brokersOut lets nodes look up names and reach their brokers.
func brokersOut(brokers []*v1alpha1.VesperBroker) []*networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration {
	names := networkingv1ac.NetworkPolicyEgressRule()
	for _, port := range dnsPorts {
		names.WithPorts(tcp(port), tcp(port).WithProtocol(corev1.ProtocolUDP))
	}
	rules := []*networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration{names}
	for _, broker := range brokers {
		if broker.Spec.ActiveMQ == nil {
			return []*networkingv1ac.NetworkPolicyEgressRuleApplyConfiguration{networkingv1ac.NetworkPolicyEgressRule()}
		}
		rules = append(rules, networkingv1ac.NetworkPolicyEgressRule().WithPorts(tcp(StompPort)).WithTo(networkingv1ac.NetworkPolicyPeer().
			WithPodSelector(metav1ac.LabelSelector().WithMatchLabels(brokerSelector(broker.Name)))))
	}
	return rules
}

func tcp(port int32) *networkingv1ac.NetworkPolicyPortApplyConfiguration {
	return networkingv1ac.NetworkPolicyPort().WithProtocol(corev1.ProtocolTCP).WithPort(intstr.FromInt32(port))
}

// applyPeer copies a peer of the spec.
func applyPeer(peer networkingv1.NetworkPolicyPeer) *networkingv1ac.NetworkPolicyPeerApplyConfiguration {
	out := networkingv1ac.NetworkPolicyPeer()
	if peer.PodSelector != nil {
		out.WithPodSelector(applySelector(*peer.PodSelector))
	}
	if peer.NamespaceSelector != nil {
		out.WithNamespaceSelector(applySelector(*peer.NamespaceSelector))
	}
	if block := peer.IPBlock; block != nil {
		out.WithIPBlock(networkingv1ac.IPBlock().WithCIDR(block.CIDR).WithExcept(block.Except...))
	}
	return out
}

func applySelector(selector metav1.LabelSelector) *metav1ac.LabelSelectorApplyConfiguration {
	out := metav1ac.LabelSelector().WithMatchLabels(selector.MatchLabels)
	for _, e := range selector.MatchExpressions {
		out.WithMatchExpressions(metav1ac.LabelSelectorRequirement().WithKey(e.Key).WithOperator(e.Operator).WithValues(e.Values...))
	}
	return out
}
