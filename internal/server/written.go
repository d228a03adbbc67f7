package server

import (
	"context"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

const (
	// maxBetween is how many changesets there may be between the revisions of a
	// diff: each page reads them all.
	maxBetween = 100_000
	// idsHeld is how many ids of a diff are kept at a time.
	idsHeld = 10_000
)

// ranges yields what is between the revisions: the sequences of a branch above
// low, up to high.
func (d diff) ranges(yield func(id branch.ID, low, high uint64) error) error {
	for _, b := range d.from.Merge(d.to) {
		low, high := d.from.At(b.Branch), d.to.At(b.Branch)
		if err := yield(b.Branch, min(low, high), max(low, high)); err != nil {
			return err
		}
	}
	return nil
}

// eachWritten gives the objects that the changesets between the revisions wrote,
// in no order, some of them again and again. It reads in the transaction of the
// reader: to open another one inside it could wait for a writer that waits for
// this one.
func (d diff) eachWritten(rd *store.Reader, visit func(id string) error) error {
	return d.ranges(func(id branch.ID, low, high uint64) error {
		for seq := low + 1; seq <= high; seq++ {
			c, _, err := rd.Changeset(branch.Dot{Branch: id, Seq: seq})
			if err != nil {
				return err
			}
			for _, o := range c.Objects {
				if err := visit(o.Root); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// idWindow holds the first ids after one, of any number of them.
type idWindow struct {
	after string
	ids   []string
	// more says that there are ids beyond those.
	more bool
}

// collect takes the ids of what was written between the revisions of a diff.
func (w *idWindow) collect(ctx context.Context, rd *store.Reader, d diff) error {
	var between uint64
	_ = d.ranges(func(_ branch.ID, low, high uint64) error { between += high - low; return nil }) // it has no fault of its own
	if between > maxBetween {
		return problem(kindBadRequest, "there are %d changesets between %s and %s, and at most %d are compared: go in steps, with revisions of /v1/revisions in between, or compare exports",
			between, d.from, d.to, maxBetween)
	}
	return d.eachWritten(rd, func(id string) error {
		w.add(id)
		return ctx.Err()
	})
}

func (w *idWindow) add(id string) {
	if id <= w.after {
		return
	}
	if w.ids = append(w.ids, id); len(w.ids) >= 2*idsHeld {
		w.shrink()
	}
}

// shrink keeps the first ids, each once.
func (w *idWindow) shrink() {
	slices.Sort(w.ids)
	w.ids = slices.Compact(w.ids)
	if len(w.ids) > idsHeld {
		w.ids, w.more = w.ids[:idsHeld], true
	}
}

// sorted returns the ids that are held, in order.
func (w *idWindow) sorted() []string {
	w.shrink()
	return w.ids
}
