package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/conditions"
	"vesperdb.io/vesper/internal/resources"
	"vesperdb.io/vesper/internal/topology"
)

// writeStatus computes the status from the scope and writes it if it differs
// from what is there. A change of Ready is told in an event.
func (s *nodeScope) writeStatus(ctx context.Context) error {
	if s.awaiting() {
		return nil
	}
	before := s.node.DeepCopy()
	s.fillStatus()
	if equality.Semantic.DeepEqual(before.Status, s.node.Status) {
		return nil
	}
	r, now := s.reconciler, s.reconciler.Now()
	if s.later = r.pace.wait(s.node.UID, before.Status.Conditions, s.node.Status.Conditions, now); s.later > 0 {
		s.node.Status = before.Status
		return nil
	}
	err := r.client.Status().Patch(ctx, s.node, client.MergeFrom(before), client.FieldOwner(apply.Owner))
	if err != nil {
		return fmt.Errorf("writing the status of VesperNode %s/%s: %w", before.Namespace, before.Name, err)
	}
	r.pace.wrote(s.node.UID, now)
	tellReady(r.recorder, s.node, before.Status.Conditions, s.node.Status.Conditions)
	tellAlarms(r.recorder, s.node, before.Status.Conditions, s.node.Status.Conditions)
	tellVolume(r.recorder, s.node, before.Status.Conditions, s.node.Status.Conditions)
	return nil
}

// awaiting reports whether the node runs and its first answer is on its way: what
// the status says stands until then, so that a new operator changes nothing.
func (s *nodeScope) awaiting() bool {
	return s.verdict.Decision == topology.Run && s.refused == nil && s.answer == nil && s.current() && conditions.NodeStarted(s.pod)
}

// fillStatus writes what was seen into the status. A change of state goes in at
// once, with the figures as they then are; figures and wording alone wait until
// the last ones have stood for a while.
func (s *nodeScope) fillStatus() {
	before := s.node.Status.DeepCopy()
	status := &s.node.Status
	s.fillState(status)
	stateChanged := !equality.Semantic.DeepEqual(withoutMessages(before), withoutMessages(status))
	s.fillFigures(status)
	if equality.Semantic.DeepEqual(before, status) {
		return
	}
	if stands := s.figuresStand(before); !stateChanged && stands > 0 {
		s.node.Status, s.later = *before, stands
		return
	}
	now := metav1.NewTime(s.reconciler.Now())
	status.FiguresTime = &now
}

func (s *nodeScope) fillState(status *v1alpha1.VesperNodeStatus) {
	status.ObservedGeneration = s.node.Generation
	status.Role = v1alpha1.RoleMember
	if len(s.node.Spec.Links) > 0 {
		status.Role = v1alpha1.RoleRelay
	}
	if s.pause.By == "" || status.Image == "" {
		status.Image = s.image()
	}
	if s.statefulSet != nil {
		status.VolumeUID = s.statefulSet.Annotations[v1alpha1.AnnotationVolumeUID]
	}
	seen := s.seen()
	want := conditions.ForNode(seen)
	if !seen.Heard() { // a node that is silent has not said that what was wrong is over
		for _, condition := range status.Conditions {
			if conditions.IsAlarm(condition.Type) {
				want = append(want, condition)
			}
		}
	}
	setBrokerConditions(&status.Conditions, s.node.Generation, want)
}

// fillFigures copies what the node said last. What a node that does not answer
// said before it fell silent stays.
func (s *nodeScope) fillFigures(status *v1alpha1.VesperNodeStatus) {
	if s.answer == nil || s.answer.Err != nil || s.answer.Status.Branch != s.id() {
		return
	}
	said := s.answer.Status
	peers, lag, outbox := int32(len(said.Peers)), int64(said.Lag.Changesets), int64(said.Outbox.Changesets) //nolint:gosec // far below the limits
	behind := coarseSeconds(said.Lag.Seconds)
	status.LagSeconds = &behind
	fillVolume(status, said.Storage)
	status.Version, status.Incarnation, status.Revision = said.Version, said.Incarnation, said.Revision.String()
	status.Objects, status.Conflicts, status.StorageBytes = &said.Objects, &said.Conflicts, &said.Storage.Bytes
	status.Lag, status.Outbox, status.Peers = &lag, &outbox, &peers
}

// seen is the scope as the conditions see it.
func (s *nodeScope) seen() conditions.Node {
	return conditions.Node{
		Branch: s.id(), Verdict: s.verdict, Brokers: s.brokers, ApplyError: s.refused, WaitsForTurn: s.waitsForTurn(),
		Volume: s.volume(), NearlyFull: meta.IsStatusConditionTrue(s.node.Status.Conditions, v1alpha1.ConditionVolumeNearlyFull), Now: s.reconciler.Now(), Retention: s.node.Spec.Retention.Duration(), Pod: s.pod, Current: s.current(), Answer: s.answer,
		Guarded: s.access.guarded, AccessProblem: s.access.problem,
		Departure: s.departure, Suspended: s.node.Spec.Suspended, Pause: s.pause,
	}
}

// volume is that of the node's data, as the conditions see it.
func (s *nodeScope) volume() conditions.Volume {
	storage := s.node.Spec.Storage
	v := conditions.Volume{Claim: s.claim, Field: "spec.storage", Size: storage.Size, Class: storage.StorageClassName, Refused: s.resize, Moves: s.moves(),
		OtherClass: "a volume keeps its class; make another VesperNode of that class, and delete this one when it is ready and has all, or set the class back"}
	if v.Moves {
		v.OtherClass = "its cluster replaces the node by one on a new volume when its turn comes"
	}
	return v
}

// withoutMessages is the part of a status whose change is news.
func withoutMessages(status *v1alpha1.VesperNodeStatus) *v1alpha1.VesperNodeStatus {
	out := status.DeepCopy()
	for i := range out.Conditions {
		out.Conditions[i].Message = ""
	}
	return out
}

// figuresStand is how long the figures in a status still stand.
func (s *nodeScope) figuresStand(status *v1alpha1.VesperNodeStatus) time.Duration {
	if status.FiguresTime == nil {
		return 0
	}
	return max(0, nodeFigures-s.reconciler.Now().Sub(status.FiguresTime.Time))
}

// askAfter is how old the node's last answer may get.
func (s *nodeScope) askAfter() time.Duration {
	if meta.IsStatusConditionTrue(s.node.Status.Conditions, v1alpha1.ConditionReady) && s.brokers.Ready() {
		return s.reconciler.askReady
	}
	return nodeAskSoon
}

// askAgain says when to look again without being told of a change; zero is not at all.
func (s *nodeScope) askAgain() time.Duration {
	stuck, ending := conditions.PodStuckAt(s.pod)
	switch {
	case ending && s.reconciler.Now().Before(stuck):
		return soonest(stuck.Sub(s.reconciler.Now()), s.later)
	case s.access.problem != nil:
		return accessLookAgain
	case s.later > 0:
		return min(s.later, s.askAfter())
	case conditions.NodeStarted(s.pod):
		return s.askAfter()
	case s.resize != nil:
		return resizeAgain
	case s.refused != nil, s.verdict.Decision == topology.Hold && resources.ClusterOf(s.node) == "":
		return nodeLookAgain // what it depends on may change
	default:
		return 0 // all it waits for is watched
	}
}
