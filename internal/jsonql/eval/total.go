package eval

import (
	"cmp"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// total is an aggregate, or the list of the values of an expression, as far as
// it has been computed. Nulls do not count in aggregates.
type total struct {
	e resolve.Expr
	// set is that whose objects are the members.
	set  resolve.SetID
	call *resolve.Call // nil for a list
	// whole: min, max and count of a group look at members, each with its one
	// value or its list; everything else at values.
	whole bool
	n     int
	sum   value.Sum
	best  value.Value
	// list has the values, parts whose they are; only for a list.
	list  []value.Value
	parts []part
	// seen are the members so far, where one may come again; last is the last one
	// where it can only come again at once.
	seen map[string]bool
	last *Object
}

// part is what one member has.
type part struct {
	subject string
	values  []value.Value
}

func newTotal(e resolve.Expr, grouped bool, main resolve.SetID) *total {
	t := &total{e: e, set: memberSet(e, main)}
	if c, ok := e.(*resolve.Call); ok && syntax.IsAggregate(c.Name) {
		t.call, t.set = c, memberSet(argument(c), main)
		t.whole = grouped && c.Name != "sum" && c.Name != "avg" && c.Name != "total"
	}
	return t
}

// add takes a member into account.
func (r *Run) add(t *total, member *Scope) error {
	if t.call == nil {
		return r.addToList(t, member)
	}
	if t.call.Star {
		t.n++
		return nil
	}
	v, err := r.Eval(t.call.Args[0], member)
	if err != nil {
		return err
	}
	if t.whole || !v.IsList {
		t.take(v)
		return nil
	}
	for _, m := range v.List {
		t.take(m)
	}
	return nil
}

func (t *total) take(v value.Value) {
	if v.IsNull() {
		return
	}
	t.n++
	switch t.call.Name {
	case "min", "max":
		if t.n == 1 || before(v, t.best) == (t.call.Name == "min") && !same(v, t.best) {
			t.best = v
		}
	case "sum", "avg", "total":
		t.sum.Add(value.Float(v))
	}
}

// before orders equal values, such as 1 and 1.0, by their texts: which one is
// the first then does not depend on the order in which they come.
func before(a, b value.Value) bool {
	return cmp.Or(value.Compare(a, b), a.Term.Compare(b.Term)) < 0
}

func same(a, b value.Value) bool { return value.Compare(a, b) == 0 && a.Term == b.Term }

// result is what an aggregate has come to.
func (r *Run) result(c *resolve.Call, t *total) (value.Value, error) {
	switch c.Name {
	case "count":
		n, err := statement.FromValue(t.n)
		return value.Of(n), err
	case "min", "max":
		if t.n == 0 {
			return value.Null, nil
		}
		return t.best, nil
	}
	if t.n == 0 && c.Name != "total" {
		return value.Null, nil
	}
	sum := t.sum.Result()
	if c.Name == "avg" {
		sum /= float64(t.n)
	}
	return r.float(c, sum)
}

// addToList adds the values that a member has.
func (r *Run) addToList(t *total, member *Scope) error {
	v, err := r.Eval(t.e, member)
	if err != nil || v.IsNull() && isMissing(t.e, member) {
		return err
	}
	subject, bytes := "", 0
	if t.set != resolve.NoSet && member.list[0][t.set] != nil {
		subject = member.list[0][t.set].subject
	}
	values := v.Members()
	for _, m := range values {
		bytes += ValueBytes + len(m.Term.Text)
	}
	t.parts = append(t.parts, part{subject, values})
	return r.Hold(bytes + ValueBytes)
}

// settle puts the values of a list in order of those who have them.
func (t *total) settle() {
	slices.SortStableFunc(t.parts, func(a, b part) int { return source.CompareSubjects(a.subject, b.subject) })
	t.list = nil
	for _, p := range t.parts {
		t.list = append(t.list, p.values...)
	}
	t.parts = nil
}

// Group accumulates what the row of a group is made of, member by member, so
// that the members need not be held.
type Group struct {
	run    *Run
	block  *resolve.Block
	key    []value.Value
	totals []*total
	member *Scope // see of
}

// Accumulates reports whether the rows of a construct can be made of groups
// that are accumulated: it groups or aggregates, and nothing in it needs the
// solutions themselves.
func Accumulates(b *resolve.Block) bool {
	if !b.Aggregated && len(b.GroupBy) == 0 {
		return false
	}
	return !slices.ContainsFunc(b.Expressions(), func(e resolve.Expr) bool { return needsMembers(b, e) })
}

// needsMembers reports whether an expression of a row needs the solutions of the
// group: it has constructs in it, or properties beside aggregates.
func needsMembers(b *resolve.Block, e resolve.Expr) (needs bool) {
	keyed, aggregates := &Scope{keys: b.GroupBy}, resolve.HasAggregate(e)
	resolve.Walk(e, func(e resolve.Expr) bool {
		switch e := e.(type) {
		case *resolve.Nested, *resolve.Sub, *resolve.Whole:
			needs = true
		case *resolve.Call:
			return !syntax.IsAggregate(e.Name)
		case *resolve.Prop, *resolve.ID:
			if _, isKey := keyed.agreedAs(e); aggregates && !isKey {
				needs = true
			}
		}
		return !needs
	})
	return needs
}

// ShowsTerms reports whether the rows of a construct that accumulates have
// nothing of the objects but keys and aggregates: single values then do for
// them, without their places in lists.
func ShowsTerms(b *resolve.Block) bool {
	keyed := &Scope{keys: b.GroupBy}
	return Accumulates(b) && !slices.ContainsFunc(b.Expressions(), func(e resolve.Expr) bool {
		_, isKey := keyed.agreedAs(e)
		return !isKey && !resolve.HasAggregate(e) && !resolve.IsConstant(e)
	})
}

// NewGroup returns an empty group; key has the values of the keys to group by.
func (r *Run) NewGroup(b *resolve.Block, key []value.Value) *Group {
	g := &Group{run: r, block: b, key: key}
	keyed := &Scope{keys: b.GroupBy}
	for _, e := range b.Expressions() {
		aggregates := false
		resolve.Walk(e, func(e resolve.Expr) bool {
			if c, ok := e.(*resolve.Call); ok && syntax.IsAggregate(c.Name) {
				aggregates = true
				g.totals = append(g.totals, newTotal(c, len(b.GroupBy) > 0, b.Main))
				return false
			}
			return true
		})
		if !aggregates && !keyed.aboutKeys(e) && !slices.Contains(b.GroupBy, e) {
			g.totals = append(g.totals, newTotal(e, true, b.Main))
		}
	}
	return g
}

// of returns the scope of one solution, until the next.
func (g *Group) of(s Solution) *Scope {
	if g.member == nil {
		g.member = &Scope{list: make([]Solution, 1), main: g.block.Main, keys: g.block.GroupBy, agreed: g.key}
	}
	g.member.list[0] = s
	return g.member
}

// Add takes a solution into account. What has been counted of one of its objects
// is not counted again. All solutions with the same object of the set first come
// one after the other; NoSet if there is no such set.
func (g *Group) Add(s Solution, first resolve.SetID) error {
	scope := g.of(s)
	for _, t := range g.totals {
		if t.set != resolve.NoSet {
			switch o := s[t.set]; {
			case o == nil, o == t.last:
				continue
			case t.set == first:
				t.last = o
			default:
				again, err := g.again(t, o.subject)
				if err != nil {
					return err
				}
				if again {
					continue
				}
			}
		}
		if err := g.run.add(t, scope); err != nil {
			return err
		}
	}
	return nil
}

// again reports whether a member was there before, and remembers it.
func (g *Group) again(t *total, subject string) (bool, error) {
	if t.seen[subject] {
		return true, nil
	}
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[subject] = true
	return false, g.run.Hold(ValueBytes + len(subject))
}

// AddTimes takes n solutions into account that differ from all others, and have
// the values of this one.
func (g *Group) AddTimes(s Solution, n int) error {
	scope := g.of(s)
	for _, t := range g.totals {
		if t.call != nil && t.call.Star {
			t.n += n
			continue
		}
		for range n {
			if err := g.run.add(t, scope); err != nil {
				return err
			}
		}
	}
	return nil
}

// Key returns the values of the keys to group by.
func (g *Group) Key() []value.Value { return g.key }

// Scope returns the scope in which the row of the group is made.
func (g *Group) Scope() *Scope {
	s := &Scope{main: g.block.Main, grouped: true, keys: g.block.GroupBy, agreed: g.key, totals: map[resolve.Expr]*total{}}
	for _, t := range g.totals {
		if t.call == nil {
			t.settle()
		}
		s.totals[t.e] = t
	}
	return s
}
