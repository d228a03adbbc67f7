package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/nodestatus"
)

// operate starts the operator's cluster and node controllers.
func (c *cluster) operate(t *testing.T, nodes nodeclient.Reader) *operator {
	t.Helper()
	op := &operator{}
	c.operateAs(t, op, nodes)
	return op
}

func (c *cluster) operateAs(t *testing.T, op *operator, nodes nodeclient.Reader) {
	t.Helper()
	c.runAs(t, op, c.reconcilers(&VesperNodeReconciler{Status: nodes})...)
}

// operateAsking is operate of an operator that asks ready nodes ten times a second.
func (c *cluster) operateAsking(t *testing.T, nodes nodeclient.Reader) *operator {
	t.Helper()
	return c.run(t, c.reconcilers(&VesperNodeReconciler{Status: nodes, askReady: 100 * time.Millisecond})...)
}

func (c *cluster) reconcilers(nodes *VesperNodeReconciler) []func(manager.Manager) error {
	return []func(manager.Manager) error{(&VesperClusterReconciler{Subscriptions: c.brokers}).SetupWithManager, nodes.SetupWithManager}
}

// readyBroker makes an external broker that is Ready, as its controller would leave it.
func (c *cluster) readyBroker(t *testing.T, name string) *v1alpha1.VesperBroker {
	t.Helper()
	b := &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace},
		Spec: v1alpha1.VesperBrokerSpec{External: &v1alpha1.ExternalBrokerSpec{Hosts: []string{name + ".example.org:61613"}}}}
	mustCreate(t, c, b)
	b.Status = v1alpha1.VesperBrokerStatus{ObservedGeneration: 1, Type: v1alpha1.BrokerTypeExternal, Hosts: b.Spec.External.Hosts, Flavor: v1alpha1.FlavorAuto}
	c.tellBroker(t, b, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)
	return b
}

func (c *cluster) tellBroker(t *testing.T, b *v1alpha1.VesperBroker, ready metav1.ConditionStatus, reason string) {
	t.Helper()
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, Message: "said the test"})
	if err := c.Status().Update(t.Context(), b); err != nil {
		t.Fatalf("writing the status of a broker: %v", err)
	}
}

// makeCluster makes a cluster of one group named core on broker mq.
func (c *cluster) makeCluster(t *testing.T, name string, replicas int32, change ...func(*v1alpha1.VesperCluster)) *v1alpha1.VesperCluster {
	t.Helper()
	cl := &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace},
		Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Groups: []v1alpha1.NodeGroup{{Name: "core", Replicas: &replicas}}}}
	for _, f := range change {
		f(cl)
	}
	mustCreate(t, c, cl)
	return cl
}

func (c *cluster) patch(t *testing.T, object client.Object, patch string) {
	t.Helper()
	if err := c.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatalf("patching %T %s with %s: %v", object, object.GetName(), patch, err)
	}
}

func (c *cluster) scale(t *testing.T, name string, replicas int) {
	t.Helper()
	c.patch(t, &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.Namespace}},
		fmt.Sprintf(`{"spec":{"groups":[{"name":"core","replicas":%d}]}}`, replicas))
}

// clusterSays waits until a cluster's condition has a status and reason, and returns it.
func (c *cluster) clusterSays(t *testing.T, name, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	cl := &v1alpha1.VesperCluster{}
	return c.says(t, name, kind, status, reason, cl, func() ([]metav1.Condition, int64) { return cl.Status.Conditions, cl.Status.ObservedGeneration })
}

func (c *cluster) nodeSays(t *testing.T, name, kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	n := &v1alpha1.VesperNode{}
	return c.says(t, name, kind, status, reason, n, func() ([]metav1.Condition, int64) { return n.Status.Conditions, n.Status.ObservedGeneration })
}

func (c *cluster) says(t *testing.T, name, kind string, status metav1.ConditionStatus, reason string, object client.Object, read func() ([]metav1.Condition, int64)) (found metav1.Condition) {
	t.Helper()
	eventually(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: name}, object); err != nil {
			return err
		}
		all, observed := read()
		condition := meta.FindStatusCondition(all, kind)
		if condition == nil || condition.Status != status || condition.Reason != reason || observed != object.GetGeneration() {
			text, _ := json.Marshal(all)
			return fmt.Errorf("%s has no %s=%s/%s at generation %d: %s", name, kind, status, reason, object.GetGeneration(), text)
		}
		found = *condition
		return nil
	})
	return found
}

