package replication

import (
	"math/rand/v2"
	"time"
)

// beyondLogs returns the parts of want that living peers have in their state
// and none of them has in its log any more: only a snapshot brings those.
func (t *peers) beyondLogs(now time.Time, want []Range) (out []Range) {
	for _, g := range want {
		held, logged := false, false
		for _, p := range t.byBranch {
			if !p.alive(now) || p.Revision.At(g.Branch) < g.From {
				continue
			}
			held = true
			logged = logged || p.Floor.At(g.Branch) < g.From
		}
		if held && !logged {
			out = append(out, g)
		}
	}
	return out
}

// chooseDonor picks whom to ask for a snapshot that brings some of what is
// wanted: among those who cover most of it, by chance, the less busy the
// likelier; nil when nobody can help now.
func (t *peers) chooseDonor(now time.Time, want []Range, rng *rand.Rand) *peer {
	var able []*peer
	var covers []uint64
	var most uint64
	for _, p := range t.sorted() {
		n := p.covers(want)
		if n == 0 || !p.alive(now) || now.Before(p.noSnapshot) {
			continue
		}
		able, covers, most = append(able, p), append(covers, n), max(most, n)
	}
	var sum uint64
	weights := make([]uint64, len(able))
	for i, p := range able {
		if covers[i] >= most-most/10 {
			weights[i] = maxPeers / (1 + min(p.Load, maxPeers-1))
			sum += weights[i]
		}
	}
	if sum == 0 {
		return nil
	}
	at := rng.Uint64N(sum)
	for i, w := range weights {
		if at < w {
			return able[i]
		}
		at -= w
	}
	return nil
}

// covers counts what of want the peer's state has.
func (p *peer) covers(want []Range) (n uint64) {
	for _, g := range want {
		if to := min(g.To, p.Revision.At(g.Branch)); to >= g.From {
			n += min(to-g.From+1, 1<<40)
		}
	}
	return n
}
