package replication

import (
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/mutant"
	"vesperdb.io/vesper/internal/nodestatus"
)

// twinSilence is how many beacon intervals another process with our branch id
// must be silent before it counts as gone.
const twinSilence = 6

// refusal says why writes are refused. The zero refusal refuses nothing.
type refusal struct {
	Reason  nodestatus.Reason
	Message string
}

// safety decides whether this node may issue changesets. It holds what has
// been learned of the node's own branch; it does no I/O and has no clock.
type safety struct {
	own     branch.ID
	session string
	// every is the beacon interval.
	every time.Duration

	// bootstrapped is the store's durable flag; opened is durable too, and says
	// that the branch was once found unused and writes were taken. discovered
	// says whether a discovery has ended since the start. head is the store's
	// own sequence.
	bootstrapped, opened, discovered bool
	head                             uint64
	// proven says that since the start every link has either listened to the
	// peers for the discovery window, or could not for the start patience. A
	// store that is an old backup looks like any other until a peer is heard.
	proven bool
	// taken says that the broker refuses us, as a client with our id is
	// connected; inUse that this has lasted longer than what is left of a former
	// process could.
	taken, inUse bool
	// claimed is the highest own sequence a peer says it has, mark the highest
	// one that was ever beyond the head: durable until accepted.
	claimed, mark uint64
	// twin is another live process with this branch id.
	twin twin
	// forked is set when two changesets with one dot of our branch were seen.
	// told is what a peer says of that and the store has not recorded yet.
	forked string
	told   *told
	// copied says that the store's file is a copy that nobody has accepted. Only
	// a person ends that: what the branch wrote since may be in a broker alone, on
	// a volume that comes back, or with somebody whom nobody lists, so that no
	// number of peers proves that there is none.
	copied bool
}

// told is a fork of our branch of which a peer told us.
type told struct {
	dot  branch.Dot
	from branch.ID
}

// twin is what is known of another process that uses our branch id.
type twin struct {
	session, incarnation string
	count                uint64
	seen                 time.Time
	// sure after a second beacon: the first may have been under way when our
	// own former process ended.
	sure bool
}

// claim records that some peer has own changesets up to seq.
func (s *safety) claim(seq uint64) { s.claimed = max(s.claimed, seq) }

// toMark returns the mark that must be made durable before anything else is
// learned of the own branch, and whether it is news.
func (s *safety) toMark() (uint64, bool) {
	want := s.mark
	if s.claimed > s.head {
		want = max(want, s.claimed)
	}
	if s.unused() && s.head > 0 {
		want = max(want, s.head) // a store that never wrote has learned its own branch back
	}
	return want, want > s.mark
}

// unused reports whether this store has never been allowed to write.
func (s *safety) unused() bool { return !s.bootstrapped && !s.opened }

// mayOpen reports whether the branch of a store that has never written was
// found unused.
func (s *safety) mayOpen() bool {
	_, news := s.toMark()
	return s.unused() && s.discovered && !news && s.mark == 0
}

// heardOwn records a beacon that carries our branch id and says whether it
// is news that such a process lives.
func (s *safety) heardOwn(now time.Time, b Beacon) (alarm bool) {
	if b.Session == s.session {
		return false
	}
	t := &s.twin
	if t.session != b.Session {
		*t = twin{session: b.Session, incarnation: b.Incarnation, count: b.Count, seen: now}
		return false
	}
	if b.Count == t.count {
		return false
	}
	alarm = !s.twinLives(now)
	t.count, t.seen, t.sure = b.Count, now, true
	return alarm
}

func (s *safety) twinLives(now time.Time) bool {
	return s.twin.sure && now.Before(s.twinGone())
}

// twinGone is when the other process counts as gone.
func (s *safety) twinGone() time.Time {
	return s.twin.seen.Add(max(twinSilence*s.every, minSilence))
}

// judge returns why writes must be refused now.
func (s *safety) judge(now time.Time) refusal {
	if mutant.On("dot-reuse-after-restore") {
		return refusal{}
	}
	switch {
	case s.forked != "" || s.told != nil:
		dot := s.forked
		if dot == "" {
			dot = s.told.dot.String()
		}
		return refusal{nodestatus.ReasonBranchForked, fmt.Sprintf(
			"two different changesets of branch %s exist under one dot (%s): two writers have used this branch id. "+
				"Writes are refused for good: give this node a new branch id, or settle the fork (docs/troubleshooting.md)", s.own, dot)}
	case s.twinLives(now):
		return refusal{nodestatus.ReasonBranchInUse, fmt.Sprintf(
			"another running process uses branch id %s (incarnation %s). Writes are refused on both: stop one of the two, "+
				"and give it a branch id of its own", s.own, s.twin.incarnation)}
	case s.claimed > s.head:
		return refusal{nodestatus.ReasonBranchAhead, fmt.Sprintf(
			"peers hold changesets of branch %s up to %d, this store only up to %d: its volume was lost, replaced or restored. "+
				"Writes are refused while the missing ones are fetched", s.own, s.claimed, s.head)}
	case s.mark > 0:
		return refusal{nodestatus.ReasonBranchAhead, fmt.Sprintf(
			"the volume of branch %s was lost, replaced or restored. What peers hold of it (up to %d) has been fetched, but it may have "+
				"held more that nobody received. Give this node a new branch id (vesper-node adopt, while it is stopped; in Kubernetes: delete its VesperNode and let the "+
				"cluster make another), or accept the branch if nothing more was written (vesper-node accept)", s.own, s.head)}
	case s.copied:
		return refusal{nodestatus.ReasonVolumeCopied, fmt.Sprintf(
			"the file of this store is a copy or was restored from a backup: it may lack what branch %s wrote since, and its original may still run. "+
				"Writes are refused; reads are served, and what is missing is fetched. Give it a new branch id (vesper-node adopt, while it is stopped; "+
				"in Kubernetes: delete its VesperNode and let the cluster make another). Or, if you know "+
				"that nothing more of the branch is left on any node, broker, volume or bundle: vesper-node accept (in the pod: /vesper-node accept)", s.own)}
	case s.unused():
		return refusal{nodestatus.ReasonCatchingUp, fmt.Sprintf(
			"this store is new and has not yet asked its peers whether branch %s was in use before: it takes writes once it has "+
				"been subscribed to its channel for the discovery window", s.own)}
	case s.inUse:
		return refusal{nodestatus.ReasonBranchInUse, fmt.Sprintf(
			"the broker goes on saying that a client with branch id %s is connected already: a second copy of this node seems to run. "+
				"Writes are refused while it does: stop one of the two, and give it a branch id of its own", s.own)}
	case s.taken && !s.proven:
		return refusal{nodestatus.ReasonCatchingUp, fmt.Sprintf(
			"the broker says that a client with branch id %s is connected already: writes are refused until it lets go of what "+
				"is left of this node's former process, or a second copy is stopped", s.own)}
	case !s.proven:
		return refusal{nodestatus.ReasonCatchingUp, fmt.Sprintf(
			"this node has just started and asks its peers whether they hold changesets of branch %s that its store lacks: "+
				"it takes writes after the discovery window, or a little later if it cannot reach the broker", s.own)}
	}
	return refusal{}
}
