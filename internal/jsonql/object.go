package jsonql

import (
	"fmt"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/statement"
)

// tree holds the statements of an object and of all that is embedded in it,
// by subject and property. Scopes play no part in queries: facts that differ in
// their scope only are one.
type tree struct {
	subjects []string
	of       map[string]map[string][]statement.Statement
}

func newTree(list []statement.Statement) *tree {
	t := &tree{of: map[string]map[string][]statement.Statement{}}
	for _, s := range flatten(list) {
		if t.of[s.Subject] == nil {
			t.of[s.Subject] = map[string][]statement.Statement{}
			t.subjects = append(t.subjects, s.Subject)
		}
		t.of[s.Subject][s.Predicate] = append(t.of[s.Subject][s.Predicate], s)
	}
	slices.SortFunc(t.subjects, compareSubjects)
	return t
}

// flatten returns the facts without their scopes: the list itself, if it has
// none and is in order, as what comes from a store mostly is.
func flatten(list []statement.Statement) []statement.Statement {
	plain := true
	for i, s := range list {
		plain = plain && s.Scope == "" && (i == 0 || statement.CompareFact(list[i-1], s) < 0)
	}
	if plain {
		return list
	}
	flat := slices.Clone(list)
	for i := range flat {
		flat[i].Scope = ""
	}
	return statement.Set(flat)
}

// object is a subject that may be a row: an object or an embedded one.
type object struct {
	run     *run
	tree    *tree
	root    string
	subject string
	own     map[string][]statement.Statement
	// selected are the values that filters have selected, of the properties
	// that have filters.
	selected map[string][]statement.Statement
}

// load returns the object for a subject, or nil if it does not exist or is the
// list inside a list, which is a value and not an object.
func (r *run) load(subject string) (*object, error) {
	if statement.IsList(subject) {
		return nil, nil
	}
	t, err := r.treeOf(statement.Root(subject))
	if err != nil || t.of[subject] == nil {
		return nil, err
	}
	return &object{
		run: r, tree: t, root: r.cached.root, subject: subject, own: t.of[subject],
		selected: map[string][]statement.Statement{},
	}, nil
}

// treeOf returns the statements of an object; the last one is kept, since
// subjects with the same root come one after the other.
func (r *run) treeOf(root string) (*tree, error) {
	if r.cached != nil && r.cached.root == root {
		return r.cached.tree, nil
	}
	found, _, err := r.src.Object(root)
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", statement.Excerpt(root), err)
	}
	r.cached = &object{tree: newTree(found.Statements), root: root}
	return r.cached.tree, nil
}

// each calls visit for what an index yields until it returns false.
func each(subjects iter.Seq2[string, error], visit func(string) (bool, error)) error {
	for subject, err := range subjects {
		if err != nil {
			return fmt.Errorf("read index: %w", err)
		}
		if more, err := visit(subject); err != nil || !more {
			return err
		}
	}
	return nil
}

// filter applies prop = constant or prop != constant. It reports whether any
// value is left; a missing property that may be missing counts as null.
func (o *object) filter(f boundFilter, nullable bool) bool {
	all := o.own[f.prop]
	if len(all) == 0 {
		isNull := f.term == statement.Null()
		return nullable && isNull != f.negated
	}
	var chosen []statement.Statement
	for _, s := range all {
		if f.selects(s.Term) {
			chosen = append(chosen, s)
		}
	}
	o.selected[f.prop] = statement.Set(append(o.selected[f.prop], chosen...))
	return len(chosen) > 0
}

// selects: "=" means exactly this value, so that 1, 1.0 and "1" are three; "!="
// means every value that does not equal it, as in other conditions.
func (f boundFilter) selects(t statement.Term) bool {
	if f.negated {
		return !equal(termValue(t), termValue(f.term))
	}
	return t == f.term
}

// values returns the values of a property that are constructed.
func (o *object) values(name string) []statement.Statement {
	if chosen, filtered := o.selected[name]; filtered {
		return chosen
	}
	return o.own[name]
}

func terms(list []statement.Statement) value {
	out := make([]statement.Term, 0, len(list))
	for _, s := range list {
		out = append(out, s.Term)
	}
	return termsValue(out)
}

func (o *object) property(name string) value { return terms(o.values(name)) }

func (o *object) id() value { return termValue(statement.Reference(o.subject)) }

func (o *object) aggregate(c *call) (value, error) {
	return null, o.run.fail(c, "%s has no meaning for one object", c.name)
}

// whole returns the object as conditions see it: with all its values.
func (o *object) whole() scope {
	all := *o
	all.selected = nil
	return &all
}
