package jsonql

import (
	"fmt"
	"strconv"

	"vesperdb.io/vesper/internal/statement"
)

const (
	maxQueryBytes = 256 << 10
	maxQueryDepth = 100
)

// unsupportedYet begins the message about what this engine cannot answer.
const unsupportedYet = "not supported yet"

// parseOne reads a query about one row set. It returns a *SyntaxError for text
// that is not jsonQL and, with a message that begins with unsupportedYet, for
// what this engine cannot answer.
func parseOne(query string) (*Query, error) {
	if len(query) > maxQueryBytes {
		return nil, &SyntaxError{Line: 1, Col: 1,
			Message: fmt.Sprintf("the query has %d bytes, and the limit is %d", len(query), maxQueryBytes),
			Hint:    "pass long values as bind variables"}
	}
	l, err := lex(query)
	if err != nil {
		return nil, err
	}
	p := &parser{lexer: l}
	root, err := p.query()
	if err != nil {
		return nil, err
	}
	plan, err := p.newPlan(root)
	if err != nil {
		return nil, err
	}
	return &Query{text: query, root: root, plan: plan, skipped: l.skipped}, nil
}

// parser is a recursive descent over the tokens, one method for each rule of
// the grammar.
type parser struct {
	*lexer
	next  int
	depth int
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) after() token { return p.tokens[min(p.next+1, len(p.tokens)-1)] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != tokenEnd {
		p.next++
	}
	return t
}

func (p *parser) accept(symbol string) bool {
	if p.peek().symbol(symbol) {
		p.next++
		return true
	}
	return false
}

func (p *parser) acceptWord(keyword string) bool {
	if p.peek().keyword(keyword) {
		p.next++
		return true
	}
	return false
}

// unexpected is the error for a token that the grammar does not allow here.
func (p *parser) unexpected(wanted string) error {
	t := p.peek()
	pos := positionOf(p.text, t.at)
	e := &SyntaxError{Line: pos.line, Col: pos.col, Near: statement.Shorten(p.text[t.at:t.end]), Message: "syntax error", Hint: wanted}
	if t.kind == tokenEnd {
		e.Message = "syntax error at the end of the query"
	}
	if t.kind == tokenBind {
		e.Hint = "a colon and a name is a bind variable; put a blank after the colon of a property"
	}
	return e
}

func (p *parser) expect(symbol string) error {
	if p.accept(symbol) {
		return nil
	}
	return p.unexpected(fmt.Sprintf("%q should be here", symbol))
}

func (p *parser) unsupported(at int, what string) error {
	return p.fail(at, "", unsupportedYet+": %s", what)
}

func (p *parser) query() (*construct, error) {
	c := &construct{at: p.peek().at, limit: -1}
	var err error
	switch {
	case p.accept("{"):
		c.shape = shapeObject
		err = p.body(c, "}", p.objectItem)
	case p.accept("["):
		c.shape = shapeList
		err = p.body(c, "]", p.listItem)
	case p.accept("("):
		c.shape = shapeValue
		err = p.body(c, ")", p.listItem)
	default:
		err = p.unexpected("a query starts with {, [ or (")
	}
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokenEnd {
		return nil, p.unexpected("the query should end here")
	}
	if c.shape == shapeValue && (len(c.items) != 1 || c.items[0].star) {
		return nil, p.fail(c.at, "use [...] for several", "a query in parentheses has exactly one value")
	}
	return c, nil
}

