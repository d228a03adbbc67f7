package syntax

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenProp // <any property name>
	tokenKeyword
	tokenLabel
	tokenBind
	tokenRef
	tokenString
	tokenInt
	tokenFloat
	tokenSymbol // one of the operators and brackets, in text
)

// token is one word of a query. text is its meaning (the string without quotes
// and escapes, the keyword in lower case), at its byte offset.
type token struct {
	kind tokenKind
	text string
	at   int
	end  int
}

func (t token) is(kind tokenKind, text string) bool { return t.kind == kind && t.text == text }
func (t token) symbol(text string) bool             { return t.is(tokenSymbol, text) }
func (t token) keyword(text string) bool            { return t.is(tokenKeyword, text) }

var keywords = map[string]bool{
	"true": true, "false": true, "null": true, "not": true, "and": true, "or": true, "in": true,
	"namemap": true, "id": true, "maybe": true, "where": true, "limit": true, "offset": true,
	"depth": true, "mergeall": true, "group": true, "order": true, "by": true, "asc": true,
	"desc": true, "omitnull": true,
}

// position is a place in a query.
type position struct{ line, col int }

func positionOf(text string, at int) position {
	at = min(at, len(text))
	before := text[:at]
	line := strings.LastIndexByte(before, '\n') + 1
	return position{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[line:]) + 1}
}

// lexer splits a query into tokens. Unlike the original's it takes account of
// what stands before: after an operand "<" compares and "-" subtracts, so that
// "v<2 and w>0" and "1-1" mean what they look like.
type lexer struct {
	text    string
	at      int
	tokens  []token
	skipped []string
}

func lex(text string) (*lexer, error) {
	l := &lexer{text: text}
	for {
		if err := l.space(); err != nil {
			return nil, err
		}
		if l.at >= len(l.text) {
			l.emit(tokenEnd, "", l.at)
			return l, nil
		}
		if err := l.next(); err != nil {
			return nil, err
		}
	}
}

func (l *lexer) fail(at int, hint, format string, args ...any) error {
	p := positionOf(l.text, at)
	return &Error{Line: p.line, Col: p.col, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func (l *lexer) emit(kind tokenKind, text string, start int) {
	l.tokens = append(l.tokens, token{kind: kind, text: text, at: start, end: l.at})
}

// space skips blanks and comments.
func (l *lexer) space() error {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.at++
		case rest[0] == '#' || strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest) - 1
			}
			l.at += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return l.fail(l.at, "close it with */", "this comment does not end")
			}
			l.at += end + 2
		default:
			return nil
		}
	}
	return nil
}

// afterOperand reports whether the last token ends a value, so that what
// follows can only be an operator.
func (l *lexer) afterOperand() bool {
	n := len(l.tokens)
	if n == 0 {
		return false
	}
	switch last := l.tokens[n-1]; last.kind {
	case tokenName, tokenProp, tokenBind, tokenRef, tokenString, tokenInt, tokenFloat:
		return true
	case tokenLabel: // "{?x <p>}" starts with a label and goes on with a property
		return n < 2 || !l.tokens[n-2].symbol("{") && !l.tokens[n-2].symbol("[")
	case tokenKeyword:
		return last.text == "id" || last.text == "true" || last.text == "false" || last.text == "null"
	case tokenSymbol:
		return last.text == ")" || last.text == "}" || last.text == "]"
	default:
		return false
	}
}

// symbols are tried in order, longer ones first.
var symbols = []string{
	"==", "!=", "<=", ">=", "=", "<", ">", "{", "}", "[", "]", "(", ")", ",", ":", ".", "+", "-", "*", "/", "%",
}

func (l *lexer) next() error {
	c := l.text[l.at]
	switch {
	case isNameStart(c):
		l.name()
		return nil
	case c == '"' || c == '\'':
		return l.str(c)
	case isDigit(c) || c == '-' && !l.afterOperand() && l.at+1 < len(l.text) && isDigit(l.text[l.at+1]):
		return l.number()
	case c == '@':
		return l.reference()
	}
	return l.nextSign(c)
}

