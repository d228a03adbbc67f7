package reference

import (
	"cmp"
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// tree holds the statements of an object and of all that is embedded in it, by
// subject and property. Scopes play no part in queries.
type tree map[string]map[string][]statement.Statement

func newTree(list []statement.Statement) tree {
	flat := slices.Clone(list)
	for i := range flat {
		flat[i].Scope = ""
	}
	t := tree{}
	for _, s := range statement.Set(flat) {
		if t[s.Subject] == nil {
			t[s.Subject] = map[string][]statement.Statement{}
		}
		t[s.Subject][s.Predicate] = append(t[s.Subject][s.Predicate], s)
	}
	return t
}

// maxTrees is how many objects are kept at hand.
const maxTrees = 4096

// properties returns what is known of a subject.
func (r *run) properties(subject string) (map[string][]statement.Statement, error) {
	root := statement.Root(subject)
	if t, known := r.trees[root]; known {
		return t[subject], nil
	}
	if err := r.looked(); err != nil {
		return nil, err
	}
	list, err := r.src.Object(root)
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", statement.Excerpt(root), err)
	}
	if len(r.trees) >= maxTrees {
		clear(r.trees)
	}
	r.trees[root] = newTree(list)
	return r.trees[root][subject], nil
}

// object is a subject that a row set is bound to.
type object struct {
	subject string
	own     map[string][]statement.Statement
	// selected are the values that filters have selected, of the properties
	// that have filters.
	selected map[string][]statement.Statement
}

// values returns the values of a property that are constructed.
func (o *object) values(name string) []statement.Statement {
	if chosen, filtered := o.selected[name]; filtered {
		return chosen
	}
	return o.own[name]
}

// load returns a subject as an object of a row set, or nil if it is none. A
// list inside a list is a value and no object.
func (r *run) load(set *resolve.Set, subject string, dangling bool) (*object, error) {
	if statement.IsList(subject) || set.OwnersOnly && statement.IsEmbedded(subject) {
		return nil, nil
	}
	own, err := r.properties(subject)
	if err != nil || own == nil && (!dangling || !set.Dangling) || !hasProperties(set, own) {
		return nil, err
	}
	o := &object{subject: subject, own: own, selected: map[string][]statement.Statement{}}
	if ok, err := r.filter(set, o); err != nil || !ok {
		return nil, err
	}
	for _, e := range set.IDs {
		v, err := r.eval(e, nil)
		if err != nil || !value.Intersects(reference(v), o.id()) {
			return nil, err
		}
	}
	return o, nil
}

// hasProperties reports whether the properties that must be there are, and those
// that must not are not.
func hasProperties(set *resolve.Set, own map[string][]statement.Statement) bool {
	lacks := func(name string) bool { return len(own[name]) == 0 }
	return !slices.ContainsFunc(set.Required, lacks) &&
		!slices.ContainsFunc(set.Absent, func(name string) bool { return !lacks(name) })
}

// size is about how many bytes an object holds.
func (o *object) size() int {
	n := 2 * valueBytes
	for _, list := range o.own {
		n += valueBytes
		for _, s := range list {
			n += valueBytes + len(s.Text)
		}
	}
	return n
}

// valueBytes is about what a value takes besides its text.
const valueBytes = 64

func (o *object) id() value.Value { return value.Of(statement.Reference(o.subject)) }

// reference makes strings that are compared with ids references.
func reference(v value.Value) value.Value {
	if v.IsList {
		list := make([]value.Value, 0, len(v.List))
		for _, m := range v.List {
			list = append(list, reference(m))
		}
		return value.ListOf(list)
	}
	if v.Term.Type == statement.TypeLiteral {
		return value.Of(statement.Reference(v.Term.Text))
	}
	return v
}

// filter applies the filters of a set, and notes which values they select. A
// missing property that may be missing counts as null.
func (r *run) filter(set *resolve.Set, o *object) (bool, error) {
	for _, f := range set.Filters {
		v, err := r.eval(f.Value, nil)
		if err != nil {
			return false, err
		}
		all := o.own[f.Prop]
		if len(all) == 0 {
			if !set.Nullable[f.Prop] || v.IsNull() == f.Negated {
				return false, nil
			}
			continue
		}
		var chosen []statement.Statement
		for _, s := range all {
			if selects(f, v, s.Term) {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == 0 {
			return false, nil
		}
		o.selected[f.Prop] = statement.Set(append(o.selected[f.Prop], chosen...))
	}
	for name := range set.Shown {
		delete(o.selected, name)
	}
	return true, nil
}

// selects: "=" means exactly this value, so that 1, 1.0 and "1" are three; "!="
// means every value that does not equal it, as in other conditions.
func selects(f resolve.Filter, v value.Value, t statement.Term) bool {
	if f.Negated || v.IsList {
		return value.Intersects(v, value.Of(t)) != f.Negated
	}
	return t == v.Term
}

// compareSubjects orders ids by their roots: the root itself first, then what
// is embedded in it.
func compareSubjects(a, b string) int {
	rootA, rootB := statement.Root(a), statement.Root(b)
	switch {
	case rootA != rootB:
		return cmp.Compare(rootA, rootB)
	case a == b:
		return 0
	case a == rootA:
		return -1
	case b == rootB:
		return 1
	}
	return cmp.Compare(a, b)
}
