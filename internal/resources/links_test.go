package resources

import (
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/topology"
)

// relay makes a test node one that also joins the channel of the group core.
func relay(n *Node) {
	n.Object.Spec.Parent, n.Object.Spec.Intermittent = "core", true
	n.Object.Spec.Links = []v1alpha1.NodeLink{{Name: "parent-core", BrokerRef: v1alpha1.LocalReference{Name: "hq"}, Channel: "CORE"}}
	n.Links = []v1alpha1.VesperBrokerStatus{{Hosts: []string{"hq-1.example.org:61613", "hq-2.example.org:61613"}, Flavor: v1alpha1.FlavorRabbitMQ, VirtualHost: "shop", CredentialsSecret: "hq-login"}}
}

// TestRelayChildren shows what the operator sends for a relay of an intermittent group.
func TestRelayChildren(t *testing.T) {
	n := testNode(relay)
	config, err := NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "relay", config, set)
}

func TestARelayReadsEachBrokersLoginFromItsOwnFiles(t *testing.T) {
	n := testNode(relay)
	files, err := nodeFiles(n)
	if err != nil {
		t.Fatal(err)
	}
	config, err := nodeconfig.Parse("node.yaml", []byte(files["node.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	links := config.AllLinks()
	if len(links) != 2 || links[0].Name != nodeconfig.MainLink || links[0].Channel != "VESPER_DATA" || links[1].Name != "parent-core" || !links[0].Relay || !links[1].Relay {
		t.Fatalf("links are %+v", links)
	}
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	for i, secret := range []string{"mq-broker-auth", "hq-login"} {
		dir, file, _ := cutLast(links[i].Broker.PasswordFile)
		if file != v1alpha1.CredentialsPasswordKey || !mounts(t, n, dir, secret) {
			t.Errorf("link %s reads %s, want a file of Secret %s that is mounted there", links[i].Name, links[i].Broker.PasswordFile, secret)
		}
	}
	if text := files["node.yaml"] + toYAML(t, set.Spec.Template.Spec.Containers[0].Env); strings.Contains(text, "hunter2") {
		t.Error("a password is in the file or in the environment")
	}
}

func cutLast(path string) (dir, file string, found bool) {
	i := strings.LastIndex(path, "/")
	return path[:max(i, 0)], path[i+1:], i >= 0
}

// mounts reports whether a node's pod has a Secret at a directory.
func mounts(t *testing.T, n Node, dir, secret string) bool {
	t.Helper()
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, volume := range set.Spec.Template.Spec.Volumes {
		for _, mount := range set.Spec.Template.Spec.Containers[0].VolumeMounts {
			if volume.Secret != nil && *volume.Secret.SecretName == secret && *mount.Name == *volume.Name && *mount.MountPath == dir && *mount.ReadOnly {
				return true
			}
		}
	}
	return false
}

func TestARelayWhoseOtherBrokerNobodyKnowsIsAnError(t *testing.T) {
	if _, err := NodeConfigMap(testNode(relay, func(n *Node) { n.Links = nil })); err == nil || !strings.Contains(err.Error(), "VesperNode shop-core-0b") {
		t.Errorf("error is %v, want one that names the node", err)
	}
}

// TestWhatOfAHierarchyRestartsANode: links and intermittent do, the parent's
// name alone does not.
func TestWhatOfAHierarchyRestartsANode(t *testing.T) {
	template := func(changes ...func(*Node)) string {
		set, err := NodeStatefulSet(testNode(changes...))
		if err != nil {
			t.Fatal(err)
		}
		return toYAML(t, set.Spec.Template)
	}
	for _, test := range []struct {
		name     string
		change   func(*Node)
		restarts bool
	}{
		{"becomes a plain member", func(n *Node) { n.Object.Spec.Links = nil }, true},
		{"the parent's broker moves", func(n *Node) { n.Links[0].Hosts = []string{"new:61613"} }, true},
		{"the parent's broker gets another login", func(n *Node) { n.Links[0].CredentialsSecret = "new" }, true},
		{"the parent's broker is upgraded", func(n *Node) { n.Links[0].Server = "RabbitMQ/4" }, false},
		{"no longer intermittent", func(n *Node) { n.Object.Spec.Intermittent = false }, true},
		{"the turn for settings it has", func(n *Node) { n.Object.Spec.Links[0].BrokerHash = "abc" }, false},
		{"the parent is called otherwise", func(n *Node) { n.Object.Spec.Parent = "top" }, false},
	} {
		if got := template(relay, test.change) != template(relay); got != test.restarts {
			t.Errorf("%s: restarts = %v, want %v", test.name, got, test.restarts)
		}
	}
}

func TestWhereAMemberStandsGoesIntoItsNode(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name, cluster.Spec.BrokerRef.Name, cluster.Spec.Channel, cluster.Spec.Retention = "shop", "mq", "VESPER_DATA", "24h"
	core, store := topology.Channel{Broker: "mq", Name: "VESPER_DATA"}, topology.Channel{Broker: "mq-store", Name: "STORE"}
	hash := func(broker string) string { return "hash-of-" + broker }
	spec := ClusterNode(cluster, topology.Member{Name: "shop-store-0d", ID: "0D", Group: "store", Channel: store, Parent: "core", Intermittent: true,
		Links: []topology.Link{{Name: "parent-core", Channel: core}}}, "i", hash).Spec
	if *spec.BrokerRef.Name != "mq-store" || *spec.Channel != "STORE" || *spec.BrokerHash != "hash-of-mq-store" || *spec.Parent != "core" || !*spec.Intermittent {
		t.Errorf("the node's spec is %+v", spec)
	}
	if l := spec.Links; len(l) != 1 || *l[0].Name != "parent-core" || *l[0].BrokerRef.Name != "mq" || *l[0].Channel != "VESPER_DATA" || *l[0].BrokerHash != "hash-of-mq" {
		t.Errorf("its links are %+v", spec.Links)
	}
	plain := ClusterNode(cluster, topology.Member{Name: "shop-core-0a", ID: "0A", Group: "core", Channel: core}, "i", hash).Spec
	if plain.Links != nil || plain.Parent != nil || plain.Intermittent != nil {
		t.Errorf("a node without a hierarchy is told of one: %+v", plain)
	}
	for name, m := range map[string]topology.Member{
		"shop-members":             {Group: "core", Channel: core},
		"shop-store-members":       {Group: "store", Channel: store},
		"shop-store-relay-members": {Group: "store", Channel: store, Links: []topology.Link{{}}},
	} {
		if got := MembersNameOf(cluster, m); got != name {
			t.Errorf("the members of %+v are in %s, want %s", m, got, name)
		}
	}
}

func TestWhatANodeWasAdmittedTo(t *testing.T) {
	node := testNode(relay).Object
	all := NodeBrokers(node)
	if all != "mq,hq/CORE" {
		t.Errorf("the annotation is %q", all)
	}
	for annotation, want := range map[string]bool{all: true, all + ",x/Y": true, "mq": false, "hq,mq/VESPER_DATA,hq/CORE": true, "hq,hq/CORE": false, "": false} {
		if got := AdmittedTo(annotation, node); got != want {
			t.Errorf("admitted to %q: %v, want %v", annotation, got, want)
		}
	}
	node.Spec.Links = nil
	if !AdmittedTo("mq", node) || !AdmittedTo(all, node) || NodeBrokers(node) != "mq" {
		t.Error("a node that has lost a link, or never had one, is taken for one that moved")
	}
	if got := NodeChannels(testNode(relay).Object); !slices.Equal(got, []topology.Channel{{Broker: "mq", Name: "VESPER_DATA"}, {Broker: "hq", Name: "CORE"}}) {
		t.Errorf("its channels are %v", got)
	}
}

func TestTheChannelOfAGroupIsItsOwnOrTheClusters(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Channel: "C"}}
	for _, test := range []struct {
		group v1alpha1.NodeGroup
		want  topology.Channel
	}{
		{v1alpha1.NodeGroup{}, topology.Channel{Broker: "mq", Name: "C"}},
		{v1alpha1.NodeGroup{Channel: "D"}, topology.Channel{Broker: "mq", Name: "D"}},
		{v1alpha1.NodeGroup{BrokerRef: &v1alpha1.LocalReference{Name: "site"}}, topology.Channel{Broker: "site", Name: "C"}},
	} {
		if got := GroupChannel(cluster, test.group); got != test.want {
			t.Errorf("%+v is on %s, want %s", test.group, got, test.want)
		}
	}
}
