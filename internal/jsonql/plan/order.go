package plan

import (
	"math"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
)

// kind is how the objects of a set are found when those before it are bound.
type kind int

const (
	// scan goes through all objects that the set has by itself.
	scan kind = iota
	// lookup follows a way from what is bound, by the id or by an index.
	lookup
	// hash keeps all objects that the set has by itself in a table.
	hash
)

// step binds one set.
type step struct {
	id  resolve.SetID
	set *resolve.Set
	// kind says which of the following are used: access by a scan and a hash,
	// way by a lookup, key and probe by a hash.
	kind       kind
	access     access
	way        resolve.Way
	key, probe resolve.Expr
	// alone are conditions about nothing but the set, conds those that are
	// checked beside them when it is bound.
	alone, conds []resolve.Expr
	// optional is the condition of an outer join, or nil.
	optional resolve.Expr
	// bare says that the index of the way has all that is looked at of the objects;
	// rest are the conditions but that of the way, which need not be checked of
	// what is found by a value that nothing else equals: byValue says that it is.
	bare    bool
	rest    []resolve.Expr
	byValue bool
	// needed says that different objects make different solutions.
	needed bool
	// found and joined are told by explain: candidates, and what passed.
	found, joined *Node

	memory memory
}

// envPlan is how the solutions of an environment are found.
type envPlan struct {
	env *resolve.Env
	// constant are the conditions about none of the sets.
	constant []resolve.Expr
	steps    []*step
	// repeats: solutions may be found again that are equal in what is visible.
	repeats bool
	// outer is the scope of the names of environments around.
	outer *eval.Scope
	rows  float64
	top   *Node
}

// wish is what the rows of a query would have of the order of its solutions.
type wish struct {
	// first is the set whose objects should come in order, NoSet for none; rows
	// is how many rows are wanted at most, beyond that it may end; 0 for all.
	first resolve.SetID
	rows  int
	// termsOnly: nothing is wanted of the objects but what the values of their
	// properties are worth, in any order.
	termsOnly bool
}

// planner makes plans for environments.
type planner struct {
	run *eval.Run
	est *estimates
	all func(*resolve.Set, visitor) error
}

// draft is an environment that is being planned.
type draft struct {
	*planner
	choose *chooser
	env    *resolve.Env
	joins  map[resolve.Expr]bool
	sets   map[resolve.Expr]resolve.Sets
	conds  []resolve.Expr // but those of outer joins
	ways   map[wayKey][]resolve.Way
	// By set: what is asked of it alone, how it is found by itself, and how many
	// objects it then has.
	alone   [][]resolve.Expr
	access  []access
	objects []float64
}

// wayKey is a condition that may lead to the objects of a set.
type wayKey struct {
	cond resolve.Expr
	set  resolve.SetID
}

// setsOf is resolve.SetsOf, found out once for each expression.
func (d *draft) setsOf(e resolve.Expr) resolve.Sets {
	sets, known := d.sets[e]
	if !known {
		sets = resolve.SetsOf(e)
		d.sets[e] = sets
	}
	return sets
}

func (d *draft) within(e resolve.Expr, bound resolve.Sets) bool {
	for id := range d.setsOf(e) {
		if !bound[id] {
			return false
		}
	}
	return true
}

// waysOf is resolve.Ways, found out once for each condition and set.
func (d *draft) waysOf(c resolve.Expr, id resolve.SetID) []resolve.Way {
	key := wayKey{c, id}
	ways, known := d.ways[key]
	if !known {
		ways = resolve.Ways(c, id)
		d.ways[key] = ways
	}
	return ways
}

// plan chooses how an environment is solved.
func (p *planner) plan(env *resolve.Env, visible resolve.Sets, w wish) (*envPlan, error) {
	out := &envPlan{env: env}
	d := &draft{
		planner: p, env: env,
		alone: make([][]resolve.Expr, len(env.Sets)), access: make([]access, len(env.Sets)), objects: make([]float64, len(env.Sets)),
		choose: &chooser{run: p.run, est: p.est, env: env, find: p.all, termsOnly: w.termsOnly, outer: &out.outer},
	}
	if len(env.Sets) == 1 && len(env.Conds) == 0 {
		return out, d.single(out, visible)
	}
	d.joins, d.sets, d.ways = env.Joins(), map[resolve.Expr]resolve.Sets{}, map[wayKey][]resolve.Way{}
	out.constant = d.sort()
	for i := range env.Sets {
		if err := d.measure(resolve.SetID(i)); err != nil {
			return nil, err
		}
	}
	inner, outer := env.Order()
	steps, rows := d.arrange(inner, w)
	bound := resolve.Sets{}
	for _, st := range steps {
		bound[st.id] = true
	}
	for _, id := range outer {
		st, more := d.best(id, bound, rows)
		st.optional = env.Conds[env.Sets[id].Optional-1]
		rows = max(rows, more)
		bound[id] = true
		steps = append(steps, st)
	}
	out.steps, out.rows = steps, rows
	d.assign(out)
	out.mark(visible)
	d.explain(out)
	return out, nil
}