// nextSign reads what begins with a sign that may stand for itself.
func (l *lexer) nextSign(c byte) error {
	if (c == '?' || c == ':') && l.prefixed(c) {
		return nil
	}
	if c == '<' && !l.afterOperand() {
		if end := l.bracketed(l.at); end >= 0 {
			return l.property(tokenProp, l.at, l.at+1, end)
		}
	}
	return l.sign()
}

func isNameStart(c byte) bool {
	return c == '_' || c == '$' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNamePart(c byte) bool { return isNameStart(c) || isDigit(c) }

func (l *lexer) word(from int) string {
	end := from
	for end < len(l.text) && isNamePart(l.text[end]) {
		end++
	}
	return l.text[from:end]
}

func (l *lexer) name() {
	start := l.at
	word := l.word(start)
	l.at += len(word)
	if lower := strings.ToLower(word); keywords[lower] {
		l.emit(tokenKeyword, lower, start)
		return
	}
	l.emit(tokenName, word, start)
}

// prefixed reads ?label or :bindvar, if a name follows.
func (l *lexer) prefixed(c byte) bool {
	start := l.at
	if start+1 >= len(l.text) || !isNamePart(l.text[start+1]) || c == ':' && !isNameStart(l.text[start+1]) {
		return false
	}
	word := l.word(start + 1)
	l.at += 1 + len(word)
	kind := tokenLabel
	if c == ':' {
		kind = tokenBind
	}
	l.emit(kind, word, start)
	return true
}

func (l *lexer) reference() error {
	start := l.at
	if strings.HasPrefix(l.text[start:], "@<") {
		if end := l.bracketed(start + 1); end >= 0 {
			return l.property(tokenRef, start, start+2, end)
		}
	}
	end := start + 1
	for end < len(l.text) && strings.IndexByte(" \t\r\n\f\v}),]", l.text[end]) < 0 {
		end++
	}
	if end == start+1 {
		return l.fail(start, "write for example @id", "a reference without an id")
	}
	l.at = end
	l.emit(tokenRef, strings.TrimPrefix(l.text[start+1:end], "::"), start)
	return nil
}

// bracketed returns where the text in angle brackets that starts at open ends,
// or -1 if it does not end on this line.
func (l *lexer) bracketed(open int) int {
	for i := open + 1; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			i++
		case '<', '\n':
			return -1
		case '>':
			return i
		}
	}
	return -1
}

func (l *lexer) property(kind tokenKind, start, from, end int) error {
	text, err := l.unescape(from, end)
	if err != nil {
		return err
	}
	if text == "" {
		return l.fail(start, "write a name between the brackets", "empty name")
	}
	l.at = end + 1
	l.emit(kind, text, start)
	return nil
}

func (l *lexer) str(quote byte) error {
	start := l.at
	for i := start + 1; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			i++
		case '\n':
			return l.fail(start, `write a line break as \n`, "this string does not end on its line")
		case quote:
			text, err := l.unescape(start+1, i)
			if err != nil {
				return err
			}
			l.at = i + 1
			l.emit(tokenString, text, start)
			return nil
		}
	}
	return l.fail(start, "close it with "+string(quote), "this string does not end")
}

func (l *lexer) sign() error {
	for _, s := range symbols {
		if strings.HasPrefix(l.text[l.at:], s) {
			l.at += len(s)
			l.emit(tokenSymbol, s, l.at-len(s))
			return nil
		}
	}
	r, size := utf8.DecodeRuneInString(l.text[l.at:])
	p := positionOf(l.text, l.at)
	l.skipped = append(l.skipped, fmt.Sprintf("line %d, column %d: illegal character %q skipped", p.line, p.col, r))
	if len(l.skipped) > maxSkipped {
		return l.fail(l.at, "", "more than %d illegal characters", maxSkipped)
	}
	l.at += size
	return nil
}

// maxSkipped bounds the complaints about one query.
const maxSkipped = 20
