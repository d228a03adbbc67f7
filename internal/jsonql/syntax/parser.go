package syntax

import (
	"fmt"

	"vesperdb.io/vesper/internal/statement"
)

const (
	maxQueryBytes = 256 << 10
	maxQueryDepth = 100
)

// Parse reads a query. It returns an *Error for text that is not jsonQL.
func Parse(query string) (*Query, error) {
	if len(query) > maxQueryBytes {
		return nil, NewError(query, 0, "pass long values as bind variables",
			"the query has %d bytes, and the limit is %d", len(query), maxQueryBytes)
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
	return &Query{Text: query, Root: root, Skipped: l.skipped}, nil
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
	e := &Error{Line: pos.line, Col: pos.col, Near: statement.Shorten(p.text[t.at:t.end]), Message: "syntax error", Hint: wanted}
	if t.kind == tokenEnd {
		e.Message = "syntax error at the end of the query"
	}
	if t.kind == tokenBind {
		e.Hint = "a colon and a name is a bind variable; put a blank after the colon of a property"
	}
	if t.kind == tokenName {
		if like := near(t.text, operationWords); like != "" {
			e.Hint = wanted + "; did you mean " + like + "?"
		}
	}
	return e
}

func (p *parser) expect(symbol string) error {
	if p.accept(symbol) {
		return nil
	}
	return p.unexpected(fmt.Sprintf("%q should be here", symbol))
}

func (p *parser) query() (*Construct, error) {
	t := p.take()
	var c *Construct
	var err error
	switch {
	case t.symbol("{"):
		c, err = p.construct(t.at, Object, "}", p.objectItem)
	case t.symbol("["):
		c, err = p.construct(t.at, List, "]", p.listItem)
	case t.symbol("("):
		c, err = p.construct(t.at, Value, ")", p.listItem)
	default:
		p.next = 0
		return nil, p.unexpected("a query starts with {, [ or (")
	}
	if err != nil {
		return nil, err
	}
	if p.peek().kind != tokenEnd {
		return nil, p.unexpected("the query should end here")
	}
	if c.Shape == Value && (len(c.Items) != 1 || c.Items[0].Star) {
		return nil, p.fail(c.At, "use [...] for several", "a query in parentheses has exactly one value")
	}
	return c, nil
}
