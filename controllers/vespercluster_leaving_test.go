package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/subscriptions"
)

// dropper plays the brokers at which subscriptions are dropped.
type dropper struct {
	mu      sync.Mutex
	fails   error
	dropped []string
}

// Drop implements subscriptions.Dropper.
func (d *dropper) Drop(_ context.Context, s subscriptions.Subscription) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails == nil {
		what := subscriptions.Name(s.Branch, s.Channel)
		if s.Link != "" {
			what += " of " + subscriptions.ClientID(s.Branch, s.Link)
		}
		d.dropped = append(d.dropped, what+" at "+strings.Join(s.Hosts, ","))
	}
	return d.fails
}

func (d *dropper) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

func (d *dropper) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.dropped, "; ")
}

// lagging makes a node say that it has a branch up to a sequence only.
func lagging(id string, of branch.ID, seq uint64) func() (nodestatus.Status, error) {
	return func() (nodestatus.Status, error) {
		s := healthy(id)
		s.Revision = s.Revision.With(branch.Dot{Branch: of, Seq: seq})
		return s, nil
	}
}

// scalingSays waits until the cluster's NodesReady is Scaling with a part in its message.
func (c *cluster) scalingSays(t *testing.T, part string) {
	t.Helper()
	eventually(t, func() error {
		said := c.clusterSays(t, "shop", v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonScaling)
		if !strings.Contains(said.Message, part) {
			return errors.New("the cluster says: " + said.Message)
		}
		return nil
	})
}

// drainedSays waits until the node's Drained is False with a part in its message.
func (c *cluster) drainedSays(t *testing.T, node, part string) {
	t.Helper()
	eventually(t, func() error {
		said := c.nodeSays(t, node, v1alpha1.ConditionDrained, metav1.ConditionFalse, v1alpha1.ReasonDraining)
		if !strings.Contains(said.Message, part) {
			return errors.New("the node says: " + said.Message)
		}
		return nil
	})
}

// events lists the reasons of the events about a kind of object, with their notes.
func (c *cluster) events(t *testing.T, reason string) (notes []string) {
	t.Helper()
	list := &eventsv1.EventList{}
	if err := c.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Reason == reason {
			notes = append(notes, e.Note)
		}
	}
	return notes
}

// TestScalingDownDrainsTheNodeBeforeItsIDIsRetired: day-one list, point 7. The node
// takes no more writes at once, and goes when its peers have all that it wrote, not
// merely the broker.
func TestScalingDownDrainsTheNodeBeforeItsIDIsRetired(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	k.answer("shop-core-0b", lagging("0B", "0C", 1))
	k.answer("shop-core-0a", lagging("0A", "0C", 3))
	c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	k.answer("shop-core-0c", func() (nodestatus.Status, error) {
		s := healthy("0C")
		s.Revision = branch.Revision{{Branch: "0C", Seq: 13}} // written since: nobody's status has it yet
		return s, nil
	})
	c.scale(t, "shop", 2)
	c.scalingSays(t, "not removed yet: shop-core-0c takes no writes any more; until they have all that it wrote it waits for shop-core-0a (lacks ")
	c.drainedSays(t, "shop-core-0c", "or delete VesperNode shop-core-0c to remove it without them (its volume claim data-shop-core-0c is kept)")
	if !k.told("shop-core-0c") || k.told("shop-core-0a") || k.told("shop-core-0b") {
		t.Error("not just the leaving node was told to take no more writes")
	}
	if l := c.ledger(t, "shop"); l.Retired != 0 || len(l.Assigned) != 3 {
		t.Errorf("ledger is %+v, want 0C assigned while its node drains", l)
	}
	if writes := op.quietFor(nodeAskSoon + time.Second); len(writes) > 0 {
		t.Errorf("while it waits and nothing changes the operator wrote %v", writes)
	}
	if n := k.removals("shop-core-0c"); n != 0 {
		t.Errorf("the pod of the node that still has to hand over was removed %d times", n)
	}
	c.wantNodes(t, "shop-core-0a", "shop-core-0b", "shop-core-0c")
	k.answer("shop-core-0c", func() (nodestatus.Status, error) {
		s := healthy("0C")
		s.Revision = branch.Revision{{Branch: "0C", Seq: 13}}
		for _, id := range []branch.ID{"0A", "0B"} { // as their beacons tell it
			s.Peers = append(s.Peers, nodestatus.Peer{Branch: id, Incarnation: "i-" + string(id), Revision: branch.Revision{{Branch: "0C", Seq: 13}}})
		}
		return s, nil
	})
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	if l := c.ledger(t, "shop"); l.Retired != 1 || len(l.Assigned) != 2 || l.LastBranchID != "0C" {
		t.Errorf("ledger is %+v, want 0C retired", l)
	}
	claim := &corev1.PersistentVolumeClaim{}
	mustGet(t, c, "data-shop-core-0c", claim)
	if claim.DeletionTimestamp != nil || claim.Annotations[v1alpha1.AnnotationRetired] != "true" {
		t.Errorf("the claim has annotations %v, deletion %v, want it kept and marked", claim.Annotations, claim.DeletionTimestamp)
	}
}

func TestScalingUpAgainTakesADrainBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	k.answer("shop-core-0b", func() (nodestatus.Status, error) {
		s := healthy("0B")
		s.Revision = branch.Revision{{Branch: "0B", Seq: 99}}
		return s, nil
	})
	c.scale(t, "shop", 1)
	c.drainedSays(t, "shop-core-0b", "waits for shop-core-0a (lacks ")
	c.scale(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	eventually(t, func() error {
		if k.told("shop-core-0b") {
			return errors.New("the node was not told to take writes again")
		}
		return nil
	})
	if l := c.ledger(t, "shop"); l.Retired != 0 || len(l.Assigned) != 2 || k.removals("shop-core-0b") != 0 {
		t.Errorf("ledger is %+v and the pod was removed %d times, want the node as it was", l, k.removals("shop-core-0b"))
	}
}

// TestANamedNodeLeavesAndIsReplacedFirst: spec.groups[].remove is a GitOps-friendly
// way to say which, and may stay as it is.
func TestANamedNodeLeavesAndIsReplacedFirst(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	c.patch(t, cl, `{"spec":{"groups":[{"name":"core","replicas":2,"remove":["0A"]}]}}`)
	c.clusterReady(t, "shop", "shop-core-0b", "shop-core-0c")
	c.patch(t, cl, `{"spec":{"groups":[{"name":"core","replicas":1,"remove":["0A","0B"]}]}}`)
	c.clusterReady(t, "shop", "shop-core-0c")
	mustGet(t, c, "shop", cl)
	if got := fmt.Sprint(cl.Spec.Groups[0].Remove); got != "[0A 0B]" {
		t.Errorf("spec.groups[0].remove is %s: the operator wrote into the spec", got)
	}
	if writes := op.quietFor(time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

// TestTheLastNodeIsNotDeletedWithItsData: scaled to zero under deletionPolicy
// Delete, the last node stays until a person has decided. Day-one list, points 7 and 8.
func TestTheLastNodeIsNotDeletedWithItsData(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	c.clusterReady(t, "shop", "shop-core-0a")
	c.scale(t, "shop", 0)
	said := c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNobodyLeft)
	if !strings.Contains(said.Message, "suspend it instead of scaling to zero, or set deletionPolicy to Retain") {
		t.Errorf("message is %q", said.Message)
	}
	c.wantNodes(t, "shop-core-0a")
	c.patch(t, cl, `{"spec":{"deletionPolicy":"Retain"}}`)
	c.wantNodes(t)
	claim := &corev1.PersistentVolumeClaim{}
	mustGet(t, c, "data-shop-core-0a", claim)
	if claim.DeletionTimestamp != nil {
		t.Error("the volume of the last node is deleted")
	}
}

func TestALeavingNodeThatCannotBeAskedGoesByHandOnlyAndItsVolumeIsKept(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	k.answer("shop-core-0b", func() (nodestatus.Status, error) { return nodestatus.Status{}, errors.New("no answer within 2s") })
	c.scale(t, "shop", 1)
	c.scalingSays(t, "shop-core-0b may have changesets that its peers lack, and cannot be asked (no answer within 2s)")
	c.wantNodes(t, "shop-core-0a", "shop-core-0b")
	if err := c.Delete(t.Context(), &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b", Namespace: c.Namespace}}); err != nil {
		t.Fatal(err)
	}
	c.clusterReady(t, "shop", "shop-core-0a")
	claim := &corev1.PersistentVolumeClaim{}
	mustGet(t, c, "data-shop-core-0b", claim)
	if claim.DeletionTimestamp != nil || claim.Annotations[v1alpha1.AnnotationRetired] != "true" {
		t.Errorf("the claim has annotations %v, deletion %v, want it kept and marked", claim.Annotations, claim.DeletionTimestamp)
	}
}

func TestALeavingNodeWhosePodDoesNotRunIsWaitedForIfItEverAnswered(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	k.stop() // nobody makes the pod anew
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b-0", Namespace: c.Namespace}}
	if err := c.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	c.scale(t, "shop", 1)
	c.scalingSays(t, "cannot be asked (its pod does not run)")
	c.wantNodes(t, "shop-core-0a", "shop-core-0b")
}

func TestALeavingNodeThatNeverRanGoesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, nil) // no kubelet: no volume is bound, no pod made
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.nodeSays(t, "shop-core-0b", v1alpha1.ConditionPodRunning, metav1.ConditionFalse, v1alpha1.ReasonPodMissing)
	c.scale(t, "shop", 1)
	c.wantNodes(t, "shop-core-0a")
}

