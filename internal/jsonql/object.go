package jsonql

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// facts are statements of one subject in canonical order, and so those of each
// property side by side.
type facts []statement.Statement

// of returns the values of a property.
func (f facts) of(name string) []statement.Statement {
	from := 0
	for from < len(f) && f[from].Predicate < name {
		from++
	}
	to := from
	for to < len(f) && f[to].Predicate == name {
		to++
	}
	return f[from:to:to]
}

// properties yields the properties in order of their names.
func (f facts) properties() iter.Seq2[string, []statement.Statement] {
	return func(yield func(string, []statement.Statement) bool) {
		for len(f) > 0 {
			name, n := f[0].Predicate, 1
			for n < len(f) && f[n].Predicate == name {
				n++
			}
			if !yield(name, f[:n:n]) {
				return
			}
			f = f[n:]
		}
	}
}

// tree holds the statements of an object and of all that is embedded in it, or
// those that a query is decided by. Scopes play no part in queries: facts that
// differ in their scope only are one.
type tree struct {
	root string
	list []statement.Statement // in order of subject and property
	// part says that there may be more statements; embedded are then all
	// subjects besides the root.
	part     bool
	embedded []string
}

func newTree(o Object) *tree { return &tree{root: o.ID, list: flatten(o.Statements)} }

// of returns what is known of a subject.
func (t *tree) of(subject string) facts {
	if n := len(t.list); n == 0 || t.list[0].Subject == subject && t.list[n-1].Subject == subject {
		return t.list
	}
	from, _ := slices.BinarySearchFunc(t.list, subject, func(s statement.Statement, id string) int {
		return strings.Compare(s.Subject, id)
	})
	to := from
	for to < len(t.list) && t.list[to].Subject == subject {
		to++
	}
	return t.list[from:to:to]
}

// has reports whether a subject exists.
func (t *tree) has(subject string) bool {
	if t.part {
		return subject == t.root || slices.Contains(t.embedded, subject)
	}
	return len(t.of(subject)) > 0
}

// inner returns the subjects besides the root, in order.
func (t *tree) inner() []string {
	if t.part {
		return t.embedded
	}
	var out []string
	for _, s := range t.list {
		if s.Subject != t.root && (len(out) == 0 || out[len(out)-1] != s.Subject) {
			out = append(out, s.Subject)
		}
	}
	return out
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
	subject string
	own     facts
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
	if err != nil || !t.has(subject) {
		return nil, err
	}
	return &object{run: r, tree: t, subject: subject, own: t.of(subject)}, nil
}

// treeOf returns the statements of an object; the last one is kept, since
// subjects with the same root come one after the other.
func (r *run) treeOf(root string) (t *tree, err error) {
	if r.cached != nil && r.cached.root == root {
		return r.cached, nil
	}
	if r.parts != nil {
		t, err = r.partOf(root)
	} else {
		t, err = r.wholeOf(root)
	}
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", statement.Excerpt(root), err)
	}
	r.cached = t
	return t, nil
}

func (r *run) wholeOf(root string) (*tree, error) {
	found, _, err := r.src.Object(root)
	found.ID = root
	return newTree(found), err
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
	all := o.own.of(f.prop)
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
	if o.selected == nil {
		o.selected = map[string][]statement.Statement{}
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
	return o.own.of(name)
}

func terms(list []statement.Statement) value {
	if len(list) == 1 {
		return termValue(list[0].Term)
	}
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

// wholly is an object as conditions see it: with all its values.
type wholly struct{ *object }

func (w wholly) property(name string) value { return terms(w.own.of(name)) }

func (o *object) whole() scope { return wholly{o} }
