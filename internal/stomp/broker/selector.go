package broker

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// truth is SQL's three-valued logic: a comparison with a header that is missing is unknown, and
// a message is selected only when the whole is true.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

// selector is a parsed selector: a function of a message's header.
type selector func(h frame.Header) truth

// everything is the selector of a subscription without one.
func everything(frame.Header) truth { return yes }

// selectorError says where a selector cannot be understood.
type selectorError struct {
	text, reason string
}

// Error quotes the selector.
func (e *selectorError) Error() string {
	return fmt.Sprintf("selector %q is not understood: %s", e.text, e.reason)
}

// maxNesting bounds the parser's recursion.
const maxNesting = 50

// parseSelector understands comparisons of a header with a string in single quotes by = and <>,
// IS NULL and IS NOT NULL, NOT, AND, OR and brackets. All else is a *selectorError.
func parseSelector(text string) (selector, error) {
	p := &selectorParser{text: text, rest: text}
	p.next()
	s := p.or(0)
	if p.failure == "" && p.token != "" {
		p.fail("%s is one word too many", p.token)
	}
	if p.failure != "" {
		return nil, &selectorError{text: text, reason: p.failure}
	}
	return s, nil
}

// selectorParser is a recursive descent over the text. token is the current token, "" at the
// end; a string literal's token keeps its quotes. After a failure all methods do nothing.
type selectorParser struct {
	text, rest, token, failure string
}

func (p *selectorParser) fail(format string, args ...any) selector {
	if p.failure == "" {
		p.failure = fmt.Sprintf(format, args...)
	}
	p.token, p.rest = "", ""
	return everything
}

func (p *selectorParser) next() {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	n := p.tokenLength()
	p.token, p.rest = p.rest[:n], p.rest[n:]
}

func (p *selectorParser) tokenLength() int {
	s := p.rest
	switch {
	case s == "":
		return 0
	case s[0] == '\'':
		return p.literalLength()
	case strings.HasPrefix(s, "<>"):
		return 2
	case isWord(s[0]):
		n := 1
		for n < len(s) && isWord(s[n]) {
			n++
		}
		return n
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// literalLength is the length of a string literal, in which two quotes stand for one.
func (p *selectorParser) literalLength() int {
	s := p.rest
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 == len(s) || s[i+1] != '\'' {
			return i + 1
		}
		i++
	}
	p.fail("a quote is not closed")
	return 0
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c == '.' ||
		c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *selectorParser) keyword(word string) bool {
	if !strings.EqualFold(p.token, word) {
		return false
	}
	p.next()
	return true
}

func (p *selectorParser) or(depth int) selector {
	left := p.and(depth)
	for p.keyword("OR") {
		a, b := left, p.and(depth)
		left = func(h frame.Header) truth { return max(a(h), b(h)) }
	}
	return left
}

func (p *selectorParser) and(depth int) selector {
	left := p.not(depth)
	for p.keyword("AND") {
		a, b := left, p.not(depth)
		left = func(h frame.Header) truth { return min(a(h), b(h)) }
	}
	return left
}

func (p *selectorParser) not(depth int) selector {
	if depth > maxNesting {
		return p.fail("it is nested deeper than %d", maxNesting)
	}
	if p.keyword("NOT") {
		a := p.not(depth + 1)
		return func(h frame.Header) truth { return yes - a(h) }
	}
	if p.keyword("(") {
		s := p.or(depth + 1)
		if !p.keyword(")") {
			return p.fail("a bracket is not closed")
		}
		return s
	}
	return p.comparison()
}

func (p *selectorParser) comparison() selector {
	name := p.token
	if name == "" || !isWord(name[0]) || name[0] >= '0' && name[0] <= '9' {
		return p.fail("a header's name is expected, not %q", name)
	}
	p.next()
	switch {
	case p.keyword("IS"):
		return p.null(name)
	case p.keyword("="):
		return p.equal(name, yes)
	case p.keyword("<>"):
		return p.equal(name, no)
	}
	return p.fail("after %s, one of =, <>, IS is expected, not %q", name, p.token)
}

func (p *selectorParser) null(name string) selector {
	whenMissing := yes
	if p.keyword("NOT") {
		whenMissing = no
	}
	if !p.keyword("NULL") {
		return p.fail("after IS, NULL is expected, not %q", p.token)
	}
	return func(h frame.Header) truth {
		if _, ok := h.Lookup(name); ok {
			return yes - whenMissing
		}
		return whenMissing
	}
}

func (p *selectorParser) equal(name string, whenSame truth) selector {
	t := p.token
	if t == "" || t[0] != '\'' {
		return p.fail("a string in single quotes is expected, not %q", t)
	}
	value := strings.ReplaceAll(t[1:len(t)-1], "''", "'")
	p.next()
	return func(h frame.Header) truth {
		v, ok := h.Lookup(name)
		switch {
		case !ok:
			return unknown
		case v == value:
			return whenSame
		}
		return yes - whenSame
	}
}
