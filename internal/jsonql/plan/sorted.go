package plan

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// sketch is a row that is known by the ids of its objects: enough to be made
// when it is wanted, and small enough to hold many.
type sketch struct {
	keys []value.Value
	main string
	// others are the ids of the other sets' objects, one list for each further
	// solution; nil where the rows are about one set.
	solutions [][]string
	// objects are the solutions themselves, where they are few enough to be held.
	objects []eval.Solution
}

func (s sketch) size() int {
	n := eval.ValueBytes + len(s.main)
	for _, k := range s.keys {
		n += sizeOf(k)
	}
	for _, one := range s.solutions {
		n += eval.ValueBytes
		for _, id := range one {
			n += stringBytes + len(id)
		}
	}
	return n
}

// sizeOf is about how many bytes a value holds.
func sizeOf(v value.Value) int {
	n := eval.ValueBytes + len(v.Term.Text)
	for _, m := range v.List {
		n += sizeOf(m)
	}
	return n
}

// sorted puts the rows in order before it makes those that are wanted, so that
// a small part of a large order costs little memory: no more than twice that
// part is held.
func (a *Answer) sorted(emit emitter) error {
	b := a.block
	after, err := a.run.After(b)
	if err != nil {
		return err
	}
	t := &topRows{answer: a, wanted: -1}
	if b.Limit >= 0 && b.Limit <= a.run.Limits().MaxRows && b.Offset <= a.run.Limits().MaxObjects {
		t.wanted = b.Offset + b.Limit
	}
	if a.inOrder() {
		err = a.byMain(func(list []eval.Solution) (bool, error) {
			keys, err := a.run.SortKeys(b, eval.RowScope(b, list))
			if err != nil || after != nil && eval.CompareKeys(b.OrderBy, keys, after) <= 0 {
				return err == nil, err
			}
			return true, t.add(a.sketch(keys, list))
		})
	} else {
		err = a.gather(after, t)
	}
	if err != nil {
		return err
	}
	t.sort()
	rows := eval.Cut(b, t.rows)
	if err := a.run.Rows(len(rows)); err != nil {
		return err
	}
	return a.finish(rows, emit)
}

// gather collects solutions that come in any order, and makes rows of them.
func (a *Answer) gather(after []value.Value, t *topRows) error {
	b, g := a.block, &gathering{run: a.run, main: a.block.Main}
	err := a.solver.solve(a.plan, a.visible, nil, func(s eval.Solution) (bool, error) {
		if !isRow(s[b.Main]) {
			return true, nil
		}
		return true, g.add(s)
	})
	if err != nil {
		return err
	}
	if t.rows = g.rows(); len(b.OrderBy) == 0 {
		return nil
	}
	rows := t.rows
	t.rows = t.rows[:0]
	for _, one := range rows {
		list, err := a.restore(one)
		if err != nil {
			return err
		}
		if one.keys, err = a.run.SortKeys(b, eval.RowScope(b, list)); err != nil {
			return err
		}
		if after == nil || eval.CompareKeys(b.OrderBy, one.keys, after) > 0 {
			t.rows = append(t.rows, one)
		}
	}
	return nil
}

func (a *Answer) sketch(keys []value.Value, list []eval.Solution) sketch {
	s := sketch{keys: keys, main: list[0][a.block.Main].Subject()}
	if len(a.plan.env.Sets) > 1 {
		for _, one := range list {
			s.solutions = append(s.solutions, idsOf(one))
		}
	}
	return s
}

// idsOf returns the ids of the objects of a solution; "" for none.
func idsOf(s eval.Solution) []string {
	out := make([]string, len(s))
	for i, o := range s {
		if o != nil {
			out[i] = o.Subject()
		}
	}
	return out
}

// restore reads the objects of a row again.
func (a *Answer) restore(s sketch) ([]eval.Solution, error) {
	if s.objects != nil {
		a.run.SortSolutions(a.block, s.objects)
		return s.objects, nil
	}
	if s.solutions == nil {
		s.solutions = [][]string{{s.main}}
	}
	var list []eval.Solution
	for _, ids := range s.solutions {
		one := make(eval.Solution, len(ids))
		for i, id := range ids {
			if id == "" {
				continue
			}
			o, err := a.read(i, id, len(ids) > 1)
			if err != nil {
				return nil, err
			}
			one[i] = o
		}
		list = append(list, one)
	}
	a.run.SortSolutions(a.block, list)
	return list, nil
}

// read reads an object of a row, if there is anything in it to be looked at.
func (a *Answer) read(set int, id string, keep bool) (*eval.Object, error) {
	for _, st := range a.plan.steps {
		if st.bare && int(st.id) == set {
			return a.run.Single(st.set, id, st.way.Prop, statement.Null())
		}
	}
	return a.run.Load(a.plan.env.Sets[set], id, true, keep)
}

func (a *Answer) finish(rows []sketch, emit emitter) error {
	scope := eval.RowScope(a.block, nil)
	for _, one := range rows {
		list, err := a.restore(one)
		if err != nil {
			return err
		}
		scope.Let(list)
		if more, err := emit(a.rowOf(scope)); err != nil || !more {
			return err
		}
	}
	return nil
}

// topRows keeps the rows that come first in an order.
type topRows struct {
	answer *Answer
	wanted int // -1 for all
	rows   []sketch
}

// topSlack is how many rows more than twice the wanted are kept between sorts.
const topSlack = 64

func (t *topRows) add(one sketch) error {
	t.rows = append(t.rows, one)
	if err := t.answer.run.Hold(one.size()); err != nil {
		return err
	}
	if t.wanted < 0 || len(t.rows) < 2*t.wanted+topSlack {
		return t.answer.run.HoldObjects(len(t.rows))
	}
	t.sort()
	dropped := 0
	for _, gone := range t.rows[t.wanted:] {
		dropped += gone.size()
	}
	t.rows = slices.Delete(t.rows, t.wanted, len(t.rows))
	return t.answer.run.Hold(-dropped)
}

// sort puts the rows in order, those with equal keys in that of their ids.
func (t *topRows) sort() {
	keys := t.answer.block.OrderBy
	slices.SortFunc(t.rows, func(x, y sketch) int {
		if o := eval.CompareKeys(keys, x.keys, y.keys); o != 0 {
			return o
		}
		return source.CompareSubjects(x.main, y.main)
	})
}
