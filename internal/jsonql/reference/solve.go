package reference

import (
	"fmt"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// solution has the object of each set of an environment; nil for a set of an
// outer join that has none.
type solution []*object

// step binds one set.
type step struct {
	set resolve.SetID
	// from, when there is one, is a condition that tells the objects from what
	// is bound before.
	from *way
	// conds are checked when the set is bound; alone are those of them that
	// are about nothing else.
	conds, alone []resolve.Expr
	// optional is the condition of an outer join, or nil.
	optional resolve.Expr
	// needed says that different objects make different solutions.
	needed bool
	all    []*object
	loaded bool
}

// solver finds the solutions of an environment.
type solver struct {
	run   *run
	env   *resolve.Env
	outer *scope
	steps []*step
	found []solution
}

// solve returns all solutions of an environment that differ in the visible sets.
func (r *run) solve(env *resolve.Env, visible map[resolve.SetID]bool, outer *scope) ([]solution, error) {
	v := &solver{run: r, env: env, outer: outer}
	constant := v.plan(visible)
	none := solution(make([]*object, len(env.Sets)))
	if ok, err := v.holds(constant, none); err != nil || !ok {
		return nil, err
	}
	_, err := v.bind(0, none)
	return v.found, err
}

func (v *solver) holds(conds []resolve.Expr, s solution) (bool, error) {
	for _, c := range conds {
		ok, err := v.run.eval(c, &scope{list: []solution{s}, outer: v.outer, whole: true})
		if err != nil || !ok.Truth() {
			return false, err
		}
	}
	return true, nil
}

// bind binds the sets from step i on, and reports whether there is a solution.
func (v *solver) bind(i int, s solution) (found bool, err error) {
	if i == len(v.steps) {
		if len(v.found) >= v.run.limits.MaxObjects {
			return false, &Error{Message: fmt.Sprintf("the query has more than %d solutions: add a condition", v.run.limits.MaxObjects)}
		}
		v.found = append(v.found, slices.Clone(s))
		return true, v.run.hold(v.size(s))
	}
	st := v.steps[i]
	matched := false
	err = v.candidates(st, s, func(o *object, checked bool) (bool, error) {
		if err := v.run.looked(); err != nil {
			return false, err
		}
		s[st.set] = o
		ok, err := v.holds(st.conds, s)
		if ok && err == nil && !checked {
			ok, err = v.holds(st.alone, s)
		}
		if err != nil || !ok {
			return err == nil, err
		}
		matched = true
		more, err := v.bind(i+1, s)
		found = found || more
		return err == nil && (!found || st.needed), err
	})
	s[st.set] = nil
	if err == nil && !matched && st.optional != nil {
		return v.bind(i+1, s)
	}
	return found, err
}

// size is about how many bytes a solution holds, with the objects in it that no
// step has anyway.
func (v *solver) size(s solution) int {
	n := valueBytes + 8*len(s)
	for _, st := range v.steps {
		if o := s[st.set]; o != nil && st.from != nil {
			n += o.size()
		}
	}
	return n
}

// candidates calls visit with the objects that a set may have, until it returns
// false.
func (v *solver) candidates(st *step, s solution, visit func(o *object, checked bool) (bool, error)) error {
	if st.from == nil {
		if err := v.loadAll(st); err != nil {
			return err
		}
		for _, o := range st.all {
			if more, err := visit(o, true); err != nil || !more {
				return err
			}
		}
		return nil
	}
	other, err := v.run.eval(st.from.other, &scope{list: []solution{s}, outer: v.outer, whole: true})
	if err != nil {
		return err
	}
	subjects, err := v.run.subjects(st.from, other)
	if err != nil {
		return err
	}
	for _, subject := range subjects {
		o, err := v.run.load(v.env.Sets[st.set], subject, st.from.prop == "")
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		if more, err := visit(o, false); err != nil || !more {
			return err
		}
	}
	return nil
}

// subjects returns what a way leads to from a value.
func (r *run) subjects(w *way, other value.Value) ([]string, error) {
	var out []string
	if w.prop == "" {
		if w.constant {
			other = reference(other)
		}
		for _, m := range other.Members() {
			if m.Term.IsRef() && !m.IsList {
				out = append(out, m.Term.Text)
			}
		}
	} else {
		for _, m := range other.Members() {
			list := r.src.SubjectsHaving(w.prop)
			if m.Term.IsRef() || m.Term.Type == statement.TypeLiteral {
				list = r.src.SubjectsWith(w.prop, m.Term)
			}
			var err error
			if out, err = r.collect(out, list); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(out, compareSubjects)
	return slices.Compact(out), nil
}

func (r *run) collect(out []string, list iter.Seq2[string, error]) ([]string, error) {
	for subject, err := range list {
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		if err := r.looked(); err != nil {
			return nil, err
		}
		out = append(out, subject)
	}
	return out, nil
}

// loadAll finds the objects that a set has by itself.
func (v *solver) loadAll(st *step) error {
	if st.loaded {
		return nil
	}
	subjects, err := v.run.candidates(v.env.Sets[st.set])
	if err != nil {
		return err
	}
	alone := solution(make([]*object, len(v.env.Sets)))
	for _, subject := range subjects {
		o, err := v.run.load(v.env.Sets[st.set], subject, false)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		alone[st.set] = o
		ok, err := v.holds(st.alone, alone)
		if err != nil {
			return err
		}
		if ok {
			st.all = append(st.all, o)
			if err := v.run.hold(o.size()); err != nil {
				return err
			}
		}
	}
	st.loaded = true
	return nil
}

// candidates returns the subjects that may satisfy a set, by the best index.
func (r *run) candidates(set *resolve.Set) ([]string, error) {
	var out []string
	var err error
	index := r.index(set)
	switch {
	case len(set.IDs) > 0:
		v, err := r.eval(set.IDs[0], nil)
		if err != nil {
			return nil, err
		}
		return r.subjects(&way{constant: true}, v)
	case index != nil:
		out, err = r.collect(out, index)
	default:
		out, err = r.everything(out)
	}
	if err == nil && len(out) > r.limits.MaxObjects {
		err = &Error{Message: fmt.Sprintf("the query has to look at more than %d objects at once: add a condition", r.limits.MaxObjects)}
	}
	slices.SortFunc(out, compareSubjects)
	return slices.Compact(out), err
}

func (r *run) index(set *resolve.Set) iter.Seq2[string, error] {
	for _, f := range set.Filters {
		v, err := r.eval(f.Value, nil)
		if err == nil && !f.Negated && !v.IsList && !set.Nullable[f.Prop] {
			return r.src.SubjectsWith(f.Prop, v.Term)
		}
	}
	if len(set.Required) > 0 {
		return r.src.SubjectsHaving(set.Required[0])
	}
	return nil
}

// everything adds the subjects of all objects and of what is embedded in them.
func (r *run) everything(out []string) ([]string, error) {
	for found, err := range r.src.Objects() {
		if err != nil {
			return nil, fmt.Errorf("read objects: %w", err)
		}
		if err := r.looked(); err != nil {
			return nil, err
		}
		t := newTree(found.Statements)
		if len(r.trees) < maxTrees {
			r.trees[found.ID] = t
		}
		for subject := range t {
			out = append(out, subject)
		}
	}
	return out, nil
}
