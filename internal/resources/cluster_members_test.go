package resources

import (
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/topology"
)

func TestMembersAreListedOnceEachInOrder(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name = "shop"
	got := ClusterMembers(cluster, "shop-members", []branch.ID{"0C", "0A", "0C", "0B"})
	if *got.Name != "shop-members" || got.Data["members"] != "0A\n0B\n0C\n" {
		t.Errorf("%s: %q", *got.Name, got.Data)
	}
}

func TestWhatAChannelsNodesHaveInCommonGoesFromTheClusterIntoTheNodesFile(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name = "shop"
	cluster.Spec.ConflictPolicy, cluster.Spec.Retention, cluster.Spec.Wire = v1alpha1.ConflictEarliest, "720h", v1alpha1.WirePacked
	spec := ClusterNode(cluster, topology.Member{Name: "shop-core-0a", ID: "0A"}, "i", hashes("")).Spec
	if *spec.ConflictPolicy != v1alpha1.ConflictEarliest || *spec.Retention != "720h" || *spec.MembersRef.Name != "shop-members" || spec.Wire != nil {
		t.Errorf("the node's spec is %+v", spec)
	}
	n := testNode(func(n *Node) {
		n.Object.Spec.ConflictPolicy, n.Object.Spec.Retention = *spec.ConflictPolicy, *spec.Retention
		n.Object.Spec.MembersRef = &v1alpha1.LocalReference{Name: "shop-members"}
	})
	config := NodeConfig(n)
	if config.ConflictPolicy != nodeconfig.ConflictEarliest || time.Duration(config.Retention) != 720*time.Hour || config.MembersFile != "/etc/vesper/members/members" {
		t.Errorf("the configuration is %+v", config)
	}
	if err := config.Validate(); err != nil {
		t.Error(err)
	}
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	mounted := false
	for _, m := range set.Spec.Template.Spec.Containers[0].VolumeMounts {
		mounted = mounted || *m.Name == "members" && strings.HasPrefix(config.MembersFile, *m.MountPath+"/")
	}
	if !mounted {
		t.Error("the list of members is not where the node's file says")
	}
}

func TestWireOfOriginalsGoesIntoTheNodesFile(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Spec.Wire, cluster.Spec.ModelURI = v1alpha1.WireVesper, "http://example.org/model/"
	spec := ClusterNode(cluster, topology.Member{Name: "shop-core-0a", ID: "0A"}, "i", hashes("")).Spec
	n := testNode(func(n *Node) { n.Object.Spec.Wire, n.Object.Spec.ModelURI = *spec.Wire, *spec.ModelURI })
	config := NodeConfig(n)
	if config.Wire != nodeconfig.WireVesper || config.ModelURI != "http://example.org/model/" || config.Validate() != nil {
		t.Errorf("the configuration is %+v: %v", config, config.Validate())
	}
	files, err := nodeFiles(n)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := nodeconfig.Parse("node.yaml", []byte(files[nodeConfigFile])); err != nil || got.ModelURI != config.ModelURI {
		t.Errorf("the node reads the model URI %q, %v", got.ModelURI, err)
	}
}

func TestTheVirtualHostOfTheBrokerGoesIntoTheNodesFileAndItsHash(t *testing.T) {
	n := testNode(func(n *Node) { n.Broker.VirtualHost = "shop" })
	files, err := nodeFiles(n)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := nodeconfig.Parse("node.yaml", []byte(files[nodeConfigFile])); err != nil || got.Broker.VirtualHost != "shop" {
		t.Errorf("the node reads the virtual host %q, %v", got.Broker.VirtualHost, err)
	}
	if BrokerHash(n.Broker) == BrokerHash(testNode().Broker) {
		t.Error("a change of the virtual host would not go through the nodes one after another")
	}
}

// TestTheHashOfABrokerIsTheOneOfEarlierOperators: another one would restart all nodes.
func TestTheHashOfABrokerIsTheOneOfEarlierOperators(t *testing.T) {
	broker := testNode().Broker
	if got, want := BrokerHash(broker), hashOf(map[string]string{"hosts": "mq-broker.prod.svc:61613", "flavor": "activemq", "secret": "mq-broker-auth"}); got != want {
		t.Errorf("the hash is %s, want %s", got, want)
	}
}

func TestSnapshotsInTransitAreOnTheDataVolume(t *testing.T) {
	set, err := NodeStatefulSet(testNode())
	if err != nil {
		t.Fatal(err)
	}
	mounts := map[string]string{}
	for _, m := range set.Spec.Template.Spec.Containers[0].VolumeMounts {
		mounts[*m.Name] = *m.MountPath
	}
	// The node keeps them in storage_path/snapshots.
	if path := NodeConfig(testNode()).StoragePath; mounts["data"] != path {
		t.Errorf("storage_path is %s and the data volume at %s", path, mounts["data"])
	}
}
