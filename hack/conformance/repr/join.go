package repr

import "vesperdb.io/vesper/internal/jsonql/syntax"

// A Join is a row set: the objects that all that is joined in it have. Each
// part of it is a JoinConditionOp: what is joined, by which of its columns, how
// ("i" inner, "l" left outer, "a" anti, "s" semi, "x" cross), and to which of
// the columns that are there already. Column 0 and "#0" are the object's id. A
// Filter is joined by 0 to 0, and so is about the row set itself.

// part is one JoinConditionOp.
type part struct {
	at             int
	op             *node
	position, left any
	kind           string
}

func partOf(n *node) (part, error) {
	op, ok := n.arg(0).(*node)
	if n.name != "JoinConditionOp" || !ok || op.name != "Filter" && !isJoin(op) {
		return part{}, fault(n.at, "%s is nothing that is joined", n.name)
	}
	p := part{at: n.at, op: op, position: n.arg(1), kind: n.text(2), left: n.arg(3)}
	if op.name == "Filter" && (!isID(p.position, "") || !isID(p.left, "")) {
		return part{}, fault(n.at, "a filter that is joined by anything but the id is not supported")
	}
	return p, nil
}

// isID reports whether a column is the id of the objects of a row set.
func isID(column any, set string) bool {
	return column == number("0") || column == "#0" || set != "" && column == set
}

// same reports whether a join is only a part of the condition about the row set
// around it.
func (p part) same() bool {
	return p.op.named["name"] == nil && p.kind == "i" && isID(p.position, "") && isID(p.left, "")
}

// join returns the condition that makes a row set, nil if there is none.
func (b *builder) join(n *node, set string) (syntax.Expr, error) {
	conds, err := b.conditions(n, set)
	if err != nil || len(conds) == 0 {
		return nil, err
	}
	op := "and"
	if n.name == "Union" {
		op = "or"
	}
	out := conds[0]
	for _, c := range conds[1:] {
		out = &syntax.Binary{Pos: syntax.Pos{At: n.at}, Op: op, Left: out, Right: c}
	}
	if n.name == "Except" {
		out = &syntax.Not{Pos: syntax.Pos{At: n.at}, Inner: out}
	}
	return out, nil
}

// conditions returns the conditions of a join: those of its filters, then how it
// is joined to others.
func (b *builder) conditions(n *node, set string) ([]syntax.Expr, error) {
	var out, values []syntax.Expr
	var others []part
	for _, inner := range n.nodes() {
		p, err := partOf(inner)
		switch {
		case err != nil:
			return nil, err
		case p.op.name == "Filter":
			conds, bare, err := b.filter(p, set)
			if err != nil {
				return nil, err
			}
			out, values = append(out, conds...), append(values, bare...)
		case p.same():
			cond, err := b.join(p.op, set)
			if err != nil {
				return nil, err
			}
			if cond != nil {
				out = append(out, cond)
			}
		default:
			others = append(others, p)
		}
	}
	for _, p := range others {
		left := p.left
		if name, ok := left.(string); ok && technical(name) && name != "#0" {
			// The column is the value of a filter that is no condition.
			if len(values) != 1 {
				return nil, fault(p.at, "column %s is one of %d values", name, len(values))
			}
			left, values = values[0], nil
		}
		cond, err := b.joined(p, left, set)
		if err != nil {
			return nil, err
		}
		out = append(out, cond)
	}
	return append(out, values...), nil
}

// joined is the condition that joins a row set to another.
func (b *builder) joined(p part, to any, set string) (syntax.Expr, error) {
	pos := syntax.Pos{At: p.at}
	name := setName(p.op, apart(p.op))
	where, err := b.join(p.op, name)
	if err != nil {
		return nil, err
	}
	var other syntax.Expr = &syntax.FilterSet{Pos: pos, Label: name, Where: where}
	if p.kind == "x" {
		return other, nil
	}
	left, ok := to.(syntax.Expr)
	if column, named := to.(string); named && !isID(to, set) {
		left, ok = b.property(p.at, list{column}, b.owner(column, set), set), true
	} else if isID(to, set) {
		left, ok = &syntax.ID{Pos: pos}, true
	}
	if !ok {
		return nil, fault(p.at, "joining to column %v is not supported", to)
	}
	if isID(p.position, name) {
		return joinedAs(p, left, other)
	}
	column, named := p.position.(string)
	if !named || technical(column) || p.kind != "i" {
		return nil, fault(p.at, "joining by column %v is not supported", p.position)
	}
	by := &syntax.Binary{Pos: pos, Op: "=", Left: left, Right: b.property(p.at, list{column}, name, set)}
	return &syntax.Binary{Pos: pos, Op: "and", Left: other, Right: by}, nil
}

