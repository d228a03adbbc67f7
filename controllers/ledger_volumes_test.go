package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

func fromSnapshot(claim *corev1.PersistentVolumeClaim) {
	group := "snapshot.storage.k8s.io"
	claim.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: &group, Kind: "VolumeSnapshot", Name: "of-yesterday"}
}

func fromClaim(claim *corev1.PersistentVolumeClaim) {
	claim.Spec.DataSource = &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "data-shop-core-0a"}
}

// replaceVolume puts another claim in the place of a node's, once the node is stopped.
func (c *cluster) replaceVolume(t *testing.T, node string, with func()) {
	t.Helper()
	c.loseVolume(t, node)
	eventually(t, func() error {
		c.loseVolume(t, node)
		err := c.Get(t.Context(), client.ObjectKey{Name: "data-" + node, Namespace: c.Namespace}, &corev1.PersistentVolumeClaim{})
		if err == nil {
			return errors.New("the claim is still there")
		}
		return client.IgnoreNotFound(err)
	})
	with()
}

// TestAVolumeThatIsNotTheOneGetsAFreshID: gone, replaced, cloned or restored, the
// node's id is retired and its replacement has a fresh one, on a volume of its own.
func TestAVolumeThatIsNotTheOneGetsAFreshID(t *testing.T) {
	for name, with := range map[string]func(*testing.T, *cluster){
		"gone":                            func(*testing.T, *cluster) {},
		"replaced by an empty one":        func(t *testing.T, c *cluster) { c.claimLike(t, "shop-core-0b", "0B") },
		"restored from a snapshot":        func(t *testing.T, c *cluster) { c.claimLike(t, "shop-core-0b", "0B", fromSnapshot) },
		"a clone of another node's":       func(t *testing.T, c *cluster) { c.claimLike(t, "shop-core-0b", "0A", fromClaim) },
		"another's, with its annotations": func(t *testing.T, c *cluster) { c.claimLike(t, "shop-core-0b", "0A") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			k := newKubelet(t, c)
			c.operate(t, k)
			c.readyBroker(t, "mq")
			c.makeCluster(t, "shop", 2)
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
			c.replaceVolume(t, "shop-core-0b", func() { with(t, c) })
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0c")
			if l := c.ledger(t, "shop"); l.LastBranchID != "0C" || l.Retired != 1 {
				t.Errorf("ledger is %+v", l)
			}
			if n := k.removals("shop-core-0a"); n != 0 {
				t.Error("the other node was restarted")
			}
		})
	}
}

// TestAClaimThatWaitsUnderTheNextNodesNameIsNotTakenUp: its id is skipped, whether
// the claim says whose data it has or not, and whether it has the operator's labels.
func TestAClaimThatWaitsUnderTheNextNodesNameIsNotTakenUp(t *testing.T) {
	for name, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"a clone with another's annotation": fromClaim,
		"a clone without annotations":       func(p *corev1.PersistentVolumeClaim) { fromClaim(p); p.Annotations = nil },
		"without labels":                    func(p *corev1.PersistentVolumeClaim) { p.Annotations, p.Labels = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.operate(t, newKubelet(t, c))
			c.readyBroker(t, "mq")
			c.makeCluster(t, "shop", 1)
			c.clusterReady(t, "shop", "shop-core-0a")
			c.claimLike(t, "shop-core-0b", "0A", change)
			c.scale(t, "shop", 2)
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0c")
		})
	}
}

