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
	b.env.Sets = append(b.env.Sets, &Set{Nullable: map[string]bool{}, Shown: map[string]bool{}})
	return at
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
		return &Const{Pos(e.Pos), e.Term}, nil
	case *syntax.BindVar:
		return &Bind{Pos(e.Pos), e.Name}, nil
	case *syntax.ID:
		return &ID{Pos: Pos(e.Pos), Set: b.labeled(e.Label, main)}, nil
	case *syntax.Label:
		return &ID{Pos: Pos(e.Pos), Set: b.labeled(e.Name, main)}, nil
	case *syntax.WholeObject:
		return &Whole{Pos(e.Pos), main}, nil
	case *syntax.Property:
		return &Prop{Pos: Pos(e.Pos), Set: b.labeled(e.Label, main), Path: slices.Clone(e.Path)}, nil
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
	b.env.Sets[prop.Set].Nullable[prop.Path[0]] = true
	return prop, nil
}

func (b *builder) operation(e syntax.Expr, main SetID) (Expr, error) {
	children, err := b.all(syntax.Children(e), main)
	if err != nil {
		return nil, err
	}
	switch e := e.(type) {
	case *syntax.Not:
		return &Not{Pos(e.Pos), children[0]}, nil
	case *syntax.Negative:
		return &Binary{Pos(e.Pos), "-", &Const{Pos(e.Pos), zero}, children[0]}, nil
	case *syntax.Binary:
		return &Binary{Pos(e.Pos), e.Op, children[0], children[1]}, nil
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
