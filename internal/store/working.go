package store

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// prop names a property of a subject within one object.
type prop struct{ subject, predicate string }

func (p prop) compare(q prop) int {
	return cmp.Or(strings.Compare(p.subject, q.subject), strings.Compare(p.predicate, q.predicate))
}

// working is one object during a transaction: what was seen of it before, and
// what the transaction has made of it.
type working struct {
	root   string
	rec    *record
	policy ConflictPolicy
	// was is what was visible before; conflicts are the properties that held
	// concurrent values.
	was       map[prop][]changeset.Value
	conflicts map[prop]bool
	// now has the properties that were written, with their present values;
	// assigned those that were set as a whole.
	now      map[prop][]changeset.Value
	assigned map[prop]bool
	// deleted says that the object was deleted as a whole at some point.
	deleted bool
	// named are the embedded subjects that were written by their own ids.
	named map[string]bool
}

func newWorking(root string, rec *record, policy ConflictPolicy) *working {
	w := &working{
		root: root, rec: rec, policy: policy,
		was: map[prop][]changeset.Value{}, conflicts: map[prop]bool{},
		now: map[prop][]changeset.Value{}, assigned: map[prop]bool{}, named: map[string]bool{},
	}
	for _, s := range rec.see(root, policy).statements {
		p := prop{s.Subject, s.Predicate}
		w.was[p] = append(w.was[p], valueOf(s))
	}
	l := rec.lens(policy)
	for i := range rec.regs {
		if reg := &rec.regs[i]; len(reg.groups) > 1 && reg.conflict(l) {
			w.conflicts[prop{cmp.Or(reg.subject, root), reg.predicate}] = true
		}
	}
	return w
}

func valueOf(s statement.Statement) changeset.Value {
	return changeset.Value{Term: s.Term, Scope: s.Scope, Positions: s.Positions}
}

// get returns the present values of a property, in canonical order.
func (w *working) get(p prop) []changeset.Value {
	if values, ok := w.now[p]; ok {
		return values
	}
	return w.was[p]
}

// set makes the values of a property exactly these.
func (w *working) set(p prop, values []changeset.Value) {
	w.now[p] = mergeValues(slices.Clone(values))
	w.assigned[p] = true
}

// add puts values to those of a property: a value that is there stays where it
// is; one with places in a list gets these places too.
func (w *working) add(p prop, values []changeset.Value) {
	have := w.get(p)
	all := mergeValues(slices.Concat(have, values))
	if !equalValues(have, all) {
		w.now[p] = all
	}
}

// remove takes values away, wherever they stand in a list.
func (w *working) remove(p prop, values []changeset.Value) {
	have := w.get(p)
	left := slices.DeleteFunc(slices.Clone(have), func(v changeset.Value) bool { return holds(values, v) })
	if len(left) < len(have) {
		w.now[p] = left
	}
}

