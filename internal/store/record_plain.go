package store

import (
	"bytes"
	"encoding/binary"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Most records are plain: no deletion, nothing embedded, and no writes side by
// side. What is seen of such a one is all that is in it. This file reads it from
// the bytes of the file, and copies no more than what is seen.

// plainPart reads the values under some predicates from the record of an object
// that has no deletion, embeds nothing, and holds no writes side by side under
// the predicates: then each value is read. It reports whether the record is
// such a one and has any value. Of a damaged record nothing is known.
//
// The values are put into the memory of a list that is not used any more, if there
// is one.
func plainPart(into []statement.Statement, root string, data []byte, predicates []string) (list []statement.Statement, flat, known bool) {
	d := plainDecoder{rest: data, root: root, predicates: predicates, list: into[:0]}
	if !d.head() {
		return nil, false, false
	}
	for range d.sizes() {
		if !d.part() {
			return nil, false, false
		}
	}
	return d.canonical(), !d.scoped, d.exists && d.whole()
}

// plainObject reads an object whose record is plain, and reports whether it is
// and the object exists.
func plainObject(root string, data []byte) (o Object, known bool) {
	d := plainDecoder{rest: data, root: root, all: true}
	if !d.head() {
		return o, false
	}
	o = Object{ID: root, Last: d.last, Revision: d.revision}
	if !d.registers() {
		return o, false
	}
	o.Statements = d.canonical()
	return o, d.exists && d.whole()
}

// plainFacts is what plainObject reads besides the object's writes, in the memory
// of a list as plainPart has it.
func plainFacts(into []statement.Statement, root string, data []byte) (list []statement.Statement, flat, known bool) {
	d := plainDecoder{rest: data, root: root, all: true, list: into[:0], writesApart: true}
	if !d.head() || !d.registers() {
		return nil, false, false
	}
	return d.canonical(), !d.scoped, d.exists && d.whole()
}

// plainDecoder reads a plain record; after the first piece that is not there, bad
// is set and every piece is empty.
type plainDecoder struct {
	rest []byte
	bad  bool
	root string
	// predicates are the wanted ones, unless all are: then text is a copy of the
	// registers, which the statements share.
	predicates []string
	all        bool
	text       string
	// writesApart: nothing is wanted of who wrote the object.
	writesApart bool

	// stamps is how many there are; of groups and values how many may still come.
	stamps, groupsLeft, valuesLeft int

	last     changeset.Stamp
	revision branch.Revision

	list   []statement.Statement
	exists bool
	// scoped: a statement has a scope.
	scoped bool
}

func (d *plainDecoder) fail() { d.bad, d.rest = true, nil }

// whole reports whether there was neither too little nor too much.
func (d *plainDecoder) whole() bool { return !d.bad && len(d.rest) == 0 }

func (d *plainDecoder) number() uint64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 {
		n := uint64(d.rest[0])
		d.rest = d.rest[1:]
		return n
	}
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// count is recordDecoder.count.
func (d *plainDecoder) count() int {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *plainDecoder) bytes() []byte {
	if len(d.rest) > 0 && d.rest[0] < 0x80 && int(d.rest[0]) < len(d.rest) { // as mostly
		b := d.rest[1 : 1+d.rest[0]]
		d.rest = d.rest[1+len(b):]
		return b
	}
	n := d.count()
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// string returns a copy of a text, or a part of the copy that there is.
func (d *plainDecoder) string() string {
	b := d.bytes()
	if !d.all || d.bad {
		return string(b)
	}
	end := len(d.text) - len(d.rest)
	return d.text[end-len(b) : end]
}

// head reads what stands before the registers, and reports whether no deletion
// is in effect.
func (d *plainDecoder) head() bool {
	if d.number() != recordVersion || d.bad {
		return false
	}
	d.stamps = d.count()
	table := d.rest
	for range d.stamps {
		d.bytes()
		d.number()
		d.number()
	}
	table = table[:len(table)-len(d.rest)]
	if d.number() > uint64(d.stamps) || d.count() > 0 { // the floor, the markers
		return false
	}
	for range d.count() {
		index := d.number()
		if index >= uint64(d.stamps) {
			return false
		}
		if d.all && !d.writesApart {
			d.touch(table, index)
		}
	}
	return !d.bad
}

// sizes reads how many registers, groups and values there are.
func (d *plainDecoder) sizes() (registers int) {
	registers = d.count()
	d.groupsLeft, d.valuesLeft = d.count(), d.count()
	return registers
}

// touch takes note of a write that no other has seen.
func (d *plainDecoder) touch(table []byte, index uint64) {
	t := plainDecoder{rest: table}
	for range index {
		t.bytes()
		t.number()
		t.number()
	}
	s := changeset.Stamp{Dot: branch.Dot{Branch: branch.ID(t.bytes()), Seq: t.number()}, Clock: changeset.Clock(t.number())}
	if d.revision = d.revision.With(s.Dot); s.Compare(d.last) > 0 {
		d.last = s
	}
}

// part reads or passes over one property, and reports whether it is plain.
func (d *plainDecoder) part() bool {
	if d.number() != 0 {
		return false // embedded: who refers to it decides
	}
	name := d.bytes()
	at := slices.IndexFunc(d.predicates, func(p string) bool { return p == string(name) })
	groups := d.count()
	if at >= 0 && groups != 1 {
		return false
	}
	for range groups {
		n := d.group()
		d.exists = d.exists || groups == 1 && n > 0
		if at < 0 {
			d.skip(n)
			continue
		}
		if cap(d.list) == 0 { // most properties have one value
			d.list = make([]statement.Statement, 0, max(n, len(d.predicates)))
		}
		d.values(n, d.predicates[at])
	}
	return true
}

// registers reads all properties, and reports whether they are plain.
func (d *plainDecoder) registers() bool {
	d.text = string(d.rest)
	n := d.sizes()
	if d.list = slices.Grow(d.list, d.valuesLeft); d.bad {
		return false
	}
	for range n {
		if !d.register() {
			return false
		}
	}
	return true
}

// register reads one property, and reports whether it is plain.
func (d *plainDecoder) register() bool {
	if d.number() != 0 {
		return false
	}
	predicate := d.string()
	if d.count() != 1 {
		return false
	}
	n := d.group()
	d.exists = d.exists || n > 0
	d.values(n, predicate)
	return !d.bad
}

// group reads the head of a group and returns how many values it has.
func (d *plainDecoder) group() int {
	if d.groupsLeft--; d.number()>>1 >= uint64(d.stamps) || d.groupsLeft < 0 {
		d.fail()
	}
	n := d.count()
	if d.valuesLeft -= n; d.valuesLeft < 0 {
		d.fail()
		return 0
	}
	return n
}

func (d *plainDecoder) skip(values int) {
	for range values {
		d.bytes()
		if d.number() == 0 {
			d.bytes()
		}
		d.bytes()
		for range d.count() {
			d.number()
		}
	}
}

func (d *plainDecoder) values(n int, predicate string) {
	for range n {
		s := statement.Statement{Subject: d.root, Predicate: predicate}
		s.Text = d.string()
		s.Type = d.typ()
		s.Scope = d.string()
		d.scoped = d.scoped || s.Scope != ""
		if places := d.count(); places > 0 {
			s.Positions = make([]int, places)
			last := 0
			for i := range s.Positions {
				last += int(d.number())
				s.Positions[i] = last
			}
		}
		d.list = append(d.list, s)
	}
}

func (d *plainDecoder) typ() string {
	code := d.number()
	switch {
	case code == 0:
		return d.string()
	case code >= uint64(len(typeCodes)):
		d.fail()
		return ""
	}
	return typeCodes[code]
}

// canonical returns the statements in canonical order, in which records mostly
// have them.
func (d *plainDecoder) canonical() []statement.Statement {
	for i := 1; i < len(d.list); i++ {
		if statement.Compare(d.list[i-1], d.list[i]) > 0 {
			statement.Sort(d.list)
			break
		}
	}
	return d.list
}

// stored returns the record of an object as the file has it, nil if there is
// none. It is valid until the transaction ends.
func (r *Reader) stored(root string) []byte {
	if r.objects == nil {
		r.objects = r.tx.Bucket(bucketObjects).Cursor()
	}
	key := []byte(root)
	if r.placed { // what is written together is often read together
		if k, v := r.objects.Next(); bytes.Equal(k, key) {
			return v
		}
	}
	k, v := r.objects.Seek(key)
	r.placed = k != nil && !r.tx.Writable() // a cursor loses its place when something is written
	if !bytes.Equal(k, key) {
		return nil
	}
	return v
}
