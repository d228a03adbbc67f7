package replication

import (
	"slices"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/mutant"
)

// maxAttempts bounds the doubling of the wait between fruitless requests.
const maxAttempts = 7

// askAgain is the first wait before a range is asked for again.
const askAgain = time.Second

// gap is what this node lacks of one branch.
type gap struct {
	// have is what was applied at the last look, to what a peer has, and goal
	// what a peer had when the gap was first seen: reaching it starts anew.
	have, to, goal uint64
	since          time.Time
	// moved is when have last grew: while it grows, the broker is delivering.
	moved time.Time
	// notBefore and attempts space out requests that changed nothing.
	notBefore time.Time
	attempts  int
	// hurry: the last answer brought some, and its sender has more.
	hurry bool
}

// gaps keeps book of what peers have and this node lacks, since when, and when
// to ask for it.
type gaps struct {
	// own is this node's branch: the broker never brings it, so its gaps know
	// no grace.
	own      branch.ID
	byBranch map[branch.ID]*gap
}

// update compares what is applied with what the living peers have.
func (t *gaps) update(now time.Time, have, target branch.Revision) {
	if t.byBranch == nil {
		t.byBranch = map[branch.ID]*gap{}
	}
	for id := range t.byBranch {
		if target.At(id) <= have.At(id) {
			delete(t.byBranch, id)
		}
	}
	for _, d := range target {
		if got := have.At(d.Branch); got < d.Seq {
			t.note(now, d, got)
		}
	}
}

func (t *gaps) note(now time.Time, d branch.Dot, have uint64) {
	g := t.byBranch[d.Branch]
	if g == nil || have >= g.goal {
		t.byBranch[d.Branch] = &gap{have: have, to: d.Seq, goal: d.Seq, since: now, moved: now}
		return
	}
	g.to = d.Seq
	if have > g.have {
		g.have, g.moved, g.attempts, g.notBefore = have, now, 0, time.Time{}
	}
}

// due lists the ranges to ask for now, by branch: those that have stood still
// for the grace, since what the broker is still delivering needs no repair.
func (t *gaps) due(now time.Time, grace time.Duration) []Range {
	var out []Range
	for id, g := range t.byBranch {
		if !now.Before(t.ripe(id, g, grace)) {
			out = append(out, Range{id, g.have + 1, g.to})
			if mutant.On("need-range-off-by-one") {
				out[len(out)-1].From++
			}
		}
	}
	slices.SortFunc(out, byBranch)
	return out
}

// standing lists all ranges that have stood still for the grace, also those that
// were asked for in vain.
func (t *gaps) standing(now time.Time, grace time.Duration) []Range {
	var out []Range
	for id, g := range t.byBranch {
		if id == t.own || now.Sub(g.moved) >= grace {
			out = append(out, Range{id, g.have + 1, g.to})
		}
	}
	slices.SortFunc(out, byBranch)
	return out
}

func byBranch(a, b Range) int {
	return branch.Dot{Branch: a.Branch}.Compare(branch.Dot{Branch: b.Branch})
}

func (t *gaps) ripe(id branch.ID, g *gap, grace time.Duration) time.Time {
	if g.hurry {
		return g.since
	}
	if id == t.own {
		grace = 0
	}
	at := g.moved.Add(grace)
	if g.notBefore.After(at) {
		return g.notBefore
	}
	return at
}

// next is when the first range becomes due; zero when there is no gap.
func (t *gaps) next(grace time.Duration) (at time.Time) {
	for id, g := range t.byBranch {
		if ripe := t.ripe(id, g, grace); at.IsZero() || ripe.Before(at) {
			at = ripe
		}
	}
	return at
}

// asked puts off asking again for the ranges: a little at first, twice as long
// with each attempt that changed nothing.
func (t *gaps) asked(now time.Time, ranges []Range) {
	for _, r := range ranges {
		if g := t.byBranch[r.Branch]; g != nil {
			g.notBefore = now.Add(askAgain << min(g.attempts, maxAttempts))
			g.attempts++
			g.hurry = false
		}
	}
}

// hurry lets ranges be asked for at once: the last answer brought some, and
// its sender has more.
func (t *gaps) hurry(ranges []Range) {
	for _, r := range ranges {
		if g := t.byBranch[r.Branch]; g != nil {
			g.attempts, g.hurry = 0, true
		}
	}
}

// lacking counts the changesets that are missing, and says since when the
// longest standing gap exists.
func (t *gaps) lacking() (n uint64, since time.Time) {
	for _, g := range t.byBranch {
		n += g.to - g.have
		if since.IsZero() || g.since.Before(since) {
			since = g.since
		}
	}
	return n, since
}
