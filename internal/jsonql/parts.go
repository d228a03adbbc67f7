package jsonql

import (
	"iter"
	"maps"
	"slices"
)

// Part is what an object has under some predicates.
type Part struct {
	// Object has the statements under the predicates, of the object and of all
	// that is embedded in it.
	Object
	// Embedded are all subjects embedded in the object, in order of their ids,
	// whether or not they have anything under the predicates.
	Embedded []string
}

// PartSource is what a Source may offer beside its methods: of objects that
// only have to be looked at, no more than that is then read.
type PartSource interface {
	// Part returns a part of an object that is not embedded, and whether the
	// object exists.
	Part(id string, predicates []string) (Part, bool, error)
	// Parts yields a part of all objects that are not embedded, in order of
	// their ids.
	Parts(predicates []string) iter.Seq2[Part, error]
}

// readFor says that objects are read from now on to decide which are rows and in
// what order or group, and to make the rows from them, if that is asked for. A
// row that shows any property needs the whole object.
func (r *run) readFor(c *construct, rows bool) {
	r.parts, r.cached = nil, nil
	names, anything := map[string]bool{}, false
	note := func(e expr) bool {
		switch e := e.(type) {
		case *propRef:
			names[e.name] = true
		case *wholeObject:
			anything = true
		}
		return true
	}
	for _, name := range r.query.plan.required { // what rows show without maybe decides, too
		names[name] = true
	}
	walk(c.where, note)
	walk(c.groupBy, note)
	for _, k := range c.orderBy {
		walk(k.value, note)
	}
	if rows {
		for _, it := range c.items {
			anything = anything || it.star
			walk(it.key, note)
			walk(it.value, note)
		}
	}
	if src, ok := r.src.(PartSource); ok && !anything {
		r.parts, r.names = src, slices.Sorted(maps.Keys(names))
	}
}

func newPart(p Part) *tree {
	return &tree{root: p.ID, list: flatten(p.Statements), part: true, embedded: p.Embedded}
}

// partOf returns what is to be read of an object.
func (r *run) partOf(root string) (*tree, error) {
	p, exists, err := r.parts.Part(root, r.names)
	if err != nil || !exists {
		return &tree{}, err // without any subject
	}
	p.ID = root
	return newPart(p), nil
}

// trees yields what is to be read of all objects.
func (r *run) trees() iter.Seq2[*tree, error] {
	return func(yield func(*tree, error) bool) {
		if r.parts == nil {
			for o, err := range r.src.Objects() {
				if !yield(newTree(o), err) {
					return
				}
			}
			return
		}
		for p, err := range r.parts.Parts(r.names) {
			if !yield(newPart(p), err) {
				return
			}
		}
	}
}
