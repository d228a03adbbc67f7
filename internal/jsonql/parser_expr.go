package jsonql

import (
	"slices"

	"vesperdb.io/vesper/internal/statement"
)

// expr reads an expression. From the weakest binding to the strongest: or,
// and, maybe, not, in, comparison, + -, * / %, unary minus.
func (p *parser) expr() (expr, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxQueryDepth {
		return nil, p.fail(p.peek().at, "", "expressions are nested more than %d deep", maxQueryDepth)
	}
	return p.logical("or", p.conjunction)
}

func (p *parser) conjunction() (expr, error) { return p.logical("and", p.modified) }

// logical reads operands joined by a keyword, from left to right.
func (p *parser) logical(word string, operand func() (expr, error)) (expr, error) {
	left, err := operand()
	for err == nil && p.peek().keyword(word) {
		at := p.take().at
		var right expr
		if right, err = operand(); err == nil {
			left = &binary{node{at}, word, left, right}
		}
	}
	return left, err
}

// modified reads "maybe x", "not x" and memberships.
func (p *parser) modified() (expr, error) {
	t := p.peek()
	if !t.keyword("maybe") && !t.keyword("not") {
		return p.membership()
	}
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxQueryDepth {
		return nil, p.fail(t.at, "", "expressions are nested more than %d deep", maxQueryDepth)
	}
	p.next++
	inner, err := p.modified()
	if err != nil {
		return nil, err
	}
	if t.keyword("not") {
		return &not{node{t.at}, inner}, nil
	}
	return &maybe{node{t.at}, inner}, nil
}

func (p *parser) membership() (expr, error) {
	left, err := p.comparison()
	if err != nil {
		return nil, err
	}
	at := p.peek().at
	negated := p.peek().keyword("not") && p.after().keyword("in")
	if negated {
		p.next++
	}
	if !p.acceptWord("in") {
		return left, nil
	}
	set, err := p.set()
	return &membership{node{at}, left, set, negated}, err
}

// set reads what follows "in": (a, b, ...) or one expression.
func (p *parser) set() ([]expr, error) {
	if !p.peek().symbol("(") {
		e, err := p.comparison()
		return []expr{e}, err
	}
	p.next++
	set, err := p.arguments(")")
	if err == nil && len(set) == 0 {
		err = p.fail(p.peek().at, "", "an empty set has no members")
	}
	return set, err
}

// arguments reads expressions with commas between them, up to a closing symbol.
func (p *parser) arguments(closing string) ([]expr, error) {
	var list []expr
	for !p.accept(closing) {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if !p.accept(",") && !p.peek().symbol(closing) {
			return nil, p.unexpected(`"," or "` + closing + `" should be here`)
		}
	}
	return list, nil
}

var comparisons = []string{"=", "==", "!=", "<", "<=", ">", ">="}

func (p *parser) comparison() (expr, error) {
	left, err := p.arithmetic()
	if err != nil {
		return nil, err
	}
	t := p.peek()
	if t.kind != tokenSymbol || !slices.Contains(comparisons, t.text) {
		return left, nil
	}
	p.next++
	var right expr
	if p.peek().keyword("maybe") { // prop = maybe other
		right, err = p.modified()
	} else {
		right, err = p.arithmetic()
	}
	if err != nil {
		return nil, err
	}
	if next := p.peek(); next.kind == tokenSymbol && slices.Contains(comparisons, next.text) {
		return nil, p.unexpected("comparisons cannot be chained: join them with and")
	}
	op := t.text
	if op == "==" {
		op = "="
	}
	return &binary{node{t.at}, op, left, right}, nil
}

func (p *parser) arithmetic() (expr, error) {
	return p.operators([]string{"+", "-"}, func() (expr, error) {
		return p.operators([]string{"*", "/", "%"}, p.unary)
	})
}

func (p *parser) operators(ops []string, operand func() (expr, error)) (expr, error) {
	left, err := operand()
	for err == nil && p.peek().kind == tokenSymbol && slices.Contains(ops, p.peek().text) {
		t := p.take()
		var right expr
		if right, err = operand(); err == nil {
			left = &binary{node{t.at}, t.text, left, right}
		}
	}
	return left, err
}

