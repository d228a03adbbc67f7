package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// below is a group that hangs from another, with a broker named mq-<name>.
func below(name, parent string, replicas int32, change ...func(*v1alpha1.NodeGroup)) v1alpha1.NodeGroup {
	g := v1alpha1.NodeGroup{Name: name, Replicas: &replicas, Parent: parent, BrokerRef: &v1alpha1.LocalReference{Name: "mq-" + name}}
	for _, f := range change {
		f(&g)
	}
	return g
}

func mayBeAway(g *v1alpha1.NodeGroup) { g.Intermittent = true }

// makeTree makes a cluster named shop of a group core and others below it.
func (c *cluster) makeTree(t *testing.T, replicas int32, groups ...v1alpha1.NodeGroup) *v1alpha1.VesperCluster {
	t.Helper()
	c.readyBroker(t, "mq")
	for _, g := range groups {
		c.readyBroker(t, g.BrokerRef.Name)
	}
	return c.makeCluster(t, "shop", replicas, func(cl *v1alpha1.VesperCluster) { cl.Spec.Groups = append(cl.Spec.Groups, groups...) })
}

func (c *cluster) node(t *testing.T, name string) *v1alpha1.VesperNode {
	t.Helper()
	n := &v1alpha1.VesperNode{}
	mustGet(t, c, name, n)
	return n
}

// editGroups changes the groups of the cluster shop.
func (c *cluster) editGroups(t *testing.T, edit func([]v1alpha1.NodeGroup) []v1alpha1.NodeGroup) {
	t.Helper()
	eventually(t, func() error {
		cl := &v1alpha1.VesperCluster{}
		mustGet(t, c, "shop", cl)
		cl.Spec.Groups = edit(cl.Spec.Groups)
		return c.Update(t.Context(), cl)
	})
}

func TestAHierarchyIsMadeAndItsNodesSayWhereTheyStand(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.makeTree(t, 2, below("store", "core", 2), below("till", "store", 1, mayBeAway))
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-store-0c", "shop-store-0d", "shop-till-0e")
	for name, want := range map[string]string{
		"shop-core-0a":  "mq  Member []",
		"shop-store-0c": "mq-store core Relay [parent-core mq]",
		"shop-store-0d": "mq-store core Member []",
		"shop-till-0e":  "mq-till store Relay [parent-store mq-store]",
	} {
		n := c.node(t, name)
		links := []string{}
		for _, l := range n.Spec.Links {
			links = append(links, l.Name, l.BrokerRef.Name)
			if l.BrokerHash == "" {
				t.Errorf("link %s of %s has no hash: a change of its broker would restart all relays at once", l.Name, name)
			}
		}
		if got := fmt.Sprintf("%s %s %s %v", n.Spec.BrokerRef.Name, n.Spec.Parent, n.Status.Role, links); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	config := &corev1.ConfigMap{}
	mustGet(t, c, "shop-store-0c-config", config)
	if text := config.Data["node.yaml"]; !strings.Contains(text, "mq-store.example.org:61613") || !strings.Contains(text, "mq.example.org:61613") {
		t.Errorf("the relay's file does not name both brokers:\n%s", text)
	}
	cl := &v1alpha1.VesperCluster{}
	mustGet(t, c, "shop", cl)
	if got := fmt.Sprintf("%+v", cl.Status.Groups); got != "[{Name:core Parent: Replicas:2 ReadyReplicas:2 Relays:[] Away:0} "+
		"{Name:store Parent:core Replicas:2 ReadyReplicas:2 Relays:[shop-store-0c] Away:0} {Name:till Parent:store Replicas:1 ReadyReplicas:1 Relays:[shop-till-0e] Away:0}]" {
		t.Errorf("the status has %s", got)
	}
	if writes := op.quietFor(2 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

// TestAnInvalidEditOfAHierarchyChangesNothingThatRuns makes a circle of three,
// which only the operator can see, and other changes with it.
func TestAnInvalidEditOfAHierarchyChangesNothingThatRuns(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.makeTree(t, 2, below("a", "core", 1), below("b", "a", 1), below("d", "b", 1))
	nodes := []string{"shop-a-0c", "shop-b-0d", "shop-core-0a", "shop-core-0b", "shop-d-0e"}
	c.clusterReady(t, "shop", nodes...)
	op.quietFor(time.Second)
	before := c.node(t, "shop-core-0a").Generation
	parent := ""
	c.editGroups(t, func(groups []v1alpha1.NodeGroup) []v1alpha1.NodeGroup {
		one := int32(1)
		groups[0].Replicas, parent, groups[1].Parent = &one, groups[1].Parent, "d"
		return groups
	})
	said := c.clusterSays(t, "shop", v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonSpecInvalid)
	if !strings.Contains(said.Message, "(a to d to b to a): leave out the parent of the one that is to be at the top") {
		t.Errorf("message is %q, want the circle and the remedy", said.Message)
	}
	c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSpecInvalid)
	op.quietFor(2 * time.Second)
	c.wantNodes(t, nodes...)
	if after := c.node(t, "shop-core-0a").Generation; after != before || c.ledger(t, "shop").Retired != 0 {
		t.Errorf("node at generation %d, was %d; ledger %+v", after, before, c.ledger(t, "shop"))
	}
	for _, node := range nodes {
		if n := k.removals(node); n != 0 {
			t.Errorf("%s was restarted", node)
		}
	}
	c.editGroups(t, func(groups []v1alpha1.NodeGroup) []v1alpha1.NodeGroup { groups[1].Parent = parent; return groups })
	c.clusterReady(t, "shop", "shop-a-0c", "shop-b-0d", "shop-core-0a", "shop-d-0e")
}

func TestTwoVesperBrokersOfOneAddressAreOneChannel(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	again := c.readyBroker(t, "mq-store")
	c.patch(t, again, `{"spec":{"external":{"hosts":["mq.example.org:61613"]}}}`)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.Groups = append(cl.Spec.Groups, below("store", "core", 1)) })
	said := c.clusterSays(t, "shop", v1alpha1.ConditionValid, metav1.ConditionFalse, v1alpha1.ReasonSpecInvalid)
	if !strings.Contains(said.Message, "VesperBrokers mq-store and mq have an address in common") {
		t.Errorf("message is %q", said.Message)
	}
	c.wantNodes(t)
}

