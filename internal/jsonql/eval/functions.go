package eval

import (
	"fmt"
	"strings"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

func (r *Run) call(c *resolve.Call, s *Scope) (value.Value, error) {
	switch {
	case syntax.IsAggregate(c.Name):
		return r.aggregate(c, s)
	case syntax.IsRevision(c.Name):
		return r.revision(c, s)
	case c.Name == "if":
		condition, err := r.Eval(c.Args[0], s)
		if err != nil {
			return value.Null, err
		}
		if condition.Truth() {
			return r.Eval(c.Args[1], s)
		}
		return r.Eval(c.Args[2], s)
	}
	args := make([]value.Value, len(c.Args))
	for i, a := range c.Args {
		var err error
		if args[i], err = r.Eval(a, s); err != nil {
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
func (r *Run) exists(c *resolve.Call, s *Scope) (value.Value, error) {
	p, ok := c.Args[0].(*resolve.Prop)
	if !ok {
		v, err := r.Eval(c.Args[0], s)
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

func (r *Run) apply(c *resolve.Call, args []value.Value) (value.Value, error) {
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
		return value.Null, r.Fail(c, "unknown function %s", statement.Excerpt(c.Name))
	}
	return value.Of(statement.Literal(change(t.Text, second))), nil
}

// follow returns the objects that a property leads to, over any number of
// others, each once, so that circles end: depth first, what was found last is
// followed first. They come as they are found; with edgesOnly, as their ends are
// reached.
func (r *Run) follow(c *resolve.Call, args []value.Value) (value.Value, error) {
	excludeInitial := len(args) > 2 && args[2].Truth()
	w := walk{
		run: r, function: c.Name, edge: args[1].Term.Text, edgesOnly: len(args) > 3 && args[3].Truth(),
		seen: map[statement.Term]bool{}, hidden: map[statement.Term]bool{},
	}
	for _, m := range args[0].Members() {
		if resolve.IsConstant(c.Args[0]) {
			m = AsReference(m)
		}
		if m.Term.IsRef() && !m.IsList && !w.seen[m.Term] {
			w.hidden[m.Term] = excludeInitial
			w.push(m.Term)
		}
	}
	for len(w.stack) > 0 {
		if err := w.step(); err != nil {
			return value.Null, err
		}
	}
	return one(w.out), nil
}

// walk is one way along references.
type walk struct {
	run            *Run
	function, edge string
	edgesOnly      bool
	stack          []statement.Term
	seen, hidden   map[statement.Term]bool
	out            []value.Value
}

func (w *walk) push(t statement.Term) {
	w.seen[t] = true
	w.stack = append(w.stack, t)
	if !w.edgesOnly {
		w.show(t)
	}
}

func (w *walk) show(t statement.Term) {
	if !w.hidden[t] {
		w.out = append(w.out, value.Of(t))
	}
}

func (w *walk) step() error {
	at := w.stack[len(w.stack)-1]
	w.stack = w.stack[:len(w.stack)-1]
	next, err := w.run.edges(w.function, w.edge, at.Text)
	if err != nil {
		return err
	}
	for _, t := range next {
		if !w.seen[t] {
			w.push(t)
		}
	}
	if w.edgesOnly && len(next) == 0 {
		w.show(at)
	}
	return nil
}

// edges returns the references that a property has, in order of their ids and
// not of a list, or those to the object.
func (r *Run) edges(function, edge, subject string) ([]statement.Term, error) {
	if err := r.Looked(); err != nil {
		return nil, err
	}
	var out []statement.Term
	if function == "rfollow" {
		for s, err := range r.src.SubjectsWith(edge, statement.Reference(subject)) {
			if err != nil {
				return nil, fmt.Errorf("read index: %w", err)
			}
			if err := r.Looked(); err != nil {
				return nil, err
			}
			out = append(out, statement.Reference(s))
		}
		return out, nil
	}
	own, _, err := r.factsOf(subject, nil)
	for _, s := range own.of(edge) {
		if s.IsRef() && s.Term != statement.EmptyList() {
			out = append(out, s.Term)
		}
	}
	return out, err
}
