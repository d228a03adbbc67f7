package conditions

import (
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

// TestWhatIsWrongWithAReadyNode is the table of the conditions that are there
// only while they hold, and make no node unready.
func TestWhatIsWrongWithAReadyNode(t *testing.T) {
	asked := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := asked.Add(-d); return &at }
	behind := func(since time.Duration) func(*nodestatus.Status) {
		return func(s *nodestatus.Status) {
			s.Retention = &nodestatus.Retention{HeldBackBy: "0C", HeldBack: 9, HeldBackSince: ago(since)}
		}
	}
	for _, test := range []struct {
		name      string
		status    func(*nodestatus.Status)
		retention time.Duration
		kind      string
		reason    string
		says      string
	}{
		{"a peer differs, not known where", func(s *nodestatus.Status) { s.Divergence = []nodestatus.Divergence{{Peer: "0B"}} },
			0, v1alpha1.ConditionDiverged, v1alpha1.ReasonPeersDiffer, "peer 0B (objects not known yet)"},
		{"two peers differ", func(s *nodestatus.Status) {
			s.Divergence = []nodestatus.Divergence{{Peer: "0B", Objects: []string{"a", "b", "c", "d", "e", "f"}}, {Peer: "0C", Objects: []string{"a"}}}
		}, 0, v1alpha1.ConditionDiverged, v1alpha1.ReasonPeersDiffer, "peer 0B (objects a, b, c, d, e and 1 more), peer 0C (objects a)"},
		{"forked", func(s *nodestatus.Status) {
			s.Forks = []nodestatus.Fork{{Branch: "0B", Dot: branch.Dot{Branch: "0B", Seq: 7}}}
		}, 0, v1alpha1.ConditionForked, v1alpha1.ReasonBranchForked, "branch 0B at 0B00007"},
		{"forked, and not ready for another reason", func(s *nodestatus.Status) {
			s.Ready, s.Reason, s.Forks = false, nodestatus.ReasonBrokerUnreachable, []nodestatus.Fork{{Branch: "0B"}}
		}, 0, v1alpha1.ConditionForked, v1alpha1.ReasonBranchForked, "branch 0B"},
		{"a member just missed", func(s *nodestatus.Status) {
			s.Started, s.Retention = *ago(9 * time.Minute), &nodestatus.Retention{NeverHeard: []branch.ID{"0C"}}
		}, time.Hour, "", "", ""},
		{"a member never heard", func(s *nodestatus.Status) {
			s.Started, s.Retention = *ago(10 * time.Minute), &nodestatus.Retention{NeverHeard: []branch.ID{"0C", "0D"}}
		}, time.Hour, v1alpha1.ConditionRetentionHeldBack, v1alpha1.ReasonMemberNeverHeard, "member 0C, 0D was not heard"},
		{"a member behind for a busy hour", behind(59 * time.Minute), time.Hour, "", "", ""},
		{"a member behind for long", behind(time.Hour), time.Hour, v1alpha1.ConditionRetentionHeldBack, v1alpha1.ReasonMemberBehind, "member 0C lacks cannot leave the log, since 2026-01-02T02:00:00Z"},
		{"a member behind for less than the retention", behind(23 * time.Hour), 24 * time.Hour, "", "", ""},
		{"the log cannot be trimmed", func(s *nodestatus.Status) { s.Retention = &nodestatus.Retention{Error: "no members file"} },
			time.Hour, v1alpha1.ConditionRetentionHeldBack, v1alpha1.ReasonTrimFailed, "no members file"},
		{"the log is trimmed", func(s *nodestatus.Status) { s.Retention = &nodestatus.Retention{} }, time.Hour, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := wellNode()
			n.Answer.Asked, n.Retention = asked, test.retention
			test.status(&n.Answer.Status)
			all := ForNode(n)
			if all[0].Reason != string(n.Answer.Status.Reason) || meta.FindStatusCondition(all, v1alpha1.ConditionStalled) != nil {
				t.Errorf("Ready is %+v: such trouble changes nothing of it", all[0])
			}
			wantAlarm(t, all, test.kind, test.reason, test.says)
		})
	}
}

// wantAlarm wants exactly one alarm of a kind, or with "" none.
func wantAlarm(t *testing.T, all []metav1.Condition, kind, reason, says string) {
	t.Helper()
	found := false
	for _, c := range all {
		switch {
		case !IsAlarm(c.Type):
		case c.Type != kind || c.Reason != reason || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, says):
			t.Errorf("%+v, want only %q, %s, saying %q", c, kind, reason, says)
		default:
			found = true
		}
	}
	if found != (kind != "") {
		t.Errorf("%q is not among %+v", kind, all)
	}
}