func TestARelayWithoutABrokerIsHeldAndNamesTheGroup(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.makeTree(t, 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	c.editGroups(t, func(groups []v1alpha1.NodeGroup) []v1alpha1.NodeGroup {
		return append(groups, below("store", "core", 1))
	})
	said := c.clusterSays(t, "shop", v1alpha1.ConditionBrokerReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerMissing)
	if !strings.Contains(said.Message, "no VesperBroker mq-store in this namespace: make it, or correct brokerRef.name of group store") {
		t.Errorf("message is %q", said.Message)
	}
	if n := k.removals("shop-core-0a"); n != 0 {
		t.Error("a node that runs was restarted")
	}
	c.readyBroker(t, "mq-store")
	c.clusterReady(t, "shop", "shop-core-0a", "shop-store-0b")
}

// TestAChangeOfLinksRestartsOneNodeAtATime makes relays of all nodes of a group.
func TestAChangeOfLinksRestartsOneNodeAtATime(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.makeTree(t, 1, below("store", "core", 3))
	nodes := []string{"shop-core-0a", "shop-store-0b", "shop-store-0c", "shop-store-0d"}
	c.clusterReady(t, "shop", nodes...)
	release := make(chan struct{})
	k.holdStarts(release)
	three := int32(3)
	c.editGroups(t, func(groups []v1alpha1.NodeGroup) []v1alpha1.NodeGroup { groups[1].Relays = &three; return groups })
	eventually(t, func() error {
		if k.removals("shop-store-0c") != 1 {
			return errors.New("shop-store-0c was not restarted")
		}
		return nil
	})
	c.clusterSays(t, "shop", v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonRolling)
	for _, other := range []string{"shop-core-0a", "shop-store-0b", "shop-store-0d"} {
		if n := k.removals(other); n != 0 {
			t.Errorf("%s was restarted while the first was away", other)
		}
	}
	close(release)
	c.clusterReady(t, "shop", nodes...)
	for node, want := range map[string]int{"shop-core-0a": 0, "shop-store-0b": 0, "shop-store-0c": 1, "shop-store-0d": 1} {
		if n := k.removals(node); n != want {
			t.Errorf("%s was restarted %d times, want %d", node, n, want)
		}
	}
}

// TestASiteThatIsAwayStallsNothing: the cluster is Ready and says who is away, no
// warning is given, and a rolling change of the others goes on.
func TestASiteThatIsAwayStallsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	cl := c.makeTree(t, 2, below("store", "core", 1, mayBeAway))
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-store-0c")
	k.answer("shop-store-0c", func() (nodestatus.Status, error) {
		s := healthy("0C")
		s.Ready, s.Reason, s.Message = false, nodestatus.ReasonBrokerUnreachable, "no connection to mq.example.org"
		return s, nil
	})
	site := &v1alpha1.VesperBroker{}
	mustGet(t, c, "mq-store", site)
	c.tellBroker(t, site, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)
	c.nodeSays(t, "shop-store-0c", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)
	c.patch(t, cl, `{"spec":{"image":"vesper/node:next"}}`)
	eventually(t, func() error {
		if a, b := k.removals("shop-core-0a"), k.removals("shop-core-0b"); a != 1 || b != 1 {
			return fmt.Errorf("the others were restarted %d and %d times, want once each though the site is away", a, b)
		}
		return nil
	})
	ready := c.clusterSays(t, "shop", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	eventually(t, func() error {
		mustGet(t, c, "shop", cl)
		ready = cl.Status.Conditions[slices.IndexFunc(cl.Status.Conditions, func(x metav1.Condition) bool { return x.Type == v1alpha1.ConditionReady })]
		if !strings.Contains(ready.Message, "away, which their groups may be: shop-store-0c: BrokerUnreachable") || cl.Status.Groups[1].Away != 1 || cl.Status.Nodes != "2/3" {
			return fmt.Errorf("the status says %q, %+v, %s", ready.Message, cl.Status.Groups, cl.Status.Nodes)
		}
		return nil
	})
	c.clusterSays(t, "shop", v1alpha1.ConditionBrokerReady, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)
	list := &eventsv1.EventList{}
	if err := c.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Type == corev1.EventTypeWarning && e.Regarding.Name == "shop-store-0c" {
			t.Errorf("a warning was given: %s", e.Note)
		}
	}
	k.answer("shop-store-0c", nil)
	c.tellBroker(t, site, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)
	c.nodeSays(t, "shop-store-0c", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

func TestClustersThatRelaysConnectShareNoID(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.makeTree(t, 1, below("store", "core", 1))
	c.clusterReady(t, "shop", "shop-core-0a", "shop-store-0b")
	atStore := func(cl *v1alpha1.VesperCluster) { cl.Spec.BrokerRef.Name = "mq-store" }
	second := c.makeCluster(t, "second", 1, atStore)
	said := c.clusterSays(t, "second", v1alpha1.ConditionBranchIDsAssigned, metav1.ConditionFalse, v1alpha1.ReasonChannelShared)
	if !strings.Contains(said.Message, "VesperCluster shop uses the same broker and channel") {
		t.Errorf("message is %q", said.Message)
	}
	c.patch(t, &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: c.Namespace}}, `{"spec":{"branchIDs":{"to":"0Z"}}}`)
	c.patch(t, second, `{"spec":{"branchIDs":{"from":"1A"}}}`)
	c.clusterReady(t, "second", "second-core-1a", "shop-core-0a", "shop-store-0b")
	mustCreate(t, c, parse(t, `{kind: VesperNode, metadata: {name: pin, namespace: `+c.Namespace+`}, spec: {branchID: 1B, brokerRef: {name: mq}}}`))
	held := c.nodeSays(t, "pin", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonChannelShared)
	if !strings.Contains(held.Message, "VesperCluster second is connected with this channel by relays") {
		t.Errorf("a node with an id of a cluster behind a relay is told %q", held.Message)
	}
}

