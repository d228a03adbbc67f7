// Package reference answers every query of the language in the plainest way
// there is (Run): it binds each row set of the query to each object of the
// store, one after the other, and checks each condition as soon as the sets in
// it are bound. It uses no index. It is small enough to be believed by reading;
// package plan, which is what answers queries, is held against it.
package reference

import (
	"context"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
)

// Run answers a query: its rows are values that pjson.AppendJSON writes, in
// their order, or in that of the ids of their objects. It returns ctx's error
// when ctx ends, an *eval.Error for a query that cannot be computed or goes
// beyond the limits, and the source's own errors wrapped.
func Run(ctx context.Context, q *resolve.Query, src source.Source, bindings map[string]any, l eval.Limits, forUpdate bool) ([]any, error) {
	r, err := eval.NewRun(ctx, q, src, bindings, l)
	if err != nil {
		return nil, err
	}
	r.Solver, r.ForUpdate, r.Whole = solver{r}, forUpdate, true
	return r.Independent(q.Root)
}

type solver struct{ run *eval.Run }

// Solve implements eval.Solver.
func (v solver) Solve(env *resolve.Env, visible resolve.Sets, outer *eval.Scope, visit func(eval.Solution) (bool, error)) error {
	inner, optional := env.Order()
	j := &join{run: v.run, env: env, outer: outer, visible: visible, visit: visit, seen: map[string]bool{}, all: map[resolve.SetID][]*eval.Object{}}
	slices.SortStableFunc(inner, func(a, b resolve.SetID) int { // what follows references comes after what refers
		return number(env.FollowsReferences(a)) - number(env.FollowsReferences(b))
	})
	j.order = append(inner, optional...)
	j.divide(env)
	return j.bind(0, make(eval.Solution, len(env.Sets)))
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// join is one environment that is being solved.
type join struct {
	run     *eval.Run
	env     *resolve.Env
	outer   *eval.Scope
	visible resolve.Sets
	visit   func(eval.Solution) (bool, error)
	order   []resolve.SetID
	// conds are checked when so many sets are bound.
	conds [][]resolve.Expr
	all   map[resolve.SetID][]*eval.Object
	seen  map[string]bool
	ended bool
}

// divide says of each condition after which set it is checked: the last of its
// own.
func (j *join) divide(env *resolve.Env) {
	j.conds = make([][]resolve.Expr, len(j.order)+1)
	for _, c := range env.Conds {
		sets, at := resolve.SetsOf(c), 0
		for i, id := range j.order {
			if sets[id] {
				at = i + 1
			}
		}
		j.conds[at] = append(j.conds[at], c)
	}
}

func (j *join) holds(conds []resolve.Expr, s eval.Solution) (bool, error) {
	for _, c := range conds {
		v, err := j.run.Eval(c, eval.ConditionScope(s, j.outer))
		if err != nil || !v.Truth() {
			return false, err
		}
	}
	return true, nil
}

// bind binds the sets from place i on.
func (j *join) bind(i int, s eval.Solution) error {
	if i == 0 {
		if ok, err := j.holds(j.conds[0], s); err != nil || !ok {
			return err
		}
	}
	if i == len(j.order) {
		return j.give(s)
	}
	id, matched := j.order[i], false
	objects, err := j.objects(id, s)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := j.run.Looked(); err != nil || j.ended {
			return err
		}
		s[id] = o
		ok, err := j.holds(j.conds[i+1], s)
		if err != nil {
			return err
		}
		if ok {
			matched = true
			if err := j.bind(i+1, s); err != nil {
				return err
			}
		}
	}
	s[id] = nil
	if !matched && j.env.Sets[id].Optional > 0 {
		return j.bind(i+1, s)
	}
	return nil
}

// give passes a solution on that differs from all before in what is visible.
func (j *join) give(s eval.Solution) error {
	var text strings.Builder
	for id, o := range s {
		if j.visible[resolve.SetID(id)] && o != nil {
			text.WriteString(o.Subject())
		}
		text.WriteByte(0)
	}
	if j.seen[text.String()] || j.ended {
		return nil
	}
	j.seen[text.String()] = true
	more, err := j.visit(slices.Clone(s))
	j.ended = !more
	return err
}

// objects returns all objects that a set may have.
func (j *join) objects(id resolve.SetID, s eval.Solution) ([]*eval.Object, error) {
	set := j.env.Sets[id]
	if _, known := j.all[id]; !known {
		j.all[id] = []*eval.Object{}
		for t, err := range j.run.Trees(set) {
			if err != nil {
				return nil, err
			}
			for _, subject := range append([]string{t.Root()}, t.Inner()...) {
				if err := j.load(id, subject, false, &j.all); err != nil {
					return nil, err
				}
			}
		}
	}
	if !j.env.FollowsReferences(id) {
		return j.all[id], nil
	}
	missing, err := j.missing(id, s)
	return append(slices.Clip(j.all[id]), missing...), err
}

func (j *join) load(id resolve.SetID, subject string, dangling bool, into *map[resolve.SetID][]*eval.Object) error {
	o, err := j.run.Load(j.env.Sets[id], subject, dangling, false)
	if err == nil && o != nil {
		(*into)[id] = append((*into)[id], o)
	}
	return err
}

// missing returns what conditions refer to and is not there.
func (j *join) missing(id resolve.SetID, s eval.Solution) ([]*eval.Object, error) {
	there, out := map[string]bool{}, map[resolve.SetID][]*eval.Object{}
	for _, o := range j.all[id] {
		there[o.Subject()] = true
	}
	for _, c := range j.env.Conds {
		for _, w := range resolve.Ways(c, id) {
			if w.Prop != "" {
				continue
			}
			v, err := j.run.Eval(w.Other, eval.ConditionScope(s, j.outer))
			if err != nil {
				return nil, err
			}
			for _, m := range eval.AsReference(v).Members() {
				if m.IsList || !m.Term.IsRef() || there[m.Term.Text] {
					continue
				}
				there[m.Term.Text] = true
				if err := j.load(id, m.Term.Text, true, &out); err != nil {
					return nil, err
				}
			}
		}
	}
	return out[id], nil
}