func (c *cluster) clusterReady(t *testing.T, name string, nodes ...string) {
	t.Helper()
	c.clusterSays(t, name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	c.wantNodes(t, nodes...)
}

// wantNodes waits until exactly these nodes exist.
func (c *cluster) wantNodes(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, func() error {
		list := &v1alpha1.VesperNodeList{}
		if err := c.List(t.Context(), list); err != nil {
			return err
		}
		var names []string
		for _, n := range list.Items {
			names = append(names, n.Name)
		}
		if strings.Join(names, " ") != strings.Join(want, " ") {
			return fmt.Errorf("nodes are %v, want %v", names, want)
		}
		return nil
	})
}

func (c *cluster) ledger(t *testing.T, name string) v1alpha1.BranchLedger {
	t.Helper()
	cl := &v1alpha1.VesperCluster{}
	mustGet(t, c, name, cl)
	return cl.Status.Ledger
}

func TestAClusterBecomesReadyAndThenNothingIsWritten(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	before := op.Writes()
	for _, id := range []string{"0A", "0B", "0C"} {
		k.answer("shop-core-"+strings.ToLower(id), func() (nodestatus.Status, error) { return healthy(id), nil })
	}
	c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	cl := &v1alpha1.VesperCluster{}
	mustGet(t, c, "shop", cl)
	if cl.Status.Nodes != "3/3" || cl.Status.Ledger.LastBranchID != "0C" || len(cl.Status.Ledger.Assigned) != 3 {
		t.Errorf("status is %+v", cl.Status)
	}
	if writes := op.quietFor(4 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
	made := op.WritesSince(before)
	t.Logf("%d writes for a cluster of 3 nodes", len(made))
	if len(made) > 3*12+12 {
		t.Errorf("%d writes for a cluster of 3 nodes: %v", len(made), made)
	}
	for i, id := range []string{"0A", "0B", "0C"} {
		a := cl.Status.Ledger.Assigned[i]
		claim := &corev1.PersistentVolumeClaim{}
		mustGet(t, c, "data-shop-core-"+strings.ToLower(id), claim)
		if a.ID != id || !a.Started || a.VolumeUID != string(claim.UID) || claim.Annotations[v1alpha1.AnnotationBranchID] != id {
			t.Errorf("ledger has %+v for claim %s of uid %s, annotations %v", a, claim.Name, claim.UID, claim.Annotations)
		}
		n := &v1alpha1.VesperNode{}
		mustGet(t, c, "shop-core-"+strings.ToLower(id), n)
		if n.Status.Revision != id+"00003" || n.Status.Objects == nil || *n.Status.Objects != 7 || n.Status.VolumeUID != string(claim.UID) {
			t.Errorf("status of %s is %+v", n.Name, n.Status)
		}
	}
}

func TestARestartedOperatorWritesNothingOverAHealthyCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	op.quietFor(time.Second)
	op.Stop()
	again := c.operate(t, k)
	time.Sleep(5 * time.Second) // long enough for every node to be read and asked again
	if writes := again.WritesSince(0); len(writes) > 0 {
		t.Errorf("a restarted operator wrote %v", writes)
	}
}

func TestAnOperatorOfSeveralNamespacesNeedsNoOthers(t *testing.T) {
	t.Parallel()
	c, other := newCluster(t), newCluster(t)
	c.also = []string{other.Namespace}
	op := c.operate(t, newKubelet(t, other))
	other.readyBroker(t, "mq")
	other.makeCluster(t, "shop", 2)
	other.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	other.scale(t, "shop", 1)
	other.clusterReady(t, "shop", "shop-core-0a")
	if writes := op.quietFor(2 * time.Second); len(writes) > 0 {
		t.Errorf("at rest the operator wrote %v", writes)
	}
}

