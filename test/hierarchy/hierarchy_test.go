// Package hierarchy runs the nodes of a planned hierarchy as real processes, each
// with the file and the credentials that the operator gives it, over a real
// ActiveMQ at the top and a broker of its own at each site.
package hierarchy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/activemqtest"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/nodetest"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/stomp/broker"
	"vesperdb.io/vesper/internal/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(nodetest.Built(m)) }

// login is what a broker asks for: another one at each.
func login(name string) map[string]string {
	return map[string]string{"user-of-" + name: "secret of " + name}
}

// site starts a broker in this process.
func site(t *testing.T, name string) *broker.Broker {
	t.Helper()
	b, err := broker.Start(broker.Options{Users: login(name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// tree is a head office with two nodes, a store below it with two, and a till
// below the store, on a channel of another name, which may be cut off.
func tree() *v1alpha1.VesperCluster {
	two, one := int32(2), int32(1)
	c := &v1alpha1.VesperCluster{Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Channel: "VESPER_DATA",
		Groups: []v1alpha1.NodeGroup{
			{Name: "core", Replicas: &two},
			{Name: "store", Replicas: &two, BrokerRef: &v1alpha1.LocalReference{Name: "mq-store"}, Parent: "core"},
			{Name: "till", Replicas: &one, BrokerRef: &v1alpha1.LocalReference{Name: "mq-till"}, Channel: "TILL", Parent: "store", Intermittent: true},
		}}}
	c.Name, c.Namespace = "shop", "prod"
	return c
}

// plan gives the nodes of a cluster their ids and links.
func plan(t *testing.T, c *v1alpha1.VesperCluster) []topology.Member {
	t.Helper()
	state := topology.State{Cluster: topology.Cluster{Identity: topology.Identity{Name: c.Name}, Range: topology.NewRange(2, "", ""), Trunk: "0A"}}
	for _, g := range c.Spec.Groups {
		state.Cluster.Groups = append(state.Cluster.Groups, topology.Group{Name: g.Name, Replicas: int(*g.Replicas),
			Channel: resources.GroupChannel(c, g), Parent: g.Parent, Intermittent: g.Intermittent})
	}
	p := topology.Make(state)
	if p.Refusal != nil {
		t.Fatal(p.Refusal.Message)
	}
	return p.Members
}

// made is what the node's controller would make a node from, once the cluster's
// has made the VesperNode.
func made(t *testing.T, c *v1alpha1.VesperCluster, m topology.Member, brokers map[string]string) resources.Node {
	t.Helper()
	text, err := json.Marshal(resources.ClusterNode(c, m, "vesper/node:test", func(string) string { return "" }))
	if err != nil {
		t.Fatal(err)
	}
	object := &v1alpha1.VesperNode{}
	if err := json.Unmarshal(text, object); err != nil {
		t.Fatal(err)
	}
	status := func(name string) v1alpha1.VesperBrokerStatus {
		return v1alpha1.VesperBrokerStatus{Hosts: []string{brokers[name]}, CredentialsSecret: name + "-login"}
	}
	n := resources.Node{Object: object, Image: "vesper/node:test", Broker: status(object.Spec.BrokerRef.Name)}
	for _, link := range object.Spec.Links {
		n.Links = append(n.Links, status(link.BrokerRef.Name))
	}
	return n
}

// mount writes the files of the Secrets that a node's pod mounts, below root.
func mount(t *testing.T, n resources.Node, root string) {
	t.Helper()
	set, err := resources.NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]string{}
	for _, m := range set.Spec.Template.Spec.Containers[0].VolumeMounts {
		at[*m.Name] = filepath.Join(root, *m.MountPath)
	}
	for _, v := range set.Spec.Template.Spec.Volumes {
		if v.Secret == nil {
			continue
		}
		for user, password := range login(strings.TrimSuffix(*v.Secret.SecretName, "-login")) {
			for file, text := range map[string]string{"username": user, "password": password} {
				if err := os.MkdirAll(at[*v.Name], 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(at[*v.Name], file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// start runs a node with the operator's own file, whose paths are moved below a
// directory of the test, and with short times.
func start(t *testing.T, n resources.Node) *nodetest.Node {
	t.Helper()
	files, err := resources.NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	mount(t, n, root)
	config, err := nodeconfig.Parse("node.yaml", []byte(strings.ReplaceAll(files.Data["node.yaml"], "/etc/vesper/", root+"/etc/vesper/")))
	if err != nil {
		t.Fatal(err)
	}
	config.Beacon = nodeconfig.Beacon{Interval: 500 * time.Millisecond, Window: 2 * time.Second}
	node := nodetest.Configured(t, config)
	node.Start()
	return node
}

// level waits until all nodes are ready with one revision and digest, and all
// that was written.
func level(t *testing.T, nodes map[string]*nodetest.Node, written int) {
	t.Helper()
	deadline := time.Now().Add(nodetest.Patience)
	for {
		why := differ(nodes, written)
		if why == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not level within %v: %v", nodetest.Patience, why)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func differ(nodes map[string]*nodetest.Node, written int) error {
	digests := map[string]string{}
	for name, n := range nodes {
		s, err := n.Status()
		if err != nil {
			return err
		}
		if !s.Ready || s.Objects != int64(written) {
			return fmt.Errorf("%s is ready %v (%s) and has %d of %d objects", name, s.Ready, s.Message, s.Objects, written)
		}
		digests[s.Revision.String()+" "+s.Digest] = name
	}
	if len(digests) != 1 {
		return fmt.Errorf("nodes differ: %v", digests)
	}
	return nil
}

// write puts an object on a node, which must take it as soon as it may write.
func write(t *testing.T, n *nodetest.Node, id string) {
	t.Helper()
	deadline := time.Now().Add(nodetest.Patience)
	for {
		a, err := n.Do(http.MethodPut, "/v1/objects/"+id, `{"name": "`+id+`"}`)
		if err == nil && a.Status/100 == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("node %s does not take %s: %+v, %v", n.ID, id, a, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestAPlannedTreeOfThreeLevelsReplicatesFromLeafToLeaf: what is written anywhere
// arrives everywhere; what is cut off goes on, and catches up.
func TestAPlannedTreeOfThreeLevelsReplicatesFromLeafToLeaf(t *testing.T) {
	top := activemqtest.Start(t, activemqtest.Options{Users: login("mq")})
	store, till := site(t, "mq-store"), site(t, "mq-till")
	brokers := map[string]string{"mq": top.Addr(), "mq-store": store.Addr(), "mq-till": till.Addr()}
	cluster, nodes := tree(), map[string]*nodetest.Node{}
	for _, member := range plan(t, cluster) {
		nodes[member.Name] = start(t, made(t, cluster, member, brokers))
	}
	core, plain, leaf := nodes["shop-core-0a"], nodes["shop-store-0d"], nodes["shop-till-0e"]
	write(t, core, "from-the-top")
	write(t, leaf, "from-the-till")
	write(t, plain, "from-the-store")
	level(t, nodes, 3)

	top.Stop() // the store and the till are cut off from the head office
	write(t, leaf, "while-cut-off")
	write(t, nodes["shop-core-0b"], "meanwhile")
	below := map[string]*nodetest.Node{"shop-store-0d": plain, "shop-till-0e": leaf}
	level(t, below, 4)
	if err := top.Start(); err != nil {
		t.Fatal(err)
	}
	level(t, nodes, 5)

	relay := nodes["shop-store-0c"]
	relay.Kill() // the only relay of the store
	write(t, leaf, "without-the-relay")
	write(t, core, "without-it-too")
	level(t, below, 6)
	relay.Start()
	level(t, nodes, 7)
}
