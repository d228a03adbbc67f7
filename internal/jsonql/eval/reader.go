package eval

import (
	"fmt"
	"iter"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/statement"
)

// reader reads objects, as far as a query looks at them, and keeps some of them
// at hand.
type reader struct {
	parts source.PartSource // nil: objects are read wholly
	facts source.FactSource // nil: each object is read into memory of its own
	kept  map[place]*Tree
	// last are the trees that were read last, by the id of the look.
	last []*Tree
}

// place is an object as one look reads it.
type place struct {
	root string
	look int
}

// maxKept is how many trees are kept at hand.
const maxKept = 4096

// wholly is the look of those who see everything.
var wholly = &look{}

// prepareLooks finds out what is read of the objects of all sets.
func (r *Run) prepareLooks() {
	sets := r.query.Looks()
	if len(sets) > len(r.own.looks) {
		r.looks, r.objects.last = make([]look, len(sets)), make([]*Tree, 1+len(sets))
	} else {
		r.looks, r.objects.last = r.own.looks[:len(sets)], r.own.last[:1+len(sets)]
	}
	if parts, ok := r.src.(source.PartSource); ok && !r.Whole {
		r.objects.parts = parts
		r.objects.facts, _ = r.src.(source.FactSource)
	}
	for i, l := range sets {
		if !l.All && r.objects.parts != nil {
			r.looks[i] = look{id: l.ID, names: l.Names, once: l.Once}
		}
	}
}

// tree reads an object. One that does not exist has no subjects.
func (r *Run) tree(root string, l *look, keep bool) (*Tree, error) {
	if r.looks == nil {
		r.prepareLooks()
	}
	if t := r.objects.last[l.id]; t != nil && t.root == root {
		return t, nil
	}
	at := place{root, l.id}
	if t := r.objects.kept[at]; t != nil {
		return t, nil
	}
	t, err := r.read(root, l)
	if err != nil {
		return nil, readFault(root, err)
	}
	r.objects.last[l.id] = t
	if keep {
		if r.objects.kept == nil {
			r.objects.kept = map[place]*Tree{}
		}
		if len(r.objects.kept) >= maxKept {
			clear(r.objects.kept)
		}
		r.objects.kept[at] = t
	}
	return t, nil
}

func readFault(root string, err error) error {
	return fmt.Errorf("read object %s: %w", statement.Excerpt(root), err)
}

func (r *Run) read(root string, l *look) (*Tree, error) {
	if l.id == 0 {
		found, _, err := r.src.Object(root)
		found.ID = root
		return newTree(found), err
	}
	p, exists, err := r.objects.parts.Part(root, l.names)
	if err != nil || !exists {
		return &Tree{}, err // without any subject
	}
	p.ID = root
	return newPart(p), nil
}

// Trees yields all objects, as far as the query looks at those of a set.
func (r *Run) Trees(set *resolve.Set) iter.Seq2[*Tree, error] {
	return func(yield func(*Tree, error) bool) {
		l, err := r.lookOf(set)
		if err != nil {
			yield(nil, err)
			return
		}
		take := func(t *Tree, err error) bool {
			if err != nil {
				err = fmt.Errorf("read objects: %w", err)
			}
			r.objects.last[l.id] = t
			return yield(t, err)
		}
		if l.id == 0 {
			for o, err := range r.src.Objects() {
				if !take(newTree(o), err) {
					return
				}
			}
			return
		}
		for p, err := range r.objects.parts.Parts(l.names) {
			if !take(newPart(p), err) {
				return
			}
		}
	}
}

// factsOf returns all that is known of a subject; t, if there is one, is a tree
// it may be in.
func (r *Run) factsOf(subject string, t *Tree) (facts, *Tree, error) {
	if t != nil && !t.part {
		if own := t.of(subject); len(own) > 0 {
			return own, t, nil
		}
	}
	root := statement.Root(subject)
	t, err := r.tree(root, wholly, true)
	if err != nil {
		return nil, nil, err
	}
	if err := r.Looked(); err != nil {
		return nil, nil, err
	}
	return t.of(subject), t, nil
}
