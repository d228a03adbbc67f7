package eval

import (
	"iter"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/source"
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

// Tree holds the statements of an object and of all that is embedded in it, or
// those that a query looks at. Scopes play no part in queries: facts that
// differ in their scope only are one.
type Tree struct {
	root string
	list []statement.Statement // in order of subject and property
	// part says that there may be more statements; embedded are then all
	// subjects besides the root.
	part     bool
	embedded []string
}

func newTree(o source.Object) *Tree { return &Tree{root: o.ID, list: flatten(o.Statements)} }

func newPart(p source.Part) *Tree {
	return &Tree{root: p.ID, list: flat(p), part: true, embedded: p.Embedded}
}

// of returns what is known of a subject.
func (t *Tree) of(subject string) facts {
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
func (t *Tree) has(subject string) bool {
	if t.part {
		return subject == t.root || slices.Contains(t.embedded, subject)
	}
	return len(t.of(subject)) > 0
}

// Root is the id of the object.
func (t *Tree) Root() string { return t.root }

// Inner returns the subjects besides the root, in order.
func (t *Tree) Inner() []string {
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

// flat returns the facts of a part without their scopes.
func flat(p source.Part) []statement.Statement {
	if p.Flat {
		return p.Statements
	}
	return flatten(p.Statements)
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
