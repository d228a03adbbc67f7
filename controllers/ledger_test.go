package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/topology"
)

func TestTheLedgerSurvivesItsWayThroughTheStatus(t *testing.T) {
	want := topology.Ledger{Trunk: "0A", Last: "0F", Retired: 3, Assigned: []topology.Assignment{
		{ID: "0B", Group: "core", Started: true, VolumeUID: "u1"}, {ID: "0F", Group: "edge"}}}
	c := &v1alpha1.VesperCluster{Status: v1alpha1.VesperClusterStatus{Ledger: recorded(want)}}
	if diff := cmp.Diff(want, ledgerOf(c)); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	if got := assignmentOf(c, "0B"); got == nil || *got != want.Assigned[0] {
		t.Errorf("assignment of 0B is %+v", got)
	}
	if got := assignmentOf(c, "0C"); got != nil {
		t.Errorf("assignment of 0C, which was never given out, is %+v", got)
	}
}

func TestDefaultsOfRangeAndTrunk(t *testing.T) {
	for _, test := range []struct {
		ids   v1alpha1.BranchIDRange
		trunk string
		want  string
		is    branch.ID
	}{
		{v1alpha1.BranchIDRange{Width: 2}, "", "0A to ZZ", "0A"},
		{v1alpha1.BranchIDRange{Width: 3}, "", "00A to ZZZ", "00A"},
		{v1alpha1.BranchIDRange{Width: 2, From: "1A", To: "1Z"}, "", "1A to 1Z", "0A"},
		{v1alpha1.BranchIDRange{Width: 2, From: "1A"}, "1A", "1A to ZZ", "1A"},
	} {
		c := &v1alpha1.VesperCluster{Spec: v1alpha1.VesperClusterSpec{BranchIDs: test.ids, TrunkID: test.trunk}}
		if got := rangeOf(c).String(); got != test.want || trunkOf(c) != test.is {
			t.Errorf("%+v trunk %q: range %s, trunk %s, want %s, %s", test.ids, test.trunk, got, trunkOf(c), test.want, test.is)
		}
	}
}

func TestAClaimAsThePlannerSeesIt(t *testing.T) {
	now := metav1.Now()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-core-0b", UID: "u1", DeletionTimestamp: &now,
		Labels:      map[string]string{v1alpha1.LabelGroup: "core"},
		Annotations: map[string]string{v1alpha1.AnnotationBranchID: "0B", v1alpha1.AnnotationTrunkID: "0A", v1alpha1.AnnotationRetired: "true"}}}
	want := topology.Volume{Name: "data-shop-core-0b", UID: "u1", ID: "0B", Trunk: "0A", Group: "core", Retired: true, Leaving: true}
	if diff := cmp.Diff(want, volumeOf(claim)); diff != "" {
		t.Errorf("volume (-want +got):\n%s", diff)
	}
	claim.Annotations[v1alpha1.AnnotationBranchID] = "not an id"
	if got := volumeOf(claim).ID; got != "" {
		t.Errorf("a mangled annotation gives the id %q", got)
	}
}

// clusterNode is a node as its cluster makes it, changed.
func clusterNode(change func(*v1alpha1.VesperNode)) *v1alpha1.VesperNode {
	yes := true
	n := &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b", UID: "n", Labels: map[string]string{v1alpha1.LabelCluster: "shop"},
		OwnerReferences: []metav1.OwnerReference{{Kind: v1alpha1.KindCluster, Name: "shop", UID: "c", Controller: &yes}}},
		Spec: v1alpha1.VesperNodeSpec{BranchID: "0B", Group: "core", BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Channel: "C"}}
	change(n)
	return n
}

func TestWhoseANodeIs(t *testing.T) {
	shop := &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "c"}}
	now := metav1.Now()
	for _, test := range []struct {
		name         string
		change       func(*v1alpha1.VesperNode)
		own, leaving bool
	}{
		{"made by the cluster", func(*v1alpha1.VesperNode) {}, true, false},
		{"on its way out", func(n *v1alpha1.VesperNode) { n.DeletionTimestamp = &now }, true, true},
		{"orphaned by the cluster before", func(n *v1alpha1.VesperNode) { n.OwnerReferences = nil }, true, false},
		{"of the cluster before, not collected yet", func(n *v1alpha1.VesperNode) { n.OwnerReferences[0].UID = "old" }, true, true},
		{"of another kind of owner", func(n *v1alpha1.VesperNode) { n.OwnerReferences[0].Kind = "Deployment" }, false, false},
		{"of another cluster", func(n *v1alpha1.VesperNode) { n.OwnerReferences[0].Name = "other" }, false, false},
		{"by hand, with a label", func(n *v1alpha1.VesperNode) { n.OwnerReferences, n.Name = nil, "mine" }, false, false},
		{"by hand, without", func(n *v1alpha1.VesperNode) { n.OwnerReferences, n.Labels = nil, nil }, false, false},
		{"misnamed", func(n *v1alpha1.VesperNode) { n.Spec.BranchID = "0C" }, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := clusterNode(test.change)
			if got := ownNode(shop, n); got != test.own {
				t.Errorf("own = %v, want %v", got, test.own)
			}
			if got := nodeMember(shop, n, time.Time{}).Leaving; test.own && got != test.leaving {
				t.Errorf("leaving = %v, want %v", got, test.leaving)
			}
		})
	}
}

