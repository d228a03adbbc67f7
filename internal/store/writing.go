package store

import (
	"fmt"
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// writing is a transaction in progress: the objects it has touched.
type writing struct {
	reader  *Reader
	opts    WriteOptions
	objects map[string]*working
}

// at returns the working form of an object.
func (w *writing) at(root string) (*working, error) {
	if o := w.objects[root]; o != nil {
		return o, nil
	}
	rec, err := w.reader.load(root)
	if err != nil {
		return nil, err
	}
	o := newWorking(root, rec, w.reader.policy)
	w.objects[root] = o
	return o, nil
}

// object implements overlay.
func (w *writing) object(root, id string) (Object, bool, bool) {
	work := w.objects[root]
	if work == nil {
		return Object{}, false, false
	}
	statements := subtree(work.statements(), root, id)
	statement.Sort(statements)
	o := Object{ID: id, Statements: statements, Revision: work.rec.revision(), Last: work.rec.last()}
	for _, c := range work.rec.conflictsOf(root, o.Statements, work.policy) {
		if _, written := work.now[prop{c.Subject, c.Predicate}]; !written {
			o.Conflicts = append(o.Conflicts, c)
		}
	}
	return o, len(statements) > 0, true
}

// roots implements overlay.
func (w *writing) roots() []string { return slices.Sorted(maps.Keys(w.objects)) }

// values returns the values that an object of a document gives, by property.
func values(o pjson.Object) map[prop][]changeset.Value {
	out := make(map[prop][]changeset.Value, len(o.Props))
	for _, s := range o.Statements {
		p := prop{s.Subject, s.Predicate}
		out[p] = append(out[p], valueOf(s))
	}
	return out
}

// each runs fn on the working form of every object of a document.
func (w *writing) each(objects []pjson.Object, fn func(*working, pjson.Object) error) error {
	for _, o := range objects {
		root := statement.Root(o.ID)
		work, err := w.at(root)
		if err != nil {
			return err
		}
		if o.ID != root {
			work.named[o.ID] = true
		}
		if err := fn(work, o); err != nil {
			return err
		}
		if lost := work.sweep(); lost != "" {
			return &InvalidError{Err: fmt.Errorf("%s is not embedded in object %s: write it as a value of one of the object's properties",
				statement.Excerpt(lost), statement.Excerpt(root))}
		}
	}
	return nil
}

func (w *writing) add(objects []pjson.Object) error {
	return w.each(objects, func(work *working, o pjson.Object) error {
		for p, vals := range values(o) {
			work.add(p, vals)
		}
		return nil
	})
}

func (w *writing) create(objects []pjson.Object) error {
	for _, o := range objects {
		_, exists, err := w.reader.Object(o.ID)
		if err != nil {
			return err
		}
		if exists {
			return &ExistsError{ID: o.ID}
		}
	}
	return w.add(objects)
}

func (w *writing) remove(objects []pjson.Object) error {
	return w.each(objects, func(work *working, o pjson.Object) error {
		given := values(o)
		for _, p := range o.Props {
			name := prop{p.Subject, p.Predicate}
			if p.Null {
				work.setIfAny(name)
				delete(given, name)
			}
		}
		for p, vals := range given {
			work.remove(p, vals)
		}
		return nil
	})
}

// setIfAny takes away all values of a property, if it has any.
func (w *working) setIfAny(p prop) {
	if len(w.get(p)) > 0 {
		w.set(p, nil)
	}
}

func (w *writing) delete(id string) (bool, error) {
	work, err := w.at(statement.Root(id))
	if err != nil {
		return false, err
	}
	if len(subtree(work.statements(), work.root, id)) == 0 {
		return false, nil
	}
	return true, w.clear(work, id)
}

// clear deletes an object, or an embedded one with the references to it.
func (w *writing) clear(work *working, id string) error {
	if id == work.root {
		work.deleted = work.deleted || len(work.was) > 0
		work.clear()
		return nil
	}
	for p := range work.all() {
		if p.subject == id {
			work.set(p, nil)
			continue
		}
		work.remove(p, slices.DeleteFunc(slices.Clone(work.get(p)), func(v changeset.Value) bool {
			return v.Term != statement.Reference(id)
		}))
	}
	work.sweep()
	return nil
}

// changes returns the net difference in visible statements so far.
func (w *writing) changes() (added, removed []statement.Statement, err error) {
	for _, root := range w.roots() {
		work := w.objects[root]
		a, r := difference(work.before(), work.statements())
		added, removed = append(added, a...), append(removed, r...)
	}
	return added, removed, nil
}

// net returns the changes of the transaction, sorted by root.
func (w *writing) net() []changeset.ObjectChange {
	var out []changeset.ObjectChange
	for _, root := range w.roots() {
		if c, changed := w.objects[root].change(); changed {
			out = append(out, c)
		}
	}
	return out
}
