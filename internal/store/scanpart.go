package store

import (
	"context"
	"iter"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/changeset"
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
	return r.partOf(id, r.tx.Bucket(bucketObjects).Get([]byte(id)), predicates)
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

// plainPart reads the values under some predicates from the record of an object
// that has no deletion, embeds nothing, and holds no writes side by side under
// the predicates: then each value is read. It reports whether the record is
// such a one and has any value. Of a damaged record nothing is known.
func plainPart(root string, data []byte, predicates []string) (list []statement.Statement, known bool) {
	if len(data) == 0 || data[0] != recordVersion {
		return nil, false
	}
	d := recordDecoder{rest: string(data[1:])}
	stamps, deleted := d.skipHead()
	if deleted {
		return nil, false
	}
	p := partDecoder{recordDecoder: d, root: root, predicates: predicates, stamps: stamps}
	regs := p.count()
	p.count()
	p.count()
	for range regs {
		if !p.register() {
			return nil, false
		}
	}
	if len(p.list) > 1 {
		statement.Sort(p.list)
	}
	return p.list, p.exists && !p.bad && p.rest == ""
}

type partDecoder struct {
	recordDecoder
	root       string
	predicates []string
	stamps     uint64
	list       []statement.Statement
	exists     bool
}

// register reads or passes over one property, and reports whether it is plain.
func (p *partDecoder) register() bool {
	if p.number() != 0 {
		return false // embedded: who refers to it decides
	}
	at := slices.Index(p.predicates, p.text())
	groups := p.count()
	if at >= 0 && groups != 1 {
		return false
	}
	for range groups {
		p.bad = p.bad || p.number()>>1 >= p.stamps
		n := p.count()
		p.exists = p.exists || groups == 1 && n > 0
		if at < 0 {
			p.skipValues(n)
			continue
		}
		p.list = slices.Grow(p.list, n)
		for range n {
			p.list = append(p.list, p.own(p.value()).Statement(p.root, p.predicates[at]))
		}
	}
	return true
}

// own copies the texts of a value, or the whole record would live as long.
func (p *partDecoder) own(v changeset.Value) changeset.Value {
	v.Text, v.Scope = strings.Clone(v.Text), strings.Clone(v.Scope)
	if !slices.Contains(typeCodes[:], v.Type) {
		v.Type = strings.Clone(v.Type)
	}
	return v
}

// skipHead passes over the head and returns how many stamps it has, and whether
// there is a deletion in effect.
func (d *recordDecoder) skipHead() (stamps uint64, deleted bool) {
	stamps = uint64(d.count())
	for range stamps {
		d.dot()
		d.number()
	}
	d.number()
	markers := d.count()
	for range d.count() {
		d.number()
	}
	return stamps, markers > 0
}

func (d *recordDecoder) skipValues(n int) {
	for range n {
		d.text()
		d.typ()
		d.text()
		for range d.count() {
			d.number()
		}
	}
}