// single is the plan of a set without further conditions: there is nothing to
// choose but the way to its objects.
func (d *draft) single(out *envPlan, visible resolve.Sets) error {
	if err := d.measure(0); err != nil {
		return err
	}
	out.steps = []*step{{id: 0, set: d.env.Sets[0], kind: scan, access: d.access[0], needed: visible[0]}}
	out.rows = d.objects[0]
	d.explain(out)
	return nil
}

// sort finds out what the conditions are about, and returns those about no set.
func (d *draft) sort() (constant []resolve.Expr) {
	for _, c := range d.env.Conds {
		sets := resolve.SetsOf(c)
		d.sets[c] = sets
		switch {
		case d.joins[c]:
			continue
		case len(sets) == 0:
			constant = append(constant, c)
			continue
		case len(sets) == 1:
			for id := range sets {
				d.alone[id] = append(d.alone[id], c)
			}
		}
		d.conds = append(d.conds, c)
	}
	return constant
}

// measure chooses how a set is found by itself, and estimates how many objects
// it has.
func (d *draft) measure(id resolve.SetID) (err error) {
	a, err := d.choose.best(id, d.alone[id])
	if err != nil {
		return err
	}
	d.access[id] = a
	rows := a.rows
	for _, c := range d.alone[id] {
		if !slices.Contains(a.answered, c) && a.op != opFiltered && a.op != opUnion {
			rows /= keptOf
		}
	}
	d.objects[id] = max(rows, min(a.rows, 1))
	return nil
}

// arrange puts the inner sets in the order that is expected to cost least: it
// tries each of them as the first, and takes the cheapest next one from there.
func (d *draft) arrange(inner []resolve.SetID, w wish) (best []*step, rows float64) {
	least := math.Inf(1)
	for _, first := range inner {
		steps, cost, found := d.from(first, inner)
		if best != nil && cost >= impossible {
			continue
		}
		if w.first != resolve.NoSet && len(inner) > 1 {
			if first != w.first {
				cost += found * costObject // to keep them, and to put them in order
			} else if w.rows > 0 && found > float64(w.rows) && cost < impossible {
				cost *= float64(w.rows) / found
			}
		}
		if best == nil || cost < least || least >= impossible {
			best, least, rows = steps, cost, found
		}
	}
	return best, rows
}

func (d *draft) from(first resolve.SetID, inner []resolve.SetID) (steps []*step, cost, rows float64) {
	bound, left := resolve.Sets{}, slices.Clone(inner)
	rows = 1
	for next := first; ; {
		st, more := d.best(next, bound, rows)
		cost += st.cost(d, rows)
		rows = more
		steps = append(steps, st)
		bound[next] = true
		left = slices.DeleteFunc(left, func(id resolve.SetID) bool { return id == next })
		if len(left) == 0 {
			return steps, cost, rows
		}
		next = d.next(left, bound, rows)
	}
}

// next returns the set that costs least to bind now.
func (d *draft) next(left []resolve.SetID, bound resolve.Sets, rows float64) resolve.SetID {
	best, least := left[0], math.Inf(1)
	for _, id := range left {
		st, more := d.best(id, bound, rows)
		if cost := st.cost(d, rows) + more; cost < least {
			best, least = id, cost
		}
	}
	return best
}

// impossible is the cost of binding a set before what refers to its objects.
const impossible = 1e18

// cost estimates what it costs to bind a set for so many solutions.
func (st *step) cost(d *draft, rows float64) float64 {
	a := d.access[st.id]
	switch {
	case st.bare:
		return rows * (costLookup + d.perLookup(st.way)*2*costEntry)
	case st.kind == lookup:
		return rows * (costLookup + d.perLookup(st.way)*(costEntry+costObject))
	case d.env.FollowsReferences(st.id):
		return impossible
	case st.kind == hash:
		return a.cost + d.objects[st.id]*costHeld + rows*costEntry
	case rows <= 1:
		return a.cost
	default:
		return a.cost + rows*d.objects[st.id]
	}
}

// best chooses how to bind a set when others are bound, and estimates how many
// solutions there are then.
func (d *draft) best(id resolve.SetID, bound resolve.Sets, rows float64) (*step, float64) {
	var best *step
	least := math.Inf(1)
	for _, st := range d.options(id, bound) {
		if cost := st.cost(d, rows); cost < least {
			best, least = st, cost
		}
	}
	return best, rows * d.fanout(best, bound)
}

