package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Reader is a snapshot of the store; see View. In a transaction it also shows
// what the transaction has written so far, except in History, ObjectAt,
// Changeset and Conflicted. It is not safe for use by several goroutines.
type Reader struct {
	ctx      context.Context
	tx       *bolt.Tx
	image    image // of tx
	revision branch.Revision
	policy   ConflictPolicy
	over     overlay
	counted  *counted // nil in a transaction
	// objects finds records; made when the first is asked for. placed says that it
	// is at a record, and may go on to the next.
	objects *bolt.Cursor
	placed  bool
	opened  openBuckets
}

// overlay is what a transaction has written. Roots are in order.
type overlay interface {
	object(root, id string) (o Object, exists, written bool)
	roots() []string
}

// none is the overlay of a View.
type none struct{}

func (none) object(string, string) (Object, bool, bool) { return Object{}, false, false }
func (none) roots() []string                            { return nil }

// snapshot runs fn in a read transaction of the file.
func (s *Store) snapshot(ctx context.Context, fn func(*bolt.Tx) error) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f, err := s.current()
	if err != nil {
		return err
	}
	defer f.release()
	tx, err := f.db.Begin(false)
	if err != nil {
		return fmt.Errorf("reading %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	return shieldFaults(func() error { return fn(tx) })
}

// viewTries is how often a view begins again before it reads the tail of the
// indexes from the file, which takes longer.
const viewTries = 3

func (s *Store) view(ctx context.Context, fn func(*Reader) error) error {
	for range viewTries {
		if done, err := s.viewOnce(ctx, s.knownImageOf, fn); done || err != nil {
			return err
		}
	}
	_, err := s.viewOnce(ctx, s.imageOf, fn)
	return err
}

// viewOnce reports whether there was an image to run fn on.
func (s *Store) viewOnce(ctx context.Context, of func(*bolt.Tx) (image, error), fn func(*Reader) error) (done bool, err error) {
	var own error
	err = s.snapshot(ctx, func(tx *bolt.Tx) (err error) {
		i, err := of(tx)
		if err != nil || i.tx == nil {
			return err
		}
		done = true
		r := &Reader{ctx: ctx, tx: tx, image: i, policy: s.opts.ConflictPolicy, over: none{}, counted: &s.counted}
		r.image.opened = &r.opened
		if p := s.published(); p.db == tx.DB() && p.txid == tx.ID() {
			r.revision = p.revision
		} else if r.revision, err = revisionIn(tx); err != nil {
			return err
		}
		own = fn(r)
		return nil
	})
	return done, cmp.Or(own, err)
}

// revisionIn reads the revision of a snapshot that is not the last commit's.
func revisionIn(tx *bolt.Tx) (branch.Revision, error) {
	st := &state{heads: map[branch.ID]head{}}
	err := st.loadHeads(tx)
	return st.revision, err
}

// Revision returns the revision of the snapshot. In a transaction it is the one
// before it.
func (r *Reader) Revision() branch.Revision { return r.revision }

// load reads the record of an object; the empty one if there is none.
func (r *Reader) load(root string) (*record, error) {
	if root == "" {
		return &record{}, nil
	}
	rec, err := decodeRecord(r.stored(root))
	if err != nil {
		return nil, &CorruptError{What: "object " + root, Err: err}
	}
	return rec, nil
}

// Object returns an object, and whether it exists. The id may be that of an
// embedded object or list.
func (r *Reader) Object(id string) (Object, bool, error) {
	root := statement.Root(id)
	if o, exists, written := r.over.object(root, id); written {
		return o, exists, nil
	}
	if id == root && root != "" {
		if o, known := plainObject(root, r.stored(root)); known {
			return o, true, nil
		}
	}
	rec, err := r.load(root)
	if err != nil {
		return Object{}, false, err
	}
	o, ok := rec.object(root, id, r.policy)
	return o, ok, nil
}

// Objects yields all objects that are not embedded in order of their ids,
// starting after the given one ("" for all).
func (r *Reader) Objects(after string) iter.Seq2[Object, error] {
	stored := keysFrom(r.image, bucketObjects, []byte(after), nil)
	roots := mergeRoots(stored, r.over.roots(), after)
	return r.existing(roots)
}

// existing yields those of the objects that exist.
func (r *Reader) existing(roots iter.Seq[string]) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for root := range roots {
			if r.ctx.Err() != nil {
				yield(Object{}, context.Cause(r.ctx))
				return
			}
			o, exists, err := r.Object(root)
			if (exists || err != nil) && !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// mergeRoots yields the stored roots and the written ones after a given one, in
// order, each once.
func mergeRoots(stored iter.Seq[[]byte], written []string, after string) iter.Seq[string] {
	return func(yield func(string) bool) {
		written := written
		upTo := func(root string, all bool) bool {
			for len(written) > 0 && (all || written[0] <= root) {
				next := written[0]
				written = written[1:]
				if next > after && (all || next != root) && !yield(next) {
					return false
				}
			}
			return true
		}
		for k := range stored {
			root := string(k)
			if root <= after {
				continue
			}
			if !upTo(root, false) || !yield(root) {
				return
			}
		}
		upTo("", true)
	}
}

// SubjectsWith yields the subjects (embedded ones too) that have this value
// under this predicate, in any scope, each once, in order of root and subject.
func (r *Reader) SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error] {
	prefix := textKey(predicate, term.Type, keyText(term.Text))
	if len(r.over.roots()) == 0 {
		return r.storedSubjects(prefix)
	}
	return func(yield func(string, error) bool) {
		for p, err := range r.ScanValue(predicate, term) {
			if !yield(p.Subject, err) {
				return
			}
		}
	}
}

// storedSubjects yields the subjects of the entries of the index for one value,
// which are in order already.
func (r *Reader) storedSubjects(prefix []byte) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		n := 0
		for k := range keysFrom(r.image, bucketValues, prefix, prefix) {
			if n++; n%256 == 0 && r.ctx.Err() != nil {
				yield("", context.Cause(r.ctx))
				return
			}
			subject, ok := subjectAfter(k[len(prefix):])
			if !ok {
				yield("", &CorruptError{What: "the index of values", Err: fmt.Errorf("key %q does not end with a subject", k)})
				return
			}
			if !yield(string(subject), nil) {
				return
			}
		}
	}
}