func TestScalingUpAndDownNeverUsesAnIDTwice(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	c.scale(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	claim := &corev1.PersistentVolumeClaim{}
	mustGet(t, c, "data-shop-core-0c", claim)
	if claim.Annotations[v1alpha1.AnnotationRetired] != "true" || claim.DeletionTimestamp != nil {
		t.Errorf("the kept claim of the retired id has annotations %v, deletion %v", claim.Annotations, claim.DeletionTimestamp)
	}
	c.scale(t, "shop", 4)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0d", "shop-core-0e")
	if l := c.ledger(t, "shop"); l.LastBranchID != "0E" || l.Retired != 1 || len(l.Assigned) != 4 {
		t.Errorf("ledger is %+v", l)
	}
}

func TestASecondClusterOnTheChannelIsRefusedUntilItHasItsOwnIDs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	first := c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	for time.Since(first.CreationTimestamp.Time) < time.Second+50*time.Millisecond {
		time.Sleep(50 * time.Millisecond) // creation times have seconds; who is older must be clear
	}
	second := c.makeCluster(t, "second", 1)
	stalled := c.clusterSays(t, "second", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonChannelShared)
	if !strings.Contains(stalled.Message, "VesperCluster shop") || !strings.Contains(stalled.Message, "spec.branchIDs.from and to") {
		t.Errorf("message is %q, want the other and the remedy", stalled.Message)
	}
	c.clusterSays(t, "second", v1alpha1.ConditionBranchIDsAssigned, metav1.ConditionFalse, v1alpha1.ReasonChannelShared)
	c.clusterReady(t, "shop", "shop-core-0a")

	c.patch(t, first, `{"spec":{"branchIDs":{"to":"0Z"}}}`)
	c.patch(t, second, `{"spec":{"branchIDs":{"from":"1A"}}}`)
	c.clusterReady(t, "second", "second-core-1a", "shop-core-0a")
	c.clusterReady(t, "shop", "second-core-1a", "shop-core-0a")
}

func TestMovingAClusterOntoAnotherOnesChannelMovesNoNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.readyBroker(t, "other")
	first := c.makeCluster(t, "shop", 1)
	for time.Since(first.CreationTimestamp.Time) < time.Second+50*time.Millisecond {
		time.Sleep(50 * time.Millisecond)
	}
	second := c.makeCluster(t, "second", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.BrokerRef.Name = "other" })
	c.clusterReady(t, "second", "second-core-0a", "shop-core-0a")
	c.patch(t, second, `{"spec":{"brokerRef":{"name":"mq"}}}`)
	c.clusterSays(t, "second", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonChannelShared)
	n := &v1alpha1.VesperNode{}
	mustGet(t, c, "second-core-0a", n)
	if n.Spec.BrokerRef.Name != "other" {
		t.Error("the node was moved to a channel on which another node has its branch id")
	}
}

func TestTheLedgerIsRestoredFromNodesOrVolumes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	op := c.operate(t, k)
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	c.scale(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	wipe := func(what string, and func()) {
		op.Stop()
		mustGet(t, c, "shop", cl)
		cl.Status = v1alpha1.VesperClusterStatus{}
		if err := c.Status().Update(t.Context(), cl); err != nil {
			t.Fatal(err)
		}
		and()
		op = c.operate(t, k)
		c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
		if l := c.ledger(t, "shop"); l.LastBranchID != "0C" || len(l.Assigned) != 2 || !l.Assigned[0].Started || l.Assigned[0].VolumeUID == "" {
			t.Errorf("without %s the ledger is restored to %+v", what, l)
		}
	}
	wipe("status", func() {})
	wipe("status and nodes", func() {
		if err := c.DeleteAllOf(t.Context(), &v1alpha1.VesperNode{}, client.InNamespace(c.Namespace)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			sets := &appsv1.StatefulSetList{}
			if err := c.List(t.Context(), sets); err != nil {
				return err
			}
			if len(sets.Items) > 0 {
				return fmt.Errorf("%d StatefulSets are left", len(sets.Items))
			}
			return nil
		})
	})
	c.scale(t, "shop", 3)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0d")
}