func (p *parser) unary() (expr, error) {
	t := p.peek()
	if !t.symbol("-") && !t.symbol("+") {
		return p.atom()
	}
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxQueryDepth {
		return nil, p.fail(t.at, "", "expressions are nested more than %d deep", maxQueryDepth)
	}
	p.next++
	inner, err := p.unary()
	if err != nil || t.symbol("+") {
		return inner, err
	}
	return &negative{node{t.at}, inner}, nil
}

func (p *parser) atom() (expr, error) {
	t := p.peek()
	switch t.kind {
	case tokenString, tokenInt, tokenFloat, tokenRef:
		return p.constant()
	case tokenBind:
		p.next++
		return &bindVar{node{t.at}, t.text}, nil
	case tokenLabel:
		return nil, p.unsupported(t.at, "labels")
	case tokenName, tokenProp:
		return p.named()
	case tokenKeyword:
		return p.word()
	default:
		return p.bracketedExpr()
	}
}

func (p *parser) bracketedExpr() (expr, error) {
	t := p.peek()
	switch {
	case t.symbol("("):
		p.next++
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	case t.symbol("{"):
		return nil, p.unsupported(t.at, "a filter set in braces")
	default:
		return nil, p.unexpected("a value should be here")
	}
}

func (p *parser) constant() (expr, error) {
	t := p.take()
	n := node{t.at}
	switch t.kind {
	case tokenString:
		return &literal{n, statement.Literal(t.text)}, nil
	case tokenRef:
		return &literal{n, statement.Reference(t.text)}, nil
	default:
		term, err := statement.FromNumber(withoutZeros(t.text))
		if err != nil {
			return nil, p.fail(t.at, "", "%v", err)
		}
		return &literal{n, term}, nil
	}
}

// withoutZeros drops leading zeros, which JSON does not allow: 007 is 7.
func withoutZeros(number string) string {
	sign := ""
	if number[0] == '-' {
		sign, number = "-", number[1:]
	}
	for len(number) > 1 && number[0] == '0' && isDigit(number[1]) {
		number = number[1:]
	}
	return sign + number
}

func (p *parser) word() (expr, error) {
	t := p.peek()
	n := node{t.at}
	switch t.text {
	case "true", "false":
		p.next++
		return &literal{n, statement.Term{Text: t.text, Type: statement.XSDBoolean}}, nil
	case "null":
		p.next++
		return &literal{n, statement.Null()}, nil
	case "id":
		p.next++
		return &idRef{n}, nil
	default:
		return nil, p.unexpected("a value should be here; write <" + t.text + "> for a property of that name")
	}
}

// named reads a property or a function call.
func (p *parser) named() (expr, error) {
	t := p.take()
	if t.kind == tokenName && p.peek().symbol("(") {
		return p.call(t)
	}
	if p.peek().symbol(".") {
		return nil, p.unsupported(p.peek().at, "paths of properties")
	}
	return &propRef{node{t.at}, t.text}, nil
}

func (p *parser) call(name token) (expr, error) {
	p.next++
	c := &call{node: node{name.at}, name: name.text}
	if aggregates[c.name] && p.peek().symbol("*") {
		p.next++
		c.star = true
		return p.checked(c, p.expect(")"))
	}
	if t := p.peek(); t.kind == tokenName && p.after().symbol("=") && later[c.name] {
		return nil, p.unsupported(name.at, "the function "+c.name)
	}
	args, err := p.arguments(")")
	c.args = args
	return p.checked(c, err)
}

// checked returns the call if there is such a function and it takes as many
// arguments.
func (p *parser) checked(c *call, err error) (expr, error) {
	if err != nil {
		return nil, err
	}
	if later[c.name] {
		return nil, p.unsupported(c.at, "the function "+c.name)
	}
	if aggregates[c.name] {
		if !c.star && len(c.args) != 1 || c.star && c.name != "count" {
			return nil, p.fail(c.at, "", "%s takes one property", c.name)
		}
		return c, nil
	}
	f, known := functions[c.name]
	if !known {
		return nil, p.fail(c.at, "names of functions are lower case", "unknown function %s", statement.Excerpt(c.name))
	}
	if len(c.args) < f.min || len(c.args) > f.max {
		return nil, p.fail(c.at, "", "%s takes %d to %d arguments, and here are %d", c.name, f.min, f.max, len(c.args))
	}
	return c, nil
}
