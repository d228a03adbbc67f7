package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// moveBroker makes a broker's status name other hosts, as its controller would.
func (c *cluster) moveBroker(t *testing.T, name, host string) {
	t.Helper()
	b := &v1alpha1.VesperBroker{}
	mustGet(t, c, name, b)
	b.Status.Hosts = []string{host}
	if err := c.Status().Update(t.Context(), b); err != nil {
		t.Fatalf("moving broker %s: %v", name, err)
	}
}

// wantHost waits until a node is configured for a host.
func (c *cluster) wantHost(t *testing.T, node, host string) {
	t.Helper()
	eventually(t, func() error {
		config := &corev1.ConfigMap{}
		mustGet(t, c, node+"-config", config)
		if !strings.Contains(config.Data["node.yaml"], host) {
			return fmt.Errorf("%s is not configured for %s:\n%s", node, host, config.Data["node.yaml"])
		}
		return nil
	})
}

func TestNewSettingsOfTheBrokerGoThroughTheNodesOneByOne(t *testing.T) {
	for name, before := range map[string]nodestatus.Reason{"all are ready": nodestatus.ReasonReady, "none reaches the old broker": nodestatus.ReasonBrokerUnreachable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			k := newKubelet(t, c)
			c.operate(t, k)
			c.readyBroker(t, "mq")
			c.makeCluster(t, "shop", 3)
			nodes := map[string]string{"shop-core-0a": "0A", "shop-core-0b": "0B", "shop-core-0c": "0C"}
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
			release := make(chan struct{})
			for node, id := range nodes {
				k.answer(node, func() (nodestatus.Status, error) {
					s := healthy(id)
					if k.removals(node) == 0 {
						s.Ready, s.Reason = before == nodestatus.ReasonReady, before
					}
					return s, nil
				})
			}
			if before != nodestatus.ReasonReady { // nodes whose broker is away are asked often
				b := &v1alpha1.VesperBroker{}
				mustGet(t, c, "mq", b)
				c.tellBroker(t, b, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)
				for node := range nodes {
					c.nodeSays(t, node, v1alpha1.ConditionReady, metav1.ConditionFalse, string(before))
				}
			}
			k.holdStarts(release)
			c.moveBroker(t, "mq", "new.example.org:61613")
			c.wantHost(t, "shop-core-0a", "new.example.org:61613")
			eventually(t, func() error {
				if k.removals("shop-core-0a") != 1 {
					return errors.New("shop-core-0a was not restarted")
				}
				return nil
			})
			said := c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionConfigApplied, metav1.ConditionFalse, v1alpha1.ReasonRolling)
			if !strings.Contains(said.Message, "VesperBroker mq has new settings") {
				t.Errorf("message is %q", said.Message)
			}
			if n := k.removals("shop-core-0b") + k.removals("shop-core-0c"); n != 0 {
				t.Errorf("%d other nodes were restarted while the first was away", n)
			}
			close(release)
			if before != nodestatus.ReasonReady {
				b := &v1alpha1.VesperBroker{}
				mustGet(t, c, "mq", b)
				c.tellBroker(t, b, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)
			}
			for node := range nodes {
				c.wantHost(t, node, "new.example.org:61613")
			}
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
			for node := range nodes {
				if n := k.removals(node); n != 1 {
					t.Errorf("%s was restarted %d times, want once", node, n)
				}
			}
		})
	}
}
