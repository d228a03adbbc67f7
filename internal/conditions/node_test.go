package conditions

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeaccess"
	"vesperdb.io/vesper/internal/nodeclient"
	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/topology"
)

func usable(ready metav1.ConditionStatus, reason string) BrokerRef {
	b := &v1alpha1.VesperBroker{Status: v1alpha1.VesperBrokerStatus{Hosts: []string{"mq:61613"},
		Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, Message: "of the broker"}}}}
	return BrokerRef{Name: "mq", Object: b}
}

func startedPod() *corev1.Pod {
	yes := true
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pin-0"}, Status: corev1.PodStatus{PodIP: "10.0.0.1",
		ContainerStatuses: []corev1.ContainerStatus{{Name: "vesper-node", Started: &yes, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}}
}

func said(status nodestatus.Status) *nodeclient.Answer { return &nodeclient.Answer{Status: status} }

// wellNode is a node with which all is well.
func wellNode() Node {
	return Node{
		Branch: "7X", Verdict: topology.Verdict{Decision: topology.Run}, Brokers: BrokerRefs{usable(metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)},
		Volume: Volume{Field: "spec.storage", Claim: &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-pin"}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound}}},
		Pod:    startedPod(), Current: true,
		Answer: said(nodestatus.Status{Branch: "7X", Ready: true, Reason: nodestatus.ReasonReady}),
	}
}

func TestANodeWithWhichAllIsWellIsReadyAndNothingElse(t *testing.T) {
	all := ForNode(wellNode())
	for _, condition := range all {
		if condition.Status != metav1.ConditionTrue || condition.Reason == "" || condition.Message == "" {
			t.Errorf("%+v, want it True with a reason and a message", condition)
		}
		if condition.Type == v1alpha1.ConditionReconciling || condition.Type == v1alpha1.ConditionStalled {
			t.Errorf("a ready node has %s", condition.Type)
		}
	}
	if all[0].Type != v1alpha1.ConditionReady || len(all) != 7 {
		t.Errorf("conditions are %+v, want Ready first and six others", all)
	}
}

func TestAVolumeLargerThanTheSpecIsToldAndHarmsNothing(t *testing.T) {
	for size, want := range map[string]string{"5Gi": v1alpha1.ReasonVolumeLarger, "10Gi": v1alpha1.ReasonVolumeBound, "20Gi": v1alpha1.ReasonVolumeBound} {
		n, asked := wellNode(), resource.MustParse(size)
		n.Volume.Size = &asked
		n.Volume.Claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
		all := ForNode(n)
		storage := meta.FindStatusCondition(all, v1alpha1.ConditionStorageReady)
		if all[0].Status != metav1.ConditionTrue || storage.Status != metav1.ConditionTrue || storage.Reason != want {
			t.Errorf("a claim of 10Gi for %s: Ready is %s, StorageReady %+v, want %s", size, all[0].Status, storage, want)
		}
		if want == v1alpha1.ReasonVolumeLarger && !strings.Contains(storage.Message, "data-pin has 10Gi") {
			t.Errorf("message is %q", storage.Message)
		}
	}
}

// TestReadyOfANode is the table of what can be wrong, with the reason in Ready,
// whether a person has to act, which other condition says so too, and the words.
func TestReadyOfANode(t *testing.T) {
	now := metav1.Now()
	verdict := func(d topology.Decision, r topology.Reason) func(*Node) {
		return func(n *Node) { n.Verdict = topology.Verdict{Decision: d, Reason: r, Message: "the planner's words"} }
	}
	answers := func(change func(*nodestatus.Status)) func(*Node) {
		return func(n *Node) {
			s := nodestatus.Status{Branch: "7X"}
			change(&s)
			n.Answer = said(s)
		}
	}
	pod := func(change func(*corev1.Pod)) func(*Node) { return func(n *Node) { change(n.Pod) } }
	waiting := func(reason, message string) func(*Node) {
		return pod(func(p *corev1.Pod) {
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
		})
	}
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "StatefulSet"}, "pin", nil)
	for _, test := range []struct {
		name    string
		change  func(*Node)
		reason  string
		stalled bool
		too     string
		says    string
	}{
		{"id not recorded yet", verdict(topology.Hold, topology.Recording), "Recording", false, v1alpha1.ConditionBranchIDsAssigned, "the planner's words"},
		{"channel shared", verdict(topology.Hold, topology.ChannelShared), v1alpha1.ReasonChannelShared, true, v1alpha1.ConditionBranchIDsAssigned, "the planner's words"},
		{"trunk conflict", verdict(topology.Hold, topology.TrunkConflict), v1alpha1.ReasonTrunkConflict, true, v1alpha1.ConditionBranchIDsAssigned, "the planner's words"},
		{"volume lost", verdict(topology.Stop, topology.VolumeLost), v1alpha1.ReasonVolumeLost, true, v1alpha1.ConditionStorageReady, "the planner's words"},
		{"volume of another", verdict(topology.Stop, topology.BranchMismatch), v1alpha1.ReasonBranchMismatch, true, v1alpha1.ConditionStorageReady, "the planner's words"},
		{"volume retired", verdict(topology.Hold, topology.VolumeRetired), v1alpha1.ReasonVolumeRetired, true, v1alpha1.ConditionStorageReady, "the planner's words"},
		{"volume of before on its way out", verdict(topology.Hold, topology.VolumeTerminating), v1alpha1.ReasonVolumeTerminating, false, v1alpha1.ConditionStorageReady, "the planner's words"},
		{"runs on a volume marked for deletion", func(n *Node) { n.Volume.Claim.DeletionTimestamp = &now }, v1alpha1.ReasonVolumeTerminating, true, v1alpha1.ConditionStorageReady, "delete the VesperNode"},
		{"child's name taken", func(n *Node) {
			n.ApplyError = &apply.ForeignError{Kind: "Service", Namespace: "prod", Name: "pin", Why: "no label"}
		},
			v1alpha1.ReasonNameTaken, true, v1alpha1.ConditionConfigApplied, "Service prod/pin"},
		{"child refused for good", func(n *Node) { n.ApplyError = invalid }, v1alpha1.ReasonApplyFailed, true, v1alpha1.ConditionConfigApplied, "StatefulSet"},
		{"child refused for now", func(n *Node) { n.ApplyError = errors.New("quota") }, v1alpha1.ReasonApplyFailed, false, v1alpha1.ConditionConfigApplied, "quota"},
		{"no broker, no pod", func(n *Node) { n.Brokers, n.Pod = BrokerRefs{{Name: "mq"}}, nil }, v1alpha1.ReasonBrokerMissing, false, v1alpha1.ConditionBrokerReady, "no VesperBroker mq"},
		{"broker without status", func(n *Node) { n.Brokers, n.Pod = BrokerRefs{{Name: "mq", Object: &v1alpha1.VesperBroker{}}}, nil },
			v1alpha1.ReasonPending, false, v1alpha1.ConditionBrokerReady, "no status yet"},
		{"no pod yet", func(n *Node) { n.Pod = nil }, v1alpha1.ReasonPodMissing, false, v1alpha1.ConditionPodRunning, "not made yet"},
		{"pod ending", pod(func(p *corev1.Pod) { p.DeletionTimestamp = &now }), v1alpha1.ReasonPodTerminating, false, v1alpha1.ConditionPodRunning, "pod pin-0 is ending"},
		{"pod that should have ended", func(n *Node) {
			n.Pod.DeletionTimestamp, n.Pod.Spec.NodeName, n.Now = &now, "m7", now.Add(time.Minute)
		}, v1alpha1.ReasonPodStuckTerminating, false, v1alpha1.ConditionPodRunning, "on machine m7, which is perhaps not heard any more: bring the machine back; or, only when it is off for certain"},
		{"no machine takes the pod", func(n *Node) {
			n.Volume.Claim.Status.Phase = corev1.ClaimPending
			n.Pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes"}}
		}, v1alpha1.ReasonPodUnschedulable, false, v1alpha1.ConditionPodRunning, "volume claim data-pin is not bound"},
		{"image missing", waiting("ErrImagePull", "not found"), v1alpha1.ReasonImagePullFailed, false, v1alpha1.ConditionPodRunning, "cannot be pulled"},
		{"crash loop", waiting("CrashLoopBackOff", "back-off 20s"), v1alpha1.ReasonCrashLooping, false, v1alpha1.ConditionPodRunning, "kubectl logs pin-0"},
		{"old pod", func(n *Node) { n.Current = false }, v1alpha1.ReasonPodStarting, false, v1alpha1.ConditionPodRunning, "being replaced"},
		{"not started", pod(func(p *corev1.Pod) { p.Status.ContainerStatuses[0].Started = nil }), v1alpha1.ReasonPodStarting, false, v1alpha1.ConditionPodRunning, "is starting"},
		{"no address", pod(func(p *corev1.Pod) { p.Status.PodIP = "" }), v1alpha1.ReasonPodStarting, false, v1alpha1.ConditionPodRunning, "is starting"},
		{"not asked yet", func(n *Node) { n.Answer = nil }, v1alpha1.ReasonPending, false, v1alpha1.ConditionReplicating, "not been asked"},
		{"Secret missing", func(n *Node) {
			n.Guarded, n.AccessProblem = true, &nodeaccess.Problem{Reason: v1alpha1.ReasonSecretMissing, Message: "Secret x does not exist"}
		},
			v1alpha1.ReasonSecretMissing, false, v1alpha1.ConditionAccessReady, "Secret x does not exist"},
		{"token unusable", func(n *Node) {
			n.Guarded, n.AccessProblem = true, &nodeaccess.Problem{Reason: v1alpha1.ReasonTokenUnusable, Message: "the token of shop"}
		},
			v1alpha1.ReasonTokenUnusable, true, v1alpha1.ConditionConfigApplied, "the token of shop"},
		{"certificate unusable", func(n *Node) {
			n.Guarded, n.AccessProblem = true, &nodeaccess.Problem{Reason: v1alpha1.ReasonCertificateUnusable, Message: "for other names"}
		},
			v1alpha1.ReasonCertificateUnusable, true, v1alpha1.ConditionAccessReady, "stays as it is"},
		{"no answer", func(n *Node) { n.Answer = &nodeclient.Answer{Err: errors.New("no answer within 2s")} }, v1alpha1.ReasonStatusUnknown, false, v1alpha1.ConditionReplicating, "no answer within 2s"},
		{"another branch", answers(func(s *nodestatus.Status) { s.Branch, s.Ready = "7Y", true }), v1alpha1.ReasonWrongBranch, true, v1alpha1.ConditionReplicating, "branch 7Y"},
		{"catching up", answers(func(s *nodestatus.Status) { s.Reason, s.Message = nodestatus.ReasonCatchingUp, "3 to go" }), "CatchingUp", false, v1alpha1.ConditionReplicating, "3 to go"},
		{"broker away", answers(func(s *nodestatus.Status) { s.Reason = nodestatus.ReasonBrokerUnreachable }), "BrokerUnreachable", false, v1alpha1.ConditionReplicating, "not ready"},
		{"behind itself", answers(func(s *nodestatus.Status) {
			s.Reason, s.WritesRefused = nodestatus.ReasonBranchAhead, "peers have more"
		}), "BranchAhead", true, v1alpha1.ConditionReplicating, "peers have more"},
		{"written by two", answers(func(s *nodestatus.Status) {
			s.Reason, s.Message = nodestatus.ReasonBranchForked, "two different changesets"
		}), "BranchForked", true, v1alpha1.ConditionReplicating, "two different changesets"},
		{"a copy, until all members are heard", answers(func(s *nodestatus.Status) {
			s.Reason, s.Message = nodestatus.ReasonVolumeCopied, "the file is a copy"
		}), "VolumeCopied", false, v1alpha1.ConditionReplicating, "the file is a copy"},
		{"disk full", answers(func(s *nodestatus.Status) { s.Reason = nodestatus.ReasonStorageFailed }), "StorageFailed", true, v1alpha1.ConditionReplicating, "not ready"},
		{"another conflict policy", answers(func(s *nodestatus.Status) {
			s.Reason, s.Message = nodestatus.ReasonPolicyMismatch, "node 0B has the conflict policy earliest"
		}), "PolicyMismatch", true, v1alpha1.ConditionReplicating, "node 0B has the conflict policy earliest"},
		{"catching up by a snapshot", answers(func(s *nodestatus.Status) {
			s.Reason, s.Message = nodestatus.ReasonCatchingUp, "3 changesets that peers have are missing here; fetching a snapshot"
		}), "CatchingUp", false, v1alpha1.ConditionReplicating, "fetching a snapshot"},
		{"says nothing", answers(func(*nodestatus.Status) {}), v1alpha1.ReasonPending, false, v1alpha1.ConditionReplicating, "not ready"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := wellNode()
			test.change(&n)
			all := ForNode(n)
			ready := meta.FindStatusCondition(all, v1alpha1.ConditionReady)
			if ready.Status != metav1.ConditionFalse || ready.Reason != test.reason || !strings.Contains(ready.Message, test.says) {
				t.Errorf("Ready is %+v, want False, %s, saying %q", ready, test.reason, test.says)
			}
			stalled, reconciling := meta.FindStatusCondition(all, v1alpha1.ConditionStalled), meta.FindStatusCondition(all, v1alpha1.ConditionReconciling)
			if (stalled != nil) != test.stalled || (reconciling != nil) == test.stalled {
				t.Errorf("Stalled is %v and Reconciling %v, want stalled = %v", stalled, reconciling, test.stalled)
			}
			if too := meta.FindStatusCondition(all, test.too); too.Status != metav1.ConditionFalse || too.Reason != test.reason {
				t.Errorf("%s is %+v, want False, %s", test.too, too, test.reason)
			}
		})
	}
}