// joinedAs joins a row set by its id.
func joinedAs(p part, left, other syntax.Expr) (syntax.Expr, error) {
	pos := syntax.Pos{At: p.at}
	switch p.kind {
	case "i":
		return &syntax.Binary{Pos: pos, Op: "=", Left: left, Right: other}, nil
	case "l":
		return &syntax.Maybe{Pos: pos, Inner: &syntax.Binary{Pos: pos, Op: "=", Left: left, Right: other}}, nil
	case "s", "a":
		return &syntax.Membership{Pos: pos, Value: left, Set: []syntax.Expr{other}, Negate: p.kind == "a"}, nil
	default:
		return nil, fault(p.at, "a join of the kind %q is not supported", p.kind)
	}
}

// A Filter selects statements: column 1 is the property, column 2 the value, and
// the labels name columns.

// filter returns the conditions of a filter, and the values in it that are no
// conditions, which something may be joined to.
func (b *builder) filter(p part, set string) (conds, values []syntax.Expr, err error) {
	in := place{set: set}
	var rest []*node
	maybe := p.kind == "l"
	for _, arg := range p.op.nodes() {
		name, optional, ok := selectsProperty(arg)
		if ok && in.property == "" {
			in.property, maybe = name, maybe || optional
			continue
		}
		rest = append(rest, arg)
	}
	if len(rest) > 0 && p.kind != "i" && p.kind != "s" {
		return nil, nil, fault(p.at, "a condition that need not hold is not supported")
	}
	asked := false
	for _, arg := range rest {
		e, err := b.expr(arg, in)
		if err != nil {
			return nil, nil, err
		}
		asked = asked || mentions(arg, "2")
		if arg.name == function {
			values = append(values, e)
		} else {
			conds = append(conds, e)
		}
	}
	if in.property != "" && !asked {
		conds = append(conds, b.has(p, in, maybe))
	}
	return append(conds, b.labels(p.op, in)...), values, nil
}

// has is the condition that consists of a property.
func (b *builder) has(p part, in place, maybe bool) syntax.Expr {
	prop := b.property(p.op.at, list{in.property}, in.set, in.set)
	switch {
	case p.kind == "a":
		return &syntax.Not{Pos: syntax.Pos{At: p.at}, Inner: prop}
	case maybe:
		return &syntax.Maybe{Pos: syntax.Pos{At: p.at}, Inner: prop}
	}
	return prop
}

// labels are the conditions that the labels of columns mean: a label that is
// neither the property nor the row set is another row set, of the same objects.
func (b *builder) labels(filter *node, in place) []syntax.Expr {
	var out []syntax.Expr
	pos := syntax.Pos{At: filter.at}
	for _, label := range filter.texts("subjectlabel") {
		if !technical(label) && label != in.set {
			out = append(out, &syntax.Binary{Pos: pos, Op: "=", Left: &syntax.ID{Pos: pos}, Right: &syntax.Label{Pos: pos, Name: label}})
		}
	}
	for _, label := range filter.texts("objectlabel") {
		if !technical(label) && label != in.property && in.property != "" {
			prop := b.property(filter.at, list{in.property}, in.set, in.set)
			out = append(out, &syntax.Binary{Pos: pos, Op: "=", Left: prop, Right: &syntax.Label{Pos: pos, Name: label}})
		}
	}
	return out
}

// selectsProperty reports whether a condition says which property the statements
// have, and which, and whether they may be missing.
func selectsProperty(n *node) (name string, maybe, ok bool) {
	sides := n.nodes()
	if n.name != "Eq" || len(sides) != 2 {
		return "", false, false
	}
	left, right := sides[0], sides[1]
	if left.name == "Project" {
		left, right = right, left
	}
	if left.name != "PropString" && left.name != "Constant" || right.name != "Project" || !isColumn(right, "1") {
		return "", false, false
	}
	name, ok = left.arg(0).(string)
	return name, right.flag(3, "maybe"), ok
}

// isColumn reports whether a projection is a column by its number.
func isColumn(project *node, column number) bool {
	fields, _ := project.arg(0).(list)
	return len(fields) == 1 && fields[0] == column
}

func isStar(project *node) bool {
	fields, _ := project.arg(0).(list)
	return len(fields) == 1 && fields[0] == "*"
}

// mentions reports whether a column is in an expression.
func mentions(n *node, column number) bool {
	if n.name == "Project" && isColumn(n, column) {
		return true
	}
	for _, inner := range n.nodes() {
		if mentions(inner, column) {
			return true
		}
	}
	return false
}
