package replication

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// maxPeers bounds the table; the longest silent peer makes room.
	maxPeers = 4096
	// silence is how many of its own intervals a peer may miss before it counts
	// as gone, and minSilence the least time.
	silence    = 3
	minSilence = 5 * time.Second
	// recount is how often what all peers have together is counted from anew:
	// with a thousand peers that is a million components.
	recount = 2 * time.Second
	// authorWeight is how much likelier a branch's author is asked than
	// another peer that has as much.
	authorWeight = 4
)

// peer is another node as its last beacon described it.
type peer struct {
	Beacon
	seen     time.Time
	diverged bool
	// avoid is until when it is not asked, since it did not answer.
	avoid time.Time
	// noSnapshot is until when it is not asked for a snapshot, since it had none.
	noSnapshot time.Time
	// base is the revision of the last beacon that was not brief, and baseCount
	// its number: what brief ones build on.
	base      branch.Revision
	baseCount uint64
	// owed is the sequence of the peer's own that it waits to hear about from
	// this node; 0 when it was told, or did not ask.
	owed uint64
}

// complete turns a brief beacon into a full one. When the one it builds on was
// missed, what is known still holds, and what it brings is added; but then
// there may be more, so its digest says nothing.
func (p *peer) complete(b Beacon) Beacon {
	switch {
	case b.Since == 0:
		p.base, p.baseCount = b.Revision, b.Count
	case b.Session != p.Session:
		b.Digest = ""
		p.base, p.baseCount = nil, 0
	case b.Since == p.baseCount:
		b.Revision, b.Floor = p.base.Merge(b.Revision), p.Floor
	default:
		b.Revision, b.Floor, b.Digest = p.Revision.Merge(b.Revision), p.Floor, ""
	}
	return b
}

func (p *peer) alive(now time.Time) bool {
	return now.Sub(p.seen) < max(silence*p.Every, minSilence)
}

// peers is what one link knows of the other nodes of its channel.
type peers struct {
	byBranch map[branch.ID]*peer
	// together is what the living have, as of counted or the last beacon.
	together branch.Revision
	counted  time.Time
}

// heard records a beacon and reports whether its process was unknown.
func (t *peers) heard(now time.Time, b Beacon) (p *peer, fresh bool) {
	if t.byBranch == nil {
		t.byBranch = map[branch.ID]*peer{}
	}
	p = t.byBranch[b.Branch]
	if p == nil {
		t.makeRoom()
		p = &peer{}
		t.byBranch[b.Branch] = p
	}
	fresh = p.Session != b.Session
	if !fresh && b.Count <= p.Count {
		return p, false // a late or repeated one says nothing new
	}
	if fresh {
		p.avoid = time.Time{}
	}
	b = p.complete(b)
	p.owed = max(p.owed, b.Await)
	if !p.Revision.Equal(b.Revision) && !b.Revision.CoversAll(p.Revision) {
		t.counted = time.Time{} // it has less than before: count anew
	}
	p.Beacon, p.seen = b, now
	t.together = t.together.Merge(b.Revision)
	return p, fresh
}

func (t *peers) makeRoom() {
	if len(t.byBranch) < maxPeers {
		return
	}
	var oldest *peer
	for _, p := range t.byBranch {
		if oldest == nil || p.seen.Before(oldest.seen) || p.seen.Equal(oldest.seen) && p.Branch < oldest.Branch {
			oldest = p
		}
	}
	delete(t.byBranch, oldest.Branch)
}

// settleOwed reports whether a peer waits to hear that this node has something
// of its own which it now has, and takes it for told.
func (t *peers) settleOwed(have branch.Revision) (owing bool) {
	for _, p := range t.byBranch {
		if p.owed > 0 && p.owed <= have.At(p.Branch) {
			p.owed, owing = 0, true
		}
	}
	return owing
}

// alive counts the peers heard lately.
func (t *peers) alive(now time.Time) (n int) {
	for _, p := range t.byBranch {
		if p.alive(now) {
			n++
		}
	}
	return n
}

// target is what the living peers have together. A peer that has fallen silent
// may count for up to recount longer.
func (t *peers) target(now time.Time) branch.Revision {
	if now.Sub(t.counted) < recount {
		return t.together
	}
	var out branch.Revision
	for _, p := range t.byBranch {
		if p.alive(now) && !p.Revision.Equal(out) {
			out = out.Merge(p.Revision)
		}
	}
	t.together, t.counted = out, now
	return out
}

// choose picks a living peer that has some of what is wanted, and what of it
// that peer has. The author of a wanted branch is likelier than others, and
// more so the more it has; nil when nobody can help now.
func (t *peers) choose(now time.Time, want []Range, rng *rand.Rand) (*peer, []Range) {
	var able []*peer
	var weights []uint64
	var sum uint64
	for _, p := range t.sorted() {
		if w := p.weight(want); w > 0 && p.alive(now) && !now.Before(p.avoid) {
			able, weights, sum = append(able, p), append(weights, w), sum+w
		}
	}
	if sum == 0 {
		return nil, nil
	}
	if a := soleAuthor(able, want); a != nil {
		return a, a.offers(want)
	}
	at := rng.Uint64N(sum)
	for i, w := range weights {
		if at < w {
			return able[i], able[i].offers(want)
		}
		at -= w
	}
	return nil, nil
}

// soleAuthor returns the author of the only branch wanted, when it is among able.
func soleAuthor(able []*peer, want []Range) *peer {
	if len(want) != 1 {
		return nil
	}
	i := slices.IndexFunc(able, func(p *peer) bool { return p.Branch == want[0].Branch })
	if i < 0 {
		return nil
	}
	return able[i]
}

// weight is how many of the wanted changesets the peer has, its own counted
// several times; bounded, so that sums do not overflow.
func (p *peer) weight(want []Range) (n uint64) {
	for _, g := range p.offers(want) {
		count := min(g.To-g.From+1, 1<<20)
		if g.Branch == p.Branch {
			count *= authorWeight
		}
		n += count
	}
	return n
}

// offers is the part of want that the peer's revision covers and its log still
// has from the start.
func (p *peer) offers(want []Range) (out []Range) {
	for _, g := range want {
		if to := min(g.To, p.Revision.At(g.Branch)); to >= g.From && p.Floor.At(g.Branch) < g.From {
			out = append(out, Range{g.Branch, g.From, to})
		}
	}
	return out
}

// sorted returns the peers by branch, so that a seed gives the same choice.
func (t *peers) sorted() []*peer {
	out := make([]*peer, 0, len(t.byBranch))
	for _, p := range t.byBranch {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *peer) int { return strings.Compare(string(a.Branch), string(b.Branch)) })
	return out
}
