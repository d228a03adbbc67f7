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
	nodeLinksDir   = "/etc/vesper/links"
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
	replicateLike(&config, n.Object.Spec)
	if len(n.Object.Spec.Links) > 0 {
		config.Links = nodeLinks(n)
		return config
	}
	config.ReplicationHosts = n.Broker.Hosts
	config.ReplicationChannel = n.Object.Spec.Channel
	reach(&config.Broker, n.Broker, nodeBrokerDir)
	return config
}

// reach sets how a broker is spoken to, with a login whose files are in dir.
func reach(config *nodeconfig.Broker, broker v1alpha1.VesperBrokerStatus, dir string) {
	if broker.Flavor != "" {
		config.Flavor = nodeconfig.Flavor(broker.Flavor)
	}
	config.VirtualHost = broker.VirtualHost
	if broker.CredentialsSecret != "" {
		config.UsernameFile = dir + "/" + v1alpha1.CredentialsUsernameKey
		config.PasswordFile = dir + "/" + v1alpha1.CredentialsPasswordKey
	}
}

// nodeLinks are the links of a relay. Its own is called as that of a node which
// has no other: it goes on where it was when the node becomes a relay.
func nodeLinks(n Node) []nodeconfig.Link {
	link := func(name, channel, dir string, broker v1alpha1.VesperBrokerStatus) nodeconfig.Link {
		l := nodeconfig.DefaultLink()
		l.Name, l.Channel, l.Hosts = name, channel, broker.Hosts
		reach(&l.Broker, broker, dir)
		return l
	}
	links := []nodeconfig.Link{link(nodeconfig.MainLink, n.Object.Spec.Channel, nodeBrokerDir, n.Broker)}
	for i, l := range n.Object.Spec.Links {
		links = append(links, link(l.Name, l.Channel, linkDir(l.Name), n.linkBroker(i)))
	}
	return links
}

// linkDir is where the login of a link's broker is.
func linkDir(link string) string { return nodeLinksDir + "/" + link }

// linkBroker is the broker of the i-th link, nothing while nobody knows it.
func (n Node) linkBroker(i int) v1alpha1.VesperBrokerStatus {
	if i < len(n.Links) {
		return n.Links[i]
	}
	return v1alpha1.VesperBrokerStatus{}
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
