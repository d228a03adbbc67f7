package reference

import (
	"math"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// scope is what the names in an expression mean: some solutions of the join.
type scope struct {
	list  []solution
	outer *scope
	// whole: properties have all their values, not those that filters selected.
	whole bool
	// main is the set that the rows are about, all what aggregates are over.
	main resolve.SetID
	all  []solution
	// grouped: the solutions are those of a group, which agree in key.
	grouped  bool
	key      resolve.Expr
	keyValue value.Value
}

// objects returns the different objects that a set has in the scope.
func (s *scope) objects(set resolve.SetID, up int) []*object {
	for ; up > 0 && s != nil; up-- {
		s = s.outer
	}
	if s == nil || set == resolve.NoSet {
		return nil
	}
	if len(s.list) == 1 {
		if o := s.list[0][set]; o != nil {
			return []*object{o}
		}
		return nil
	}
	return distinct(s.list, set)
}

func distinct(list []solution, set resolve.SetID) (out []*object) {
	seen := map[string]bool{}
	for _, one := range list {
		if o := one[set]; o != nil && !seen[o.subject] {
			seen[o.subject] = true
			out = append(out, o)
		}
	}
	return out
}

func (r *run) eval(e resolve.Expr, s *scope) (value.Value, error) {
	switch e := e.(type) {
	case *resolve.Const:
		return value.Of(e.Term), nil
	case *resolve.Bind:
		v, ok := r.bound[e.Name]
		if !ok {
			return value.Null, r.fail(e, "bind variable %s has no value: pass one", statement.Excerpt(e.Name))
		}
		return v, nil
	case *resolve.ID:
		if s.isKey(e) {
			return s.keyValue, nil
		}
		var list []value.Value
		for _, o := range s.objects(e.Set, e.Up) {
			list = append(list, o.id())
		}
		return one(list), nil
	case *resolve.Prop:
		return r.property(e, s)
	case *resolve.Not:
		v, err := r.eval(e.Inner, s)
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
		return value.Null, r.fail(e, "this cannot be computed with")
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

func (s *scope) isKey(e resolve.Expr) bool {
	if s == nil || s.key == nil {
		return false
	}
	switch e := e.(type) {
	case *resolve.ID:
		key, ok := s.key.(*resolve.ID)
		return ok && key.Set == e.Set && e.Up == 0
	case *resolve.Prop:
		key, ok := s.key.(*resolve.Prop)
		return ok && key.Set == e.Set && e.Up == 0 && !e.EndID && len(e.Path) == 1 && len(key.Path) == 1 && key.Path[0] == e.Path[0]
	default:
		return false
	}
}

func (r *run) property(e *resolve.Prop, s *scope) (value.Value, error) {
	if s.isKey(e) {
		return s.keyValue, nil
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
func (r *run) path(e *resolve.Prop, o *object, whole bool) ([]statement.Term, error) {
	list := o.values(e.Path[0])
	if whole {
		list = o.own[e.Path[0]]
	}
	for _, name := range e.Path[1:] {
		var next []statement.Statement
		for _, s := range list {
			if !s.IsRef() {
				continue
			}
			own, err := r.properties(s.Text)
			if err != nil {
				return nil, err
			}
			next = append(next, own[name]...)
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

func (r *run) binary(e *resolve.Binary, s *scope) (value.Value, error) {
	left, err := r.eval(e.Left, s)
	if err != nil {
		return value.Null, err
	}
	if e.Op == "and" || e.Op == "or" {
		if left.Truth() == (e.Op == "or") {
			return left, nil
		}
		return r.eval(e.Right, s)
	}
	right, err := r.eval(e.Right, s)
	if err != nil {
		return value.Null, err
	}
	switch e.Op {
	case "+", "-", "*", "/", "%":
		return r.each(e, []value.Value{left, right}, func(args []value.Value) (value.Value, error) {
			if args[0].IsNull() || args[1].IsNull() {
				return value.Null, nil
			}
			return r.calculate(e, value.Float(args[0]), value.Float(args[1]))
		})
	}
	return value.Bool(compare(e, left, right)), nil
}

func compare(e *resolve.Binary, left, right value.Value) bool {
	left, right = asID(e.Right, e.Left, left), asID(e.Left, e.Right, right)
	switch e.Op {
	case "=":
		if joins(e) {
			return !left.IsNull() && !right.IsNull() && value.Intersects(left, right)
		}
		return value.Equal(left, right)
	case "!=":
		return !value.Equal(left, right)
	}
	order := value.Compare(left, right)
	return e.Op[0] == '<' && order < 0 || e.Op[0] == '>' && order > 0 || len(e.Op) == 2 && order == 0
}

// joins reports whether a comparison is about two sets: values of the one are
// looked for among those of the other.
func joins(e *resolve.Binary) bool {
	left, right := setsOf(e.Left), setsOf(e.Right)
	for id := range right {
		if !left[id] && len(left) > 0 {
			return true
		}
	}
	return false
}

// asID makes a constant that is compared with an id a reference.
func asID(other, e resolve.Expr, v value.Value) value.Value {
	if _, isID := other.(*resolve.ID); isID && isConstant(e) {
		return reference(v)
	}
	return v
}

func (r *run) in(e *resolve.In, s *scope) (value.Value, error) {
	v, err := r.eval(e.Value, s)
	if err != nil {
		return value.Null, err
	}
	v = asID(e.Set[0], e.Value, v)
	if _, call := e.Set[0].(*resolve.Call); call && isConstant(e.Value) {
		v = reference(v)
	}
	for _, member := range e.Set {
		set, err := r.eval(member, s)
		if err != nil {
			return value.Null, err
		}
		if value.Intersects(v, asID(e.Value, member, set)) && (!v.IsNull() || !set.IsNull() || isConstant(member)) {
			return value.Bool(!e.Negate), nil
		}
	}
	return value.Bool(e.Negate), nil
}

// sub returns the ids that a sub-query finds, or whether it finds anything.
func (r *run) sub(e *resolve.Sub, s *scope) (value.Value, error) {
	if v, known := r.subs[e]; known {
		return v, nil
	}
	list, err := r.solve(e.Env, map[resolve.SetID]bool{e.Main: true}, s)
	if err != nil {
		return value.Null, err
	}
	found := value.ListOf(nil)
	if e.Main == resolve.NoSet {
		found = value.Bool(len(list) > 0)
	} else {
		for _, o := range distinct(list, e.Main) {
			found.List = append(found.List, o.id())
		}
	}
	if len(setsOf(e)) == 0 && (s == nil || s.outer == nil) {
		r.subs[e] = found
	}
	return found, nil
}

// maxCombinations bounds the results of an expression over several lists.
const maxCombinations = 100_000

// each applies f to the arguments; where one is a list, to each of its values,
// and where several are, to each combination.
func (r *run) each(e resolve.Expr, args []value.Value, f func([]value.Value) (value.Value, error)) (value.Value, error) {
	total, anyList := 1, false
	for _, a := range args {
		anyList = anyList || a.IsList
		if total *= len(a.Members()); total > maxCombinations {
			return value.Null, r.fail(e, "more than %d combinations of list values", maxCombinations)
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

func (r *run) calculate(e *resolve.Binary, x, y float64) (value.Value, error) {
	switch e.Op {
	case "+":
		x += y
	case "-":
		x -= y
	case "*":
		x *= y
	default:
		if y == 0 {
			return value.Null, r.fail(e, "division by zero")
		}
		if e.Op == "/" {
			x /= y
		} else {
			x -= y * math.Floor(x/y)
		}
	}
	return r.float(e, x)
}

func (r *run) float(e resolve.Expr, f float64) (value.Value, error) {
	t, err := statement.FromValue(f)
	if err != nil {
		return value.Null, r.fail(e, "the result is beyond the range of a number")
	}
	return value.Of(t), nil
}

// hasAggregate reports whether an expression is about several objects.
func hasAggregate(e resolve.Expr) (found bool) {
	resolve.Walk(e, func(e resolve.Expr) bool {
		c, ok := e.(*resolve.Call)
		found = found || ok && syntax.IsAggregate(c.Name)
		return !found
	})
	return found
}
