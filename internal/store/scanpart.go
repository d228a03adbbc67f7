package store

import (
	"context"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/statement"
)

// Part is what an object has under some predicates.
type Part struct {
	// ID is the id of the object, which is not embedded.
	ID string
	// Embedded are all subjects embedded in the object, in order, whether or
	// not they have anything under the predicates.
	Embedded []string
	// Statements are the visible ones under the predicates, of the object and
	// of all that is embedded in it, in canonical order.
	Statements []statement.Statement
}

// Part returns what Object has under some predicates, and whether the object
// exists, without reading the rest where that can be told without it.
func (r *Reader) Part(id string, predicates []string) (Part, bool, error) {
	if o, exists, written := r.over.object(id, id); written {
		return o.part(predicates), exists, nil
	}
	return r.partOf(id, r.stored(id), predicates)
}

// Parts yields what Objects("") yields, as far as it is under some predicates.
func (r *Reader) Parts(predicates []string) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		next := func(root string, data []byte) bool {
			if r.ctx.Err() != nil {
				yield(Part{}, context.Cause(r.ctx))
				return false
			}
			p, exists, err := r.partOf(root, data, predicates)
			return !exists && err == nil || yield(p, err) && err == nil
		}
		if len(r.over.roots()) > 0 {
			for o, err := range r.Objects("") {
				if !yield(o.part(predicates), err) || err != nil {
					return
				}
			}
			return
		}
		for k, v := range pairsOf(r.tx.Bucket(bucketObjects)) {
			if !next(string(k), v) {
				return
			}
		}
	}
}

// partOf reads a part of a stored record; it reads the whole of those that it
// takes more to understand.
func (r *Reader) partOf(root string, data []byte, predicates []string) (Part, bool, error) {
	if list, known := plainPart(root, data, predicates); known {
		return Part{ID: root, Statements: list}, true, nil
	}
	rec, err := decodeRecord(data)
	if err != nil {
		return Part{}, false, &CorruptError{What: "object " + root, Err: err}
	}
	o, exists := rec.object(root, root, r.policy)
	return o.part(predicates), exists, nil
}

// part returns what a whole object has under some predicates.
func (o Object) part(predicates []string) Part {
	p := Part{ID: o.ID}
	for _, s := range o.Statements {
		if s.Subject != o.ID && (len(p.Embedded) == 0 || p.Embedded[len(p.Embedded)-1] != s.Subject) {
			p.Embedded = append(p.Embedded, s.Subject)
		}
		if slices.Contains(predicates, s.Predicate) {
			p.Statements = append(p.Statements, s)
		}
	}
	return p
}
