package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// A record is stored as (numbers are uvarints; a text is its length and bytes):
//
//	version
//	the table of stamps that occur, sorted by branch and sequence:
//	  count, each: branch, sequence, clock
//	floor: index into the table + 1, or 0
//	markers: count, each an index, ascending by stamp
//	touches: count, each an index, ascending by dot
//	registers: count, count of groups, count of values, then each, sorted:
//	  0 if the subject is that of the one before, or 1, subject
//	  predicate, count of groups, each, sorted by dot:
//	    index << 1 | assign, count of values, each, sorted:
//	      text, type, scope, count of positions, each the difference to the last
//
// Equal records have equal bytes: the digest is made from them.
const recordVersion = 1

// typeCodes are the types written as one number; 0 precedes any other.
var typeCodes = [...]string{
	1: statement.TypeRef, 2: statement.TypeLiteral, 3: statement.XSDInteger,
	4: statement.XSDDouble, 5: statement.XSDBoolean, 6: statement.TypeNull,
}

func (r *record) encode() []byte {
	e := recordEncoder{table: r.stamps()}
	e.buf = make([]byte, 0, 256)
	e.number(recordVersion)
	e.number(uint64(len(e.table)))
	for _, s := range e.table {
		e.dot(s.Dot)
		e.number(uint64(s.Clock))
	}
	e.head(r)
	e.registers(r.regs)
	return e.buf
}

// stamps returns the distinct stamps of the record, sorted by dot.
func (r *record) stamps() []changeset.Stamp {
	all := make([]changeset.Stamp, 0, 8)
	all = append(append(all, r.markers...), r.touches...)
	if !r.floor.IsZero() {
		all = append(all, r.floor)
	}
	for _, reg := range r.regs {
		for _, g := range reg.groups {
			if len(all) == 0 || all[len(all)-1] != g.stamp {
				all = append(all, g.stamp)
			}
		}
	}
	slices.SortFunc(all, compareByDot)
	return slices.Compact(all)
}

func compareByDot(a, b changeset.Stamp) int {
	if c := a.Dot.Compare(b.Dot); c != 0 {
		return c
	}
	return a.Compare(b)
}

type recordEncoder struct {
	buf   []byte
	table []changeset.Stamp
}