// TestTheLedgerIsRestoredWithoutTheVolumesAnnotations: from the nodes alone, and
// from the status alone.
func TestTheLedgerIsRestoredWithoutTheVolumesAnnotations(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *cluster){
		"and without the status": func(t *testing.T, c *cluster) {
			cl := &v1alpha1.VesperCluster{}
			mustGet(t, c, "shop", cl)
			cl.Status = v1alpha1.VesperClusterStatus{}
			if err := c.Status().Update(t.Context(), cl); err != nil {
				t.Fatal(err)
			}
		},
		"and without the nodes": func(t *testing.T, c *cluster) {
			if err := c.DeleteAllOf(t.Context(), &v1alpha1.VesperNode{}, client.InNamespace(c.Namespace)); err != nil {
				t.Fatal(err)
			}
			c.wantNodes(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			k := newKubelet(t, c)
			op := c.operate(t, k)
			c.readyBroker(t, "mq")
			c.makeCluster(t, "shop", 2)
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
			before := c.ledger(t, "shop")
			op.Stop()
			for _, id := range []string{"0a", "0b"} {
				c.patch(t, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-core-" + id, Namespace: c.Namespace}},
					`{"metadata":{"annotations":{"`+v1alpha1.AnnotationBranchID+`":null,"`+v1alpha1.AnnotationTrunkID+`":null}}}`)
			}
			lose(t, c)
			c.operate(t, k)
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
			eventually(t, func() error {
				if after := c.ledger(t, "shop"); fmt.Sprint(after) != fmt.Sprint(before) {
					return fmt.Errorf("ledger is %+v, was %+v", after, before)
				}
				return nil
			})
		})
	}
}

// TestTheIDOfADeletedHandMadeNodeIsNotGivenOut: its kept volume says that it was used.
func TestTheIDOfADeletedHandMadeNodeIsNotGivenOut(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	n := c.makeNode(t, "pin", "0B")
	c.nodeReady(t, "pin")
	if err := c.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	c.wantNodes(t)
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0c")
}

// TestAPinnedIDThatAClusterGaveOutBeforeIsHeld, although its range is another now.
func TestAPinnedIDThatAClusterGaveOutBeforeIsHeld(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	c.scale(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	c.patch(t, cl, `{"spec":{"branchIDs":{"from":"1A"}}}`)
	c.clusterReady(t, "shop", "shop-core-0a")
	c.makeNode(t, "pin", "0B")
	held := c.nodeSays(t, "pin", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChannelShared)
	if !strings.Contains(held.Message, "its branch ids (1A to ZZ, and before 0A to 0B) meet those of this VesperNode (0B)") {
		t.Errorf("message is %q", held.Message)
	}
}

// TestANodeWithAForkedBranchIsIsolatedAndShownInRed: it refuses writes and is not
// ready, which takes it out of the Services; the node and the cluster say so, and
// the others go on.
func TestANodeWithAForkedBranchIsIsolatedAndShownInRed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operateAsking(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	k.answer("shop-core-0b", func() (nodestatus.Status, error) {
		s := healthy("0B")
		s.Ready, s.Reason, s.Message, s.WritesRefused = false, nodestatus.ReasonBranchForked, "two nodes have written under branch id 0B", "two nodes have written under branch id 0B"
		s.Forks = []nodestatus.Fork{{Branch: "0B", Dot: branch.Dot{Branch: "0B", Seq: 2}, Told: "0A"}}
		return s, nil
	})
	c.poke(t, c.node(t, "shop-core-0b"))
	c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonBranchForked)
	forked := c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionForked, metav1.ConditionTrue, v1alpha1.ReasonBranchForked)
	if !strings.Contains(forked.Message, "branch 0B") {
		t.Errorf("message is %q", forked.Message)
	}
	red := c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNodesStalled)
	if !strings.Contains(red.Message, "shop-core-0b: BranchForked (two nodes have written under branch id 0B)") {
		t.Errorf("the cluster says %q", red.Message)
	}
	cl := &v1alpha1.VesperCluster{}
	mustGet(t, c, "shop", cl)
	if !meta.IsStatusConditionTrue(cl.Status.Conditions, v1alpha1.ConditionForked) || cl.Status.Nodes != "1/2" {
		t.Errorf("the cluster's status is %+v", cl.Status)
	}
	if k.removals("shop-core-0a")+k.removals("shop-core-0b") != 0 {
		t.Error("a node was restarted: what a forked one knows is evidence")
	}
}