// TestAnOlderClusterDoesNotMoveOntoAYoungerOnesChannel: who is there goes on.
func TestAnOlderClusterDoesNotMoveOntoAYoungerOnesChannel(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.readyBroker(t, "other")
	older := c.makeCluster(t, "shop", 1)
	for time.Since(older.CreationTimestamp.Time) < time.Second+50*time.Millisecond {
		time.Sleep(50 * time.Millisecond)
	}
	c.makeCluster(t, "second", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.BrokerRef.Name = "other" })
	c.clusterReady(t, "second", "second-core-0a", "shop-core-0a")
	c.patch(t, older, `{"spec":{"brokerRef":{"name":"other"}}}`)
	c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChannelShared)
	if n := c.node(t, "shop-core-0a"); n.Spec.BrokerRef.Name != "mq" {
		t.Error("the node was moved to a channel on which another node has its branch id")
	}
	c.clusterReady(t, "second", "second-core-0a", "shop-core-0a")
}

// TestMembersAreThoseThatANodeHears: each group waits with its log for its own
// channel, a relay for both of its channels, nobody elsewhere for a site that may be away.
func TestMembersAreThoseThatANodeHears(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.readyBroker(t, "mq-store")
	c.readyBroker(t, "mq-till")
	c.makeCluster(t, "shop", 2, func(cl *v1alpha1.VesperCluster) {
		cl.Spec.Retention = "720h"
		cl.Spec.Groups = append(cl.Spec.Groups, below("store", "core", 2), below("till", "store", 2, mayBeAway))
	})
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-store-0c", "shop-store-0d", "shop-till-0e", "shop-till-0f")
	for name, want := range map[string]string{
		"shop-members":             "0A 0B 0C",
		"shop-store-members":       "0C 0D",
		"shop-store-relay-members": "0A 0B 0C 0D",
		"shop-till-members":        "0E 0F",
		"shop-till-relay-members":  "0C 0D 0E 0F",
	} {
		eventually(t, func() error {
			config := &corev1.ConfigMap{}
			if err := c.Get(t.Context(), client.ObjectKey{Name: name, Namespace: c.Namespace}, config); err != nil {
				return err
			}
			if got := strings.Join(strings.Fields(config.Data["members"]), " "); got != want {
				return fmt.Errorf("%s lists %s, want %s", name, got, want)
			}
			return nil
		})
	}
}
