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
	// idsHeld is how many ids are kept at a time, and idBytes how long they may be
	// together.
	idsHeld = 10_000
	idBytes = 1 << 20
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
// in no order, some of them again and again.
func (d diff) eachWritten(rd *store.Reader, visit func(id string) error) error {
	return d.ranges(func(id branch.ID, low, high uint64) error {
		for seq := low + 1; seq <= high; seq++ {
			if err := writtenBy(rd, branch.Dot{Branch: id, Seq: seq}, visit); err != nil {
				return err
			}
		}
		return nil
	})
}

// writtenBy gives the objects that a changeset wrote. It reads in the transaction
// of the reader: to open another one inside it could wait for a writer that waits
// for this one.
func writtenBy(rd *store.Reader, d branch.Dot, visit func(id string) error) error {
	c, _, err := rd.Changeset(d)
	if err != nil {
		return err
	}
	for _, o := range c.Objects {
		if err := visit(o.Root); err != nil {
			return err
		}
	}
	return nil
}

// idWindow holds the first ids after one, of any number of them.
type idWindow struct {
	after string
	ids   []string
	size  int
	// more says that there are ids beyond those that are held: only up to last are
	// all of them known.
	more bool
	last string
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
	if id <= w.after || w.more && id > w.last {
		return
	}
	w.ids, w.size = append(w.ids, id), w.size+len(id)
	if len(w.ids) >= 2*idsHeld || w.size >= 2*idBytes {
		w.shrink()
	}
}

// shrink keeps the first ids, each once.
func (w *idWindow) shrink() {
	slices.Sort(w.ids)
	w.ids, w.size = slices.Compact(w.ids), 0
	for i, id := range w.ids {
		if i > 0 && (i == idsHeld || w.size+len(id) > idBytes) {
			clear(w.ids[i:])
			w.ids, w.more, w.last = w.ids[:i], true, w.ids[i-1]
			return
		}
		w.size += len(id)
	}
}

// sorted returns the ids that are held, in order.
func (w *idWindow) sorted() []string {
	w.shrink()
	return w.ids
}

// drop lets go of the ids up to one.
func (w *idWindow) drop(upTo string) {
	w.after = upTo
	at, found := slices.BinarySearch(w.sorted(), upTo)
	if found {
		at++
	}
	w.ids = slices.Delete(w.ids, 0, at)
}