func TestTheSubscriptionOfANodeThatIsGoneIsDroppedAtItsBroker(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	dropped := func(want string) {
		t.Helper()
		eventually(t, func() error {
			cl := &v1alpha1.VesperCluster{}
			mustGet(t, c, "shop", cl)
			if got := c.brokers.all(); got != want || len(cl.Status.Subscriptions) > 0 {
				return fmt.Errorf("dropped are %q, left %v; want %q", got, cl.Status.Subscriptions, want)
			}
			return nil
		})
	}
	c.scale(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	dropped("0C-VESPER_DATA at mq.example.org:61613")
	if writes := op.quietFor(time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
	eventually(t, func() error {
		if notes := c.events(t, "SubscriptionDropped"); len(notes) != 1 {
			return fmt.Errorf("events are %q, want one", notes)
		}
		return nil
	})
}

// TestABrokerThatIsAwayHoldsUpNoScaleDownAndIsToldOfOnce: the box of two minutes is
// made to be over by an older date.
func TestABrokerThatIsAwayHoldsUpNoScaleDownAndIsToldOfOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	op := c.operate(t, newKubelet(t, c))
	b := c.readyBroker(t, "mq")
	c.brokers.fail(errors.New("dropping the durable subscription of 0B at mq.example.org:61613: connection refused"))
	cl := c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	c.scale(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	mustGet(t, c, "shop", cl)
	if len(cl.Status.Subscriptions) != 1 || cl.Status.Subscriptions[0].BranchID != "0B" || cl.Status.Subscriptions[0].Problem != "" {
		t.Fatalf("left subscriptions are %+v, want that of 0B", cl.Status.Subscriptions)
	}
	op.Stop()
	mustGet(t, c, "shop", cl)
	since := metav1.NewTime(time.Now().Add(-subscriptionBox - time.Minute))
	cl.Status.Subscriptions[0].Since = &since
	if err := c.Status().Update(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	op = c.operate(t, &kubelet{c: c})
	eventually(t, func() error {
		mustGet(t, c, "shop", cl)
		if len(cl.Status.Subscriptions) != 1 || !strings.Contains(cl.Status.Subscriptions[0].Problem, "connection refused") {
			return fmt.Errorf("left subscriptions are %+v, want the problem", cl.Status.Subscriptions)
		}
		if notes := c.events(t, "SubscriptionKept"); len(notes) != 1 {
			return fmt.Errorf("events are %q, want one", notes)
		}
		return nil
	})
	op.Stop()
	c.brokers.fail(nil) // the broker is back, and another operator takes over
	c.operate(t, &kubelet{c: c})
	eventually(t, func() error {
		mustGet(t, c, "shop", cl)
		if len(cl.Status.Subscriptions) != 0 || c.brokers.all() == "" {
			return fmt.Errorf("left subscriptions are %+v, dropped %q", cl.Status.Subscriptions, c.brokers.all())
		}
		return nil
	})
	_ = b
}
