package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// indexOnly makes groups and aggregates from an index, without reading objects.
type indexOnly struct {
	answer *Answer
	node   *Node
	// fill accumulates the groups.
	fill func(*indexOnly) ([]*eval.Group, error)
	prop string
	term statement.Term
}

// errCut says that the index has not the whole of a value: the objects must be
// read after all.
var errCut = errors.New("a value is cut in the index")

// shortcuts finds out whether an index alone, or its order, answers the query.
func (a *Answer) shortcuts() {
	if len(a.plan.steps) != 1 || len(a.plan.env.Sets) != 1 || len(a.plan.env.Conds) > 0 && len(a.block.OrderBy) == 0 {
		return
	}
	set := a.plan.steps[0].set
	if a.plan.steps[0].access.op == opID || len(set.IDs)+len(set.Absent) > 0 || set.OwnersOnly {
		return
	}
	if a.ordered = a.orderedByIndex(set); a.ordered != nil {
		return
	}
	if len(a.plan.env.Conds) > 0 || !eval.Accumulates(a.block) {
		return
	}
	a.index = a.countedByIndex(set)
	if a.index == nil {
		a.index = a.summedByIndex(set)
	}
}

// countedByIndex: count(*) of the objects with one value.
func (a *Answer) countedByIndex(set *resolve.Set) *indexOnly {
	if !a.block.Aggregated || len(set.Filters) != 1 || set.Filters[0].Negated || set.Nullable[set.Filters[0].Prop] {
		return nil
	}
	prop := set.Filters[0].Prop
	for _, e := range a.block.Expressions() {
		if !onlyCounts(e) {
			return nil
		}
	}
	v, err := a.run.Eval(set.Filters[0].Value, nil)
	if err != nil || v.IsList || slices.ContainsFunc(set.Required, func(name string) bool { return name != prop }) {
		return nil
	}
	st := a.plan.steps[0]
	return &indexOnly{
		answer: a, prop: prop, term: v.Term, fill: (*indexOnly).count,
		node: newNode(opBare, st.access.detail, st.access.rows, a.solver.est.known()),
	}
}

// onlyCounts reports whether an expression is about no property.
func onlyCounts(e resolve.Expr) bool {
	ok := true
	resolve.Walk(e, func(e resolve.Expr) bool {
		switch e.(type) {
		case *resolve.Prop, *resolve.ID:
			ok = false
		}
		return ok
	})
	return ok
}

func (x *indexOnly) count() ([]*eval.Group, error) {
	g, n := x.answer.run.NewGroup(x.answer.block, nil), 0
	for subject, err := range x.answer.run.Source().SubjectsWith(x.prop, x.term) {
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		if err := x.answer.run.Looked(); err != nil {
			return nil, err
		}
		if !statement.IsList(subject) {
			n++
		}
	}
	x.node.Actual = n
	return []*eval.Group{g}, g.AddTimes(x.probe().Solution(x.term), n)
}

func (x *indexOnly) probe() *eval.Probe {
	env := x.answer.plan.env
	return x.answer.run.NewProbe(env, env.Sets[0], x.prop)
}

// summedByIndex: groups by one property, or aggregates of it, with nothing else.
func (a *Answer) summedByIndex(set *resolve.Set) *indexOnly {
	b := a.block
	if _, ok := a.run.Source().(source.PostingSource); !ok || len(set.Filters) > 0 || len(set.Required) != 1 || len(b.GroupBy) > 1 {
		return nil
	}
	prop := set.Required[0]
	if len(b.GroupBy) == 1 && !isProperty(b.GroupBy[0], prop) {
		return nil
	}
	for _, e := range b.Expressions() {
		if !onlyAbout(e, prop, len(b.GroupBy) == 1) {
			return nil
		}
	}
	rows := a.solver.est.countHaving(prop, countAtMost)
	return &indexOnly{answer: a, prop: prop, fill: (*indexOnly).sum, node: newNode(opCovering, prop, rows, a.solver.est.known())}
}

func isProperty(e resolve.Expr, prop string) bool {
	p, ok := e.(*resolve.Prop)
	return ok && len(p.Path) == 1 && p.Path[0] == prop && !p.EndID && p.Up == 0
}