// options returns all ways to bind a set when others are bound.
func (d *draft) options(id resolve.SetID, bound resolve.Sets) []*step {
	set := d.env.Sets[id]
	out := []*step{{id: id, set: set, kind: scan, access: d.access[id]}}
	if len(set.IDs) > 0 && set.Optional == 0 {
		return out
	}
	conds := d.conds
	if set.Optional > 0 {
		conds = append(slices.Clip(conds), d.env.Conds[set.Optional-1])
	}
	for _, c := range conds {
		for _, w := range d.waysOf(c, id) {
			if d.within(w.Other, bound) {
				out = append(out, &step{id: id, set: set, kind: lookup, access: d.access[id], way: w, bare: d.bare(set, w)})
			}
		}
		if key, probe, ok := d.sides(c, id, bound); ok && d.fits(id) {
			out = append(out, &step{id: id, set: set, kind: hash, access: d.access[id], key: key, probe: probe, way: d.wayOf(c, id)})
		}
	}
	return out
}

// bare reports whether nothing is looked at in the objects of a set but whether
// the way leads to them.
func (d *draft) bare(set *resolve.Set, w resolve.Way) bool {
	if w.Prop == "" || set.Optional > 0 || len(set.Filters)+len(set.IDs)+len(set.Absent) > 0 || !slices.Equal(set.Required, []string{w.Prop}) {
		return false
	}
	once, err := d.run.LooksOnceAt(set, w.Prop)
	return once && err == nil
}

func (d *draft) wayOf(c resolve.Expr, id resolve.SetID) resolve.Way {
	for _, w := range d.waysOf(c, id) {
		return w
	}
	return resolve.Way{}
}

// sides returns the sides of an equality that are about a set, and about what is
// bound.
func (d *draft) sides(c resolve.Expr, id resolve.SetID, bound resolve.Sets) (key, probe resolve.Expr, ok bool) {
	left, right := equals(c)
	if left == nil {
		return nil, nil, false
	}
	for range 2 {
		if sets := d.setsOf(left); len(sets) == 1 && sets[id] {
			if other := d.setsOf(right); len(other) > 0 && d.within(right, bound) {
				return left, right, true
			}
		}
		left, right = right, left
	}
	return nil, nil, false
}

// equals returns the sides of a condition that holds only if they have a value
// in common.
func equals(c resolve.Expr) (left, right resolve.Expr) {
	switch c := c.(type) {
	case *resolve.Binary:
		if c.Op == "=" {
			return c.Left, c.Right
		}
	case *resolve.In:
		if !c.Negate && len(c.Set) == 1 {
			return c.Value, c.Set[0]
		}
	}
	return nil, nil
}

// objectBytes is about what an object in a table takes.
const objectBytes = 512

// fits reports whether the objects of a set are few enough for a table.
func (d *draft) fits(id resolve.SetID) bool {
	l, rows := d.run.Limits(), d.access[id].rows
	return rows*objectBytes < float64(l.MaxBytes)/2 && rows < float64(l.MaxObjects)/2
}

// perLookup estimates how many candidates a way leads to from one solution.
func (d *draft) perLookup(w resolve.Way) float64 {
	if w.Prop == "" {
		if len(d.setsOf(w.Other)) == 0 {
			return guessMembers
		}
		return 1
	}
	if n, known := d.est.sharing(w.Prop); known {
		return n
	}
	values := d.est.countHaving(w.Prop, countAtMost)
	different := float64(keptOf * keptOf)
	for other := range d.setsOf(w.Other) {
		different = max(different, d.objects[other])
	}
	return max(values/max(different, 1), min(values, 1))
}

// fanout estimates how many solutions there are for each one before.
func (d *draft) fanout(st *step, bound resolve.Sets) float64 {
	var more float64
	switch {
	case st.kind == scan:
		more = d.objects[st.id]
	case st.way.Cond != nil:
		more = d.perLookup(st.way) * d.passing(st.id)
	default:
		more = max(1, d.objects[st.id]/keptOf/keptOf) // computed keys
	}
	for _, c := range d.conds {
		sets := d.sets[c]
		if len(sets) < 2 || !sets[st.id] || c == st.way.Cond {
			continue
		}
		if _, _, isKey := d.sides(c, st.id, bound); isKey && st.kind == hash && st.way.Cond == nil {
			continue
		}
		if withinAnd(sets, bound, st.id) {
			more /= keptOf
		}
	}
	return more
}

func withinAnd(sets, bound resolve.Sets, id resolve.SetID) bool {
	for one := range sets {
		if one != id && !bound[one] {
			return false
		}
	}
	return true
}

// passing estimates which part of all objects with its properties a set has.
func (d *draft) passing(id resolve.SetID) float64 {
	all := d.est.objects
	for _, name := range d.env.Sets[id].Required {
		all = min(all, d.est.countHaving(name, countAtMost))
	}
	return min(1, d.objects[id]/max(all, 1))
}
