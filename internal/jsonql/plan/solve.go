package plan

import (
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/statement"
)

// solver finds the solutions of environments by plans, which it makes once for
// each.
type solver struct {
	*planner
	plans map[*resolve.Env]*envPlan
	start time.Time
}

func newSolver(run *eval.Run) (*solver, error) {
	est, err := newEstimates(run.Source())
	if err != nil {
		return nil, err
	}
	v := &solver{plans: map[*resolve.Env]*envPlan{}, start: time.Now()}
	v.planner = &planner{run: run, est: est, all: v.everything}
	run.Solver = v
	return v, nil
}

// planOf returns the plan of an environment.
func (v *solver) planOf(env *resolve.Env, visible resolve.Sets, w wish) (*envPlan, error) {
	if p := v.plans[env]; p != nil {
		return p, nil
	}
	p, err := v.plan(env, visible, w)
	v.plans[env] = p
	return p, err
}

// everything shows all subjects: of each object itself and what is embedded in
// it, unless the set has only what is not embedded.
func (v *solver) everything(set *resolve.Set, visit visitor) error {
	for t, err := range v.run.Trees(set) {
		if err != nil {
			return err
		}
		if more, err := visit(t.Root()); err != nil || !more {
			return err
		}
		if set.OwnersOnly {
			continue
		}
		for _, subject := range t.Inner() {
			if more, err := visit(subject); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// Solve implements eval.Solver.
func (v *solver) Solve(env *resolve.Env, visible resolve.Sets, outer *eval.Scope, visit func(eval.Solution) (bool, error)) error {
	p, err := v.planOf(env, visible, wish{first: resolve.NoSet})
	if err != nil {
		return err
	}
	return v.solve(p, visible, outer, func(s eval.Solution) (bool, error) { return visit(s.Clone()) })
}

// solve shows each solution to visit, which must not keep it.
func (v *solver) solve(p *envPlan, visible resolve.Sets, outer *eval.Scope, visit func(eval.Solution) (bool, error)) error {
	if outer != nil { // whose solution is another one each time
		p.forget(v.run)
		p.outer = outer
	}
	s := make(eval.Solution, len(p.env.Sets))
	e := &execution{solver: v, plan: p, s: s, scope: eval.ConditionScope(s, outer), visit: visit}
	if p.repeats {
		e.seen, e.visible = map[string]bool{}, visible
	}
	if ok, err := e.holds(p.constant); err != nil || !ok {
		return err
	}
	_, err := e.bind(0)
	return err
}

// execution is one search for the solutions of an environment.
type execution struct {
	*solver
	plan  *envPlan
	s     eval.Solution
	scope *eval.Scope // of s
	visit func(eval.Solution) (bool, error)
	// seen are the solutions so far, as far as they are visible.
	seen    map[string]bool
	visible resolve.Sets
	ended   bool
}

func (e *execution) holds(conds []resolve.Expr) (bool, error) {
	for _, c := range conds {
		v, err := e.run.Eval(c, e.scope)
		if err != nil || !v.Truth() {
			return false, err
		}
	}
	return true, nil
}

// bind binds the sets from step i on, and reports whether there is a solution.
func (e *execution) bind(i int) (found bool, err error) {
	if i == len(e.plan.steps) {
		return true, e.give()
	}
	st := e.plan.steps[i]
	matched := false
	err = e.candidates(i, st, func(o *eval.Object) (bool, error) {
		e.s[st.id] = o
		conds := st.conds
		if st.byValue {
			conds = st.rest
		}
		ok, err := e.holds(conds)
		if err != nil || !ok {
			return err == nil, err
		}
		matched = true
		st.joined.Actual++
		more, err := e.bind(i + 1)
		found = found || more
		return err == nil && !e.ended && (!found || st.needed), err
	})
	e.s[st.id] = nil
	st.joined.Elapsed = time.Since(e.start)
	if err == nil && !matched && st.optional != nil && !e.ended {
		st.joined.Actual++
		return e.bind(i + 1)
	}
	return found, err
}

// give passes a solution on.
func (e *execution) give() error {
	if e.seen != nil {
		key := e.key()
		if e.seen[key] {
			return nil
		}
		e.seen[key] = true
		if err := e.run.Hold(len(key) + eval.ValueBytes); err != nil {
			return err
		}
	}
	more, err := e.visit(e.s)
	e.ended = e.ended || !more
	return err
}

func (e *execution) key() string {
	text := make([]byte, 0, 64)
	for id, o := range e.s {
		if e.visible[resolve.SetID(id)] && o != nil {
			text = append(text, o.Subject()...)
		}
		text = append(text, 0)
	}
	return string(text)
}

// candidates shows the objects that a set may have, until visit returns false.
func (e *execution) candidates(i int, st *step, visit func(*eval.Object) (bool, error)) error {
	switch {
	case st.kind == lookup:
		return e.looked(st, visit)
	case st.kind == hash:
		return e.hashed(st, visit)
	case i == 0:
		return e.scanned(st, visit)
	}
	return e.held(st, visit)
}

// scanned shows what a set has by itself, without keeping it.
func (e *execution) scanned(st *step, visit func(*eval.Object) (bool, error)) error {
	var err error
	if st.access.covered != nil {
		err = st.access.covered(func(o *eval.Object) (bool, error) {
			st.found.Actual++
			return e.show(st, o, visit)
		})
	} else {
		err = st.access.find(func(subject string) (bool, error) {
			st.found.Actual++
			return e.try(st, subject, false, false, visit)
		})
	}
	st.found.Elapsed = time.Since(e.start)
	return err
}

// try shows a subject, if it is an object of the set.
func (e *execution) try(st *step, subject string, dangling, keep bool, visit func(*eval.Object) (bool, error)) (bool, error) {
	if err := e.run.Looked(); err != nil {
		return false, err
	}
	o, err := e.run.Load(st.set, subject, dangling, keep)
	if err != nil || o == nil {
		return err == nil, err
	}
	return e.show(st, o, visit)
}

// show shows an object, if it meets the conditions about it alone.
func (e *execution) show(st *step, o *eval.Object, visit func(*eval.Object) (bool, error)) (bool, error) {
	if len(st.alone) > 0 {
		e.s[st.id] = o
		if ok, err := e.holds(st.alone); err != nil || !ok {
			return err == nil, err
		}
	}
	return visit(o)
}

// looked shows what a way leads to from what is bound.
func (e *execution) looked(st *step, visit func(*eval.Object) (bool, error)) error {
	e.s[st.id] = nil
	other, err := e.run.Eval(st.way.Other, e.scope)
	if err != nil {
		return err
	}
	if st.byValue = st.bare && !other.IsList && other.Exact() && !other.IsNull(); st.byValue {
		return e.named(st, other.Term, visit)
	}
	subjects, exact, err := lookUp(e.run, st.way, st.set, other, e.numbers(st))
	if err != nil {
		return err
	}
	if !exact {
		return e.held(st, visit)
	}
	for _, subject := range subjects {
		st.found.Actual++
		if more, err := e.try(st, subject, st.way.Prop == "", true, visit); err != nil || !more {
			return err
		}
	}
	st.found.Elapsed = time.Since(e.start)
	return nil
}

// named shows the objects that have a value, as the index names them.
func (e *execution) named(st *step, term statement.Term, visit func(*eval.Object) (bool, error)) error {
	err := each(e.run.Source().SubjectsWith(st.way.Prop, term), func(subject string) (bool, error) {
		st.found.Actual++
		if err := e.run.Looked(); err != nil {
			return false, err
		}
		o, err := e.run.Single(st.set, subject, st.way.Prop, term)
		if err != nil || o == nil {
			return err == nil, err
		}
		return e.show(st, o, visit)
	})
	st.found.Elapsed = time.Since(e.start)
	return err
}
