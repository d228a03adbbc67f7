package store

import (
	"context"
	"fmt"
	"iter"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// PastReader reads the objects as they were at one revision. It has no indexes:
// each object is made from its changesets, unless it has not changed since.
type PastReader struct {
	reader *Reader
	at     branch.Revision
	// closed says that the revision covers all that its changesets had seen.
	closed bool
}

// At returns a reader of the past. The revision must be covered by that of the
// snapshot; one that does not cover the floor gives a *CompactedError.
func (r *Reader) At(at branch.Revision) (*PastReader, error) {
	if now := r.Revision(); !now.CoversAll(at) {
		return nil, &InvalidError{Err: fmt.Errorf("revision %s has not been reached here, the store is at %s", at, now)}
	}
	floor, err := r.floor()
	if err != nil {
		return nil, err
	}
	if !at.CoversAll(floor) {
		return nil, &CompactedError{At: at, Floor: floor}
	}
	closed, err := r.isClosed(at, floor)
	return &PastReader{reader: r, at: at, closed: closed}, err
}

// isClosed tells whether a revision covers all that its changesets had seen,
// which the last of each branch knows.
func (r *Reader) isClosed(at, floor branch.Revision) (bool, error) {
	for _, dot := range at {
		if floor.Covers(dot) {
			continue
		}
		b, err := basisAt(r.tx, dot)
		if err != nil {
			return false, err
		}
		if !at.CoversAll(b.seen) {
			return false, nil
		}
	}
	return len(at) > 0, nil
}

// Revision returns the revision that is read.
func (p *PastReader) Revision() branch.Revision { return p.at }

// Object returns an object as it was, and whether it existed.
func (p *PastReader) Object(id string) (Object, bool, error) {
	if p.closed {
		return p.reader.ObjectIn(id, p.at)
	}
	return p.reader.ObjectAt(id, p.at)
}

// Objects yields all objects that existed and are not embedded, in order of
// their ids, those that have been deleted since too.
func (p *PastReader) Objects() iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for root := range p.roots() {
			if p.reader.ctx.Err() != nil {
				yield(Object{}, context.Cause(p.reader.ctx))
				return
			}
			o, exists, err := p.Object(root)
			if (exists || err != nil) && !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// roots yields all objects that are there, or of which the log or what has left
// it says anything.
func (p *PastReader) roots() iter.Seq[string] {
	i := p.reader.image
	gone := mergeSorted(rootsIn(i, bucketPast), rootsIn(i, bucketHistory))
	return mergeSorted(rootsIn(i, bucketObjects), gone)
}

// mergeSorted yields the texts of two ascending sequences in order, each once.
func mergeSorted(a, b iter.Seq[string]) iter.Seq[string] {
	return func(yield func(string) bool) {
		next, stop := iter.Pull(b)
		defer stop()
		other, more := next()
		for one := range a {
			for more && other <= one {
				if other < one && !yield(other) {
					return
				}
				other, more = next()
			}
			if !yield(one) {
				return
			}
		}
		for ; more; other, more = next() {
			if !yield(other) {
				return
			}
		}
	}
}

// SubjectsWith is that of Reader for the past, by reading every object.
func (p *PastReader) SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error] {
	return p.subjects(func(s statement.Statement) bool { return s.Predicate == predicate && s.Term == term })
}

// SubjectsHaving is that of Reader for the past, by reading every object.
func (p *PastReader) SubjectsHaving(predicate string) iter.Seq2[string, error] {
	return p.subjects(func(s statement.Statement) bool { return s.Predicate == predicate })
}

func (p *PastReader) subjects(match func(statement.Statement) bool) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for o, err := range p.Objects() {
			if err != nil {
				yield("", err)
				return
			}
			last := ""
			// The root sorts before what it embeds for this purpose only.
			for _, own := range []bool{true, false} {
				for _, s := range o.Statements {
					if (s.Subject == o.ID) != own || s.Subject == last || !match(s) {
						continue
					}
					if last = s.Subject; !yield(last, nil) {
						return
					}
				}
			}
		}
	}
}
