package replication

import (
	"slices"
	"sync"

	"vesperdb.io/vesper/internal/branch"
)

const (
	// maxSpans bounds what is remembered of one branch; changesets come in order,
	// so that one span is the rule. maxOriginBranches bounds the branches.
	maxSpans          = 256
	maxOriginBranches = 4096
)

// origins remembers which changesets came over a link, so that a relay does not
// send them back there. It is a memory only: what it forgets, or a restart,
// costs a message that the others know already.
type origins struct {
	mu sync.Mutex
	// spans are, for each branch, disjoint, ascending and with holes between them.
	spans map[branch.ID][]span
}

type span struct{ from, to uint64 }

// add notes that a changeset came over the link.
func (o *origins) add(d branch.Dot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.spans == nil {
		o.spans = map[branch.ID][]span{}
	}
	list, known := o.spans[d.Branch]
	if !known && len(o.spans) >= maxOriginBranches {
		for id := range o.spans {
			delete(o.spans, id)
			break
		}
	}
	o.spans[d.Branch] = insert(list, d.Seq)
}

// insert adds a number to spans and forgets the lowest beyond the bound.
func insert(list []span, n uint64) []span {
	at, found := locate(list, n)
	if found {
		return list
	}
	after := at < len(list) && list[at].from == n+1
	before := at > 0 && list[at-1].to+1 == n
	switch {
	case before && after:
		list[at-1].to = list[at].to
		return slices.Delete(list, at, at+1)
	case before:
		list[at-1].to = n
	case after:
		list[at].from = n
	default:
		list = slices.Insert(list, at, span{n, n})
	}
	if len(list) > maxSpans {
		list = slices.Delete(list, 0, 1)
	}
	return list
}

// locate returns the first span that does not end before n, and whether it holds n.
func locate(list []span, n uint64) (int, bool) {
	at, _ := slices.BinarySearchFunc(list, n, func(s span, n uint64) int {
		if s.to < n {
			return -1
		}
		return 1
	})
	return at, at < len(list) && list[at].from <= n
}

// has reports whether a changeset is known to have come over the link.
func (o *origins) has(d branch.Dot) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, found := locate(o.spans[d.Branch], d.Seq)
	return found
}