// onlyAbout reports whether an expression can be computed of the values of a
// property, each for itself: of groups by the property, or as an aggregate.
func onlyAbout(e resolve.Expr, prop string, grouped bool) bool {
	ok := true
	resolve.Walk(e, func(e resolve.Expr) bool {
		switch e := e.(type) {
		case *resolve.Call:
			aggregate := syntax.IsAggregate(e.Name)
			// Of an object with several values count(*) counts one, and anything
			// but the bare property is computed of their list.
			ok = ok && (grouped || aggregate && !e.Star && isProperty(e.Args[0], prop)) && e.Name != "exists" && e.Name != "follow" && e.Name != "rfollow" && !syntax.IsRevision(e.Name)
		case *resolve.Prop:
			ok = ok && isProperty(e, prop)
		case *resolve.Const, *resolve.Bind, *resolve.Binary, *resolve.In, *resolve.Not:
		default:
			ok = false
		}
		return ok
	})
	return ok && (grouped || !outsideAggregates(e))
}

// outsideAggregates reports whether an expression names a property outside of
// an aggregate.
func outsideAggregates(e resolve.Expr) (found bool) {
	resolve.Walk(e, func(e resolve.Expr) bool {
		if c, ok := e.(*resolve.Call); ok && syntax.IsAggregate(c.Name) {
			return false
		}
		_, isProp := e.(*resolve.Prop)
		found = found || isProp
		return !found
	})
	return found
}

// sum goes through the values of the property; equal ones come together.
func (x *indexOnly) sum() ([]*eval.Group, error) {
	run, b, probe := x.answer.run, x.answer.block, x.probe()
	known, all := map[statement.Term]*eval.Group{}, []*eval.Group(nil)
	if b.Aggregated {
		all = append(all, run.NewGroup(b, nil))
	}
	err := x.values(func(term statement.Term, subjects int) error {
		x.node.Actual += subjects
		if b.Aggregated {
			return all[0].AddTimes(probe.Solution(term), subjects)
		}
		g := known[term]
		if g == nil {
			g = run.NewGroup(b, []value.Value{value.Of(term)})
			known[term] = g
			all = append(all, g)
			if err := run.Hold(2*len(term.Text) + groupBytes); err != nil {
				return err
			}
		}
		return g.AddTimes(probe.Solution(term), subjects)
	})
	return all, err
}

// values calls visit with the values of the property, and how many subjects have
// each: all that come one after the other at once.
func (x *indexOnly) values(visit func(statement.Term, int) error) (err error) {
	run := x.answer.run
	if counter, ok := run.Source().(source.ValueCounter); ok {
		exact, fault := counter.CountValues(x.prop, func(term statement.Term, cut bool, subjects int) bool {
			if err = run.Looked(); err == nil && cut {
				err = errCut
			}
			if err == nil {
				err = visit(term, subjects)
			}
			return err == nil
		})
		if exact || fault != nil {
			return cmp.Or(err, x.readIndex(fault))
		}
	}
	var last statement.Term
	n := 0
	flush := func() error {
		if n == 0 {
			return nil
		}
		times := n
		n = 0
		return visit(last, times)
	}
	for p, err := range run.Source().(source.PostingSource).Postings(x.prop) {
		if err != nil {
			return x.readIndex(err)
		}
		if err := run.Looked(); err != nil {
			return err
		}
		if statement.IsList(p.Subject) {
			continue
		}
		if p.Cut {
			return errCut
		}
		if p.Term != last {
			if err := flush(); err != nil {
				return err
			}
			last = p.Term
		}
		n++
	}
	return flush()
}

func (x *indexOnly) readIndex(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read the index of %s: %w", statement.Excerpt(x.prop), err)
}

func (x *indexOnly) rows(emit emitter) error {
	all, err := x.fill(x)
	x.node.Elapsed = time.Since(x.answer.solver.start)
	if errors.Is(err, errCut) {
		x.answer.top.Inputs = []*Node{x.answer.plan.top}
		return x.answer.groups(emit)
	}
	if err != nil {
		return err
	}
	return x.answer.giveGroups(all, emit)
}
