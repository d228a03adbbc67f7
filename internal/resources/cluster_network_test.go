package resources

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

func managedBroker(name string) *v1alpha1.VesperBroker {
	return &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{}}}
}

// policyOf is the policy of cluster shop, as Kubernetes reads it.
func policyOf(t *testing.T, network *v1alpha1.NodeNetwork, brokers ...*v1alpha1.VesperBroker) networkingv1.NetworkPolicy {
	t.Helper()
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name, cluster.Namespace, cluster.Spec.Network = "shop", "prod", network
	var policy networkingv1.NetworkPolicy
	fromYAML(t, toYAML(t, ClusterNetworkPolicy(cluster, brokers)), &policy)
	return policy
}

// TestNodesOfManagedBrokersReachThemAndNothingElse shows the default.
func TestNodesOfManagedBrokersReachThemAndNothingElse(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name, cluster.Namespace, cluster.UID = "shop", "prod", "cluster-uid"
	golden(t, "cluster-network", ClusterNetworkPolicy(cluster, []*v1alpha1.VesperBroker{managedBroker("mq"), managedBroker("mq-2")}))
}

func TestNodesOfABrokerThatMayBeAnywhereMayReachAnywhere(t *testing.T) {
	external := &v1alpha1.VesperBroker{Spec: v1alpha1.VesperBrokerSpec{External: &v1alpha1.ExternalBrokerSpec{Hosts: []string{"mq.example.org:61613"}}}}
	policy := policyOf(t, nil, managedBroker("mq"), external)
	if out := policy.Spec.Egress; len(out) != 1 || len(out[0].To) != 0 || len(out[0].Ports) != 0 {
		t.Errorf("egress is %+v, want everything", out)
	}
	if in := policy.Spec.Ingress; len(in) != 1 || len(in[0].From) != 0 || len(in[0].Ports) != 1 || in[0].Ports[0].Port.IntValue() != 8000 {
		t.Errorf("ingress is %+v, want the HTTP port for everybody", in)
	}
}

// TestClientsThatAreNamedAreLetInBesideTheOperatorAndTheCluster: the operator must
// never lose sight of a node.
func TestClientsThatAreNamedAreLetInBesideTheOperatorAndTheCluster(t *testing.T) {
	clients := []networkingv1.NetworkPolicyPeer{
		{NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: metav1.LabelSelectorOpIn, Values: []string{"shop"}}}}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}},
	}
	in := policyOf(t, &v1alpha1.NodeNetwork{Clients: clients}, managedBroker("mq")).Spec.Ingress
	if len(in) != 1 || len(in[0].From) != 4 {
		t.Fatalf("ingress is %+v", in)
	}
	own, operator := in[0].From[0].PodSelector.MatchLabels, in[0].From[1]
	if own["vesperdb.io/cluster"] != "shop" || operator.PodSelector.MatchLabels["app.kubernetes.io/name"] != "vesper-operator" ||
		operator.NamespaceSelector == nil || len(operator.NamespaceSelector.MatchLabels) != 0 {
		t.Errorf("the first two are %+v", in[0].From[:2])
	}
	if got, want := toYAML(t, in[0].From[2:]), toYAML(t, clients); got != want {
		t.Errorf("the clients are %s, want %s", got, want)
	}
}

func TestAnOpenNetworkRestrictsNothing(t *testing.T) {
	policy := policyOf(t, &v1alpha1.NodeNetwork{Mode: v1alpha1.NetworkOpen}, managedBroker("mq"))
	if text := toYAML(t, policy.Spec); strings.Contains(text, "ports") || len(policy.Spec.Ingress) != 1 || len(policy.Spec.Egress) != 1 {
		t.Errorf("the policy is %s", text)
	}
}
