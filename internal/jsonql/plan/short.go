package plan

import (
	"slices"
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/statement"
)

// Many queries are about few objects of one row set, by their ids or by a value
// that few have. There is nothing to choose for them, and nothing to join: this
// file answers them without a plan.

// shortForm is a query that may be answered so.
type shortForm struct {
	env *resolve.Env
	set *resolve.Set
	// alone are the conditions beside those of the set.
	alone []resolve.Expr
	// by are the filters that may lead to the objects, if no id does.
	by []resolve.Filter
}

// shortFormOf returns the short form of a query, nil if it has none.
func shortFormOf(q *resolve.Query) *shortForm {
	b := q.Root
	if len(b.Env.Sets) != 1 || b.Main != 0 || b.MergeAll || b.Aggregated || len(b.GroupBy)+len(b.OrderBy) > 0 {
		return nil
	}
	f := &shortForm{env: b.Env, set: b.Env.Sets[0], alone: slices.Clone(b.Env.Conds)}
	for _, c := range f.alone {
		if !ofSet(c, 0) {
			return nil
		}
	}
	if f.set.Optional > 0 || slices.ContainsFunc(append(b.Expressions(), f.alone...), needsSolver) {
		return nil
	}
	cheapFirst(f.alone)
	for _, filter := range f.set.Filters {
		if !filter.Negated && !f.set.Nullable[filter.Prop] {
			f.by = append(f.by, filter)
		}
	}
	if len(f.set.IDs) == 0 && len(f.by) == 0 {
		return nil
	}
	return f
}

// needsSolver reports whether an expression is about other solutions than that
// of its row.
func needsSolver(e resolve.Expr) (needs bool) {
	resolve.Walk(e, func(e resolve.Expr) bool {
		switch e := e.(type) {
		case *resolve.Nested, *resolve.Sub:
			needs = true
		case *resolve.Call:
			needs = needs || syntax.IsAggregate(e.Name)
		}
		return !needs
	})
	return needs
}

// short is the answer to a query by its short form.
type short struct {
	*shortForm
	run *eval.Run
	// by is the filter that leads to the objects, nil for their ids.
	by       *resolve.Filter
	term     statement.Term
	subjects []string
	// tried is how many of them were looked at, passed how many are in the answer.
	tried, passed int

	// What it takes to make a row of one object.
	object [1]*eval.Object
	row    [1]eval.Solution
	scope  eval.Scope
}

// begin finds the subjects, and reports whether it has: not if they are many, or
// if there is no telling.
func (s *short) begin(f *shortForm, run *eval.Run) (few bool, err error) {
	s.shortForm, s.run = f, run
	if len(f.set.IDs) > 0 {
		v, err := run.Eval(f.set.IDs[0], nil)
		s.subjects = idsIn(eval.AsReference(v))
		return true, err
	}
	if _, counts := run.Source().(source.Estimator); !counts {
		return false, nil // it may have no index
	}
	for i := range f.by {
		v, err := run.Eval(f.by[i].Value, nil)
		if err != nil {
			return false, err
		}
		if v.IsList {
			continue
		}
		if s.by, s.term, s.subjects = &f.by[i], v.Term, s.subjects[:0]; s.subjects == nil {
			s.subjects = make([]string, 0, fewEnough/2)
		}
		err = each(run.Source().SubjectsWith(f.by[i].Prop, v.Term), func(subject string) (bool, error) {
			s.subjects = append(s.subjects, subject)
			return len(s.subjects) <= fewEnough, nil
		})
		if err != nil || len(s.subjects) <= fewEnough {
			return true, err
		}
	}
	return false, nil
}

func (s *short) rows(a *Answer, emit emitter) error {
	skip, left := a.block.Offset, a.block.Limit
	if left == 0 {
		return nil
	}
	s.row[0] = s.object[:]
	s.scope.SetRow(a.block, s.row[:])
	var conds *eval.Scope
	if len(s.alone) > 0 {
		conds = eval.ConditionScope(s.object[:], nil)
	}
	for _, subject := range s.subjects {
		s.tried++
		if err := s.run.Looked(); err != nil {
			return err
		}
		o, err := s.run.LoadNext(s.set, subject, s.by == nil)
		if err != nil {
			return err
		}
		if !isRow(o) {
			continue
		}
		s.object[0] = o
		ok, err := s.holds(conds)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		s.passed++
		if skip > 0 {
			skip--
			continue
		}
		left--
		if more, err := emit(a.rowOf(&s.scope)); err != nil || !more || left == 0 {
			return err
		}
	}
	return nil
}

// holds checks the conditions on an object.
func (s *short) holds(scope *eval.Scope) (bool, error) {
	for _, c := range s.alone {
		v, err := s.run.Eval(c, scope)
		if err != nil || !v.Truth() {
			return false, err
		}
	}
	return true, nil
}

// told is what is told of a short answer.
type told struct {
	form *shortForm
	// by is the filter that led to the objects, to as many as found; term is its
	// value.
	by    *resolve.Filter
	term  statement.Term
	found int
	// known says that the source counts.
	known         bool
	tried, passed int
}

func (s *short) tell() told {
	t := told{form: s.shortForm, by: s.by, found: 1, tried: s.tried, passed: s.passed}
	_, t.known = s.run.Source().(source.Estimator)
	if s.by != nil {
		t.term, t.found = s.term, len(s.subjects)
	}
	return t
}

// explain makes the tree that tells the plan, as it would be told of one.
func (t told) explain(elapsed time.Duration) *Node {
	f := t.form
	var op, detail string
	if t.by == nil {
		op, detail = opID, "id = "+textOf(f.set.IDs[0], f.env)
	} else {
		op, detail = opValue, t.by.Prop+" = "+termText(t.term)
	}
	found := newNode(op, detail, float64(t.found), t.known)
	passed := newNode("filter", setText(f.env, 0, f.alone), 0, false, found)
	found.Actual, found.Elapsed = t.tried, elapsed
	passed.Actual, passed.Elapsed = t.passed, elapsed
	return &Node{Op: "construct", Inputs: []*Node{passed}}
}
