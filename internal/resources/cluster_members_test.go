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
	got := ClusterMembers(cluster, []branch.ID{"0C", "0A", "0C", "0B"})
	if *got.Name != "shop-members" || got.Data["members"] != "0A\n0B\n0C\n" {
		t.Errorf("%s: %q", *got.Name, got.Data)
	}
}

func TestWhatAChannelsNodesHaveInCommonGoesFromTheClusterIntoTheNodesFile(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name = "shop"
	cluster.Spec.ConflictPolicy, cluster.Spec.Retention, cluster.Spec.Wire = v1alpha1.ConflictEarliest, "720h", v1alpha1.WirePacked
	spec := ClusterNode(cluster, topology.Member{Name: "shop-core-0a", ID: "0A"}, "i", "").Spec
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
	n := testNode(func(n *Node) { n.Object.Spec.Wire = v1alpha1.WireVesper })
	if config := NodeConfig(n); config.Wire != nodeconfig.WireVesper || config.Validate() != nil {
		t.Errorf("the configuration is %+v: %v", config, config.Validate())
	}
}
