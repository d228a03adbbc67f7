package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// wantMembers waits until the list of a cluster's members is this.
func (c *cluster) wantMembers(t *testing.T, name, want string) {
	t.Helper()
	eventually(t, func() error {
		list := &corev1.ConfigMap{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: name + "-members"}, list); err != nil {
			return err
		}
		if got := strings.Fields(list.Data["members"]); strings.Join(got, " ") != want {
			return fmt.Errorf("members are %v, want %s", got, want)
		}
		return nil
	})
}

// template returns the pod template's text of a node.
func (c *cluster) template(t *testing.T, node string) string {
	t.Helper()
	set := &appsv1.StatefulSet{}
	mustGet(t, c, node, set)
	return set.Spec.Template.String()
}

func TestMembersFollowTheNodesOfTheChannelWithoutRestartingAny(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2, func(cl *v1alpha1.VesperCluster) {
		cl.Spec.Retention, cl.Spec.ConflictPolicy = "24h", v1alpha1.ConflictKeepBoth
	})
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	c.wantMembers(t, "shop", "0A 0B")
	before := c.template(t, "shop-core-0a")
	config := &corev1.ConfigMap{}
	mustGet(t, c, "shop-core-0a-config", config)
	for _, says := range []string{"retention: 24h0m0s", "conflictPolicy: keepBoth", "membersFile: /etc/vesper/members/members"} {
		if !strings.Contains(config.Data["node.yaml"], says) {
			t.Errorf("the node's file does not say %q:\n%s", says, config.Data["node.yaml"])
		}
	}
	c.scale(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	c.wantMembers(t, "shop", "0A 0B 0C")
	c.scale(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	c.wantMembers(t, "shop", "0A")
	if after := c.template(t, "shop-core-0a"); after != before {
		t.Errorf("a change of members changed the pods:\n%s\n%s", before, after)
	}
	if writes := op.quietFor(2 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

func TestMembersOfAnotherClusterOnTheChannelCountToo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.Retention, cl.Spec.BranchIDs.To = "24h", "0F" })
	c.clusterReady(t, "shop", "shop-core-0a")
	c.makeCluster(t, "site", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.BranchIDs.From = "1A" })
	c.wantMembers(t, "shop", "0A 1A")
}

func TestClusterThatKeepsAllForEverHasNoListOfMembersAndItsNodesAreAsBefore(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	err := c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: "shop-members"}, &corev1.ConfigMap{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a list of members: %v", err)
	}
	node := &v1alpha1.VesperNode{}
	mustGet(t, c, "shop-core-0a", node)
	if s := node.Spec; s.Wire != "" || s.ConflictPolicy != "" || s.Retention != "" || s.MembersRef != nil {
		t.Errorf("the node's spec is %+v", s)
	}
	if text := c.template(t, "shop-core-0a"); strings.Contains(text, "members") {
		t.Errorf("the pod mounts members: %s", text)
	}
}
