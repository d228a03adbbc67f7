package store

import (
	"sort"

	"vesperdb.io/vesper/internal/branch"
)

// RevisionAt returns the revision that the store was at when the changeset at a
// position of its feed had been applied. It looks at no changeset: positions
// rise with the sequence of a branch. What has left the log counts as before.
func (r *Reader) RevisionAt(pos uint64) branch.Revision {
	at := branch.Revision{}
	for _, head := range r.Revision() {
		seq := sort.Search(int(head.Seq), func(i int) bool {
			p, ok := positionOf(r.tx, branch.Dot{Branch: head.Branch, Seq: uint64(i) + 1})
			return ok && p > pos
		})
		if seq > 0 {
			at = at.With(branch.Dot{Branch: head.Branch, Seq: uint64(seq)})
		}
	}
	return at
}
