package plan

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// Answer is a query that is being answered. It is not safe for use by several
// goroutines, and is of no use when its source is not any more.
type Answer struct {
	run     *eval.Run
	block   *resolve.Block
	short   *short  // if it is there, nothing that follows until told is
	engine  *engine // what run and short are part of
	solver  *solver
	visible resolve.Sets
	plan    *envPlan
	index   *indexOnly
	ordered *inIndexOrder

	// told is what short leaves when it has ended.
	told told

	top     *Node
	start   time.Time
	elapsed time.Duration
	// given is how many rows there were.
	given int
}

// Prepared is a query with what can be said of its answer before anything is
// known of what it is asked of. It can be started many times, and by several
// goroutines at once.
type Prepared struct {
	query *resolve.Query
	short *shortForm
}

// Prepare prepares a query.
func Prepare(q *resolve.Query) *Prepared { return &Prepared{query: q, short: shortFormOf(q)} }

// Start chooses how a query is answered. It returns an *eval.Error for one that
// cannot be computed, and the source's own errors wrapped.
func (p *Prepared) Start(ctx context.Context, src source.Source, bindings map[string]any, l eval.Limits, forUpdate bool) (*Answer, error) {
	own := engines.Get().(*engine)
	run, b := &own.run, p.query.Root
	if err := run.Begin(ctx, p.query, src, bindings, l); err != nil {
		return nil, err
	}
	run.ForUpdate = forUpdate
	a := &Answer{run: run, block: b}
	if p.short != nil {
		if few, err := own.short.begin(p.short, run); few || err != nil {
			a.short, a.engine = &own.short, own
			return a, err
		}
	}
	var err error
	if a.solver, err = newSolver(run); err != nil {
		return nil, err
	}
	a.visible = resolve.Visible(b)
	a.plan, err = a.solver.planOf(b.Env, a.visible, a.wish())
	if err != nil {
		return nil, err
	}
	a.shortcuts()
	a.describe()
	return a, nil
}

// Plan says in which way the query is answered. The actual figures in it are
// whole when Rows has ended.
func (a *Answer) Plan() *Node {
	if a.short != nil {
		a.told = a.short.tell()
	}
	if a.told.form != nil {
		a.top = a.told.explain(a.elapsed)
	}
	a.top.Actual, a.top.Elapsed = a.given, a.elapsed
	return a.top
}

// wish is what the construct would have of the order of the solutions.
func (a *Answer) wish() wish {
	b := a.block
	w := wish{first: b.Main, termsOnly: eval.ShowsTerms(b)}
	if a.needsAll() {
		w.first = resolve.NoSet
	}
	if b.Limit >= 0 && len(b.OrderBy) == 0 && !b.MergeAll {
		w.rows = max(1, b.Limit+b.Offset)
	}
	return w
}

// needsAll reports whether no row can be made before all solutions are found.
func (a *Answer) needsAll() bool {
	b := a.block
	return b.Aggregated || len(b.GroupBy) > 0 || b.Main == resolve.NoSet || a.aggregates()
}

// aggregates reports whether a row has an aggregate over all rows.
func (a *Answer) aggregates() bool {
	return slices.ContainsFunc(a.block.Expressions(), resolve.HasAggregate)
}

// inOrder reports whether the solutions come in order of the objects that the
// rows are about.
func (a *Answer) inOrder() bool {
	steps := a.plan.steps
	return len(steps) > 0 && steps[0].id == a.block.Main && steps[0].kind == scan
}

// describe makes the top of the tree that tells the plan.
func (a *Answer) describe() {
	b, op := a.block, "construct"
	switch {
	case a.plan.top == nil:
		op = "constant"
	case b.Aggregated:
		op = "aggregate"
	case len(b.GroupBy) > 0:
		op = "group"
	case len(b.OrderBy) > 0 && b.Limit >= 0 && a.ordered == nil:
		op = "top " + strconv.Itoa(b.Limit+b.Offset)
	case len(b.OrderBy) > 0 && a.ordered == nil:
		op = "order"
	case !a.needsAll() && !a.inOrder() && a.ordered == nil:
		op = "order by id"
	}
	a.top = &Node{Op: op}
	switch {
	case a.index != nil:
		a.top.Inputs = []*Node{a.index.node}
	case a.plan.top != nil:
		a.top.Inputs = []*Node{a.plan.top}
	}
}

