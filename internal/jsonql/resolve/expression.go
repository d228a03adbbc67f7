package resolve

import (
	"slices"

	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/statement"
)

// zero is what a minus sign subtracts from.
var zero = statement.Term{Text: "0", Type: statement.XSDInteger}

// builder ties the expressions of one environment to its sets.
type builder struct {
	text  string
	scope *scope
	env   *Env
	ids   map[SetID]SetID // from a set of the scope to its place in the environment
	outer *builder        // of the environment around, for a sub-query
	names names
	// around are the sets of the constructs around, the innermost last.
	around []SetID
	// aggregates says that aggregates have a meaning where the builder is.
	aggregates bool
}

func (b *builder) fail(at int, hint, format string, args ...any) error {
	return syntax.NewError(b.text, at, hint, format, args...)
}

// place returns where a set of the scope stands in the environment.
func (b *builder) place(id SetID) SetID {
	id = b.scope.find(id)
	if at, ok := b.ids[id]; ok {
		return at
	}
	at := SetID(len(b.env.Sets))
	b.ids[id] = at
	b.env.Sets = append(b.env.Sets, &Set{
		Nullable: map[string]bool{}, Shown: map[string]bool{}, named: map[string]bool{},
	})
	return at
}

// reach returns the set that a label names, and how many environments out it is.
func (b *builder) reach(label string, main SetID) (SetID, int) {
	if label != "" && b.scope.outer[label] {
		set, up := b.outer.reach(label, NoSet)
		return set, up + 1
	}
	return b.labeled(label, main), 0
}

func (b *builder) labeled(label string, main SetID) SetID {
	if label == "" {
		return main
	}
	at := b.place(b.scope.set(label))
	if s := b.env.Sets[at]; s.Label == "" {
		s.Label = label
	}
	return at
}

// expr ties an expression to the sets; names without a label are those of main.
func (b *builder) expr(e syntax.Expr, main SetID) (Expr, error) {
	switch e := e.(type) {
	case *syntax.Literal:
		return &Const{Pos(e.Pos), b.names.term(e.Term)}, nil
	case *syntax.BindVar:
		return &Bind{Pos(e.Pos), e.Name}, nil
	case *syntax.ID:
		set, up := b.reach(e.Label, main)
		return &ID{Pos: Pos(e.Pos), Set: set, Up: up}, nil
	case *syntax.Label:
		set, up := b.reach(e.Name, main)
		return &ID{Pos: Pos(e.Pos), Set: set, Up: up}, nil
	case *syntax.WholeObject:
		return &Whole{Pos(e.Pos), main}, nil
	case *syntax.Property:
		set, up := b.reach(e.Label, main)
		return &Prop{Pos: Pos(e.Pos), Set: set, Up: up, Path: b.names.properties(e.Path), EndID: e.EndID}, nil
	case *syntax.FilterSet:
		return b.filterSet(e)
	case *syntax.Nested:
		return b.nested(e)
	case *syntax.Call:
		if e.Name == "follow" || e.Name == "rfollow" {
			return b.follow(e, main)
		}
		return b.operation(e, main)
	case *syntax.Maybe:
		return b.maybe(e, main)
	default:
		return b.operation(e, main)
	}
}

func (b *builder) maybe(e *syntax.Maybe, main SetID) (Expr, error) {
	inner, err := b.expr(e.Inner, main)
	if err != nil {
		return nil, err
	}
	prop, ok := inner.(*Prop)
	if !ok {
		return nil, b.fail(e.At, "write maybe before a property or a join", "maybe has no meaning here")
	}
	prop.Maybe = true
	if prop.Up == 0 {
		b.env.Sets[prop.Set].Nullable[prop.Path[0]] = true
	}
	return prop, nil
}

func (b *builder) operation(e syntax.Expr, main SetID) (Expr, error) {
	c, isCall := e.(*syntax.Call)
	if isCall && syntax.IsAggregate(c.Name) {
		if !b.aggregates {
			return nil, b.fail(c.At, "it is computed over rows, when they are found", "%s has no meaning here", c.Name)
		}
		b.aggregates = false
		defer func() { b.aggregates = true }()
	}
	children, err := b.all(syntax.Children(e), main)
	if err != nil {
		return nil, err
	}
	switch e := e.(type) {
	case *syntax.Not:
		return &Not{Pos(e.Pos), children[0]}, nil
	case *syntax.Negative:
		return &Binary{Pos: Pos(e.Pos), Op: "-", Left: &Const{Pos(e.Pos), zero}, Right: children[0]}, nil
	case *syntax.Binary:
		return &Binary{Pos(e.Pos), e.Op, children[0], children[1], e.Op == "=" && crosses(children[0], children[1])}, nil
	case *syntax.Membership:
		return &In{Pos(e.Pos), children[0], children[1:], e.Negate}, nil
	case *syntax.Call:
		return &Call{Pos(e.Pos), e.Name, children, e.Star}, nil
	default:
		return nil, b.fail(e.Place(), "", "this has no meaning here")
	}
}

func (b *builder) all(list []syntax.Expr, main SetID) ([]Expr, error) {
	var out []Expr
	for _, e := range list {
		r, err := b.expr(e, main)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// follow ties the arguments of follow, the second of which is the name of a
// property and not its value.
func (b *builder) follow(c *syntax.Call, main SetID) (Expr, error) {
	edge, ok := c.Args[1].(*syntax.Property)
	if !ok || edge.Label != "" || len(edge.Path) != 1 || edge.EndID {
		return nil, b.fail(c.Args[1].Place(), "", "%s follows a property, and its second argument is none", c.Name)
	}
	args := slices.Clone(c.Args)
	args[1] = &syntax.Literal{Pos: edge.Pos, Term: statement.Literal(b.names.property(edge.Path[0]))}
	tied, err := b.all(args, main)
	return &Call{Pos: Pos(c.Pos), Name: c.Name, Args: tied}, err
}