func TestANodeIsReadyByItsOwnWordWhateverTheBrokerSays(t *testing.T) {
	n := wellNode()
	n.Brokers = BrokerRefs{usable(metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)}
	all := ForNode(n)
	if !meta.IsStatusConditionTrue(all, v1alpha1.ConditionReady) || !meta.IsStatusConditionFalse(all, v1alpha1.ConditionBrokerReady) {
		t.Errorf("conditions are %+v", all)
	}
}

func TestAPendingClaimIsNamedInItsOwnCondition(t *testing.T) {
	class := "fast"
	for name, storageClass := range map[string]*string{"storage class fast has to provide it": &class, "names no storage class": nil} {
		n := wellNode()
		n.Volume.Claim.Status.Phase, n.Volume.Claim.Spec.StorageClassName = corev1.ClaimPending, storageClass
		got := meta.FindStatusCondition(ForNode(n), v1alpha1.ConditionStorageReady)
		if got.Reason != v1alpha1.ReasonVolumePending || !strings.Contains(got.Message, name) {
			t.Errorf("StorageReady is %+v, want %q in it", got, name)
		}
	}
}

// member is a node of a cluster as it is after its controller saw it.
func member(name string, ready metav1.ConditionStatus, reason string, stalled bool) *v1alpha1.VesperNode {
	n := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 2}, Spec: v1alpha1.VesperNodeSpec{BranchID: string(branch.First(2))}}
	n.Status = v1alpha1.VesperNodeStatus{ObservedGeneration: 2, Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: ready, Reason: reason, Message: "words of " + name}}}
	if stalled {
		n.Status.Conditions = append(n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason})
	}
	return n
}

