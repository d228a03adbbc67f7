package resources

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/topology"
)

func testNode(change ...func(*Node)) Node {
	yes, size := true, resource.MustParse("256Mi")
	n := Node{
		Object: &v1alpha1.VesperNode{
			ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b", Namespace: "prod", UID: types.UID("node-uid"),
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "vesperdb.io/v1alpha1", Kind: "VesperCluster", Name: "shop", UID: "cluster-uid", Controller: &yes}}},
			Spec: v1alpha1.VesperNodeSpec{BranchID: "0B", TrunkID: "0A", BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Channel: "VESPER_DATA",
				Group: "core", Storage: v1alpha1.Storage{Size: &size}, DeletionPolicy: v1alpha1.DeletionRetain},
		},
		Broker:    v1alpha1.VesperBrokerStatus{Hosts: []string{"mq-broker.prod.svc:61613"}, Flavor: v1alpha1.FlavorActiveMQ, CredentialsSecret: "mq-broker-auth"},
		Image:     "vesper/node:v1",
		VolumeUID: "volume-uid",
	}
	for _, f := range change {
		f(&n)
	}
	return n
}

// TestNodeChildren shows all that the operator sends for one node of a cluster.
// A change of these files restarts every database: think twice.
func TestNodeChildren(t *testing.T) {
	n := testNode()
	config, err := NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "node", config, NodeClaim(n, VolumeSize(n.Object.Spec.Storage, nil), nil), NodeService(n), NodeHeadlessService(n), set)
}

// TestPinnedNodeChildren: no cluster, no login, the smallest spec, everything else set.
func TestPinnedNodeChildren(t *testing.T) {
	class := "fast"
	n := testNode(func(n *Node) {
		n.Object.Name, n.Object.OwnerReferences = "pin", nil
		n.Object.Spec.Group, n.Object.Spec.TrunkID = "", ""
		n.Object.Spec.DeletionPolicy = v1alpha1.DeletionDelete
		n.Object.Spec.Storage.StorageClassName = &class
		n.Object.Spec.ImagePullPolicy = corev1.PullAlways
		n.Object.Spec.ImagePullSecrets = []v1alpha1.LocalReference{{Name: "registry"}}
		n.Object.Spec.Resources = &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("100Mi")}}
		n.Broker = v1alpha1.VesperBrokerStatus{Hosts: []string{"a.example.org:61613", "b.example.org:61613"}, Flavor: v1alpha1.FlavorAuto}
	})
	config, err := NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "node-pinned", config, NodeClaim(n, VolumeSize(n.Object.Spec.Storage, nil), nil), set)
}