func TestNeighborsAreTheOthersOnTheChannel(t *testing.T) {
	named := func(name, broker, channel string) v1alpha1.VesperCluster {
		return v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "c-" + "x", CreationTimestamp: metav1.NewTime(time.Unix(1, 0))},
			Spec: v1alpha1.VesperClusterSpec{BrokerRef: v1alpha1.LocalReference{Name: broker}, Channel: channel, BranchIDs: v1alpha1.BranchIDRange{Width: 2}, Groups: []v1alpha1.NodeGroup{{Name: "core"}}}}
	}
	shop := named("shop", "mq", "C")
	shop.Status.Ledger.Assigned = []v1alpha1.BranchAssignment{{ID: "0A"}}
	hand := clusterNode(func(n *v1alpha1.VesperNode) {
		n.Name, n.OwnerReferences, n.Labels, n.Spec.BranchID = "pin", nil, nil, "7X"
	})
	mates := channelMates{
		clusters: []v1alpha1.VesperCluster{shop, named("elsewhere", "other", "C"), named("aside", "mq", "D")},
		nodes:    []v1alpha1.VesperNode{*clusterNode(func(*v1alpha1.VesperNode) {}), *hand},
	}
	around := mates.surroundings(func(client.Object) bool { return false })
	got := around.Neighbors
	if len(got) != 4 || got[0].Name != "shop" || got[3].Name != "pin" {
		t.Fatalf("neighbors are %+v, want the three clusters and pin", got)
	}
	if len(around.Carriers) != 2 || got[0].Now[0] != got[3].Now[0] || got[1].Wanted[0] != (topology.Channel{Broker: "other", Name: "C"}) || got[1].Now != nil {
		t.Errorf("they are where they should not be: %+v", around)
	}
	if diff := cmp.Diff([]branch.ID{"0A", "0B"}, got[0].Used); diff != "" {
		t.Errorf("ids that shop uses, by its ledger and its nodes (-want +got):\n%s", diff)
	}
	if got[3].Range.String() != "7X" || got[3].Trunk != "0A" {
		t.Errorf("the node made by hand is %+v", got[3])
	}
	if left := mates.surroundings(func(o client.Object) bool { return o.GetName() == "shop" }).Neighbors; len(left) != 3 {
		t.Errorf("without my own: %+v, want pin only", left)
	}
}

func TestAnErrorThatPassesGoesBeforeOneThatNeedsAPerson(t *testing.T) {
	refused, passing := apierrors.NewInvalid(schema.GroupKind{Kind: "X"}, "x", nil), errors.New("timeout")
	for _, test := range []struct {
		all  []error
		want error
	}{{nil, nil}, {[]error{nil, nil}, nil}, {[]error{nil, refused}, refused}, {[]error{refused, nil, passing}, passing}} {
		if got := firstTransient(test.all); got != test.want { //nolint:errorlint // identity is the point
			t.Errorf("of %v: %v, want %v", test.all, got, test.want)
		}
	}
}

func TestOnlyNodesWhoseIDsHaveJustStartedAreWoken(t *testing.T) {
	at := func(started ...bool) *v1alpha1.VesperCluster {
		c := &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
		for i, s := range started {
			c.Status.Ledger.Assigned = append(c.Status.Ledger.Assigned, v1alpha1.BranchAssignment{ID: []string{"0A", "0B", "0C"}[i], Group: "core", Started: s})
		}
		return c
	}
	if got := newlyStarted(at(true, false), at(true, true, false)); len(got) != 1 || got[0] != "shop-core-0b" {
		t.Errorf("woken are %v, want shop-core-0b", got)
	}
	if got := newlyStarted(at(true, true), at(true, true)); len(got) != 0 {
		t.Errorf("woken are %v by a change of something else", got)
	}
}