// Rows yields the rows of the answer, and at most one error, which is the last:
// ctx's error, an *eval.Error, or the source's own. Where no order, group or
// aggregate needs all of them first, each row is found when it is asked for. It
// can be read once.
func (a *Answer) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if a.run == nil {
			return
		}
		a.start = time.Now()
		if a.solver != nil {
			a.solver.start = a.start
		}
		defer a.end()
		err := a.rows(func(row Row) (bool, error) {
			if err := a.run.Rows(a.given + 1); err != nil {
				return false, err
			}
			a.given++
			return yield(row, nil), nil
		})
		if err != nil {
			yield(Row{}, err)
		}
	}
}

func (a *Answer) end() {
	a.elapsed = time.Since(a.start)
	a.run.End()
	if a.short == nil {
		return
	}
	a.told = a.short.tell()
	a.run, a.short = nil, nil
	*a.engine = engine{}
	engines.Put(a.engine)
	a.engine = nil
}

// engine is what short answers need, one after the other.
type engine struct {
	run   eval.Run
	short short
}

// engines are those that no answer uses.
var engines = sync.Pool{New: func() any { return &engine{} }}

// emitter takes a row, and reports whether more are wanted.
type emitter func(Row) (bool, error)

func (a *Answer) rows(emit emitter) error {
	if err := a.run.Ended(); err != nil {
		return err
	}
	if a.short != nil {
		return a.short.rows(a, emit)
	}
	if a.block.MergeAll {
		return a.merged(emit)
	}
	return a.each(emit)
}

