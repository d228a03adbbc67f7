package plan

import (
	"fmt"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// bounds are what comparisons with constants leave of the values of a property.
type bounds struct {
	prop   string
	within source.Range
	// by are the comparisons.
	by []resolve.Expr
}

// ranged: comparisons with constants are answered by ordered indexes, those of
// one property together.
func (c *chooser) ranged(id resolve.SetID, conds []resolve.Expr) (out []access) {
	ordered, ok := c.run.Source().(source.OrderedSource)
	if !ok {
		return nil
	}
	var all []*bounds
	for _, cond := range conds {
		prop, r, is := rangeOf(c.run, id, cond)
		if !is || c.env.Sets[id].Nullable[prop] {
			continue
		}
		at := slices.IndexFunc(all, func(b *bounds) bool { return b.prop == prop })
		if at < 0 {
			all = append(all, &bounds{prop, r, []resolve.Expr{cond}})
			continue
		}
		all[at].within = narrower(all[at].within, r)
		all[at].by = append(all[at].by, cond)
	}
	for _, b := range all {
		if a, built := c.within(ordered, b); built {
			out = append(out, a)
		}
	}
	return out
}

// narrower returns the values that lie within both of two ranges.
func narrower(a, b source.Range) source.Range {
	if b.Low != nil {
		if o := compareBounds(a.Low, b.Low); a.Low == nil || o < 0 || o == 0 && b.LowOpen {
			a.Low, a.LowOpen = b.Low, b.LowOpen
		}
	}
	if b.High != nil {
		if o := compareBounds(a.High, b.High); a.High == nil || o > 0 || o == 0 && b.HighOpen {
			a.High, a.HighOpen = b.High, b.HighOpen
		}
	}
	return a
}

func compareBounds(a, b *value.Value) int {
	if a == nil || b == nil {
		return 0
	}
	return value.Compare(*a, *b)
}

// within finds the objects by the ordered index of a property.
func (c *chooser) within(ordered source.OrderedSource, b *bounds) (access, bool) {
	n, more, built := ordered.CountRange(b.prop, b.within, countAtMost)
	if !built {
		return access{}, false
	}
	rows := c.est.bounded(n, more)
	return access{
		op: opOrdered, detail: textOf(allOf(b.by), c.env), rows: rows, cost: costLookup + rows*(2*costEntry+costObject), answered: b.by,
		find: func(visit visitor) error {
			seq, built := ordered.Ordered(b.prop, b.within)
			if !built {
				return each(c.run.Source().SubjectsHaving(b.prop), visit)
			}
			g := gathered{run: c.run}
			defer g.release()
			for subject, err := range seq {
				if err != nil {
					return fmt.Errorf("read the index of %s: %w", statement.Excerpt(b.prop), err)
				}
				if err := c.run.Looked(); err != nil {
					return err
				}
				if err := g.add(subject); err != nil {
					return err
				}
			}
			return eachOf(inOrder(g.subjects), visit)
		},
	}, true
}

// gathered are subjects that are kept until all are known, and accounted for.
type gathered struct {
	run      *eval.Run
	subjects []string
	held     int
}

func (g *gathered) add(subject string) error {
	g.subjects = append(g.subjects, subject)
	g.held += len(subject) + stringBytes
	return g.run.Hold(len(subject) + stringBytes)
}

func (g *gathered) release() { _ = g.run.Hold(-g.held) }

// allOf joins conditions by "and".
func allOf(conds []resolve.Expr) resolve.Expr {
	all := conds[0]
	for _, c := range conds[1:] {
		all = &resolve.Binary{Op: "and", Left: all, Right: c}
	}
	return all
}

// rangeOf returns the range of values of a property that a comparison with a
// constant lets through.
func rangeOf(run *eval.Run, id resolve.SetID, cond resolve.Expr) (string, source.Range, bool) {
	b, ok := cond.(*resolve.Binary)
	if !ok {
		return "", source.Range{}, false
	}
	op, left, right := b.Op, b.Left, b.Right
	if resolve.IsConstant(left) {
		left, right = right, left
		op = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
	}
	p, isProp := left.(*resolve.Prop)
	if !isProp || p.Set != id || p.Up != 0 || len(p.Path) != 1 || p.EndID || !resolve.IsConstant(right) {
		return "", source.Range{}, false
	}
	v, err := run.Eval(right, nil)
	if err != nil || v.IsList {
		return "", source.Range{}, false
	}
	switch op {
	case "<", "<=":
		return p.Path[0], source.Range{High: &v, HighOpen: op == "<"}, true
	case ">", ">=":
		return p.Path[0], source.Range{Low: &v, LowOpen: op == ">"}, true
	}
	return "", source.Range{}, false
}
