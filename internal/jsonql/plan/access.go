package plan

import (
	"fmt"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// The ways to find the objects of a row set by itself.
const (
	opID       = "id"
	opValue    = "value index"
	opOrdered  = "ordered index"
	opFiltered = "property index, filtered"
	opProperty = "property index"
	opUnion    = "union of indexes"
	opAll      = "all objects"
)

// visitor is shown candidates until it returns false.
type visitor func(subject string) (bool, error)

// access is a way to find the candidates of a row set without those of others:
// each once, in order of their roots, the root itself first, then of id.
type access struct {
	op, detail string
	// rows is the estimated number of candidates, cost that of finding and
	// reading them.
	rows, cost float64
	find       func(visitor) error
	// covered, if there is one, is used instead of find: it shows the objects
	// themselves, in any order.
	covered func(objects) error
	// answered are conditions that all candidates meet.
	answered []resolve.Expr
	// outer says that what is found depends on the environments around.
	outer bool
}

// chooser finds the ways to the objects of the sets of one environment.
type chooser struct {
	run       *eval.Run
	est       *estimates
	env       *resolve.Env
	find      func(*resolve.Set, visitor) error // all subjects
	termsOnly bool                              // see wish
	// outer is the scope of the names of environments around. They are known
	// when the objects are looked for, not when the way is chosen.
	outer **eval.Scope
}

// fewEnough is how many candidates are found and read for less than it costs to
// find out whether there is a way to fewer.
const fewEnough = 32

// best returns the cheapest way to the objects of a set, about which alone are
// conditions.
func (c *chooser) best(id resolve.SetID, alone []resolve.Expr) (access, error) {
	set := c.env.Sets[id]
	if len(set.IDs) > 0 {
		return c.byID(set.IDs[0]), nil
	}
	best, found := access{}, false
	take := func(a access) {
		if !found || a.cost < best.cost {
			best, found = a, true
		}
	}
	values, err := c.byValues(set)
	if err != nil {
		return access{}, err
	}
	for _, a := range values {
		take(a)
	}
	if found && best.rows <= fewEnough {
		return best, nil
	}
	for _, a := range c.ranged(id, alone) {
		take(a)
	}
	for _, cond := range alone {
		for _, a := range c.byCondition(id, cond) {
			take(a)
		}
	}
	matters := c.est.objects * costObject
	if found {
		matters = best.cost
	}
	for _, cond := range alone {
		if a, ok := c.filtered(set, cond, matters); ok {
			take(a)
		}
	}
	for _, a := range c.broad(set, matters) {
		take(a)
	}
	return best, nil
}

// broad: the ways on which no value is known.
func (c *chooser) broad(set *resolve.Set, matters float64) (out []access) {
	for _, name := range set.Required {
		out = append(out, c.byProperty(name, matters))
	}
	if a, ok := c.covering(set); ok {
		out = append(out, a)
	}
	return append(out, access{op: opAll, rows: c.est.objects, cost: c.est.objects * costObject,
		find: func(visit visitor) error { return c.find(set, visit) }})
}

func (c *chooser) byID(e resolve.Expr) access {
	return access{op: opID, detail: "id = " + textOf(e, c.env), rows: 1, cost: costObject, find: func(visit visitor) error {
		v, err := c.run.Eval(e, nil)
		if err != nil {
			return err
		}
		return eachOf(idsIn(eval.AsReference(v)), visit)
	}}
}

// byValues: a value is looked up in the index.
func (c *chooser) byValues(set *resolve.Set) (out []access, err error) {
	for _, f := range set.Filters {
		if f.Negated || set.Nullable[f.Prop] {
			continue
		}
		v, err := c.run.Eval(f.Value, nil)
		if err != nil {
			return nil, err
		}
		if !v.IsList {
			out = append(out, c.byValue(f.Prop, v.Term))
		}
	}
	return out, nil
}

func (c *chooser) byValue(prop string, term statement.Term) access {
	rows := c.est.countWith(prop, term)
	return access{
		op: opValue, detail: prop + " = " + termText(term), rows: rows, cost: costLookup + rows*(costEntry+costObject),
		find: func(visit visitor) error { return each(c.run.Source().SubjectsWith(prop, term), visit) },
	}
}

func (c *chooser) byProperty(name string, matters float64) access {
	rows := c.est.countHaving(name, matters/(costEntry+costObject))
	return access{op: opProperty, detail: name, rows: rows, cost: rows * (costEntry + costObject),
		find: func(visit visitor) error { return each(c.run.Source().SubjectsHaving(name), visit) }}
}

// byCondition: a condition leads to the objects by an index.
func (c *chooser) byCondition(id resolve.SetID, cond resolve.Expr) (out []access) {
	if parts, ok := c.alternatives(id, cond); ok && len(parts) > 1 {
		out = append(out, c.union(cond, parts))
	}
	for _, w := range resolve.Ways(cond, id) {
		if len(resolve.SetsOf(w.Other)) == 0 {
			out = append(out, c.byWay(id, w))
		}
	}
	return out
}

// guessMembers is how many values an expression is taken to have that is
// computed before anything is found.
const guessMembers = 8

// byWay: a condition such as id in follow(...), or p in :list, leads to the
// objects from what is known without any of the sets.
func (c *chooser) byWay(id resolve.SetID, w resolve.Way) access {
	set, rows := c.env.Sets[id], float64(guessMembers)
	op := opID
	if w.Prop != "" {
		op = opValue
		rows *= max(1, c.est.countHaving(w.Prop, countAtMost)/guessMembers/keptOf/keptOf)
	}
	return access{op: op, detail: textOf(w.Cond, c.env), rows: rows, cost: rows * (costLookup + costObject), outer: true, find: func(visit visitor) error {
		other, err := c.run.Eval(w.Other, eval.ConditionScope(make(eval.Solution, len(c.env.Sets)), *c.outer))
		if err != nil {
			return err
		}
		subjects, exact, err := lookUp(c.run, w, set, other, nil)
		switch {
		case err != nil:
			return err
		case exact:
			return eachOf(subjects, visit)
		case set.Nullable[w.Prop]:
			return c.find(set, visit)
		}
		return each(c.run.Source().SubjectsHaving(w.Prop), visit)
	}}
}

// numbers finds the subjects that have a number under a property.
type numbers func(value.Value) ([]string, error)

// lookUp returns the subjects that a way leads to from a value, in order; exact
// is false when the indexes cannot tell, since equal numbers have many texts.
func lookUp(run *eval.Run, w resolve.Way, set *resolve.Set, other value.Value, equal numbers) (out []string, exact bool, err error) {
	if w.Prop == "" {
		if _, call := w.Other.(*resolve.Call); call || resolve.IsConstant(w.Other) {
			other = eval.AsReference(other)
		}
		return idsIn(other), true, nil
	}
	for _, m := range other.Members() {
		switch {
		case m.IsList, m.IsNull() && set.Nullable[w.Prop]:
			return nil, false, nil
		case m.Exact():
			for subject, err := range run.Source().SubjectsWith(w.Prop, m.Term) {
				if err != nil {
					return nil, false, fmt.Errorf("read index: %w", err)
				}
				if err := run.Looked(); err != nil {
					return nil, false, err
				}
				out = append(out, subject)
			}
		case equal != nil:
			subjects, err := equal(m)
			if err != nil {
				return nil, false, err
			}
			out = append(out, subjects...)
		default:
			return nil, false, nil
		}
	}
	return inOrder(out), true, nil
}

// idsIn returns the ids among values, in order.
func idsIn(v value.Value) (out []string) {
	for _, m := range v.Members() {
		if m.Term.IsRef() && !m.IsList {
			out = append(out, m.Term.Text)
		}
	}
	return inOrder(out)
}

func inOrder(subjects []string) []string {
	if len(subjects) < 2 {
		return subjects
	}
	slices.SortFunc(subjects, source.CompareSubjects)
	return slices.Compact(subjects)
}

// union: of several conditions one must hold, and each leads to objects by an
// index.
func (c *chooser) union(cond resolve.Expr, parts []access) access {
	out := access{op: opUnion, detail: textOf(cond, c.env)}
	for _, p := range parts {
		out.rows += p.rows
		out.cost += p.cost
	}
	out.find = func(visit visitor) error {
		g := gathered{run: c.run}
		defer g.release()
		for _, p := range parts {
			if err := p.find(func(subject string) (bool, error) { return true, g.add(subject) }); err != nil {
				return err
			}
		}
		return eachOf(inOrder(g.subjects), visit)
	}
	return out
}

// alternatives returns a way for each part of a condition of which one must
// hold, if all have one.
func (c *chooser) alternatives(id resolve.SetID, cond resolve.Expr) ([]access, bool) {
	switch e := cond.(type) {
	case *resolve.Binary:
		switch e.Op {
		case "or":
			left, okL := c.alternatives(id, e.Left)
			right, okR := c.alternatives(id, e.Right)
			return append(left, right...), okL && okR
		case "and":
			left, okL := c.alternatives(id, e.Left)
			right, okR := c.alternatives(id, e.Right)
			if okL && (!okR || total(left) <= total(right)) {
				return left, true
			}
			return right, okR
		case "=":
			if out, ok := c.equalTo(id, e.Left, e.Right); ok {
				return out, true
			}
		}
		if a := c.ranged(id, []resolve.Expr{e}); len(a) > 0 {
			return a, true
		}
		return c.tryable(id, e)
	case *resolve.In:
		if e.Negate {
			return nil, false
		}
		var out []access
		for _, member := range e.Set {
			one, ok := c.equalTo(id, e.Value, member)
			if !ok {
				return c.tryable(id, e)
			}
			out = append(out, one...)
		}
		return out, true
	}
	return nil, false
}

// tryable: one part of a condition is tried on the values of an index. What has
// not the property does not meet it, unless "not" or "if" excuse that.
func (c *chooser) tryable(id resolve.SetID, part resolve.Expr) ([]access, bool) {
	name, single := onlyProperty(part)
	if !single || !ofSet(part, id) || excuses(part) {
		return nil, false
	}
	guarded := &resolve.Binary{Op: "and", Left: &resolve.Call{Name: "exists", Args: []resolve.Expr{&resolve.Prop{Set: id, Path: []string{name}}}}, Right: part}
	a, ok := c.filtered(c.env.Sets[id], guarded, countAtMost)
	return []access{a}, ok
}

// excuses reports whether a condition may hold without the properties in it.
func excuses(e resolve.Expr) (found bool) {
	resolve.Walk(e, func(e resolve.Expr) bool {
		c, isCall := e.(*resolve.Call)
		_, isNot := e.(*resolve.Not)
		found = found || isNot || isCall && (c.Name == "if" || c.Name == "exists")
		return !found
	})
	return found
}

// ofSet reports whether all properties in an expression are those of a set.
func ofSet(e resolve.Expr, id resolve.SetID) bool {
	sets := resolve.SetsOf(e)
	return len(sets) == 1 && sets[id]
}

func total(parts []access) (cost float64) {
	for _, p := range parts {
		cost += p.cost
	}
	return cost
}

// equalTo: a property or the id equals a constant. Equal numbers have many
// texts, so that the index does not find them by one.
func (c *chooser) equalTo(id resolve.SetID, left, right resolve.Expr) ([]access, bool) {
	if resolve.IsConstant(left) {
		left, right = right, left
	}
	if !resolve.IsConstant(right) {
		return nil, false
	}
	v, err := c.run.Eval(right, nil)
	if err != nil {
		return nil, false
	}
	switch left := left.(type) {
	case *resolve.ID:
		if left.Set == id && left.Up == 0 {
			return []access{c.byID(right)}, true
		}
	case *resolve.Prop:
		if left.Set == id && isProperty(left, left.Path[0]) && !left.Maybe && !c.env.Sets[id].Nullable[left.Path[0]] {
			return c.anyOf(left.Path[0], v)
		}
	}
	return nil, false
}

// anyOf: a property has one of some values.
func (c *chooser) anyOf(prop string, v value.Value) (out []access, ok bool) {
	for _, m := range v.Members() {
		if !m.Exact() || m.IsNull() {
			return nil, false
		}
		out = append(out, c.byValue(prop, m.Term))
	}
	return out, len(out) > 0
}

// each calls visit for what an index yields until it returns false.
func each(subjects iter.Seq2[string, error], visit visitor) error {
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

func eachOf(subjects []string, visit visitor) error {
	for _, subject := range subjects {
		if more, err := visit(subject); err != nil || !more {
			return err
		}
	}
	return nil
}
