package replication

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

// maxMissingShown bounds the missing dots in a status.
const maxMissingShown = 16

// Status fills the part of a node's status that replication knows: Branch,
// Incarnation, Revision, Digest, Ready, Reason, Message, Writable,
// WritesRefused, Links, Outbox, Pending, Lag and Peers.
func (r *Replicator) Status() nodestatus.Status {
	now := time.Now()
	s := nodestatus.Status{Branch: r.store.Branch(), Incarnation: r.store.Incarnation()}
	revision, digest := r.store.Snapshot()
	s.Revision, s.Digest = revision, r.digests.text(digest)
	var lagging time.Time
	for _, l := range r.links {
		since := l.report(&s)
		lagging = earlier(lagging, since)
	}
	if !lagging.IsZero() {
		s.Lag.Seconds = now.Sub(lagging).Seconds()
	}
	s.Outbox = r.outbox(now)
	for _, f := range r.openForks() {
		s.Forks = append(s.Forks, nodestatus.Fork{Branch: f.Dot.Branch, Dot: f.Dot, Seen: f.Seen, Told: f.Told})
	}
	s.Retention = r.keeper.status(floorOf(r.store))
	pending, missing := r.store.Pending()
	for _, l := range r.links {
		messages, dots := l.early()
		pending, missing = pending+messages, append(missing, dots...)
	}
	slices.SortFunc(missing, branch.Dot.Compare)
	missing = slices.Compact(missing)
	s.Pending = nodestatus.Pending{Changesets: pending, Missing: missing[:min(len(missing), maxMissingShown)]}
	refused, draining := r.refusal()
	s.Writable, s.WritesRefused = refused.Message == "" && !draining, refused.Message
	s.Reason, s.Message = r.reason(now, refused, draining)
	s.Ready = s.Reason == nodestatus.ReasonReady || s.Reason == nodestatus.ReasonStandalone
	if s.Ready && len(s.Forks) > 0 {
		s.Message = fmt.Sprintf("branch %s is forked at %s: nothing more of it is applied here until somebody decides (GET /v1/forks)",
			s.Forks[0].Branch, s.Forks[0].Dot)
	}
	return s
}

func (r *Replicator) refusal() (now refusal, draining bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gateLocked(time.Now())
	if r.refused != nil {
		now = *r.refused
	}
	return now, r.draining
}

func (r *Replicator) outbox(now time.Time) (o nodestatus.Outbox) {
	for _, l := range r.links {
		n, oldest := r.store.Outbox(l.cfg.Name)
		o.Changesets = max(o.Changesets, n)
		if n > 0 && !oldest.IsZero() {
			o.OldestAge = max(o.OldestAge, now.Sub(oldest).Seconds())
		}
	}
	return o
}

// report adds the link to the status and returns since when it lacks something.
func (l *link) report(s *nodestatus.Status) (lagging time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lag, lagging := l.gaps.lacking()
	s.Lag.Changesets = max(s.Lag.Changesets, lag)
	s.Links = append(s.Links, l.status())
	s.Divergence = append(s.Divergence, l.drill.status()...)
	for _, p := range l.peers.sorted() {
		s.Peers = append(s.Peers, nodestatus.Peer{
			Branch: p.Branch, Incarnation: p.Incarnation, Revision: p.Revision, LastSeen: p.seen.UTC(), Diverged: p.diverged,
		})
	}
	slices.SortStableFunc(s.Peers, func(a, b nodestatus.Peer) int {
		return strings.Compare(string(a.Branch), string(b.Branch))
	})
	return lagging
}

// status describes the link. The caller holds mu.
func (l *link) status() nodestatus.Link {
	out := nodestatus.Link{
		Name: l.cfg.Name, Channel: l.cfg.Channel, Hosts: l.cfg.Hosts,
		Address: l.state.Address, Server: l.state.Server,
		Connected: l.state.Connected, Subscribed: l.state.Up(),
		CaughtUp: l.catchup.phase == phaseCaughtUp, Reconnects: l.reconnects,
	}
	if l.state.Up() {
		since := l.since.UTC()
		out.Since = &since
	}
	out.Early, _ = l.early()
	if l.lastErr != nil {
		out.LastError = l.lastErr.Error()
	}
	return out
}

// reason is why the node is ready or not: the first of the links' troubles
// after those of the whole node.
func (r *Replicator) reason(now time.Time, refused refusal, draining bool) (nodestatus.Reason, string) {
	switch {
	case draining:
		return nodestatus.ReasonDraining, "the node is stopping: writes are refused while what is left is published"
	case len(r.links) == 0 && refused.Message == "":
		return nodestatus.ReasonStandalone, ""
	case refused.Message != "" && refused.Reason != nodestatus.ReasonCatchingUp:
		return refused.Reason, refused.Message
	}
	for _, l := range r.links {
		if why, message := l.trouble(now, r.store.Branch()); why != nodestatus.ReasonReady {
			return why, message
		}
	}
	if refused.Message != "" {
		return refused.Reason, refused.Message
	}
	return nodestatus.ReasonReady, ""
}

// trouble is why this link is not ready.
func (l *link) trouble(now time.Time, me branch.ID) (nodestatus.Reason, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	prefix := fmt.Sprintf("link %s (channel %s): ", l.cfg.Name, l.cfg.Channel)
	reason, why, held := l.held()
	switch {
	case held:
		return reason, prefix + why
	case l.storageErr != nil:
		return nodestatus.ReasonStorageFailed, prefix + "received changesets cannot be stored: " + l.storageErr.Error()
	case !l.state.Connected && l.state.InUse:
		return nodestatus.ReasonBrokerUnreachable, prefix + fmt.Sprintf("the broker says that a client with branch id %s is connected "+
			"already: a second copy of this node may be running; stop one of the two", me)
	case !l.state.Connected:
		return nodestatus.ReasonBrokerUnreachable, prefix + l.unreachable()
	case !l.state.Up():
		return nodestatus.ReasonSubscribing, prefix + "connected to " + l.state.Address + ", waiting for the broker to confirm the subscriptions"
	}
	switch l.catchup.phase {
	case phaseDiscovering:
		return nodestatus.ReasonCatchingUp, prefix + fmt.Sprintf("subscribed, asking the peers what they have (%d heard)", l.peers.alive(now))
	case phaseCatchingUp:
		lag, _ := l.gaps.lacking()
		message := prefix + fmt.Sprintf("%d changesets that peers have are missing here", lag)
		if how := l.fetcher.progress(); how != "" {
			message += "; " + how
		}
		return nodestatus.ReasonCatchingUp, message
	default:
		return nodestatus.ReasonReady, ""
	}
}

func (l *link) unreachable() string {
	where := strings.Join(l.cfg.Hosts, ", ")
	if l.lastErr == nil {
		return "connecting to " + where
	}
	return "no connection to " + where + ": " + l.lastErr.Error() + "; local writes go on"
}