func TestADeletedClusterKeepsItsVolumesAndANewOneOfItsNameTakesThemUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	claim := &corev1.PersistentVolumeClaim{}
	mustGet(t, c, "data-shop-core-0b", claim)
	uid := claim.UID
	if err := c.Delete(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	c.wantNodes(t)
	c.makeCluster(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	mustGet(t, c, "data-shop-core-0b", claim)
	if claim.UID != uid || claim.DeletionTimestamp != nil {
		t.Errorf("the kept claim became %s, was %s", claim.UID, uid)
	}
}

func TestAClusterThatDeletesVolumesGivesThemToItsNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 2, func(cl *v1alpha1.VesperCluster) { cl.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	c.scale(t, "shop", 1)
	gone := func(name string) {
		eventually(t, func() error {
			err := c.Get(t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: name}, &corev1.PersistentVolumeClaim{})
			if err == nil {
				return fmt.Errorf("claim %s is still there", name)
			}
			return client.IgnoreNotFound(err)
		})
	}
	gone("data-shop-core-0b")
	c.patch(t, cl, `{"spec":{"deletionPolicy":"Retain"}}`)
	eventually(t, func() error {
		claim := &corev1.PersistentVolumeClaim{}
		mustGet(t, c, "data-shop-core-0a", claim)
		if len(claim.OwnerReferences) > 0 {
			return errors.New("the claim still belongs to the node")
		}
		return nil
	})
}

func TestAnUnknownBrokerIsNamedAndMadeLaterItIsUsed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.makeCluster(t, "shop", 1)
	missing := c.clusterSays(t, "shop", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerMissing)
	if !strings.Contains(missing.Message, "VesperBroker mq") || !strings.Contains(missing.Message, "spec.brokerRef.name") {
		t.Errorf("message is %q", missing.Message)
	}
	c.clusterSays(t, "shop", v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonBrokerMissing)
	c.readyBroker(t, "mq")
	c.clusterReady(t, "shop", "shop-core-0a")
}

func TestABrokerThatFailsShowsInTheClusterAndItsNodesRunOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	k := newKubelet(t, c)
	c.operate(t, k)
	b := c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	k.answer("shop-core-0a", func() (nodestatus.Status, error) {
		s := healthy("0A")
		s.Ready, s.Reason, s.Message = false, nodestatus.ReasonBrokerUnreachable, "mq.example.org:61613: connection refused"
		return s, nil
	})
	c.tellBroker(t, b, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)
	c.clusterSays(t, "shop", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)
	c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)
	k.answer("shop-core-0a", nil)
	c.tellBroker(t, b, metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)
	c.clusterReady(t, "shop", "shop-core-0a")
	if n := k.removals("shop-core-0a"); n != 0 {
		t.Errorf("the node's pod was replaced %d times", n)
	}
}

func TestExhaustionIsToldAndWhatRunsGoesOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 3, func(cl *v1alpha1.VesperCluster) {
		cl.Spec.BranchIDs = v1alpha1.BranchIDRange{Width: 2, From: "0A", To: "0B"}
	})
	c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonExhausted)
	c.wantNodes(t, "shop-core-0a", "shop-core-0b")
	c.clusterSays(t, "shop", v1alpha1.ConditionNodesReady, metav1.ConditionFalse, v1alpha1.ReasonScaling)
	c.patch(t, cl, `{"spec":{"branchIDs":{"to":"0Z"}}}`)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
}

func TestTwoGroupsHaveTheirOwnNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	one := int32(1)
	cl := c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) {
		cl.Spec.Groups = append(cl.Spec.Groups, v1alpha1.NodeGroup{Name: "edge", Replicas: &one})
	})
	c.clusterReady(t, "shop", "shop-core-0a", "shop-edge-0b")
	c.patch(t, cl, `{"spec":{"groups":[{"name":"core","replicas":1}]}}`)
	c.clusterReady(t, "shop", "shop-core-0a")
}

func TestANameThatSomeoneElseHasIsTold(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	mustCreate(t, c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: c.Namespace},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	c.makeCluster(t, "shop", 1)
	taken := c.clusterSays(t, "shop", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNameTaken)
	if !strings.Contains(taken.Message, "Service") {
		t.Errorf("message is %q, want the object in the way", taken.Message)
	}
}