// propsOf returns the properties that a subject has now, in order.
func (w *working) propsOf(subject string) []prop {
	var out []prop
	for p := range w.all() {
		if p.subject == subject && len(w.get(p)) > 0 {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, prop.compare)
	return out
}

// all yields every property that there was or is, in no order. What is done to
// one while it is yielded does not disturb the others.
func (w *working) all() iter.Seq[prop] {
	return func(yield func(prop) bool) {
		for p := range w.now {
			if !yield(p) {
				return
			}
		}
		for p := range w.was {
			if _, written := w.now[p]; !written && !yield(p) {
				return
			}
		}
	}
}

// clear takes away everything.
func (w *working) clear() {
	for p := range w.all() {
		w.set(p, nil)
	}
}

// sweep takes away the embedded objects and lists that nothing refers to any
// more. It returns an id that was written by its name and is none of the
// object's, if there is one.
func (w *working) sweep() (lost string) {
	bySubject := map[string][]prop{}
	for p := range w.all() {
		if len(w.get(p)) > 0 {
			bySubject[p.subject] = append(bySubject[p.subject], p)
		}
	}
	if len(bySubject) == 0 || len(bySubject) == 1 && bySubject[w.root] != nil {
		return ""
	}
	keep := reach(w.root, func(subject string, visit func(changeset.Value)) {
		for _, p := range bySubject[subject] {
			for _, v := range w.get(p) {
				visit(v)
			}
		}
	})
	for subject, props := range bySubject {
		if subject == w.root || keep[subject] {
			continue
		}
		if w.named[subject] {
			lost = max(lost, subject)
		}
		for _, p := range props {
			w.set(p, nil)
		}
	}
	return lost
}

// statements returns what the object is now, in canonical order.
func (w *working) statements() []statement.Statement {
	out := make([]statement.Statement, 0, len(w.was)+len(w.now))
	for p := range w.all() {
		for _, v := range w.get(p) {
			out = append(out, v.Statement(p.subject, p.predicate))
		}
	}
	statement.Sort(out)
	return out
}

// before returns what the object was, in canonical order.
func (w *working) before() []statement.Statement {
	out := w.rec.see(w.root, w.policy).statements
	statement.Sort(out)
	return out
}

// empty reports whether no property has a value.
func (w *working) empty() bool {
	for p := range w.all() {
		if len(w.get(p)) > 0 {
			return false
		}
	}
	return true
}

// change returns the net effect of the transaction on the object, and whether
// there is any.
func (w *working) change() (changeset.ObjectChange, bool) {
	c := changeset.ObjectChange{Root: w.root}
	if w.deleted && w.empty() {
		c.Delete = true
		return c, len(w.was) > 0
	}
	written := slices.AppendSeq(make([]prop, 0, len(w.now)), maps.Keys(w.now))
	slices.SortFunc(written, w.order)
	c.Props = make([]changeset.PropChange, 0, len(written))
	for _, p := range written {
		if pc, changed := w.propChange(p); changed {
			c.Props = append(c.Props, pc)
		}
	}
	if len(c.Props) > 0 && len(w.rec.markers) > 0 {
		c.Floor = w.rec.hidden()
	}
	return c, len(c.Props) > 0
}

// order sorts properties as a changeset does, where the root is "".
func (w *working) order(p, q prop) int { return w.relative(p).compare(w.relative(q)) }

func (w *working) relative(p prop) prop {
	if p.subject == w.root {
		p.subject = ""
	}
	return p
}

// propChange decides how a property's change is told. What was set as a whole,
// or is a list (a list is one value), or ends a conflict, is assigned; else only
// the difference is told, so that others may add to it at the same time.
func (w *working) propChange(p prop) (changeset.PropChange, bool) {
	was, is := w.was[p], w.now[p]
	conflict := w.conflicts[p]
	if sameReading(was, is) && !conflict {
		return changeset.PropChange{}, false
	}
	rel := w.relative(p)
	c := changeset.PropChange{Subject: rel.subject, Predicate: rel.predicate, Mode: changeset.Assign}
	if conflict || w.assigned[p] || listed(was) || listed(is) {
		c.Added = is
		return c, true
	}
	c.Mode = changeset.Patch
	c.Added, c.Removed = without(is, was), without(was, is)
	return c, true
}

func listed(values []changeset.Value) bool {
	return slices.ContainsFunc(values, func(v changeset.Value) bool { return len(v.Positions) > 0 })
}

func without(values, others []changeset.Value) []changeset.Value {
	return slices.DeleteFunc(slices.Clone(values), func(v changeset.Value) bool { return holds(others, v) })
}

// sameReading reports whether two sets of values read the same: the same items
// in the same order, and besides them the same values.
func sameReading(a, b []changeset.Value) bool {
	if len(a) != len(b) || listed(a) != listed(b) {
		return false
	}
	if !listed(a) {
		return equalValues(a, b)
	}
	itemsA, restA := inOrder(a)
	itemsB, restB := inOrder(b)
	same := func(v, w changeset.Value) bool { return v.Same(w) }
	return slices.EqualFunc(itemsA, itemsB, same) && slices.EqualFunc(restA, restB, same)
}

// inOrder returns the items of a list as they are read, duplicates included,
// and the values that are in no list.
func inOrder(values []changeset.Value) (items, rest []changeset.Value) {
	type item struct {
		at int
		v  changeset.Value
	}
	var list []item
	for _, v := range values {
		if len(v.Positions) == 0 {
			rest = append(rest, v)
		}
		for _, at := range v.Positions {
			list = append(list, item{at, v})
		}
	}
	slices.SortStableFunc(list, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	for _, i := range list {
		items = append(items, i.v)
	}
	return items, rest
}
