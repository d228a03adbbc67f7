package resolve

import (
	"maps"
	"slices"
	"strings"
)

// Sets is a set of row sets of one environment.
type Sets map[SetID]bool

// SetsOf returns the sets of its environment that an expression is about.
func SetsOf(e Expr) Sets {
	out := Sets{}
	note(e, 0, out)
	return out
}

// Visible returns the sets that the rows of a construct are about. It must not
// be changed.
func Visible(b *Block) Sets {
	out := Sets{}
	noteBlock(b, 0, out)
	return out
}

// note adds the sets of the environment up levels out.
func note(e Expr, up int, out Sets) {
	Walk(e, func(e Expr) bool {
		switch e := e.(type) {
		case *ID:
			if e.Up == up && e.Set != NoSet {
				out[e.Set] = true
			}
		case *Prop:
			if e.Up == up {
				out[e.Set] = true
			}
		case *Whole:
			if up == 0 {
				out[e.Set] = true
			}
		case *Sub:
			for _, c := range e.Env.Conds {
				note(c, up+1, out)
			}
		case *Nested:
			if !e.Block.Own {
				noteBlock(e.Block, up, out)
			}
		}
		return true
	})
}

func noteBlock(b *Block, up int, out Sets) {
	if b.Main != NoSet {
		out[b.Main] = true
	}
	for _, e := range b.Expressions() {
		note(e, up, out)
	}
}

// Expressions returns all expressions of a construct: of its items, and of its
// group and order.
func (b *Block) Expressions() []Expr {
	if b.expressions != nil {
		return b.expressions
	}
	var out []Expr
	for _, it := range b.Items {
		out = append(out, it.Key, it.Value)
	}
	out = append(out, b.GroupBy...)
	for _, k := range b.OrderBy {
		out = append(out, k.Value)
	}
	return slices.DeleteFunc(out, func(e Expr) bool { return e == nil })
}

// Within reports whether an expression is about no sets but these.
func Within(e Expr, sets Sets) bool {
	for id := range SetsOf(e) {
		if !sets[id] {
			return false
		}
	}
	return true
}

// Looks are the properties of the objects of a set that a query looks at.
type Looks struct {
	// ID is equal for sets of which the same is looked at; 0 if All is set.
	ID int
	// Names are in order. They mean nothing if All is set.
	Names []string
	// All says that rows show whatever the object has.
	All bool
	// Once are the names that stand in no more than one place of the query.
	Once map[string]bool
}

// Looks returns what is looked at in the objects of each set, by its number, in
// all environments: to find the solutions, and to make the rows.
func (q *Query) Looks() []Looks { return q.looks }

func looksOf(q *Query) []Looks {
	l := looker{names: map[*Set]map[string]int{}, all: map[*Set]bool{}, seen: map[*Env]bool{}}
	l.block(q.Root, []*Env{q.Env})
	ids := map[string]int{}
	out := make([]Looks, 0, len(l.sets))
	for i, s := range l.sets {
		one := Looks{Names: slices.Sorted(maps.Keys(l.names[s])), All: l.all[s], Once: map[string]bool{}}
		for name, n := range l.names[s] {
			one.Once[name] = n < 2
		}
		if !one.All {
			key := strings.Join(one.Names, "\x00")
			if ids[key] == 0 {
				ids[key] = len(ids) + 1
			}
			one.ID = ids[key]
		}
		s.Number = i
		out = append(out, one)
	}
	return out
}

type looker struct {
	sets  []*Set
	names map[*Set]map[string]int // in how many expressions each stands
	all   map[*Set]bool
	seen  map[*Env]bool
}

func (l *looker) set(s *Set) map[string]int {
	if l.names[s] == nil {
		l.sets, l.names[s] = append(l.sets, s), map[string]int{}
	}
	return l.names[s]
}

// env notes what finds the solutions; envs ends with the environments around.
func (l *looker) env(e *Env, envs []*Env) {
	if l.seen[e] {
		return
	}
	l.seen[e] = true
	for _, s := range e.Sets {
		names := l.set(s)
		for _, list := range [][]string{s.Required, s.Absent} {
			for _, name := range list {
				names[name] += 0
			}
		}
		for _, f := range s.Filters {
			names[f.Prop]++
		}
	}
	for _, c := range e.Conds {
		l.expr(c, envs)
	}
}

func (l *looker) block(b *Block, envs []*Env) {
	l.env(b.Env, envs)
	for _, it := range b.Items {
		if it.Star && b.Main != NoSet {
			l.set(b.Env.Sets[b.Main])
			l.all[b.Env.Sets[b.Main]] = true
		}
	}
	for _, e := range b.Expressions() {
		l.expr(e, envs)
	}
}

func (l *looker) expr(e Expr, envs []*Env) {
	Walk(e, func(e Expr) bool {
		switch e := e.(type) {
		case *Prop:
			l.set(envs[len(envs)-1-e.Up].Sets[e.Set])[e.Path[0]]++
		case *Whole:
			if e.Set != NoSet {
				s := envs[len(envs)-1].Sets[e.Set]
				l.set(s)
				l.all[s] = true
			}
		case *Sub:
			l.env(e.Env, append(slices.Clone(envs), e.Env))
		case *Nested:
			if e.Block.Own {
				l.block(e.Block, []*Env{e.Block.Env})
			} else {
				l.block(e.Block, envs)
			}
		}
		return true
	})
}

// IsConstant reports whether an expression is a constant or a bind variable.
func IsConstant(e Expr) bool {
	switch e.(type) {
	case *Const, *Bind:
		return true
	default:
		return false
	}
}

// crosses reports whether a comparison is about two sets: values of the one are
// looked for among those of the other.
func crosses(left, right Expr) bool {
	from := SetsOf(left)
	for id := range SetsOf(right) {
		if !from[id] && len(from) > 0 {
			return true
		}
	}
	return false
}
