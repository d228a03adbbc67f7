package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// ConflictPolicy says which of several concurrent values of a property are
// read. It changes what is seen and found, never what is kept: the digest, the
// conflicts and the history are the same under every policy. It must be the
// same on all nodes that shall give the same answers.
type ConflictPolicy string

const (
	// PolicyLatest reads the value with the greatest stamp (clock, branch,
	// sequence).
	PolicyLatest ConflictPolicy = "latest"
	// PolicyEarliest reads the value with the smallest stamp.
	PolicyEarliest ConflictPolicy = "earliest"
	// PolicyKeepBoth reads all of them, as if they had been added one by one. A
	// list is one value: of several, the latest is read.
	PolicyKeepBoth ConflictPolicy = "keepBoth"
)

// ConflictPolicies are all there are, the default first.
func ConflictPolicies() []ConflictPolicy {
	return []ConflictPolicy{PolicyLatest, PolicyEarliest, PolicyKeepBoth}
}

// check refuses a policy that does not exist. Empty means PolicyLatest.
func (p ConflictPolicy) check() error {
	if p != "" && !slices.Contains(ConflictPolicies(), p) {
		return fmt.Errorf("conflict policy %q is unknown: it must be one of %q", string(p), ConflictPolicies())
	}
	return nil
}

// lens is how a record is looked at.
type lens struct {
	// hidden is the stamp below which nothing is seen.
	hidden changeset.Stamp
	policy ConflictPolicy
}

func (r *record) lens(policy ConflictPolicy) lens { return lens{hidden: r.hidden(), policy: policy} }

func (l lens) sees(g *group) bool { return g.stamp.Compare(l.hidden) >= 0 }

// rank orders concurrent assignments: the one that is read comes first.
func (l lens) rank(a, b changeset.Stamp) int {
	if l.policy == PolicyEarliest {
		return a.Compare(b)
	}
	return b.Compare(a)
}

// rivals returns the assignments of a register that have not seen each other,
// the one that is read first, at most MaxConflictValues. They are chosen from
// the record alone, and so the same everywhere.
func (reg *register) rivals(l lens) []*group {
	var out []*group
	for i := range reg.groups {
		if g := &reg.groups[i]; g.assign && l.sees(g) {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *group) int { return l.rank(a.stamp, b.stamp) })
	return out[:min(len(out), MaxConflictValues)]
}

// conflict reports whether concurrent writes assigned different values.
func (reg *register) conflict(l lens) bool {
	var first *group
	for i := range reg.groups {
		g := &reg.groups[i]
		if !g.assign || !l.sees(g) {
			continue
		}
		if first == nil {
			first = g
			continue
		}
		if !equalValues(first.values, g.values) {
			return true
		}
	}
	return false
}

// shown calls visit with what is read of each rival.
func (l lens) shown(rivals []*group, visit func(at int, values []changeset.Value)) {
	list := false
	for i, g := range rivals {
		switch {
		case i > 0 && l.policy != PolicyKeepBoth:
			return
		case !listed(g.values):
			visit(i, g.values)
		case !list:
			list = true
			visit(i, g.values)
		default:
			visit(i, slices.DeleteFunc(slices.Clone(g.values), func(v changeset.Value) bool { return len(v.Positions) > 0 }))
		}
	}
}

// conflictsOf lists the conflicts among the subjects of the given statements.
func (r *record) conflictsOf(root string, seen []statement.Statement, policy ConflictPolicy) []Conflict {
	subjects := map[string]bool{}
	for _, s := range seen {
		subjects[s.Subject] = true
	}
	var out []Conflict
	l := r.lens(policy)
	for i := range r.regs {
		reg := &r.regs[i]
		if subject := cmp.Or(reg.subject, root); subjects[subject] && reg.conflict(l) {
			out = append(out, r.listConflict(root, reg, l))
		}
	}
	return out
}

func (r *record) listConflict(root string, reg *register, l lens) Conflict {
	c := Conflict{Subject: cmp.Or(reg.subject, root), Predicate: reg.predicate}
	rivals := reg.rivals(l)
	for _, g := range rivals {
		c.Values = append(c.Values, ConflictValue{Stamp: g.stamp, Statements: r.spell(root, reg, g, l)})
	}
	l.shown(rivals, func(at int, values []changeset.Value) { c.Values[at].Visible = len(values) > 0 })
	return c
}

// spell returns the statements of one assignment, and those of what it embeds,
// which nothing else may refer to.
func (r *record) spell(root string, reg *register, g *group, l lens) []statement.Statement {
	subject := cmp.Or(reg.subject, root)
	var out []statement.Statement
	for _, v := range g.values {
		out = append(out, v.Statement(subject, reg.predicate))
	}
	keep := reach(root, func(from string, visit func(changeset.Value)) {
		if from != root {
			r.readAll(from, l, visit)
			return
		}
		for _, v := range g.values {
			visit(v)
		}
	})
	for _, id := range slices.Sorted(maps.Keys(keep)) {
		if id == subject {
			continue // the value refers to the object that it is in
		}
		at, _ := r.find(id, "")
		for ; at < len(r.regs) && r.regs[at].subject == id; at++ {
			for _, v := range r.regs[at].read(l) {
				out = append(out, v.Statement(id, r.regs[at].predicate))
			}
		}
	}
	statement.Sort(out)
	return out
}
