package repr

import (
	"vesperdb.io/vesper/internal/jsonql/syntax"
	"vesperdb.io/vesper/internal/statement"
)

// place is where an expression stands.
type place struct {
	// set is the row set that names without a label are of.
	set string
	// property is that of the statements of the filter around, "" outside.
	property string
	// whole says that "*" is the object.
	whole bool
}

// function is what the call of a function is printed as.
const function = "QueryOp.functions.getOp"

var operators = map[string]string{"add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%"}

// expr makes an expression of an operation that has a value.
func (b *builder) expr(n *node, in place) (syntax.Expr, error) {
	pos := syntax.Pos{At: n.at}
	switch n.name {
	case "Project":
		return b.project(n, in)
	case "Label":
		return maybe(n, 1, &syntax.Label{Pos: pos, Name: n.text(0)}), nil
	case "BindVar":
		return maybe(n, 1, &syntax.BindVar{Pos: pos, Name: n.text(0)}), nil
	case "Constant", "PropString":
		term, err := constantTerm(n)
		return &syntax.Literal{Pos: pos, Term: term}, err
	case "Select":
		c, err := b.selection(n)
		return &syntax.Nested{Pos: pos, Construct: c}, err
	case "Join", "Union", "Except":
		name := setName(n, "")
		where, err := b.join(n, name)
		return &syntax.FilterSet{Pos: pos, Label: name, Where: where}, err
	case function:
		return b.call(n, in)
	default:
		return b.logical(n, in)
	}
}

// logical makes an expression that is true or false.
func (b *builder) logical(n *node, in place) (syntax.Expr, error) {
	pos := syntax.Pos{At: n.at}
	args, err := b.all(n.nodes(), in)
	if err != nil {
		return nil, err
	}
	ops := map[string]string{"Eq": "=", "And": "and", "Or": "or", "Cmp": n.text(0)}
	switch {
	case ops[n.name] != "" && len(args) == 2:
		return maybe(n, -1, &syntax.Binary{Pos: pos, Op: ops[n.name], Left: args[0], Right: args[1]}), nil
	case n.name == "Not" && len(args) == 1:
		return &syntax.Not{Pos: pos, Inner: args[0]}, nil
	case n.name == "In" && len(args) > 1:
		return &syntax.Membership{Pos: pos, Value: args[0], Set: args[1:]}, nil
	default:
		return nil, fault(n.at, "%s of %d is not supported", n.name, len(args))
	}
}

func (b *builder) all(nodes []*node, in place) ([]syntax.Expr, error) {
	var out []syntax.Expr
	for _, n := range nodes {
		e, err := b.expr(n, in)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// maybe gives an expression its "maybe".
func maybe(n *node, at int, e syntax.Expr) syntax.Expr {
	if n.flag(at, "maybe") {
		return &syntax.Maybe{Pos: syntax.Pos{At: n.at}, Inner: e}
	}
	return e
}

// project makes a property of Project(path, label, expand, maybe). A path that
// is a number is a column of the statements of a filter: 0 is the id, 2 the
// value. What "expand" says of references, we do wherever a value is shown.
func (b *builder) project(n *node, in place) (syntax.Expr, error) {
	fields, _ := n.arg(0).(list)
	owner := n.text(1)
	switch {
	case len(fields) == 0:
		return nil, fault(n.at, "a projection has no property")
	case isStar(n) && in.whole:
		return &syntax.WholeObject{Pos: syntax.Pos{At: n.at}}, nil
	case isColumn(n, "0"):
		id := &syntax.ID{Pos: syntax.Pos{At: n.at}}
		if owner != "" && owner != in.set {
			id.Label = owner
		}
		return id, nil
	case isColumn(n, "2") && in.property != "":
		return maybe(n, 3, b.property(n.at, list{in.property}, in.set, in.set)), nil
	}
	if first, ok := fields[0].(string); ok && owner == "" {
		owner = b.owner(first, in.set)
	}
	for _, f := range fields {
		if name, ok := f.(string); !ok || name == "*" {
			return nil, fault(n.at, "column %v has no meaning here", f)
		}
	}
	return maybe(n, 3, b.property(n.at, fields, owner, in.set)), nil
}

// property is a path of properties of a row set, as it is named in another.
func (b *builder) property(at int, path list, owner, set string) syntax.Expr {
	p := &syntax.Property{Pos: syntax.Pos{At: at}}
	if owner != set {
		p.Label = owner
	}
	for _, name := range path {
		text, _ := name.(string)
		p.Path = append(p.Path, text)
	}
	return p
}

// owner is the row set that a name without a label is of: the one around, unless
// that has no such column and exactly one other has.
func (b *builder) owner(column, set string) string {
	if b.columns[set][column] {
		return set
	}
	owner, found := set, 0
	for other, columns := range b.columns {
		if columns[column] {
			owner = other
			found++
		}
	}
	if found == 1 {
		return owner
	}
	return set
}

// call makes a function call or an operator of getOp((namespace, name), ...).
func (b *builder) call(n *node, in place) (syntax.Expr, error) {
	pos := syntax.Pos{At: n.at}
	name, args := n.functionName(), n.nodes()
	if name == "count" && len(args) == 1 && args[0].name == "Project" && isStar(args[0]) {
		return &syntax.Call{Pos: pos, Name: name, Star: true}, nil
	}
	values, err := b.all(args, in)
	switch {
	case err != nil:
		return nil, err
	case operators[name] != "" && len(values) == 2:
		return &syntax.Binary{Pos: pos, Op: operators[name], Left: values[0], Right: values[1]}, nil
	case name == "negate" && len(values) == 1:
		return &syntax.Negative{Pos: pos, Inner: values[0]}, nil
	case name == "follow" || name == "rfollow":
		if len(args) < 2 || args[1].name != "PropString" {
			return nil, fault(n.at, "%s follows no property", name)
		}
		values[1] = b.property(args[1].at, list{args[1].arg(0)}, in.set, in.set)
	case name == "":
		return nil, fault(n.at, "a function has no name")
	}
	return &syntax.Call{Pos: pos, Name: name, Args: values}, nil
}

// functionName is the name in the key of a function.
func (n *node) functionName() (name string) {
	if key, _ := n.arg(0).(list); len(key) == 2 {
		name, _ = key[1].(string)
	}
	return name
}

// constantTerm is the value of a Constant.
func constantTerm(n *node) (statement.Term, error) {
	switch v := n.arg(0).(type) {
	case nil:
		return statement.Null(), nil
	case string:
		return statement.Literal(v), nil
	case bool:
		return statement.FromValue(v)
	case number:
		return statement.FromNumber(string(v))
	case *node:
		if v.name == "ResourceUri" {
			return statement.Reference(v.text(0)), nil
		}
	}
	return statement.Term{}, fault(n.at, "this constant is not supported")
}
