package reference

import (
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

func (r *run) call(c *resolve.Call, s *scope) (value.Value, error) {
	switch {
	case syntax.IsAggregate(c.Name):
		return r.aggregate(c, s)
	case syntax.IsRevision(c.Name):
		return value.Null, nil
	case c.Name == "if":
		condition, err := r.eval(c.Args[0], s)
		if err != nil {
			return value.Null, err
		}
		if condition.Truth() {
			return r.eval(c.Args[1], s)
		}
		return r.eval(c.Args[2], s)
	}
	args := make([]value.Value, len(c.Args))
	for i, a := range c.Args {
		var err error
		if args[i], err = r.eval(a, s); err != nil {
			return value.Null, err
		}
	}
	switch c.Name {
	case "follow", "rfollow":
		return r.follow(c, args)
	case "exists":
		return r.exists(c, s)
	}
	return r.each(c, args, func(args []value.Value) (value.Value, error) {
		for _, a := range args {
			if a.IsNull() {
				return value.Null, nil
			}
		}
		return r.apply(c, args)
	})
}

// exists: a property has a value, which may be null or false.
func (r *run) exists(c *resolve.Call, s *scope) (value.Value, error) {
	p, ok := c.Args[0].(*resolve.Prop)
	if !ok {
		v, err := r.eval(c.Args[0], s)
		return value.Bool(!v.IsNull()), err
	}
	for _, o := range s.objects(p.Set, p.Up) {
		terms, err := r.path(p, o, true)
		if err != nil || len(terms) > 0 {
			return value.Bool(true), err
		}
	}
	return value.Bool(false), nil
}

// blanks are what the trim functions remove unless told otherwise.
const blanks = " \t\n\r\f\v"

func (r *run) apply(c *resolve.Call, args []value.Value) (value.Value, error) {
	t, second := args[0].Term, blanks
	if len(args) > 1 {
		second = args[1].Term.Text
	}
	switch c.Name {
	case "number":
		return r.float(c, value.Float(args[0]))
	case "bool":
		return value.Bool(args[0].Truth()), nil
	case "ref":
		return value.Of(statement.Reference(t.Text)), nil
	case "isref":
		return value.Bool(t.IsRef()), nil
	case "isbnode":
		return value.Bool(t.IsRef() && statement.IsAnonymous(t.Text)), nil
	case "startswith":
		return value.Bool(strings.HasPrefix(t.Text, second)), nil
	case "endswith":
		return value.Bool(strings.HasSuffix(t.Text, second)), nil
	case "contains":
		return value.Bool(strings.Contains(t.Text, second)), nil
	case "ieq":
		return value.Bool(strings.EqualFold(t.Text, second)), nil
	}
	change := map[string]func(s, chars string) string{
		"string": func(s, _ string) string { return s },
		"upper":  func(s, _ string) string { return strings.ToUpper(s) },
		"lower":  func(s, _ string) string { return strings.ToLower(s) },
		"trim":   strings.Trim, "ltrim": strings.TrimLeft, "rtrim": strings.TrimRight,
	}[c.Name]
	if change == nil {
		return value.Null, r.fail(c, "unknown function %s", statement.Excerpt(c.Name))
	}
	return value.Of(statement.Literal(change(t.Text, second))), nil
}

// follow returns the objects that a property leads to, over any number of
// others; each once, so that circles end.
func (r *run) follow(c *resolve.Call, args []value.Value) (value.Value, error) {
	edge := args[1].Term.Text
	excludeInitial := len(args) > 2 && args[2].Truth()
	edgesOnly := len(args) > 3 && args[3].Truth()
	var stack []statement.Term
	initial := map[statement.Term]bool{}
	for _, m := range slices.Backward(args[0].Members()) {
		if isConstant(c.Args[0]) {
			m = reference(m)
		}
		if m.Term.IsRef() && !m.IsList {
			stack = append(stack, m.Term)
			initial[m.Term] = true
		}
	}
	seen := map[statement.Term]bool{}
	var out []value.Value
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		next, err := r.edges(c.Name, edge, at.Text)
		if err != nil {
			return value.Null, err
		}
		if (!excludeInitial || !initial[at]) && (len(next) == 0 || !edgesOnly) {
			out = append(out, value.Of(at))
		}
		slices.Reverse(next)
		stack = append(stack, next...)
	}
	return one(out), nil
}

// edges returns the references that a property has, or those to the object.
func (r *run) edges(function, edge, subject string) ([]statement.Term, error) {
	if err := r.looked(); err != nil {
		return nil, err
	}
	var out []statement.Term
	if function == "rfollow" {
		subjects, err := r.collect(nil, r.src.SubjectsWith(edge, statement.Reference(subject)))
		for _, s := range subjects {
			out = append(out, statement.Reference(s))
		}
		return out, err
	}
	own, err := r.properties(subject)
	ordered, _ := statement.InOrder(own[edge])
	for _, s := range ordered {
		if s.IsRef() && s.Term != statement.EmptyList() {
			out = append(out, s.Term)
		}
	}
	return out, err
}