// merged gives the one row that all rows make.
func (a *Answer) merged(emit emitter) error {
	var rows []any
	err := a.each(func(row Row) (bool, error) {
		v, err := row.Value()
		if err != nil {
			return false, err
		}
		rows = append(rows, v)
		return true, a.run.Rows(len(rows))
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	_, err = emit(a.rowMade(eval.Merge(rows)))
	return err
}

func (a *Answer) each(emit emitter) error {
	b := a.block
	switch {
	case a.index != nil:
		return a.index.rows(emit)
	case a.ordered != nil:
		return a.ordered.rows(emit)
	case eval.Accumulates(b):
		return a.groups(emit)
	case a.needsAll():
		return a.collected(emit)
	case b.Limit == 0:
		return nil
	case len(b.OrderBy) > 0:
		return a.sorted(emit)
	case a.inOrder():
		return a.streamed(emit)
	default:
		return a.sorted(emit) // by ids alone
	}
}

// collected makes the rows from all solutions at once.
func (a *Answer) collected(emit emitter) error {
	list, err := a.run.Collect(a.block)
	if err != nil {
		return err
	}
	plain := *a.block
	plain.MergeAll = false
	rows, err := a.run.Collected(&plain, list)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if more, err := emit(a.rowMade(row)); err != nil || !more {
			return err
		}
	}
	return nil
}

// byMain calls visit with the solutions of one row after the other, which come
// in order of the objects of the rows. The visitor must not keep them.
func (a *Answer) byMain(visit func([]eval.Solution) (bool, error)) error {
	var same []eval.Solution
	main, held, ended := a.block.Main, 0, false
	alone := make([]eval.Solution, 1)
	once := !slices.ContainsFunc(a.plan.steps[1:], func(st *step) bool { return st.needed })
	finish := func() (bool, error) {
		if len(same) == 0 || ended {
			return !ended, nil
		}
		a.run.SortSolutions(a.block, same)
		more, err := visit(same)
		same, ended = nil, err != nil || !more
		_ = a.run.Hold(-held)
		held = 0
		return more, err
	}
	err := a.solver.solve(a.plan, a.visible, nil, func(s eval.Solution) (bool, error) {
		o := s[main]
		if !isRow(o) {
			return true, nil
		}
		if len(same) > 0 && same[0][main].Subject() != o.Subject() {
			if more, err := finish(); err != nil || !more {
				return false, err
			}
		}
		if once { // there is no other solution with this object
			alone[0] = s
			more, err := visit(alone)
			ended = err != nil || !more
			return more, err
		}
		if len(same) > 0 { // one is held anyway
			size := s.Size()
			held += size
			if err := a.run.Hold(size); err != nil {
				return false, err
			}
		}
		same = append(same, s.Clone())
		return true, nil
	})
	if err != nil {
		return err
	}
	_, err = finish()
	return err
}

// streamed makes each row as soon as it is found, and looks no further than the
// limit asks for.
func (a *Answer) streamed(emit emitter) error {
	b := a.block
	skip, left := b.Offset, b.Limit
	scope := eval.RowScope(b, nil)
	return a.byMain(func(list []eval.Solution) (bool, error) {
		if skip > 0 {
			skip--
			return true, nil
		}
		scope.Let(list)
		left--
		more, err := emit(a.rowOf(scope))
		return more && left != 0, err
	})
}

// groups makes the rows of groups, which are accumulated while solutions are
// found.
func (a *Answer) groups(emit emitter) error {
	b := a.block
	known, text := map[string]*eval.Group{}, []byte(nil)
	var all []*eval.Group
	if b.Aggregated {
		all = append(all, a.run.NewGroup(b, nil))
	}
	first := resolve.NoSet
	if len(a.plan.steps) > 0 {
		first = a.plan.steps[0].id
	}
	add := func(s eval.Solution, key []value.Value) error {
		text = eval.AppendKeyText(text[:0], key)
		g := known[string(text)]
		if g == nil {
			g = a.run.NewGroup(b, slices.Clone(key))
			known[string(text)] = g
			all = append(all, g)
			if err := a.run.Hold(2*len(text) + groupBytes); err != nil {
				return err
			}
		}
		return g.Add(s, first)
	}
	scope, one := eval.RowScope(b, make([]eval.Solution, 1)), make([]value.Value, 1)
	err := a.solver.solve(a.plan, a.visible, nil, func(s eval.Solution) (bool, error) {
		if b.Aggregated {
			return true, all[0].Add(s, first)
		}
		if key, alone, err := a.run.KeyOf(b, scope, s); alone || err != nil {
			if err != nil {
				return false, err
			}
			one[0] = key
			return true, add(s, one)
		}
		keys, err := a.run.KeysOf(b, s)
		if err != nil {
			return false, err
		}
		for _, key := range keys {
			if err := add(s, key); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return a.giveGroups(all, emit)
}

// groupBytes is about what a group takes.
const groupBytes = 512

// giveGroups puts groups in order and makes their rows.
func (a *Answer) giveGroups(all []*eval.Group, emit emitter) error {
	run, b := a.run, a.block
	slices.SortFunc(all, func(x, y *eval.Group) int { return eval.CompareGroups(x.Key(), y.Key()) })
	after, err := run.After(b)
	if err != nil {
		return err
	}
	type row struct {
		keys  []value.Value
		scope *eval.Scope
	}
	var rows []row
	for _, g := range all {
		scope := g.Scope()
		keys, err := run.SortKeys(b, scope)
		if err != nil {
			return err
		}
		if after == nil || eval.CompareKeys(b.OrderBy, keys, after) > 0 {
			rows = append(rows, row{keys, scope})
		}
	}
	slices.SortStableFunc(rows, func(x, y row) int { return eval.CompareKeys(b.OrderBy, x.keys, y.keys) })
	for _, one := range eval.Cut(b, rows) {
		if more, err := emit(a.rowOf(one.scope)); err != nil || !more {
			return err
		}
	}
	return nil
}

// isRow reports whether an object may be that of a row.
func isRow(o *eval.Object) bool { return o != nil && o.Subject() != statement.Nil }
