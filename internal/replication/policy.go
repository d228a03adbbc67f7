package replication

import (
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
)

// Nodes that choose differently between concurrent values would answer
// differently with equal revisions. So a link on which a living peer has another
// policy stands still, both ways, until the two agree.

// judgePolicy holds the link while a living peer has another conflict policy.
func (l *link) judgePolicy(now time.Time) {
	if l.o.Policy == "" {
		return
	}
	l.mu.Lock()
	other := l.peers.otherPolicy(now, l.o.Policy)
	l.mu.Unlock()
	reason, _, held := l.held()
	switch {
	case other != nil && (!held || reason == nodestatus.ReasonPolicyMismatch):
		l.hold(nodestatus.ReasonPolicyMismatch, fmt.Sprintf("node %s has the conflict policy %s and this node %s: nothing is replicated "+
			"on this link until all its nodes have the same (conflictPolicy)", other.Branch, other.Policy, l.o.Policy))
	case other == nil && held && reason == nodestatus.ReasonPolicyMismatch:
		l.release()
	}
}

// otherPolicy returns the first living peer that tells another policy; nil when
// there is none.
func (t *peers) otherPolicy(now time.Time, own string) *peer {
	for _, p := range t.sorted() {
		if p.Policy != "" && p.Policy != own && p.alive(now) {
			return p
		}
	}
	return nil
}
