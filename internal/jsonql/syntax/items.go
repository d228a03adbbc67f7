package syntax

import "vesperdb.io/vesper/internal/statement"

// objectItem reads one item of {...}.
func (p *parser) objectItem() (Item, error) {
	t := p.peek()
	switch {
	case t.symbol("*"):
		p.next++
		return Item{At: t.at, Star: true}, nil
	case t.symbol("["):
		return p.forcedAbbreviation()
	case t.keyword("omitnull"):
		return p.abbreviation()
	}
	key, err := p.expr()
	if err != nil {
		return Item{}, err
	}
	if p.accept(":") {
		it, err := p.keyedValue()
		it.At, it.Key = t.at, key
		return it, err
	}
	return p.abbreviated(key, t.at)
}

// forcedAbbreviation reads [name], short for 'name' : [name].
func (p *parser) forcedAbbreviation() (Item, error) {
	p.next++
	it, err := p.abbreviation()
	if err != nil {
		return it, err
	}
	it.ForceList = true
	return it, p.expect("]")
}

// abbreviation reads [omitnull] [maybe] name, short for 'name' : name.
func (p *parser) abbreviation() (Item, error) {
	at := p.peek().at
	omit := p.acceptWord("omitnull")
	e, err := p.expr()
	if err != nil {
		return Item{}, err
	}
	it, err := p.abbreviated(e, at)
	it.OmitNull = omit
	return it, err
}

func (p *parser) abbreviated(value Expr, at int) (Item, error) {
	inner := value
	if m, ok := value.(*Maybe); ok {
		inner = m.Inner
	}
	var name string
	switch e := inner.(type) {
	case *Property:
		name = e.Path[len(e.Path)-1]
		if e.EndID {
			name = "id"
		}
	case *ID:
		name = "id"
	default:
		return Item{}, p.fail(at, "write 'name' : and the value", "an expression in an object needs a name")
	}
	return Item{At: at, Key: &Literal{Pos{at}, statement.Literal(name)}, Value: value}, nil
}

// keyedValue reads what follows the colon of an item.
func (p *parser) keyedValue() (Item, error) {
	it := Item{OmitNull: p.acceptWord("omitnull")}
	t := p.peek()
	var err error
	if t.symbol("[") {
		p.next++
		it.ForceList, it.Value, err = p.listValue(t.at)
		return it, err
	}
	it.Value, err = p.value()
	return it, err
}

// value reads what may stand for a value in a row, except a list.
func (p *parser) value() (Expr, error) {
	t := p.peek()
	switch {
	case t.symbol("{"):
		return p.braces()
	case t.symbol("*"):
		p.next++
		return &WholeObject{Pos{t.at}}, nil
	default:
		return p.expr()
	}
}

// braces reads a filter set, if the braces hold a condition, else a nested
// construct.
func (p *parser) braces() (Expr, error) {
	start, skipped := p.next, len(p.skipped)
	if set, err := p.filterSet(); err == nil {
		if fs, ok := set.(*FilterSet); ok && isCondition(fs.Where) {
			return set, nil
		}
	}
	p.next, p.skipped = start, p.skipped[:skipped]
	t := p.take()
	c, err := p.construct(t.at, Object, "}", p.objectItem)
	return &Nested{Pos{t.at}, c}, err
}

func isCondition(e Expr) bool {
	switch e.(type) {
	case *Binary, *Membership, *Not:
		return true
	default:
		return false
	}
}

// listValue reads what follows "[" in the place of a value: [x] forces a list,
// [[...]] forces one around a nested list, anything else is a nested list.
func (p *parser) listValue(at int) (forced bool, e Expr, err error) {
	if p.forces() {
		return p.forcedValue()
	}
	c, err := p.construct(at, List, "]", p.listItem)
	return false, &Nested{Pos{at}, c}, err
}

// forces reports whether the brackets here hold a single value and no more.
func (p *parser) forces() bool {
	start := p.next
	defer func() { p.next = start }()
	if p.peek().symbol("]") {
		return false
	}
	depth := 0
	for {
		t := p.take()
		switch {
		case t.kind == tokenEnd:
			return false
		case t.symbol("{"), t.symbol("["), t.symbol("("):
			depth++
		case depth > 0 && (t.symbol("}") || t.symbol("]") || t.symbol(")")):
			depth--
		case t.symbol("]"):
			return true
		case depth == 0 && (t.symbol(",") || t.kind == tokenKeyword && operations[t.text]):
			return false
		}
	}
}

func (p *parser) forcedValue() (bool, Expr, error) {
	var e Expr
	var err error
	if t := p.peek(); t.symbol("[") {
		p.next++
		var c *Construct
		c, err = p.construct(t.at, List, "]", p.listItem)
		e = &Nested{Pos{t.at}, c}
	} else {
		e, err = p.value()
	}
	if err != nil {
		return true, nil, err
	}
	return true, e, p.expect("]")
}

// listItem reads one item of [...] or the value of (...).
func (p *parser) listItem() (Item, error) {
	t := p.peek()
	switch {
	case t.symbol("*"):
		p.next++
		return Item{At: t.at, Star: true}, nil
	case t.symbol("["):
		p.next++
		forced, e, err := p.listValue(t.at)
		return Item{At: t.at, Value: e, ForceList: forced}, err
	}
	omit := p.acceptWord("omitnull")
	e, err := p.value()
	return Item{At: t.at, Value: e, OmitNull: omit}, err
}
