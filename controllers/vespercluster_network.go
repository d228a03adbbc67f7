package controllers

import (
	"context"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/resources"
)

// makeNetwork makes the NetworkPolicy of the nodes. While one of their brokers is
// not there, nobody can tell where the nodes must get through, and it stays as it is.
func (s *clusterScope) makeNetwork(ctx context.Context) error {
	var brokers []*v1alpha1.VesperBroker
	for _, name := range s.brokerNames() {
		broker, err := readMaybe(ctx, s.reconciler.client, s.cluster.Namespace, name, &v1alpha1.VesperBroker{})
		if err != nil || broker == nil {
			return err
		}
		brokers = append(brokers, broker)
	}
	_, err := s.applier().Apply(ctx, resources.ClusterNetworkPolicy(s.cluster, brokers), &networkingv1.NetworkPolicy{})
	return err
}

// brokerNames are the brokers that nodes of the cluster connect to, or will, also
// over links: in a move from one to another both.
func (s *clusterScope) brokerNames() []string {
	names := map[string]bool{}
	for name := range s.brokers {
		names[name] = true
	}
	for _, node := range s.nodes {
		for _, channel := range resources.NodeChannels(node) {
			names[channel.Broker] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
