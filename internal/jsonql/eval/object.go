package eval

import (
	"slices"
	"sync"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// Object is a subject that a row set is bound to.
type Object struct {
	subject string
	own     facts
	tree    *Tree
	// chosen are the values that filters have selected, of the properties that
	// have filters.
	chosen []choice
}

// choice is the values of a property that filters have selected.
type choice struct {
	prop string
	list []statement.Statement
}

// Subject is the id of the object.
func (o *Object) Subject() string { return o.subject }

// ID is the id of the object as a value.
func (o *Object) ID() value.Value { return value.Of(statement.Reference(o.subject)) }

// values returns the values of a property that are constructed.
func (o *Object) values(name string) []statement.Statement {
	for _, c := range o.chosen {
		if c.prop == name {
			return c.list
		}
	}
	return o.own.of(name)
}

// Size is about how many bytes an object holds.
func (o *Object) Size() int {
	n := 2*ValueBytes + len(o.subject)
	for _, s := range o.own {
		n += 2*ValueBytes + len(s.Predicate) + len(s.Text)
	}
	return n
}

// ValueBytes is about what a value takes besides its text.
const ValueBytes = 64

// look is how the objects of a row set are read, and which filters they pass.
type look struct {
	// id is equal for sets of which the same properties are read; 0 is whole.
	id      int
	names   []string
	once    map[string]bool // see resolve.Looks
	filters []filter
	ids     []value.Value
}

// filter is a filter whose constant is known.
type filter struct {
	prop    string
	value   value.Value
	negated bool
	// nullable properties may be missing, and are null then; shown ones are
	// constructed with all their values.
	nullable, shown bool
}

// lookOf says how the objects of a set are read.
func (r *Run) lookOf(set *resolve.Set) (*look, error) {
	if r.looks == nil {
		r.prepareLooks()
	}
	l := &r.looks[set.Number]
	if l.filters != nil || l.ids != nil || len(set.Filters)+len(set.IDs) == 0 {
		return l, nil
	}
	for _, f := range set.Filters {
		v, err := r.Eval(f.Value, nil)
		if err != nil {
			return nil, err
		}
		l.filters = append(l.filters, filter{f.Prop, v, f.Negated, set.Nullable[f.Prop], set.Shown[f.Prop]})
	}
	for _, e := range set.IDs {
		v, err := r.Eval(e, nil)
		if err != nil {
			return nil, err
		}
		l.ids = append(l.ids, AsReference(v))
	}
	return l, nil
}

// Load returns a subject as an object of a row set, or nil if it is none. A
// list inside a list is a value and no object. With dangling, what does not
// exist is an object without properties for a set that asks for none. What is
// read again and again should be kept at hand.
func (r *Run) Load(set *resolve.Set, subject string, dangling, keep bool) (*Object, error) {
	if statement.IsList(subject) || set.OwnersOnly && statement.IsEmbedded(subject) {
		return nil, nil
	}
	l, err := r.lookOf(set)
	if err != nil {
		return nil, err
	}
	t, err := r.tree(statement.Root(subject), l, keep)
	if err != nil {
		return nil, err
	}
	return r.InTree(set, t, subject, dangling)
}

// InTree is Load for a tree that has been read for the set.
func (r *Run) InTree(set *resolve.Set, t *Tree, subject string, dangling bool) (*Object, error) {
	l, err := r.lookOf(set)
	if err != nil {
		return nil, err
	}
	if !t.has(subject) && (!dangling || !set.Dangling) {
		return nil, nil
	}
	o := &Object{subject: subject, own: t.of(subject), tree: t}
	if !o.isOf(set, l) {
		return nil, nil
	}
	return o, nil
}

// isOf reports whether an object is one of a set, and notes what filters select.
func (o *Object) isOf(set *resolve.Set, l *look) bool {
	if !hasProperties(set, o.own) || !o.passes(l.filters) {
		return false
	}
	for _, v := range l.ids {
		if !value.Intersects(v, o.ID()) {
			return false
		}
	}
	return true
}

// room is for one object after the other.
type room struct {
	list   []statement.Statement
	tree   Tree
	object Object
}

// rooms are those that no run uses.
var rooms = sync.Pool{New: func() any { return &room{} }}

// maxRoom is how many statements a room has at most that is used again.
const maxRoom = 64

// End lets go of the memory that is used again by other runs: nothing of use
// comes from LoadNext any more.
func (r *Run) End() {
	m := r.room
	if r.room = nil; m == nil || cap(m.list) > maxRoom {
		return
	}
	clear(m.list[:cap(m.list)])
	*m = room{list: m.list[:0]}
	rooms.Put(m)
}

// LoadNext is Load for one object after the other: what it returns is of no use
// any more when it is called again. byID says that the subject is the first id
// that the set asks for.
func (r *Run) LoadNext(set *resolve.Set, subject string, byID bool) (*Object, error) {
	if r.looks == nil {
		r.prepareLooks()
	}
	if r.objects.facts == nil || statement.IsEmbedded(subject) {
		return r.Load(set, subject, false, false)
	}
	l := &r.looks[set.Number]
	if !byID || len(set.IDs) > 1 || len(set.Filters) > 0 { // something is to be checked
		var err error
		if l, err = r.lookOf(set); err != nil {
			return nil, err
		}
	}
	if r.room == nil {
		r.room = rooms.Get().(*room)
	}
	m := r.room
	p, exists, err := r.objects.facts.Facts(m.list, subject, l.names)
	if err != nil {
		return nil, readFault(subject, err)
	}
	if !exists {
		return nil, nil
	}
	m.list = p.Statements
	m.tree = Tree{root: subject, list: flat(p), part: l.id != 0, embedded: p.Embedded}
	m.object = Object{subject: subject, own: m.tree.of(subject), tree: &m.tree, chosen: m.object.chosen[:0]}
	if !m.tree.has(subject) || !m.object.isOf(set, l) {
		return nil, nil
	}
	return &m.object, nil
}

// LooksOnlyAt reports whether the query looks at nothing but one property of the
// objects of a set.
func (r *Run) LooksOnlyAt(set *resolve.Set, prop string) (bool, error) {
	l, err := r.lookOf(set)
	return err == nil && l.id != 0 && len(l.names) == 1 && l.names[0] == prop, err
}

// LooksOnceAt is LooksOnlyAt of a property that stands in one place of the query.
func (r *Run) LooksOnceAt(set *resolve.Set, prop string) (bool, error) {
	only, err := r.LooksOnlyAt(set, prop)
	return only && r.looks[set.Number].once[prop], err
}

// Single is Load for a subject whose only value of the only property that the
// query looks at is known.
func (r *Run) Single(set *resolve.Set, subject, prop string, t statement.Term) (*Object, error) {
	if statement.IsList(subject) || set.OwnersOnly && statement.IsEmbedded(subject) {
		return nil, nil
	}
	l, err := r.lookOf(set)
	if err != nil {
		return nil, err
	}
	own := &struct { // one piece of memory
		object Object
		tree   Tree
		list   [1]statement.Statement
	}{list: [1]statement.Statement{{Subject: subject, Predicate: prop, Term: t}}}
	own.tree = Tree{root: statement.Root(subject), list: own.list[:], part: true}
	o := &own.object
	*o = Object{subject: subject, own: own.list[:], tree: &own.tree}
	if !o.passes(l.filters) {
		return nil, nil
	}
	return o, nil
}

// hasProperties reports whether the properties that must be there are, and those
// that must not are not.
func hasProperties(set *resolve.Set, own facts) bool {
	for _, name := range set.Required {
		if len(own.of(name)) == 0 {
			return false
		}
	}
	for _, name := range set.Absent {
		if len(own.of(name)) > 0 {
			return false
		}
	}
	return true
}

// passes applies filters, and notes which values they select. A missing
// property that may be missing counts as null.
func (o *Object) passes(filters []filter) bool {
	for _, f := range filters {
		all := o.own.of(f.prop)
		if len(all) == 0 {
			if !f.nullable || f.value.IsNull() == f.negated {
				return false
			}
			continue
		}
		var list []statement.Statement
		if len(all) == 1 && f.selects(all[0].Term) {
			list = all
		} else if len(all) > 1 {
			for _, s := range all {
				if f.selects(s.Term) {
					list = append(list, s)
				}
			}
		}
		if len(list) == 0 {
			return false
		}
		if !f.shown {
			o.choose(f.prop, list)
		}
	}
	return true
}

func (o *Object) choose(prop string, list []statement.Statement) {
	for i, c := range o.chosen {
		if c.prop == prop {
			o.chosen[i].list = statement.Set(append(slices.Clone(c.list), list...))
			return
		}
	}
	o.chosen = append(o.chosen, choice{prop, list})
}

// selects: "=" means exactly this value, so that 1, 1.0 and "1" are three; "!="
// means every value that does not equal it, as in other conditions.
func (f filter) selects(t statement.Term) bool {
	if f.negated || f.value.IsList {
		return value.Intersects(f.value, value.Of(t)) != f.negated
	}
	return t == f.value.Term
}

// AsReference makes strings that are compared with ids references.
func AsReference(v value.Value) value.Value {
	if v.IsList {
		list := make([]value.Value, 0, len(v.List))
		for _, m := range v.List {
			list = append(list, AsReference(m))
		}
		return value.ListOf(list)
	}
	if v.Term.Type == statement.TypeLiteral {
		return value.Of(statement.Reference(v.Term.Text))
	}
	return v
}
