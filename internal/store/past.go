package store

import (
	"context"
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// ShapeFunc gives a local transaction the form in which it is committed. It
// gets the changeset as it would be committed and the objects as they were
// before it, and returns the changeset to commit instead, of the same dot. One
// without objects means that nothing is to be committed. An error refuses the
// transaction, and Update returns it as it is.
type ShapeFunc func(c changeset.Changeset, before *Reader) (changeset.Changeset, error)

// Predecessor is what is known of a branch right before one of its changesets.
type Predecessor struct {
	// Seen is what the author had seen of other branches by then.
	Seen branch.Revision
	// Hash is that of the changeset before; zero for the first of a branch.
	Hash [32]byte
}

// Predecessor returns what is known of a branch right before the changeset d,
// and whether the store knows it: the one before d has been applied, and is
// still in the log or is the last of its branch.
func (r *Reader) Predecessor(d branch.Dot) (Predecessor, bool, error) {
	if d.Seq <= 1 {
		return Predecessor{}, d.Seq == 1, nil
	}
	before := branch.Dot{Branch: d.Branch, Seq: d.Seq - 1}
	hash, known, err := r.hashOf(before)
	if err != nil || !known {
		return Predecessor{}, false, err
	}
	b, err := basisAt(r.tx, before)
	if err != nil {
		return Predecessor{}, false, err
	}
	return Predecessor{Seen: b.seen, Hash: hash}, true, nil
}

func (r *Reader) hashOf(d branch.Dot) (hash [32]byte, known bool, err error) {
	if raw := r.tx.Bucket(bucketHeads).Get([]byte(d.Branch)); raw != nil {
		h, err := decodeHead(raw)
		if err != nil {
			return hash, false, &CorruptError{What: "the head of branch " + string(d.Branch), Err: err}
		}
		if h.seq == d.Seq {
			return h.hash, true, nil
		}
	}
	e, found, err := entryOf(r.tx, d)
	return e.Hash, found, err
}

// AppliedBefore returns the changeset that this store applied right before d,
// and whether there is one that is still in the log.
func (r *Reader) AppliedBefore(d branch.Dot) (branch.Dot, bool, error) {
	pos, ok := positionOf(r.tx, d)
	if !ok {
		return branch.Dot{}, false, fmt.Errorf("changeset %s has not been applied here", d)
	}
	if pos < 2 || r.tx.Bucket(bucketLog).Get(positionKey(pos-1)) == nil {
		return branch.Dot{}, false, nil
	}
	e, err := logAt(r.tx, pos-1)
	return e.Dot, err == nil, err
}

// ObjectIn is ObjectAt for the causal past of a changeset: a revision that with
// each changeset covers all that its author had seen. Where the object has not
// been changed since, it is read without going through its history: what no
// other write has seen stands for all that it has seen, and a deletion that is
// not in effect leaves no trace.
func (r *Reader) ObjectIn(id string, past branch.Revision) (Object, bool, error) {
	root := statement.Root(id)
	rec, err := r.recordIn(root, past)
	if err != nil {
		return Object{}, false, err
	}
	o, ok := rec.object(root, id, r.policy)
	return o, ok, nil
}

// recordIn is recordAt for the causal past of a changeset.
func (r *Reader) recordIn(root string, past branch.Revision) (*record, error) {
	rec, err := r.load(root)
	if err != nil {
		return nil, err
	}
	changed := func(s changeset.Stamp) bool { return !past.Covers(s.Dot) }
	if slices.ContainsFunc(rec.touches, changed) || slices.ContainsFunc(rec.markers, changed) || len(past) == 0 {
		return r.recordAt(root, past)
	}
	return rec, nil
}

// shaped gives the changeset of a local transaction its final form.
func (b *batch) shaped(ctx context.Context, c changeset.Changeset) (out changeset.Changeset, err error) {
	if b.shape == nil {
		return c, nil
	}
	before := &Reader{ctx: ctx, tx: b.tx, image: b.image(), revision: b.st.share(), policy: b.st.policy, over: none{}}
	err = guard(func() (err error) {
		out, err = b.shape(c, before)
		return err
	})
	if err == nil && out.Dot() != c.Dot() {
		return c, fmt.Errorf("changeset %s was given the form of %s", c.Dot(), out.Dot())
	}
	return out, err
}
