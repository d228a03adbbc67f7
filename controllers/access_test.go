package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/certtest"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/nodestatus"
)

// gate lets only those questions through to the nodes that come as right says.
type gate struct {
	nodeclient.Reader
	mu    sync.Mutex
	right func(nodeclient.Access) bool
}

func (g *gate) ask(right func(nodeclient.Access) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.right = right
}

func (g *gate) Status(ctx context.Context, target nodeclient.Target) (nodestatus.Status, error) {
	g.mu.Lock()
	right := g.right
	g.mu.Unlock()
	if !right(target.Access) {
		return nodestatus.Status{}, errors.New("it answered 401 Unauthorized")
	}
	return g.Reader.Status(ctx, target)
}

// tokenOf is the operator's token for a node, as its Secret has it.
func (c *cluster) tokenOf(t *testing.T, node string) (token string) {
	t.Helper()
	eventually(t, func() error {
		s := &corev1.Secret{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: node + "-operator"}, s); err != nil {
			return err
		}
		token = string(s.Data["token"])
		return nil
	})
	return token
}

// writeSecret makes a Secret be as data says.
func (c *cluster) writeSecret(t *testing.T, name string, data map[string][]byte) {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace}}
	err := c.Get(t.Context(), client.ObjectKeyFromObject(s), s)
	s.Data = data
	if err == nil {
		err = c.Update(t.Context(), s)
	} else {
		err = c.Create(t.Context(), s)
	}
	if err != nil {
		t.Fatalf("writing Secret %s: %v", name, err)
	}
}

func shopAccess() *v1alpha1.Access {
	return &v1alpha1.Access{Tokens: []v1alpha1.AccessToken{
		{Name: "shop", Role: v1alpha1.AccessWrite, SecretKeyRef: v1alpha1.SecretKeyReference{Name: "shop-token", Key: "token"}}}}
}

// TestAGuardedNodeIsHeardAndRotationRestartsNothing: the operator comes with its
// own token, knows the node by the CA of the Secret, and follows both when they
// are replaced (complaint 18 of the day-one list).
func TestAGuardedNodeIsHeardAndRotationRestartsNothing(t *testing.T) {
	c := newCluster(t)
	kubelet := newKubelet(t, c)
	ca := certtest.NewCA(t)
	cert, key := ca.Issue(t, "shop."+c.Namespace+".svc")
	c.writeSecret(t, "shop-tls", map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.PEM})
	c.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
	nodes := &gate{Reader: kubelet}
	nodes.ask(func(a nodeclient.Access) bool { return len(a.Token) == 32 && a.Roots == string(ca.PEM) })
	op := c.operate(t, nodes)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) {
		cl.Spec.Access, cl.Spec.TLS = shopAccess(), &v1alpha1.NodeTLS{SecretRef: v1alpha1.LocalReference{Name: "shop-tls"}}
	})
	c.clusterReady(t, "shop", "shop-core-0a")
	c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionAccessReady, metav1.ConditionTrue, v1alpha1.ReasonAccessReady)
	if writes := op.quietFor(2 * time.Second); len(writes) > 0 {
		t.Errorf("writes at rest: %v", writes)
	}

	old, next := c.tokenOf(t, "shop-core-0a"), certtest.NewCA(t)
	cert, key = next.Issue(t, "shop-core-0a."+c.Namespace+".svc")
	c.writeSecret(t, "shop-tls", map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": next.PEM})
	c.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("fedcba9876543210\n0123456789abcdef")})
	if err := c.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0a-operator", Namespace: c.Namespace}}); err != nil {
		t.Fatal(err)
	}
	nodes.ask(func(a nodeclient.Access) bool {
		return a.Token != old && len(a.Token) == 32 && a.Roots == string(next.PEM)
	})
	eventually(t, func() error {
		if again := c.tokenOf(t, "shop-core-0a"); again == old {
			return errors.New("the operator's token was not replaced")
		}
		return nil
	})
	c.clusterReady(t, "shop", "shop-core-0a")
	node := &v1alpha1.VesperNode{}
	mustGet(t, c, "shop-core-0a", node)
	c.poke(t, node)
	c.nodeReady(t, "shop-core-0a")
	if n := kubelet.removals("shop-core-0a"); n != 0 {
		t.Errorf("the pod was removed %d times", n)
	}
	if text := fmt.Sprint(c.everythingButSecrets(t)); strings.Contains(text, old) || strings.Contains(text, "fedcba9876543210") {
		t.Error("a token is in an object that is no Secret")
	}
}

// everythingButSecrets are the objects that the operator writes.
func (c *cluster) everythingButSecrets(t *testing.T) (texts []string) {
	t.Helper()
	for _, list := range []client.ObjectList{&v1alpha1.VesperClusterList{}, &v1alpha1.VesperNodeList{}, &appsv1.StatefulSetList{}, &corev1.ConfigMapList{}, &corev1.ServiceList{}, &corev1.PodList{}} {
		if err := c.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, fmt.Sprintf("%+v", list))
	}
	return texts
}

// TestAMissingSecretChangesNothingThatRuns: a wrong reference stops the roll at the
// first node, which goes on as it was; what puts it right goes through by itself.
func TestAMissingSecretChangesNothingThatRuns(t *testing.T) {
	c := newCluster(t)
	kubelet := newKubelet(t, c)
	nodes := &gate{Reader: kubelet}
	nodes.ask(func(nodeclient.Access) bool { return true })
	c.operate(t, nodes)
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	before := map[string]string{"shop-core-0a": c.template(t, "shop-core-0a"), "shop-core-0b": c.template(t, "shop-core-0b")}

	c.patch(t, cl, `{"spec":{"access":{"tokens":[{"name":"shop","role":"write","secretKeyRef":{"name":"shop-token"}}]}}}`)
	c.clusterSays(t, "shop", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonRolling) // the other one's turn does not come
	var waits string
	eventually(t, func() error {
		for name := range before {
			n := &v1alpha1.VesperNode{}
			mustGet(t, c, name, n)
			for _, condition := range n.Status.Conditions {
				if condition.Type == v1alpha1.ConditionAccessReady && condition.Reason == v1alpha1.ReasonSecretMissing && strings.Contains(condition.Message, "Secret shop-token does not exist") {
					waits = name
					return nil
				}
			}
		}
		return errors.New("no node says that the Secret is missing")
	})
	for name, template := range before {
		if c.template(t, name) != template {
			t.Errorf("%s was changed", name)
		}
		n := &v1alpha1.VesperNode{}
		if mustGet(t, c, name, n); name != waits && n.Spec.Access != nil {
			t.Errorf("%s got the wrong reference too", name)
		}
	}
	c.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	for name, template := range before {
		if c.template(t, name) == template {
			t.Errorf("%s did not get access", name)
		}
		if n := kubelet.removals(name); n != 1 {
			t.Errorf("the pod of %s was removed %d times, want once", name, n)
		}
	}
}
