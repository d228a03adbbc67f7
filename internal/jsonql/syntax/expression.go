package syntax

import (
	"slices"

	"vesperdb.io/vesper/internal/statement"
)

// expr reads an expression. From the weakest binding to the strongest: or,
// and, maybe, not, in, comparison, + -, * / %, unary minus.
func (p *parser) expr() (Expr, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxQueryDepth {
		return nil, p.fail(p.peek().at, "", "expressions are nested more than %d deep", maxQueryDepth)
	}
	return p.logical("or", p.conjunction)
}

func (p *parser) conjunction() (Expr, error) { return p.logical("and", p.modified) }

// logical reads operands joined by a keyword, from left to right.
func (p *parser) logical(word string, operand func() (Expr, error)) (Expr, error) {
	left, err := operand()
	for err == nil && p.peek().keyword(word) {
		at := p.take().at
		var right Expr
		if right, err = operand(); err == nil {
			left = &Binary{Pos{at}, word, left, right}
		}
	}
	return left, err
}

// modified reads "maybe x", "not x" and memberships.
func (p *parser) modified() (Expr, error) {
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
		return &Not{Pos{t.at}, inner}, nil
	}
	return &Maybe{Pos{t.at}, inner}, nil
}

func (p *parser) membership() (Expr, error) {
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
	return &Membership{Pos{at}, left, set, negated}, err
}

// set reads what follows "in": (a, b, ...) or one expression.
func (p *parser) set() ([]Expr, error) {
	if !p.peek().symbol("(") {
		e, err := p.comparison()
		return []Expr{e}, err
	}
	p.next++
	if end := p.peek(); end.symbol(")") {
		return nil, p.fail(end.at, "", "an empty set has no members")
	}
	return p.arguments(")")
}

// arguments reads expressions with commas between them, up to a closing symbol.
func (p *parser) arguments(closing string) ([]Expr, error) {
	var list []Expr
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

func (p *parser) comparison() (Expr, error) {
	left, err := p.arithmetic()
	if err != nil {
		return nil, err
	}
	t := p.peek()
	if t.kind != tokenSymbol || !slices.Contains(comparisons, t.text) {
		return left, nil
	}
	p.next++
	var right Expr
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
	return &Binary{Pos{t.at}, op, left, right}, nil
}

func (p *parser) arithmetic() (Expr, error) {
	return p.operators([]string{"+", "-"}, func() (Expr, error) {
		return p.operators([]string{"*", "/", "%"}, p.unary)
	})
}

func (p *parser) operators(ops []string, operand func() (Expr, error)) (Expr, error) {
	left, err := operand()
	for err == nil && p.peek().kind == tokenSymbol && slices.Contains(ops, p.peek().text) {
		t := p.take()
		var right Expr
		if right, err = operand(); err == nil {
			left = &Binary{Pos{t.at}, t.text, left, right}
		}
	}
	return left, err
}

func (p *parser) unary() (Expr, error) {
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
	return &Negative{Pos{t.at}, inner}, nil
}

func (p *parser) atom() (Expr, error) {
	t := p.peek()
	switch t.kind {
	case tokenString, tokenInt, tokenFloat, tokenRef:
		return p.constant()
	case tokenBind:
		p.next++
		return &BindVar{Pos{t.at}, t.text}, nil
	case tokenLabel:
		return p.labeled()
	case tokenName, tokenProp:
		return p.named()
	case tokenKeyword:
		return p.word()
	default:
		return p.bracketedExpr()
	}
}

func (p *parser) bracketedExpr() (Expr, error) {
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
		return p.filterSet()
	default:
		return nil, p.unexpected("a value should be here")
	}
}

func (p *parser) constant() (Expr, error) {
	t := p.take()
	n := Pos{t.at}
	switch t.kind {
	case tokenString:
		return &Literal{n, statement.Literal(t.text)}, nil
	case tokenRef:
		return &Literal{n, statement.Reference(t.text)}, nil
	default:
		term, err := statement.FromNumber(withoutZeros(t.text))
		if err != nil {
			return nil, p.fail(t.at, "", "%v", err)
		}
		return &Literal{n, term}, nil
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

func (p *parser) word() (Expr, error) {
	t := p.peek()
	n := Pos{t.at}
	switch t.text {
	case "true", "false":
		p.next++
		return &Literal{n, statement.Term{Text: t.text, Type: statement.XSDBoolean}}, nil
	case "null":
		p.next++
		return &Literal{n, statement.Null()}, nil
	case "id":
		p.next++
		return &ID{Pos: n}, nil
	default:
		return nil, p.unexpected("a value should be here; write <" + t.text + "> for a property of that name")
	}
}
