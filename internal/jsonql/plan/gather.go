package plan

import (
	"cmp"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
)

// gathering holds solutions that come in any order, until rows are made of them:
// as long as they are few their objects, which then need not be read again, and
// of more only the ids.
type gathering struct {
	run  *eval.Run
	main resolve.SetID
	// objects are the solutions as long as they are few, ids all of them later.
	objects []eval.Solution
	ids     [][]string
	// bytes is about what objects take.
	bytes int
	many  bool
}

// fewBytes bounds what is held of objects.
const fewBytes = 1 << 20

func (g *gathering) add(s eval.Solution) error {
	if err := g.run.HoldObjects(len(g.objects) + len(g.ids) + 1); err != nil {
		return err
	}
	if !g.many {
		size := s.Size()
		if g.bytes+size <= min(fewBytes, g.run.Limits().MaxBytes/4) {
			g.bytes += size
			g.objects = append(g.objects, s.Clone())
			return g.run.Hold(size)
		}
		if err := g.reduce(); err != nil {
			return err
		}
	}
	return g.addIDs(s)
}

func (g *gathering) addIDs(s eval.Solution) error {
	ids := idsOf(s)
	g.ids = append(g.ids, ids)
	return g.run.Hold(sketch{solutions: [][]string{ids}}.size())
}

// reduce lets go of the objects.
func (g *gathering) reduce() error {
	for _, s := range g.objects {
		if err := g.addIDs(s); err != nil {
			return err
		}
	}
	released := g.bytes
	g.objects, g.bytes, g.many = nil, 0, true
	return g.run.Hold(-released)
}

// rows puts the solutions of each row together.
func (g *gathering) rows() []sketch {
	if g.many {
		return rowsOf(g.ids, func(ids []string) string { return ids[g.main] },
			func(main string, solutions [][]string) sketch { return sketch{main: main, solutions: solutions} })
	}
	return rowsOf(g.objects, func(s eval.Solution) string { return s[g.main].Subject() },
		func(main string, objects []eval.Solution) sketch { return sketch{main: main, objects: objects} })
}

// rowsOf makes a row of all solutions with the same object.
func rowsOf[S any](list []S, main func(S) string, row func(string, []S) sketch) (rows []sketch) {
	type placed struct {
		main string
		at   int
	}
	order := make([]placed, len(list))
	for i, s := range list {
		order[i] = placed{main(s), i}
	}
	slices.SortFunc(order, func(x, y placed) int {
		return cmp.Or(source.CompareSubjects(x.main, y.main), cmp.Compare(x.at, y.at))
	})
	sorted := make([]S, len(list))
	for i, p := range order {
		sorted[i] = list[p.at]
	}
	rows = make([]sketch, 0, len(list))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && order[to].main == order[from].main {
			to++
		}
		rows = append(rows, row(order[from].main, sorted[from:to:to]))
		from = to
	}
	return rows
}