func TestTheNodeReadsWhatTheOperatorRenders(t *testing.T) {
	config, err := NodeConfigMap(testNode())
	if err != nil {
		t.Fatal(err)
	}
	got, err := nodeconfig.Parse("node.yaml", []byte(config.Data["node.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	if got.BranchID != "0B" || got.TrunkID != "0A" || got.ReplicationChannel != "VESPER_DATA" || got.ReplicationHosts[0] != "mq-broker.prod.svc:61613" ||
		got.StoragePath != "/var/lib/vesper" || got.Broker.PasswordFile != "/etc/vesper/broker/password" {
		t.Errorf("the node reads %+v", got)
	}
}

func TestAConfigurationThatCannotBeIsAnErrorThatNamesTheNode(t *testing.T) {
	n := testNode(func(n *Node) { n.Broker.Hosts = []string{"no port"} })
	for what, err := range map[string]error{"ConfigMap": errOf(NodeConfigMap(n)), "StatefulSet": errOf(NodeStatefulSet(n))} {
		if err == nil || !strings.Contains(err.Error(), "VesperNode shop-core-0b") {
			t.Errorf("%s: error is %v, want one that names the node", what, err)
		}
	}
}

func errOf[T any](_ T, err error) error { return err }

// TestWhatRestartsANode: the pod template changes with what the process reads
// at its start, and with nothing else.
func TestWhatRestartsANode(t *testing.T) {
	template := func(n Node) string {
		set, err := NodeStatefulSet(n)
		if err != nil {
			t.Fatal(err)
		}
		return toYAML(t, set.Spec.Template)
	}
	before := template(testNode())
	for _, test := range []struct {
		name     string
		change   func(*Node)
		restarts bool
	}{
		{"hosts", func(n *Node) { n.Broker.Hosts = []string{"other:61613"} }, true},
		{"virtual host", func(n *Node) { n.Broker.VirtualHost = "shop" }, true},
		{"login", func(n *Node) { n.Broker.CredentialsSecret = "other" }, true},
		{"image", func(n *Node) { n.Image = "vesper/node:v2" }, true},
		{"resources", func(n *Node) { n.Object.Spec.Resources = &corev1.ResourceRequirements{} }, true},
		{"what the broker calls itself", func(n *Node) { n.Broker.Server = "ActiveMQ/6" }, false},
		{"storage", func(n *Node) { n.Object.Spec.Storage = v1alpha1.Storage{} }, false},
		{"deletion policy", func(n *Node) { n.Object.Spec.DeletionPolicy = v1alpha1.DeletionDelete }, false},
		{"stopped", func(n *Node) { n.Stopped = true }, false},
		{"volume", func(n *Node) { n.VolumeUID = "other" }, false},
		{"cluster deleted around it", func(n *Node) {
			n.Object.OwnerReferences, n.Object.Labels = nil, map[string]string{v1alpha1.LabelCluster: "shop"}
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := template(testNode(test.change)) != before; got != test.restarts {
				t.Errorf("restarts = %v, want %v", got, test.restarts)
			}
		})
	}
}

func TestAStoppedNodeKeepsItsStatefulSetWithoutAPod(t *testing.T) {
	set, err := NodeStatefulSet(testNode(func(n *Node) { n.Stopped = true }))
	if err != nil || *set.Spec.Replicas != 0 {
		t.Errorf("replicas are %d, %v, want 0", *set.Spec.Replicas, err)
	}
}

func TestAClaimBelongsToItsNodeOnlyWhenItIsToGoWithIt(t *testing.T) {
	if owners := NodeClaim(testNode(), defaultVolumeSize, nil).OwnerReferences; len(owners) != 0 {
		t.Errorf("Retain: owners are %v, want none", owners)
	}
	deleted := testNode(func(n *Node) { n.Object.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	if owners := NodeClaim(deleted, defaultVolumeSize, nil).OwnerReferences; len(owners) != 1 || *owners[0].UID != "node-uid" {
		t.Errorf("Delete: owners are %v, want the node", owners)
	}
}

func TestBrokersThatNodesAreConfiguredAlikeForHaveOneHash(t *testing.T) {
	broker := v1alpha1.VesperBrokerStatus{Hosts: []string{"a:1", "b:2"}, Flavor: v1alpha1.FlavorAuto, CredentialsSecret: "login", Server: "ActiveMQ/5"}
	hash, same := BrokerHash(broker), broker
	same.Server, same.Image, same.ObservedGeneration = "ActiveMQ/6", "mq:v2", 7
	if BrokerHash(same) != hash {
		t.Error("another hash for a broker that only was upgraded: its nodes would restart")
	}
	for name, change := range map[string]func(*v1alpha1.VesperBrokerStatus){
		"hosts":       func(b *v1alpha1.VesperBrokerStatus) { b.Hosts = []string{"a:1"} },
		"make":        func(b *v1alpha1.VesperBrokerStatus) { b.Flavor = v1alpha1.FlavorActiveMQ },
		"credentials": func(b *v1alpha1.VesperBrokerStatus) { b.CredentialsSecret = "" },
	} {
		other := broker
		change(&other)
		if BrokerHash(other) == hash {
			t.Errorf("the same hash with other %s: nodes would keep the old ones", name)
		}
	}
}

func hashes(hash string) func(string) string { return func(string) string { return hash } }

func TestClusterChildren(t *testing.T) {
	size := resource.MustParse("256Mi")
	cluster := &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "prod", UID: "cluster-uid"},
		Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Channel: "VESPER_DATA",
			Storage: v1alpha1.Storage{Size: &size}, DeletionPolicy: v1alpha1.DeletionRetain, ImagePullPolicy: corev1.PullNever,
			ImagePullSecrets: []v1alpha1.LocalReference{{Name: "registry"}},
			Resources:        &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}
	member := topology.Member{Name: "shop-core-0b", ID: "0B", Trunk: "0A", Group: "core", Channel: topology.Channel{Broker: "mq", Name: "VESPER_DATA"}}
	golden(t, "cluster", ClusterService(cluster), ClusterNode(cluster, member, "vesper/node:v1", hashes("abc123")))
}

func TestNoNameIsTooLongForKubernetes(t *testing.T) {
	cluster, group := strings.Repeat("c", 28), strings.Repeat("g", 16)
	node := topology.NodeName(cluster, group, "ZZZZZZ")
	// A pod's controller-revision-hash label is its StatefulSet's name, a dash and ten characters.
	if len(node)+11 > 63 {
		t.Errorf("node name %s has %d characters, more than a StatefulSet can have", node, len(node))
	}
	for _, name := range []string{NodeHeadlessName(node), NodeConfigName(node), NodeClaimName(node), NodePodName(node)} {
		if len(name) > 63 {
			t.Errorf("%s has %d characters, more than a Service or label can have", name, len(name))
		}
	}
}
