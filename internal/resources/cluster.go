package resources

import (
	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	v1alpha1ac "vesperdb.io/vesper/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// ClusterServiceName is the name of the Service in front of all nodes of a cluster.
func ClusterServiceName(cluster string) string { return cluster }

// ClusterLabels are the labels of the objects that a cluster makes itself.
func ClusterLabels(cluster string) map[string]string {
	labels := clusterPods(cluster)
	labels[v1alpha1.LabelInstance] = cluster
	labels[v1alpha1.LabelComponent] = v1alpha1.ComponentNode
	labels[v1alpha1.LabelPartOf] = v1alpha1.PartOfVesper
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	return labels
}

// clusterPods selects the pods of all nodes of a cluster.
func clusterPods(cluster string) map[string]string {
	return map[string]string{v1alpha1.LabelName: v1alpha1.AppNode, v1alpha1.LabelCluster: cluster}
}

// clusterOwner makes a child go when its cluster goes.
func clusterOwner(cluster *v1alpha1.VesperCluster) *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(v1alpha1.KindCluster).
		WithName(cluster.Name).WithUID(cluster.UID).WithController(true).WithBlockOwnerDeletion(true)
}

// ClusterService is the address of whichever nodes of the cluster are ready:
// any of them takes reads and writes.
func ClusterService(cluster *v1alpha1.VesperCluster) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(ClusterServiceName(cluster.Name), cluster.Namespace).
		WithLabels(ClusterLabels(cluster.Name)).
		WithOwnerReferences(clusterOwner(cluster)).
		WithSpec(corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP).
			WithSelector(clusterPods(cluster.Name)).WithPorts(httpPort(cluster.Spec.TLS)))
}

// ClusterNode is the VesperNode of a member. image is what it should run; hash
// returns that of the settings of a broker which it may be configured with, "" for any.
func ClusterNode(cluster *v1alpha1.VesperCluster, m topology.Member, image string, hash func(broker string) string) *v1alpha1ac.VesperNodeApplyConfiguration {
	labels := ClusterLabels(cluster.Name)
	labels[v1alpha1.LabelGroup] = m.Group
	spec := v1alpha1ac.VesperNodeSpec().
		WithBranchID(string(m.ID)).
		WithTrunkID(string(m.Trunk)).
		WithBrokerRef(v1alpha1ac.LocalReference().WithName(m.Channel.Broker)).
		WithChannel(m.Channel.Name).
		WithGroup(m.Group).
		WithImage(image).
		WithStorage(applyStorage(cluster.Spec.Storage)).
		WithDeletionPolicy(cluster.Spec.DeletionPolicy)
	if m.Draining {
		spec.WithDraining(true)
	}
	if h := hash(m.Channel.Broker); h != "" {
		spec.WithBrokerHash(h)
	}
	linkNode(spec, m, hash)
	if cluster.Spec.ImagePullPolicy != "" {
		spec.WithImagePullPolicy(cluster.Spec.ImagePullPolicy)
	}
	if cluster.Spec.Resources != nil {
		spec.WithResources(*cluster.Spec.Resources)
	}
	// What is as it always was is left out, so that a newer operator changes no node.
	if w := cluster.Spec.Wire; w != "" && w != v1alpha1.WirePacked {
		spec.WithWire(w)
	}
	if uri := cluster.Spec.ModelURI; uri != "" {
		spec.WithModelURI(uri)
	}
	if p := cluster.Spec.ConflictPolicy; p != "" && p != v1alpha1.ConflictLatest {
		spec.WithConflictPolicy(p)
	}
	if cluster.Spec.Retention.Limited() {
		spec.WithRetention(cluster.Spec.Retention).WithMembersRef(v1alpha1ac.LocalReference().WithName(MembersNameOf(cluster, m)))
	}
	if a := cluster.Spec.Access; a != nil {
		spec.WithAccess(applyAccess(*a))
	}
	if t := cluster.Spec.PodTemplate; t != nil {
		spec.WithPodTemplate(*t)
	}
	if t := cluster.Spec.TLS; t != nil {
		spec.WithTLS(applyTLS(*t))
	}
	for _, secret := range cluster.Spec.ImagePullSecrets {
		spec.WithImagePullSecrets(v1alpha1ac.LocalReference().WithName(secret.Name))
	}
	return v1alpha1ac.VesperNode(m.Name, cluster.Namespace).
		WithLabels(labels).WithOwnerReferences(clusterOwner(cluster)).WithSpec(spec)
}

// linkNode sets where a member stands between the groups. What a cluster without
// a hierarchy does not have is left out, so that a newer operator changes no node.
func linkNode(spec *v1alpha1ac.VesperNodeSpecApplyConfiguration, m topology.Member, hash func(broker string) string) {
	if m.Parent != "" {
		spec.WithParent(m.Parent)
	}
	if m.Intermittent {
		spec.WithIntermittent(true)
	}
	for _, l := range m.Links {
		link := v1alpha1ac.NodeLink().WithName(l.Name).WithBrokerRef(v1alpha1ac.LocalReference().WithName(l.Broker)).WithChannel(l.Channel.Name)
		if h := hash(l.Broker); h != "" {
			link.WithBrokerHash(h)
		}
		spec.WithLinks(link)
	}
}

// GroupChannel is the channel that the nodes of a group share.
func GroupChannel(cluster *v1alpha1.VesperCluster, group v1alpha1.NodeGroup) topology.Channel {
	channel := topology.Channel{Broker: cluster.Spec.BrokerRef.Name, Name: cluster.Spec.Channel}
	if group.BrokerRef != nil {
		channel.Broker = group.BrokerRef.Name
	}
	if group.Channel != "" {
		channel.Name = group.Channel
	}
	return channel
}

// NodeChannels are the channels that a node joins, its own first.
func NodeChannels(node *v1alpha1.VesperNode) []topology.Channel {
	all := []topology.Channel{{Broker: node.Spec.BrokerRef.Name, Name: node.Spec.Channel}}
	for _, link := range node.Spec.Links {
		all = append(all, topology.Channel{Broker: link.BrokerRef.Name, Name: link.Channel})
	}
	return all
}

func applyStorage(s v1alpha1.Storage) *v1alpha1ac.StorageApplyConfiguration {
	storage := v1alpha1ac.Storage()
	if s.Size != nil {
		storage.WithSize(*s.Size)
	}
	if s.StorageClassName != nil {
		storage.WithStorageClassName(*s.StorageClassName)
	}
	return storage
}