// subjectAfter returns the subject that a key of bucketValues ends with.
func subjectAfter(rest []byte) (subject []byte, ok bool) {
	root, subject, ok := subjectParts(rest)
	if len(subject) > 0 {
		return subject, ok
	}
	return root, ok
}

// subjectParts returns the root and the subject, none if it is the root, that a
// key of bucketValues ends with.
func subjectParts(rest []byte) (root, subject []byte, ok bool) {
	root, rest, ok = bytes.Cut(rest, nul)
	if n := len(rest); ok && n > 0 && bytes.IndexByte(rest, 0) == n-1 {
		return root, rest[:n-1], true
	}
	return nil, nil, false
}

var nul = []byte{0}

// SubjectsHaving yields the subjects (embedded ones too) that have any value
// under this predicate, each once, in order of root and subject.
func (r *Reader) SubjectsHaving(predicate string) iter.Seq2[string, error] {
	return r.subjects(textKey(predicate), func(s statement.Statement) bool {
		return s.Predicate == predicate
	})
}

// place is a subject with its root, by which results are ordered.
type place struct{ root, subject string }

// compare orders by root, the root itself first, then by subject.
func (p place) compare(q place) int {
	if p.root != q.root {
		return cmp.Compare(p.root, q.root)
	}
	return cmp.Compare(p.within(), q.within())
}

func (p place) within() string {
	if p.subject == p.root {
		return ""
	}
	return p.subject
}

// subjects collects from the index, and from the objects that the transaction
// has written, the subjects of matching statements.
func (r *Reader) subjects(prefix []byte, match func(statement.Statement) bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		places, err := r.places(prefix)
		if err != nil {
			yield("", err)
			return
		}
		for _, root := range r.over.roots() {
			places = slices.DeleteFunc(places, func(p place) bool { return p.root == root })
			o, _, _ := r.over.object(root, root)
			for _, s := range o.Statements {
				if match(s) {
					places = append(places, place{root: root, subject: s.Subject})
				}
			}
		}
		slices.SortFunc(places, place.compare)
		for _, p := range slices.Compact(places) {
			if !yield(p.subject, nil) {
				return
			}
		}
	}
}

func (r *Reader) places(prefix []byte) ([]place, error) {
	var out []place
	for k := range keysFrom(r.image, bucketValues, prefix, prefix) {
		if r.ctx.Err() != nil {
			return nil, context.Cause(r.ctx)
		}
		root, subject, err := subjectOf(k, 3)
		if err != nil {
			return nil, &CorruptError{What: "the index of values", Err: err}
		}
		out = append(out, place{root: root, subject: subject})
	}
	return out, nil
}

// References yields the statements whose value is a reference to id, in order
// of their roots.
func (r *Reader) References(id string) iter.Seq2[statement.Statement, error] {
	prefix := textKey(id)
	stored := func(yield func([]byte) bool) {
		for k := range keysFrom(r.image, bucketRefs, prefix, prefix) {
			if !yield(k[len(prefix) : len(k)-1]) {
				return
			}
		}
	}
	objects := r.existing(mergeRoots(stored, r.over.roots(), ""))
	return func(yield func(statement.Statement, error) bool) {
		for o, err := range objects {
			if err != nil {
				yield(statement.Statement{}, err)
				return
			}
			for _, s := range o.Statements {
				if s.IsRef() && s.Text == id && !yield(s, nil) {
					return
				}
			}
		}
	}
}

// Conflicted yields the objects that have conflicts, in order of their ids,
// starting after the given one.
func (r *Reader) Conflicted(after string) iter.Seq2[Object, error] {
	return r.existing(mergeRoots(keysFrom(r.image, bucketConflicts, []byte(after), nil), nil, after))
}

// Changeset returns an applied changeset, and whether the store has it. One that
// has left the log gives a *CompactedError.
func (r *Reader) Changeset(dot branch.Dot) (changeset.Changeset, bool, error) {
	e, found, err := entryOf(r.tx, dot)
	if err != nil {
		return changeset.Changeset{}, false, err
	}
	if !found {
		return changeset.Changeset{}, false, missing(r.tx, dot)
	}
	c, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
	if err != nil {
		return c, false, &CorruptError{What: "changeset " + dot.String(), Err: err}
	}
	return c, true, nil
}
