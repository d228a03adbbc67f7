package syntax

import (
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/pjson"
)

// construct reads what is inside the brackets of a construct.
func (p *parser) construct(at int, shape Shape, closing string, one func() (Item, error)) (*Construct, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxQueryDepth {
		return nil, p.fail(at, "", "constructs are nested more than %d deep", maxQueryDepth)
	}
	c := &Construct{At: at, Shape: shape, Limit: -1}
	return c, p.body(c, closing, one)
}

// body reads items, then operations, up to the closing bracket.
func (p *parser) body(c *Construct, closing string, one func() (Item, error)) error {
	p.ownLabel(c)
	for !p.peek().symbol(closing) && !p.atOperation() {
		it, err := one()
		if err != nil {
			return err
		}
		c.Items = append(c.Items, it)
		if !p.accept(",") {
			break
		}
	}
	for p.atOperation() || p.atAfter() {
		if err := p.operation(c); err != nil {
			return err
		}
		p.accept(",")
	}
	return p.expect(closing)
}

var operations = map[string]bool{
	"where": true, "order": true, "group": true, "limit": true, "offset": true,
	"depth": true, "mergeall": true, "namemap": true,
}

func (p *parser) atOperation() bool {
	t := p.peek()
	return t.kind == tokenKeyword && operations[t.text]
}

func (p *parser) operation(c *Construct) (err error) {
	t := p.take()
	switch t.text {
	case "after":
		c.After, err = p.values()
	case "where":
		c.Where, err = p.expr()
	case "order":
		c.OrderBy, err = p.orderBy()
	case "group":
		c.GroupBy, err = p.groupBy()
	case "limit":
		c.Limit, err = p.count()
	case "offset":
		c.Offset, err = p.count()
	case "depth":
		c.Depth, err = p.count()
	case "mergeall":
		c.MergeAll = true
	default:
		err = p.namemap(c)
	}
	return err
}

func (p *parser) count() (int, error) {
	t := p.peek()
	n, err := strconv.Atoi(t.text)
	if t.kind != tokenInt || err != nil || n < 0 {
		return 0, p.unexpected("a whole number, 0 or more, should be here")
	}
	p.next++
	return n, nil
}

func (p *parser) by() error {
	if !p.acceptWord("by") {
		return p.unexpected(`"by" should be here`)
	}
	return nil
}

func (p *parser) orderBy() ([]SortKey, error) {
	if err := p.by(); err != nil {
		return nil, err
	}
	var keys []SortKey
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		key := SortKey{Value: e, Desc: p.acceptWord("desc")}
		if !key.Desc {
			p.acceptWord("asc")
		}
		keys = append(keys, key)
		if !p.peek().symbol(",") || p.endsAfterComma() {
			return keys, nil
		}
		p.next++
	}
}

// endsAfterComma reports whether the comma here is not followed by another key.
func (p *parser) endsAfterComma() bool {
	t := p.after()
	return t.kind == tokenEnd || t.symbol("}") || t.symbol("]") || t.symbol(")") ||
		t.kind == tokenKeyword && operations[t.text]
}

func (p *parser) groupBy() ([]Expr, error) {
	if err := p.by(); err != nil {
		return nil, err
	}
	var keys []Expr
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		keys = append(keys, e)
		if !p.peek().symbol(",") || p.endsAfterComma() {
			return keys, nil
		}
		p.next++
	}
}

// atAfter reports whether the operation "after" is here; the word is no
// keyword, so that a property may have that name.
func (p *parser) atAfter() bool { return p.peek().is(tokenName, "after") }

// values reads (a, b, ...) or one value.
func (p *parser) values() ([]Expr, error) {
	if !p.accept("(") {
		e, err := p.arithmetic()
		return []Expr{e}, err
	}
	return p.arguments(")")
}

// ownLabel reads the label that names the row set of a construct.
func (p *parser) ownLabel(c *Construct) {
	next := p.after()
	if p.peek().kind != tokenLabel || next.symbol(".") || next.symbol(":") {
		return
	}
	c.Label = p.take().text
	p.accept(",")
}

// namemap reads the JSON object of a namemap; the quotes may be single.
func (p *parser) namemap(c *Construct) error {
	if err := p.expect("="); err != nil {
		return err
	}
	c.NamemapAt = p.peek().at
	var b strings.Builder
	if err := p.json(&b); err != nil {
		return err
	}
	c.Namemap = b.String()
	return nil
}

// json reads a JSON value and writes it strictly.
func (p *parser) json(b *strings.Builder) error {
	p.depth++
	defer func() { p.depth-- }()
	t := p.take()
	switch {
	case p.depth > maxQueryDepth:
		return p.fail(t.at, "", "this is nested more than %d deep", maxQueryDepth)
	case t.symbol("{"):
		return p.members(b, "{", "}", true)
	case t.symbol("["):
		return p.members(b, "[", "]", false)
	case t.kind == tokenString:
		b.Write(pjson.AppendJSON(nil, t.text))
		return nil
	case t.kind == tokenInt, t.kind == tokenFloat, t.keyword("true"), t.keyword("false"), t.keyword("null"):
		b.WriteString(t.text)
		return nil
	}
	p.next--
	return p.unexpected("a JSON value should be here")
}

func (p *parser) members(b *strings.Builder, opening, closing string, keyed bool) error {
	b.WriteString(opening)
	for first := true; !p.accept(closing); first = false {
		if !first {
			if err := p.expect(","); err != nil {
				return err
			}
			if p.accept(closing) {
				break
			}
			b.WriteString(",")
		}
		if keyed {
			if p.peek().kind != tokenString {
				return p.unexpected("a name in quotes should be here")
			}
			b.Write(pjson.AppendJSON(nil, p.take().text))
			b.WriteString(":")
			if err := p.expect(":"); err != nil {
				return err
			}
		}
		if err := p.json(b); err != nil {
			return err
		}
	}
	b.WriteString(closing)
	return nil
}
