package resources

import (
	"fmt"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
)

const (
	nodeConfigDir  = "/etc/vesper/config"
	nodeConfigFile = "node.yaml"
	nodeBrokerDir  = "/etc/vesper/broker"
	nodeMembersDir = "/etc/vesper/members"
	nodeDataDir    = "/var/lib/vesper"
)

// NodeConfig is the configuration of a node. Credentials are files that
// Kubernetes mounts, never text in it.
func NodeConfig(n Node) nodeconfig.Config {
	config := nodeconfig.Default()
	config.BranchID = branch.ID(n.Object.Spec.BranchID)
	config.TrunkID = NodeTrunk(n.Object)
	config.StoragePath = nodeDataDir
	guard(&config, n.Object.Spec)
	config.ReplicationHosts = n.Broker.Hosts
	config.ReplicationChannel = n.Object.Spec.Channel
	if n.Broker.Flavor != "" {
		config.Broker.Flavor = nodeconfig.Flavor(n.Broker.Flavor)
	}
	config.Broker.VirtualHost = n.Broker.VirtualHost
	if n.Broker.CredentialsSecret != "" {
		config.Broker.UsernameFile = nodeBrokerDir + "/" + v1alpha1.CredentialsUsernameKey
		config.Broker.PasswordFile = nodeBrokerDir + "/" + v1alpha1.CredentialsPasswordKey
	}
	replicateLike(&config, n.Object.Spec)
	return config
}

// replicateLike sets what all nodes of a channel have in common. What the spec
// leaves out stays at its default, and so out of the file.
func replicateLike(config *nodeconfig.Config, spec v1alpha1.VesperNodeSpec) {
	if spec.Wire != "" {
		config.Wire = nodeconfig.Wire(spec.Wire)
	}
	if spec.ModelURI != "" {
		config.ModelURI = spec.ModelURI
	}
	if spec.ConflictPolicy != "" {
		config.ConflictPolicy = nodeconfig.ConflictPolicy(spec.ConflictPolicy)
	}
	if spec.MembersRef != nil {
		config.MembersFile = nodeMembersDir + "/" + membersKey
	}
	if retention := spec.Retention.Duration(); retention > 0 {
		config.Retention = nodeconfig.Retention(retention)
	}
}

// nodeFiles renders the files of a node's ConfigMap. A broker that knows no ACK
// is the node's own matter: it learns the make of its broker when it connects.
func nodeFiles(n Node) (map[string]string, error) {
	text, err := nodeconfig.Render(NodeConfig(n))
	if err != nil {
		return nil, fmt.Errorf("rendering the configuration of VesperNode %s: %w", n.Object.Name, err)
	}
	return map[string]string{nodeConfigFile: string(text)}, nil
}

// NodeConfigMap holds the configuration file of a node.
func NodeConfigMap(n Node) (*corev1ac.ConfigMapApplyConfiguration, error) {
	files, err := nodeFiles(n)
	if err != nil {
		return nil, err
	}
	return corev1ac.ConfigMap(NodeConfigName(n.Object.Name), n.Object.Namespace).
		WithLabels(NodeLabels(n.Object)).
		WithOwnerReferences(nodeOwner(n.Object)).
		WithData(files), nil
}