// TestFiguresAreInNoAlarm: what moves all the time would be written all the time.
func TestFiguresAreInNoAlarm(t *testing.T) {
	now := time.Now()
	n := wellNode()
	n.Answer.Asked = now
	since := now.Add(-2 * time.Hour)
	set := func(figure uint64) []metav1.Condition {
		n.Answer.Status.Retention = &nodestatus.Retention{HeldBackBy: "0C", HeldBack: figure, HeldBackSince: &since}
		n.Answer.Status.Divergence = []nodestatus.Divergence{{Peer: "0B", Revision: branch.Revision{{Branch: "0B", Seq: figure}}, Objects: []string{"a"}}}
		return ForNode(n)
	}
	first, second := set(1), set(2)
	for i := range first {
		if first[i] != second[i] {
			t.Errorf("%+v became %+v with the figures", first[i], second[i])
		}
	}
}

func TestOfANodeThatIsSilentNothingFollows(t *testing.T) {
	n := wellNode()
	n.Answer.Status.Divergence = []nodestatus.Divergence{{Peer: "0B"}}
	if !n.Heard() {
		t.Error("a node that answered was not heard")
	}
	for name, change := range map[string]func(*Node){
		"failed":      func(n *Node) { n.Answer.Err = errors.New("no answer") },
		"never asked": func(n *Node) { n.Answer = nil },
		"another":     func(n *Node) { n.Branch = "0Z" },
	} {
		silent := n
		answer := *n.Answer
		silent.Answer = &answer
		change(&silent)
		if silent.Heard() {
			t.Errorf("%s: counts as heard", name)
		}
		wantAlarm(t, ForNode(silent), "", "", "")
	}
}

func TestAClusterRepeatsWhatItsNodesSayAndIsReadyAllTheSame(t *testing.T) {
	a, b := member("a", metav1.ConditionTrue, "Ready", false), member("b", metav1.ConditionTrue, "Ready", false)
	for _, n := range []*v1alpha1.VesperNode{a, b} {
		n.Status.Conditions = append(n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionDiverged, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPeersDiffer, Message: "words"})
	}
	c := Cluster{Brokers: BrokerRefs{usable(metav1.ConditionTrue, v1alpha1.ReasonBrokerReady)}, Wanted: 2, Assigned: 2, Members: []*v1alpha1.VesperNode{a, b}}
	all := ForCluster(c)
	if all[0].Status != metav1.ConditionTrue {
		t.Errorf("Ready is %+v", all[0])
	}
	wantAlarm(t, all, v1alpha1.ConditionDiverged, v1alpha1.ReasonPeersDiffer, "a: words, b: words")
	c.Members = []*v1alpha1.VesperNode{nil, member("b", metav1.ConditionTrue, "Ready", false)}
	wantAlarm(t, ForCluster(c), "", "", "")
}

// TestAVolumeThatIsNearlyFullIsToldUntilThereIsRoomAgain: a figure that moves about a
// limit is told once, and no figure that moves is in the message.
func TestAVolumeThatIsNearlyFullIsToldUntilThereIsRoomAgain(t *testing.T) {
	const gib = 1 << 30
	messages := map[string]bool{}
	told := false
	for _, step := range []struct {
		used int64
		want bool
	}{{80, false}, {89, false}, {90, true}, {89, true}, {95, true}, {85, true}, {84, false}, {89, false}, {100, true}} {
		n, storage := wellNode(), nodestatus.Storage{Volume: 100 * gib, Free: (100 - step.used) * gib}
		n.Answer.Status.Storage, n.NearlyFull = storage, told
		all := ForNode(n)
		said := meta.FindStatusCondition(all, v1alpha1.ConditionVolumeNearlyFull)
		if told = said != nil; told != step.want || !meta.IsStatusConditionTrue(all, v1alpha1.ConditionReady) {
			t.Errorf("at %d %% it is told: %v, want %v; Ready must stay", step.used, told, step.want)
		}
		if told {
			messages[said.Message] = true
		}
	}
	if len(messages) != 1 {
		t.Errorf("messages are %v, want one", messages)
	}
	for message := range messages {
		if !strings.Contains(message, "volume claim data-pin (100.0 GiB) is nearly full") || !strings.Contains(message, "raise spec.storage.size") {
			t.Errorf("message is %q, want the volume and the remedy in it", message)
		}
	}
}