func TestReadyOfACluster(t *testing.T) {
	ok := func(name string) *v1alpha1.VesperNode { return member(name, metav1.ConditionTrue, "Ready", false) }
	old := ok("b")
	old.Generation = 3
	leaving := ok("b")
	now := metav1.Now()
	leaving.DeletionTimestamp = &now
	bad := func(name string) *v1alpha1.VesperNode {
		return member(name, metav1.ConditionFalse, "CatchingUp", false)
	}
	for _, test := range []struct {
		name    string
		change  func(*Cluster)
		status  metav1.ConditionStatus
		reason  string
		stalled bool
		says    string
	}{
		{"all is well", func(*Cluster) {}, metav1.ConditionTrue, "Ready", false, "2 of 2 nodes"},
		{"scaled to zero", func(c *Cluster) { c.Wanted, c.Assigned, c.Members = 0, 0, nil }, metav1.ConditionTrue, "Ready", false, "0 of 0 nodes"},
		{"one catches up", func(c *Cluster) { c.Members[1] = bad("b") }, metav1.ConditionFalse, v1alpha1.ReasonNodesNotReady, false, "1 of 2 nodes are ready; b: CatchingUp"},
		{"one has an older spec", func(c *Cluster) { c.Members[1] = old }, metav1.ConditionFalse, v1alpha1.ReasonNodesNotReady, false, "b: Pending"},
		{"one is being deleted", func(c *Cluster) { c.Members[1] = leaving }, metav1.ConditionFalse, v1alpha1.ReasonNodesNotReady, false, "b: Pending"},
		{"one is not made yet", func(c *Cluster) { c.Members[1] = nil }, metav1.ConditionFalse, v1alpha1.ReasonScaling, false, "1 of 2"},
		{"one is stalled", func(c *Cluster) { c.Members[1] = member("b", metav1.ConditionFalse, "VolumeLost", true) },
			metav1.ConditionFalse, v1alpha1.ReasonNodesStalled, true, "b: VolumeLost (words of b)"},
		{"one is being removed", func(c *Cluster) { c.Leaving = []string{"c"} }, metav1.ConditionFalse, v1alpha1.ReasonScaling, false, "removing c"},
		{"one has something to hand over first", func(c *Cluster) { c.Draining = []*v1alpha1.VesperNode{leaver("c", v1alpha1.ReasonDraining)} },
			metav1.ConditionFalse, v1alpha1.ReasonScaling, false, "not removed yet: c waits for a"},
		{"one was not told yet that it leaves", func(c *Cluster) { c.Draining = []*v1alpha1.VesperNode{ok("c")} },
			metav1.ConditionFalse, v1alpha1.ReasonScaling, false, "not removed yet: c is told to drain"},
		{"one has something to hand over while another is not ready", func(c *Cluster) {
			c.Members[0], c.Draining = bad("a"), []*v1alpha1.VesperNode{leaver("c", v1alpha1.ReasonDraining)}
		}, metav1.ConditionFalse, v1alpha1.ReasonScaling, false, "c waits for a; a: "},
		{"the last one would take its data with it", func(c *Cluster) { c.Draining = []*v1alpha1.VesperNode{leaver("c", v1alpha1.ReasonNobodyLeft)} },
			metav1.ConditionFalse, v1alpha1.ReasonNobodyLeft, true, "not removed yet: c waits for a"},
		{"paused, and nothing waits for that", func(c *Cluster) { c.Pause.By = "spec.paused" }, metav1.ConditionTrue, "Ready", false, "2 of 2 nodes"},
		{"paused, and a change waits", func(c *Cluster) { c.Pause = Pause{By: "spec.paused", Waiting: []string{"a", "b"}} },
			metav1.ConditionFalse, v1alpha1.ReasonPaused, false, "the spec is not carried out while spec.paused is set: a, b"},
		{"suspended", func(c *Cluster) { c.Suspended = true }, metav1.ConditionFalse, v1alpha1.ReasonSuspended, false, "0 pods run; branch ids, volumes and VesperNodes are kept"},
		{"a change goes through the nodes", func(c *Cluster) { c.Members[0], c.Behind = bad("a"), []string{"b"} },
			metav1.ConditionFalse, v1alpha1.ReasonRolling, false, "still to come: b; a: CatchingUp"},
		{"too many to name", func(c *Cluster) {
			c.Members = []*v1alpha1.VesperNode{bad("a"), bad("b"), bad("c"), bad("d"), bad("e"), bad("f"), bad("g")}
			c.Wanted, c.Assigned = 7, 7
		}, metav1.ConditionFalse, v1alpha1.ReasonNodesNotReady, false, "and 2 more"},
		{"ids not given out yet", func(c *Cluster) { c.Assigned = 1 }, metav1.ConditionFalse, v1alpha1.ReasonRecording, false, "1 of 2"},
		{"channel shared", func(c *Cluster) {
			c.Refusal = &topology.Refusal{Reason: topology.ChannelShared, Message: "the planner's words"}
		}, metav1.ConditionFalse, v1alpha1.ReasonChannelShared, true, "the planner's words"},
		{"ids used up", func(c *Cluster) {
			c.Refusal = &topology.Refusal{Reason: topology.Exhausted, Message: "the planner's words"}
		}, metav1.ConditionFalse, v1alpha1.ReasonExhausted, true, "the planner's words"},
		{"no broker", func(c *Cluster) { c.Brokers[0].Object = nil }, metav1.ConditionFalse, v1alpha1.ReasonBrokerMissing, false, "no VesperBroker mq"},
		{"broker away", func(c *Cluster) {
			c.Brokers = BrokerRefs{usable(metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable)}
		},
			metav1.ConditionFalse, v1alpha1.ReasonBrokerUnreachable, false, "VesperBroker mq: of the broker"},
		{"broker refuses the login", func(c *Cluster) {
			c.Brokers = BrokerRefs{usable(metav1.ConditionFalse, v1alpha1.ReasonBrokerRefused)}
			c.Brokers[0].Object.Status.Conditions = append(c.Brokers[0].Object.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue})
		}, metav1.ConditionFalse, v1alpha1.ReasonBrokerRefused, true, "of the broker"},
		{"name taken", func(c *Cluster) { c.ApplyError = &apply.ForeignError{Kind: "Service", Namespace: "prod", Name: "shop"} },
			metav1.ConditionFalse, v1alpha1.ReasonNameTaken, true, "Service prod/shop"},
		{"quota", func(c *Cluster) { c.ApplyError = errors.New("quota") }, metav1.ConditionFalse, v1alpha1.ReasonApplyFailed, false, "quota"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Cluster{Brokers: BrokerRefs{usable(metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)}, Wanted: 2, Assigned: 2, Members: []*v1alpha1.VesperNode{ok("a"), ok("b")}}
			test.change(&c)
			all := ForCluster(c)
			ready := all[0]
			if ready.Type != v1alpha1.ConditionReady || ready.Status != test.status || ready.Reason != test.reason || !strings.Contains(ready.Message, test.says) {
				t.Errorf("Ready is %+v, want %s, %s, saying %q", ready, test.status, test.reason, test.says)
			}
			stalled, reconciling := meta.FindStatusCondition(all, v1alpha1.ConditionStalled), meta.FindStatusCondition(all, v1alpha1.ConditionReconciling)
			onPurpose := test.reason == v1alpha1.ReasonPaused || test.reason == v1alpha1.ReasonSuspended
			if (stalled != nil) != test.stalled || (reconciling != nil) != (test.status == metav1.ConditionFalse && !test.stalled && !onPurpose) {
				t.Errorf("Stalled is %v and Reconciling %v, want stalled = %v", stalled, reconciling, test.stalled)
			}
		})
	}
}
