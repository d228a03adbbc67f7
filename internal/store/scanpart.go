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
	// Flat says that no statement has a scope. Where it is false it may be so as
	// well.
	Flat bool
}

// Part returns what Object has under some predicates, and whether the object
// exists, without reading the rest where that can be told without it.
func (r *Reader) Part(id string, predicates []string) (Part, bool, error) {
	if o, exists, written := r.over.object(id, id); written {
		return o.part(predicates), exists, nil
	}
	return r.partOf(nil, id, r.stored(id), predicates)
}

// Facts is Part, or of all predicates if nil is given for them. The statements
// are put into the memory of a list that is not used any more, if it is large
// enough.
func (r *Reader) Facts(into []statement.Statement, id string, predicates []string) (Part, bool, error) {
	if o, exists, written := r.over.object(id, id); written {
		p := o.facts(predicates)
		p.Statements = append(into[:0], p.Statements...) // for what is written stays there
		return p, exists, nil
	}
	data := r.stored(id)
	if predicates != nil {
		return r.partOf(into, id, data, predicates)
	}
	if list, flat, known := plainFacts(into, id, data); known {
		return Part{ID: id, Statements: list, Flat: flat}, true, nil
	}
	o, exists, err := r.decoded(id, data)
	return o.facts(nil), exists, err
}

// decoded reads a stored record that takes more to understand than a plain one.
func (r *Reader) decoded(root string, data []byte) (Object, bool, error) {
	rec, err := decodeRecord(data)
	if err != nil {
		return Object{}, false, &CorruptError{What: "object " + root, Err: err}
	}
	o, exists := rec.object(root, root, r.policy)
	return o, exists, nil
}

// facts is part, or of all predicates if nil is given for them.
func (o Object) facts(predicates []string) Part {
	p := o.part(predicates)
	if predicates == nil {
		p.Statements = o.Statements
	}
	return p
}

// Parts yields what Objects("") yields, as far as it is under some predicates.
func (r *Reader) Parts(predicates []string) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		next := func(root string, data []byte) bool {
			if r.ctx.Err() != nil {
				yield(Part{}, context.Cause(r.ctx))
				return false
			}
			p, exists, err := r.partOf(nil, root, data, predicates)
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
func (r *Reader) partOf(into []statement.Statement, root string, data []byte, predicates []string) (Part, bool, error) {
	if list, flat, known := plainPart(into, root, data, predicates); known {
		return Part{ID: root, Statements: list, Flat: flat}, true, nil
	}
	o, exists, err := r.decoded(root, data)
	return o.part(predicates), exists, err
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