// body reads items, then operations, up to the closing bracket.
func (p *parser) body(c *construct, closing string, one func() (item, error)) error {
	if t := p.peek(); t.kind == tokenLabel {
		return p.unsupported(t.at, "labels")
	}
	for !p.peek().symbol(closing) && !p.atOperation() {
		it, err := one()
		if err != nil {
			return err
		}
		c.items = append(c.items, it)
		if !p.accept(",") {
			break
		}
	}
	for p.atOperation() {
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

func (p *parser) operation(c *construct) (err error) {
	t := p.take()
	switch t.text {
	case "where":
		c.where, err = p.expr()
	case "order":
		c.orderBy, err = p.orderBy()
	case "group":
		c.groupBy, err = p.groupBy()
	case "limit":
		c.limit, err = p.count()
	case "offset":
		c.offset, err = p.count()
	case "depth":
		c.depth, err = p.count()
	case "mergeall":
		c.mergeAll = true
	default:
		err = p.unsupported(t.at, "namemap in a query")
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

func (p *parser) orderBy() ([]sortKey, error) {
	if err := p.by(); err != nil {
		return nil, err
	}
	var keys []sortKey
	for {
		e, err := p.expr()
		if err != nil {
			return nil, err
		}
		key := sortKey{value: e, desc: p.acceptWord("desc")}
		if !key.desc {
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

func (p *parser) groupBy() (expr, error) {
	if err := p.by(); err != nil {
		return nil, err
	}
	e, err := p.expr()
	if err == nil && p.peek().symbol(",") && !p.endsAfterComma() {
		err = p.unsupported(p.after().at, "more than one key to group by")
	}
	return e, err
}

// objectItem reads one item of {...}.
func (p *parser) objectItem() (item, error) {
	t := p.peek()
	switch {
	case t.symbol("*"):
		p.next++
		return item{at: t.at, star: true}, nil
	case t.symbol("["):
		return p.forcedAbbreviation()
	case t.keyword("omitnull"):
		return p.abbreviation()
	}
	key, err := p.expr()
	if err != nil {
		return item{}, err
	}
	if p.accept(":") {
		it, err := p.keyedValue()
		it.at, it.key = t.at, key
		return it, err
	}
	return p.abbreviated(key, t.at)
}

// forcedAbbreviation reads [name], short for 'name' : [name].
func (p *parser) forcedAbbreviation() (item, error) {
	p.next++
	it, err := p.abbreviation()
	if err != nil {
		return it, err
	}
	it.forceList = true
	return it, p.expect("]")
}

// abbreviation reads [omitnull] [maybe] name, short for 'name' : name.
func (p *parser) abbreviation() (item, error) {
	at := p.peek().at
	omit := p.acceptWord("omitnull")
	e, err := p.expr()
	if err != nil {
		return item{}, err
	}
	it, err := p.abbreviated(e, at)
	it.omitNull = omit
	return it, err
}

func (p *parser) abbreviated(value expr, at int) (item, error) {
	inner := value
	if m, ok := value.(*maybe); ok {
		inner = m.inner
	}
	var name string
	switch e := inner.(type) {
	case *propRef:
		name = e.name
	case *idRef:
		name = "id"
	default:
		return item{}, p.fail(at, "write 'name' : and the value", "an expression in an object needs a name")
	}
	return item{at: at, key: &literal{node{at}, statement.Literal(name)}, value: value}, nil
}

// keyedValue reads what follows the colon of an item.
func (p *parser) keyedValue() (item, error) {
	it := item{omitNull: p.acceptWord("omitnull")}
	t := p.peek()
	var err error
	switch {
	case t.symbol("{"):
		return it, p.unsupported(t.at, "an object or filter inside an object")
	case t.symbol("*"):
		p.next++
		it.value = &wholeObject{node{t.at}}
	case t.symbol("["):
		p.next++
		it.forceList = true
		it.value, err = p.forced()
	default:
		it.value, err = p.expr()
	}
	return it, err
}

// forced reads the expression of a forced list, up to its bracket.
func (p *parser) forced() (expr, error) {
	t := p.peek()
	if t.symbol("[") || t.symbol("{") || t.symbol("]") || t.kind == tokenLabel || t.symbol("*") {
		return nil, p.unsupported(t.at, "a list inside an object, except one around a single value")
	}
	e, err := p.expr()
	if err != nil {
		return nil, err
	}
	if p.peek().symbol(",") || p.atOperation() {
		return nil, p.unsupported(p.peek().at, "a list inside an object, except one around a single value")
	}
	return e, p.expect("]")
}

// listItem reads one item of [...] or the value of (...).
func (p *parser) listItem() (item, error) {
	t := p.peek()
	switch {
	case t.symbol("*"):
		p.next++
		return item{at: t.at, star: true}, nil
	case t.symbol("{") || t.symbol("["):
		return item{}, p.unsupported(t.at, "an object or list inside a list")
	}
	e, err := p.expr()
	return item{at: t.at, value: e}, err
}
