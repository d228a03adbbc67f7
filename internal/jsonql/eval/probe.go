package eval

import (
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/statement"
)

// Probe tries conditions on single values of a property, as an index has them,
// without any object.
type Probe struct {
	run      *Run
	scope    *Scope
	solution Solution
	value    []statement.Statement
}

// NewProbe returns a probe for a property of the objects of a set.
func (r *Run) NewProbe(env *resolve.Env, set *resolve.Set, prop string) *Probe {
	p := &Probe{run: r, value: []statement.Statement{{Predicate: prop}}}
	o := &Object{own: p.value, tree: &Tree{}}
	s := make(Solution, len(env.Sets))
	for i := range env.Sets {
		if env.Sets[i] == set {
			s[i] = o
		}
	}
	p.solution, p.scope = s, ConditionScope(s, nil)
	return p
}

// MayHold reports whether a condition holds for an object with no value but
// this. Where that cannot be computed, the object has to tell.
func (p *Probe) MayHold(cond resolve.Expr, t statement.Term) bool {
	p.value[0].Term = t
	v, err := p.run.Eval(cond, p.scope)
	return err != nil || v.Truth()
}

// Solution returns the solution in which the object has no value but this. It
// is changed by the next call.
func (p *Probe) Solution(t statement.Term) Solution {
	p.value[0].Term = t
	return p.solution
}
