package store

import (
	"cmp"
	"slices"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// This file says what a record looks like from outside. Of the writes that
// assigned a property and have not seen each other the one that the policy
// prefers is read (conflict.go), the others are its conflicts; what was added
// to the property one by one is read besides. Embedded objects and lists that
// nothing in the object refers to any more are not seen.

// read returns what is read of a register, in canonical order, each once.
func (reg *register) read(l lens) []changeset.Value {
	var winner *group
	assigned, adds := 0, 0
	for i := range reg.groups {
		g := &reg.groups[i]
		switch {
		case !l.sees(g):
		case !g.assign:
			adds++
		default:
			assigned++
			if winner == nil || l.rank(g.stamp, winner.stamp) < 0 {
				winner = g
			}
		}
	}
	if adds == 0 && (assigned == 1 || assigned > 1 && l.policy != PolicyKeepBoth) {
		return winner.values
	}
	var out []changeset.Value
	reg.readOf(l, func(_ *group, values []changeset.Value) { out = append(out, values...) })
	return mergeValues(out)
}

// mergeValues brings values into canonical order and makes those of the same
// fact one, with all the positions. The argument is not kept.
func mergeValues(values []changeset.Value) []changeset.Value {
	slices.SortFunc(values, changeset.CompareValues)
	out := values[:0]
	for _, v := range values {
		if n := len(out); n > 0 && out[n-1].Same(v) {
			out[n-1].Positions = unionPositions(out[n-1].Positions, v.Positions)
			continue
		}
		out = append(out, v)
	}
	return out
}

func unionPositions(a, b []int) []int {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 || slices.Equal(a, b) {
		return a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func equalValues(a, b []changeset.Value) bool {
	return slices.EqualFunc(a, b, func(v, w changeset.Value) bool { return changeset.CompareValues(v, w) == 0 })
}

// view is what is seen of a record.
type view struct {
	root string
	// statements are in canonical order, except that those of the root come
	// before those of what is embedded in it.
	statements []statement.Statement
	// conflicts are the properties with concurrent values, in order.
	conflicts []prop
}

// see returns what is seen of the record of an object.
func (r *record) see(root string, policy ConflictPolicy) view {
	v := view{root: root}
	l := r.lens(policy)
	keep := r.reachable(root, l)
	v.statements = slices.Grow(v.statements, len(r.regs))
	for i := range r.regs {
		reg := &r.regs[i]
		if reg.subject != "" && !keep[reg.subject] {
			continue
		}
		subject := cmp.Or(reg.subject, root)
		for _, val := range reg.read(l) {
			v.statements = append(v.statements, val.Statement(subject, reg.predicate))
		}
		if len(reg.groups) > 1 && reg.conflict(l) {
			v.conflicts = append(v.conflicts, prop{subject, reg.predicate})
		}
	}
	return v
}

// reachable returns the embedded subjects that the root refers to, directly or
// through others. It is nil when the object embeds nothing.
func (r *record) reachable(root string, l lens) map[string]bool {
	if n := len(r.regs); n == 0 || r.regs[n-1].subject == "" {
		return nil
	}
	return reach(root, func(subject string, visit func(changeset.Value)) {
		if subject == root {
			subject = ""
		}
		r.readAll(subject, l, visit)
	})
}

// readAll calls visit with all that is read of a subject, "" being the root.
func (r *record) readAll(subject string, l lens, visit func(changeset.Value)) {
	at, _ := r.find(subject, "")
	for ; at < len(r.regs) && r.regs[at].subject == subject; at++ {
		for _, v := range r.regs[at].read(l) {
			visit(v)
		}
	}
}

// reach follows the references of an object to what is embedded in it. The
// function calls visit with every value of a subject.
func reach(root string, values func(subject string, visit func(changeset.Value))) map[string]bool {
	seen := map[string]bool{}
	queue := []string{root}
	for len(queue) > 0 {
		subject := queue[0]
		queue = queue[1:]
		values(subject, func(v changeset.Value) {
			if v.IsRef() && !seen[v.Text] && statement.IsEmbedded(v.Text) && statement.Root(v.Text) == root {
				seen[v.Text] = true
				queue = append(queue, v.Text)
			}
		})
	}
	return seen
}

// object returns the outside form of the part of a record that id names: all of
// it for the root, else the embedded subject and what is embedded in that.
func (r *record) object(root, id string, policy ConflictPolicy) (Object, bool) {
	v := r.see(root, policy)
	o := Object{ID: id, Statements: subtree(v.statements, root, id), Revision: r.revision(), Last: r.last(), Deleted: r.hidden()}
	if len(v.conflicts) > 0 {
		o.Conflicts = r.conflictsOf(root, o.Statements, policy)
	}
	statement.Sort(o.Statements)
	return o, len(o.Statements) > 0
}

// subtree returns the statements of id and of all that is embedded in it.
func subtree(statements []statement.Statement, root, id string) []statement.Statement {
	if id == root {
		return statements
	}
	bySubject := map[string][]statement.Statement{}
	for _, s := range statements {
		bySubject[s.Subject] = append(bySubject[s.Subject], s)
	}
	out := bySubject[id]
	if len(out) == 0 {
		return nil
	}
	seen := map[string]bool{id: true}
	for i := 0; i < len(out); i++ {
		if t := out[i].Term; t.IsRef() && !seen[t.Text] && statement.IsEmbedded(t.Text) {
			seen[t.Text] = true
			out = append(out, bySubject[t.Text]...)
		}
	}
	return out
}
