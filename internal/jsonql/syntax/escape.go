package syntax

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var simpleEscapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", 'b': "\b", 'f': "\f", 'v': "\v", 'a': "\a",
	'\\': `\`, '/': "/", '"': `"`, '\'': `'`, '<': "<", '>': ">",
}

var hexEscapes = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// unescape returns the text between two offsets with its escapes resolved.
func (l *lexer) unescape(from, end int) (string, error) {
	raw := l.text[from:end]
	if strings.IndexByte(raw, '\\') < 0 {
		return raw, nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b.WriteByte(raw[i])
			continue
		}
		text, size, err := escape(raw[i+1:])
		if err != nil {
			remedy := `write \\ for a backslash`
			if pair, ok := surrogates(raw[i+1:]); ok {
				remedy = fmt.Sprintf(`write \U%08x`, pair)
			}
			return "", l.fail(from+i, remedy, "%v", err)
		}
		b.WriteString(text)
		i += size
	}
	return b.String(), nil
}

// escape returns what the text after a backslash stands for, and its length.
func escape(rest string) (string, int, error) {
	if rest == "" {
		return "", 0, fmt.Errorf("a backslash at the end of a string")
	}
	if plain, ok := simpleEscapes[rest[0]]; ok {
		return plain, 1, nil
	}
	digits, ok := hexEscapes[rest[0]]
	if !ok || len(rest) < digits+1 {
		return "", 0, fmt.Errorf(`unknown escape \%c`, rest[0])
	}
	code, err := strconv.ParseUint(rest[1:digits+1], 16, 32)
	if err != nil || code == 0 || code > utf8.MaxRune || !utf8.ValidRune(rune(code)) {
		return "", 0, fmt.Errorf(`escape \%s is not a character`, rest[:digits+1])
	}
	return string(rune(code)), digits + 1, nil
}

// surrogates returns the character that two escapes in a row stand for in JSON.
func surrogates(rest string) (rune, bool) {
	const size = len(`ud83d`)
	if len(rest) < 2*size+1 || rest[0] != 'u' || rest[size:size+2] != `\u` {
		return 0, false
	}
	high, errHigh := strconv.ParseUint(rest[1:size], 16, 32)
	low, errLow := strconv.ParseUint(rest[size+2:2*size+1], 16, 32)
	pair := utf16.DecodeRune(rune(high), rune(low))
	return pair, errHigh == nil && errLow == nil && pair != utf8.RuneError
}

func (l *lexer) number() error {
	start := l.at
	if l.text[l.at] == '-' {
		l.at++
	}
	l.digits()
	kind := tokenInt
	if l.at+1 < len(l.text) && l.text[l.at] == '.' && isDigit(l.text[l.at+1]) {
		kind = tokenFloat
		l.at++
		l.digits()
	}
	if size := exponent(l.text[l.at:]); size > 0 {
		kind = tokenFloat
		l.at += size
	}
	if l.at < len(l.text) && isNamePart(l.text[l.at]) {
		return l.fail(start, "put a blank or an operator after it", "this is not a number")
	}
	l.emit(kind, l.text[start:l.at], start)
	return nil
}

func (l *lexer) digits() {
	for l.at < len(l.text) && isDigit(l.text[l.at]) {
		l.at++
	}
}

// exponent returns the length of the exponent that text starts with, or 0.
func exponent(text string) int {
	if text == "" || text[0]|0x20 != 'e' {
		return 0
	}
	at := 1
	if at < len(text) && (text[at] == '+' || text[at] == '-') {
		at++
	}
	first := at
	for at < len(text) && isDigit(text[at]) {
		at++
	}
	if at == first {
		return 0
	}
	return at
}
