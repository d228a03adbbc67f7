package eval

import (
	"math"
	"slices"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// Eval returns what an expression is worth in a scope; nil is the scope of
// constants.
func (r *Run) Eval(e resolve.Expr, s *Scope) (value.Value, error) {
	switch e := e.(type) {
	case *resolve.Const:
		return value.Of(e.Term), nil
	case *resolve.Bind:
		v, ok := r.boundTo(e.Name)
		if !ok {
			return value.Null, r.Fail(e, "bind variable %s has no value: pass one", statement.Excerpt(e.Name))
		}
		return v, nil
	case *resolve.ID:
		return s.id(e), nil
	case *resolve.Prop:
		return r.property(e, s)
	case *resolve.Not:
		v, err := r.Eval(e.Inner, s)
		return value.Bool(!v.Truth()), err
	case *resolve.Binary:
		return r.binary(e, s)
	case *resolve.In:
		return r.in(e, s)
	case *resolve.Call:
		return r.call(e, s)
	case *resolve.Sub:
		return r.sub(e, s)
	default:
		return value.Null, r.Fail(e, "this cannot be computed with")
	}
}

// one returns null, the only value, or the list of values.
func one(list []value.Value) value.Value {
	switch len(list) {
	case 0:
		return value.Null
	case 1:
		return list[0]
	}
	return value.ListOf(list)
}

// id returns the ids of the objects that a set has in the scope.
func (s *Scope) id(e *resolve.ID) value.Value {
	if agreed, ok := s.agreedIn(e); ok {
		return agreed
	}
	if o, single := s.only(e.Set, e.Up); single {
		if o == nil {
			return value.Null
		}
		return o.ID()
	}
	var list []value.Value
	for _, o := range s.objects(e.Set, e.Up) {
		list = append(list, o.ID())
	}
	return one(list)
}

// property returns the value of a property; null of no object.
func (o *Object) property(name string, whole bool) value.Value {
	if o == nil {
		return value.Null
	}
	list := o.own.of(name)
	if !whole {
		list = o.values(name)
	}
	if len(list) == 1 {
		return value.Of(list[0].Term)
	}
	out := make([]value.Value, 0, len(list))
	for _, s := range list {
		out = append(out, value.Of(s.Term))
	}
	return one(out)
}

func (r *Run) property(e *resolve.Prop, s *Scope) (value.Value, error) {
	if agreed, ok := s.agreedIn(e); ok {
		return agreed, nil
	}
	if o, single := s.only(e.Set, e.Up); single && len(e.Path) == 1 && !e.EndID {
		return o.property(e.Path[0], o != nil && s.at(e.Up).whole), nil
	}
	var list []value.Value
	for _, o := range s.objects(e.Set, e.Up) {
		terms, err := r.path(e, o, s.whole)
		if err != nil {
			return value.Null, err
		}
		for _, t := range terms {
			list = append(list, value.Of(t))
		}
	}
	return one(list), nil
}

// path returns the values that a path of properties leads to from an object.
func (r *Run) path(e *resolve.Prop, o *Object, whole bool) ([]statement.Term, error) {
	list := o.values(e.Path[0])
	if whole {
		list = o.own.of(e.Path[0])
	}
	for _, name := range e.Path[1:] {
		var next []statement.Statement
		for _, s := range list {
			if !s.IsRef() {
				continue
			}
			own, _, err := r.factsOf(s.Text, o.tree)
			if err != nil {
				return nil, err
			}
			next = append(next, own.of(name)...)
		}
		list = next
	}
	var out []statement.Term
	for _, s := range list {
		if !e.EndID || s.IsRef() {
			out = append(out, s.Term)
		}
	}
	return out, nil
}

func (r *Run) binary(e *resolve.Binary, s *Scope) (value.Value, error) {
	left, err := r.Eval(e.Left, s)
	if err != nil {
		return value.Null, err
	}
	if e.Op == "and" || e.Op == "or" {
		if left.Truth() == (e.Op == "or") {
			return left, nil
		}
		return r.Eval(e.Right, s)
	}
	right, err := r.Eval(e.Right, s)
	if err != nil {
		return value.Null, err
	}
	switch e.Op {
	case "+", "-", "*", "/", "%":
		left, right = asOperand(left), asOperand(right)
		return r.each(e, []value.Value{left, right}, func(args []value.Value) (value.Value, error) {
			if args[0].IsNull() || args[1].IsNull() {
				return value.Null, nil
			}
			return r.calculate(e, value.Float(args[0]), value.Float(args[1]))
		})
	}
	return value.Bool(compare(e, left, right)), nil
}

// asOperand: a list that holds an empty list is no list of numbers, and counts as
// one value that is none.
func asOperand(v value.Value) value.Value {
	if v.IsList && slices.ContainsFunc(v.List, func(m value.Value) bool { return m.Term == statement.EmptyList() }) {
		return value.Of(statement.EmptyList())
	}
	return v
}

func compare(e *resolve.Binary, left, right value.Value) bool {
	left, right = asID(e.Right, e.Left, left), asID(e.Left, e.Right, right)
	switch e.Op {
	case "=":
		if e.Crosses {
			return !left.IsNull() && !right.IsNull() && value.Intersects(left, right)
		}
		return value.Equal(left, right)
	case "!=":
		return !value.Equal(left, right)
	}
	order := value.Compare(left, right)
	return e.Op[0] == '<' && order < 0 || e.Op[0] == '>' && order > 0 || len(e.Op) == 2 && order == 0
}

// asID makes a constant that is compared with an id a reference.
func asID(other, e resolve.Expr, v value.Value) value.Value {
	if _, isID := other.(*resolve.ID); isID && resolve.IsConstant(e) {
		return AsReference(v)
	}
	return v
}

func (r *Run) in(e *resolve.In, s *Scope) (value.Value, error) {
	v, err := r.Eval(e.Value, s)
	if err != nil {
		return value.Null, err
	}
	v = asID(e.Set[0], e.Value, v)
	if _, call := e.Set[0].(*resolve.Call); call && resolve.IsConstant(e.Value) {
		v = AsReference(v)
	}
	for _, member := range e.Set {
		set, err := r.Eval(member, s)
		if err != nil {
			return value.Null, err
		}
		if value.Intersects(v, asID(e.Value, member, set)) && (!v.IsNull() || !set.IsNull() || resolve.IsConstant(member)) {
			return value.Bool(!e.Negate), nil
		}
	}
	return value.Bool(e.Negate), nil
}

// sub returns the ids that a sub-query finds, or whether it finds anything.
func (r *Run) sub(e *resolve.Sub, s *Scope) (value.Value, error) {
	if v, known := r.subs[e]; known {
		return v, nil
	}
	found := value.Bool(false)
	seen := map[string]bool{}
	err := r.Solver.Solve(e.Env, resolve.Sets{e.Main: true}, s, func(one Solution) (bool, error) {
		if e.Main == resolve.NoSet {
			found = value.Bool(true)
			return false, nil
		}
		if o := one[e.Main]; o != nil && !seen[o.subject] {
			seen[o.subject] = true
			found.List = append(found.List, o.ID())
			return true, r.Hold(2*ValueBytes + len(o.subject))
		}
		return true, nil
	})
	if err != nil {
		return value.Null, err
	}
	if e.Main != resolve.NoSet {
		found = value.ListOf(found.List)
		slices.SortFunc(found.List, value.Compare)
	}
	if len(resolve.SetsOf(e)) == 0 && (s == nil || s.outer == nil) {
		if r.subs == nil {
			r.subs = map[*resolve.Sub]value.Value{}
		}
		r.subs[e] = found
	} else {
		_ = r.Hold(-len(found.List) * 2 * ValueBytes) // they are let go of
	}
	return found, nil
}

// maxCombinations bounds the results of an expression over several lists.
const maxCombinations = 100_000

// each applies f to the arguments; where one is a list, to each of its values,
// and where several are, to each combination.
func (r *Run) each(e resolve.Expr, args []value.Value, f func([]value.Value) (value.Value, error)) (value.Value, error) {
	total, anyList := 1, false
	for _, a := range args {
		anyList = anyList || a.IsList
		if total *= len(a.Members()); total > maxCombinations {
			return value.Null, r.Fail(e, "more than %d combinations of list values", maxCombinations)
		}
	}
	if !anyList {
		return f(args)
	}
	var out []value.Value
	for n := range total {
		picked := make([]value.Value, len(args))
		for i := len(args) - 1; i >= 0; i-- {
			members := args[i].Members()
			picked[i] = members[n%len(members)]
			n /= len(members)
		}
		v, err := f(picked)
		if err != nil {
			return value.Null, err
		}
		out = append(out, v)
	}
	return value.ListOf(out), nil
}

func (r *Run) calculate(e *resolve.Binary, x, y float64) (value.Value, error) {
	switch e.Op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	default:
		if y == 0 {
			return value.Null, r.Fail(e, "division by zero")
		}
		if e.Op == "/" {
			x /= y
		} else {
			x -= y * math.Floor(x/y)
		}
	}
	return r.float(e, x)
}

func (r *Run) float(e resolve.Expr, f float64) (value.Value, error) {
	t, err := statement.FromValue(f)
	if err != nil {
		return value.Null, r.Fail(e, "the result is beyond the range of a number")
	}
	return value.Of(t), nil
}