func (e *recordEncoder) number(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

func (e *recordEncoder) text(s string) {
	e.number(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *recordEncoder) dot(d branch.Dot) {
	e.text(string(d.Branch))
	e.number(d.Seq)
}

func (e *recordEncoder) index(s changeset.Stamp) uint64 {
	at, _ := slices.BinarySearchFunc(e.table, s, compareByDot)
	return uint64(at)
}

func (e *recordEncoder) head(r *record) {
	if r.floor.IsZero() {
		e.number(0)
	} else {
		e.number(e.index(r.floor) + 1)
	}
	e.stamps(r.markers)
	e.stamps(r.touches)
}

func (e *recordEncoder) stamps(list []changeset.Stamp) {
	e.number(uint64(len(list)))
	for _, s := range list {
		e.number(e.index(s))
	}
}

func (e *recordEncoder) registers(regs []register) {
	groups, values := 0, 0
	for _, reg := range regs {
		groups += len(reg.groups)
		for _, g := range reg.groups {
			values += len(g.values)
		}
	}
	e.number(uint64(len(regs)))
	e.number(uint64(groups))
	e.number(uint64(values))
	subject := ""
	for _, reg := range regs {
		if reg.subject == subject {
			e.number(0)
		} else {
			e.number(1)
			e.text(reg.subject)
			subject = reg.subject
		}
		e.text(reg.predicate)
		e.number(uint64(len(reg.groups)))
		for _, g := range reg.groups {
			e.group(g)
		}
	}
}

func (e *recordEncoder) group(g group) {
	assign := uint64(0)
	if g.assign {
		assign = 1
	}
	e.number(e.index(g.stamp)<<1 | assign)
	e.number(uint64(len(g.values)))
	for _, v := range g.values {
		e.text(v.Text)
		e.typ(v.Type)
		e.text(v.Scope)
		e.number(uint64(len(v.Positions)))
		last := 0
		for _, p := range v.Positions {
			e.number(uint64(p - last))
			last = p
		}
	}
}

func (e *recordEncoder) typ(t string) {
	if code := slices.Index(typeCodes[:], t); code > 0 {
		e.number(uint64(code))
		return
	}
	e.number(0)
	e.text(t)
}

// decodeRecord reads what encode wrote. The texts of the result share one copy
// of data. Nil data is the empty record.
func decodeRecord(data []byte) (*record, error) {
	r := &record{}
	if len(data) == 0 {
		return r, nil
	}
	d := recordDecoder{rest: string(data)}
	if v := d.number(); v != recordVersion {
		return nil, fmt.Errorf("record version %d is not known (this program knows %d)", v, recordVersion)
	}
	d.table = make([]changeset.Stamp, d.count())
	for i := range d.table {
		d.table[i] = changeset.Stamp{Dot: d.dot(), Clock: changeset.Clock(d.number())}
	}
	d.head(r)
	d.registers(r)
	if d.bad || d.rest != "" {
		return nil, errors.New("the record is cut off or has bytes left over")
	}
	return r, nil
}

// recordDecoder cuts pieces off a record; after the first that is not there,
// bad is set and every piece is zero.
type recordDecoder struct {
	rest  string
	bad   bool
	table []changeset.Stamp
}

func (d *recordDecoder) number() uint64 {
	var n uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen64; i++ {
		b := d.rest[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.rest = d.rest[i+1:]
			return n
		}
	}
	d.bad, d.rest = true, ""
	return 0
}

// count reads the number of items that follow. Each takes at least one byte, so
// a greater number is a damaged one, and nothing is allocated for it.
func (d *recordDecoder) count() int {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return 0
	}
	return int(n)
}

func (d *recordDecoder) text() string {
	n := d.count()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *recordDecoder) dot() branch.Dot {
	return branch.Dot{Branch: branch.ID(d.text()), Seq: d.number()}
}

func (d *recordDecoder) stamp(index uint64) changeset.Stamp {
	if index >= uint64(len(d.table)) {
		d.bad, d.rest = true, ""
		return changeset.Stamp{}
	}
	return d.table[index]
}

func (d *recordDecoder) head(r *record) {
	if n := d.number(); n > 0 {
		r.floor = d.stamp(n - 1)
	}
	r.markers = d.stamps()
	r.touches = d.stamps()
}

func (d *recordDecoder) stamps() []changeset.Stamp {
	n := d.count()
	if n == 0 {
		return nil
	}
	list := make([]changeset.Stamp, n)
	for i := range list {
		list[i] = d.stamp(d.number())
	}
	return list
}

// registers reads all groups and all values into one slice each.
func (d *recordDecoder) registers(r *record) {
	r.regs = make([]register, d.count())
	groups := make([]group, d.count())
	values := make([]changeset.Value, d.count())
	subject := ""
	for i := range r.regs {
		reg := &r.regs[i]
		if d.number() != 0 {
			subject = d.text()
		}
		reg.subject, reg.predicate = subject, d.text()
		n := d.count()
		if n > len(groups) {
			d.bad = true
			return
		}
		reg.groups, groups = groups[:n:n], groups[n:]
		for j := range reg.groups {
			if values = d.group(&reg.groups[j], values); d.bad {
				return
			}
		}
	}
}

func (d *recordDecoder) group(g *group, values []changeset.Value) []changeset.Value {
	head := d.number()
	g.stamp, g.assign = d.stamp(head>>1), head&1 == 1
	n := d.count()
	if n > len(values) {
		d.bad = true
		return nil
	}
	g.values = values[:n:n]
	for i := range g.values {
		g.values[i] = d.value()
	}
	return values[n:]
}

func (d *recordDecoder) value() (v changeset.Value) {
	v.Text = d.text()
	v.Type = d.typ()
	v.Scope = d.text()
	if places := d.count(); places > 0 {
		v.Positions = make([]int, places)
		last := 0
		for j := range v.Positions {
			last += int(d.number())
			v.Positions[j] = last
		}
	}
	return v
}

func (d *recordDecoder) typ() string {
	code := d.number()
	if code == 0 {
		return d.text()
	}
	if code >= uint64(len(typeCodes)) {
		d.bad, d.rest = true, ""
		return ""
	}
	return typeCodes[code]
}
