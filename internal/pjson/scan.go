package pjson

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and lists may be nested in a document.
const maxDepth = 100

// scanner reads strict JSON (RFC 8259): no comments, no trailing commas, no
// key twice in one object, no unpaired surrogates, no NUL.
type scanner struct {
	text  []byte
	at    int
	depth int
}

var byteOrderMark = []byte("\xef\xbb\xbf")

func scan(text []byte) (*node, error) {
	if bytes.HasPrefix(text, byteOrderMark) {
		return scanFrom(text, len(byteOrderMark))
	}
	return scanFrom(text, 0)
}

// scanFrom is scan of what stands from a byte on.
func scanFrom(text []byte, at int) (*node, error) {
	s := &scanner{text: text, at: at}
	if s.space(); s.at == len(text) {
		return nil, faultf(at, "send JSON, such as an object", "there is no text")
	}
	root, err := s.value()
	if err != nil {
		return nil, err
	}
	s.space()
	if s.at < len(s.text) {
		return nil, faultf(s.at, "put several objects into one list: [..., ...]",
			"unexpected %s after the end of the document", s.found())
	}
	return &root, nil
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// found names what stands at the current place, for messages.
func (s *scanner) found() string {
	if s.at >= len(s.text) {
		return "end of text"
	}
	r, size := utf8.DecodeRune(s.text[s.at:])
	if r == utf8.RuneError && size == 1 {
		return fmt.Sprintf("byte 0x%02x", s.text[s.at])
	}
	return fmt.Sprintf("%q", r)
}

func (s *scanner) value() (node, error) {
	s.space()
	if s.at >= len(s.text) {
		return node{}, faultf(s.at, "the text may have been cut off", "unexpected end of text")
	}
	start := s.at
	switch c := s.text[s.at]; {
	case c == '{':
		return s.nested(s.object)
	case c == '[':
		return s.nested(s.array)
	case c == '"':
		text, err := s.str()
		return node{kind: kindString, at: start, text: text}, err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	default:
		return s.word()
	}
}

func (s *scanner) nested(read func() (node, error)) (node, error) {
	if s.depth++; s.depth > maxDepth {
		return node{}, faultf(s.at, "give inner objects ids and refer to them",
			"objects and lists are nested more than %d deep", maxDepth)
	}
	n, err := read()
	s.depth--
	return n, err
}

func (s *scanner) object() (node, error) {
	n := node{kind: kindObject, at: s.at}
	var seen keys
	s.at++
	for first := true; ; first = false {
		s.space()
		if first && s.accept('}') {
			return n, nil
		}
		m, err := s.member()
		if err != nil {
			return n, err
		}
		if seen.has(n.members, m.key) {
			return n, faultf(m.at, "make the values one list", "property %q is given twice in one object", m.key)
		}
		n.members = append(n.members, m)
		if done, err := s.next('}', "object"); done || err != nil {
			return n, err
		}
	}
}

// keys finds a key among members: in the list itself while it is short, which
// most are, else in a map.
type keys map[string]bool

const shortObject = 16

func (k *keys) has(members []member, key string) bool {
	if len(members) < shortObject {
		return slices.ContainsFunc(members, func(m member) bool { return m.key == key })
	}
	if len(*k) == 0 {
		*k = map[string]bool{}
		for i := range members {
			(*k)[members[i].key] = true
		}
	}
	known := (*k)[key]
	(*k)[key] = true
	return known
}

func (s *scanner) member() (member, error) {
	m := member{at: s.at}
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return m, faultf(s.at, `property names stand in double quotes, and no comma follows the last one`,
			"unexpected %s where a property name should be", s.found())
	}
	var err error
	if m.key, err = s.str(); err != nil {
		return m, err
	}
	s.space()
	if !s.accept(':') {
		return m, faultf(s.at, "", "unexpected %s where the ':' after property %q should be", s.found(), m.key)
	}
	m.value, err = s.value()
	return m, err
}

func (s *scanner) array() (node, error) {
	n := node{kind: kindArray, at: s.at}
	s.at++
	for first := true; ; first = false {
		s.space()
		if first && s.accept(']') {
			return n, nil
		}
		item, err := s.value()
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
		if done, err := s.next(']', "list"); done || err != nil {
			return n, err
		}
	}
}

// next reads what may follow a member or item: the closing byte (done) or a comma.
func (s *scanner) next(closing byte, what string) (done bool, err error) {
	s.space()
	if s.accept(closing) {
		return true, nil
	}
	if s.accept(',') {
		return false, nil
	}
	return false, faultf(s.at, "", "unexpected %s where ',' or the end %q of the %s should be",
		s.found(), closing, what)
}

func (s *scanner) accept(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) word() (node, error) {
	start := s.at
	for _, w := range []struct {
		text string
		kind kind
	}{{"true", kindBool}, {"false", kindBool}, {"null", kindNull}} {
		if bytes.HasPrefix(s.text[s.at:], []byte(w.text)) {
			s.at += len(w.text)
			return node{kind: w.kind, at: start, text: w.text}, nil
		}
	}
	return node{}, faultf(start, "JSON values are objects, lists, strings in double quotes, numbers, true, false and null",
		"unexpected %s where a value should be", s.found())
}

func (s *scanner) number() (node, error) {
	start := s.at
	s.accept('-')
	leading := s.at
	if s.digits() == 0 || (s.text[leading] == '0' && s.at > leading+1) {
		return node{}, faultf(start, "write it without leading zeros, or as a string", "this is not a JSON number")
	}
	if s.accept('.') && s.digits() == 0 {
		return node{}, faultf(start, "write at least one digit after the point", "this is not a JSON number")
	}
	if s.accept('e') || s.accept('E') {
		if !s.accept('+') {
			s.accept('-')
		}
		if s.digits() == 0 {
			return node{}, faultf(start, "write at least one digit after the e", "this is not a JSON number")
		}
	}
	return node{kind: kindNumber, at: start, text: string(s.text[start:s.at])}, nil
}

func (s *scanner) digits() int {
	start := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at - start
}

// str reads a string; the place is at its opening quote.
func (s *scanner) str() (string, error) {
	open := s.at
	s.at++
	if plain, ok := s.plain(); ok {
		return plain, nil
	}
	var b strings.Builder
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '"':
			s.at++
			return b.String(), nil
		case c == '\\':
			if err := s.escape(&b); err != nil {
				return "", err
			}
		case c < 0x20:
			return "", faultf(s.at, `write it as an escape such as \n`, "control character 0x%02x in a string", c)
		default:
			r, size := utf8.DecodeRune(s.text[s.at:])
			if r == utf8.RuneError && size == 1 {
				return "", faultf(s.at, "send text encoded as UTF-8", "byte 0x%02x is not valid UTF-8", c)
			}
			b.Write(s.text[s.at : s.at+size])
			s.at += size
		}
	}
	return "", faultf(open, "close it with a double quote", "this string does not end")
}

// plain reads a string without escapes and outside of ASCII nothing, the common case.
func (s *scanner) plain() (string, bool) {
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			text := string(s.text[s.at:i])
			s.at = i + 1
			return text, true
		case c == '\\' || c < 0x20 || c >= utf8.RuneSelf:
			return "", false
		}
	}
	return "", false
}

var escapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

func (s *scanner) escape(b *strings.Builder) error {
	start := s.at
	if s.at+1 >= len(s.text) {
		return faultf(start, "the text may have been cut off", "this string does not end")
	}
	c := s.text[s.at+1]
	if plain, ok := escapes[c]; ok {
		b.WriteByte(plain)
		s.at += 2
		return nil
	}
	if c != 'u' {
		return faultf(start, `write \\ for a backslash`, "unknown escape %q in a string", s.text[start:start+2])
	}
	r, err := s.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		if r, err = s.pair(start, r); err != nil {
			return err
		}
	}
	if r == 0 {
		return faultf(start, "remove it, Vesper cannot store it", "NUL character in a string")
	}
	b.WriteRune(r)
	return nil
}

func (s *scanner) pair(start int, high rune) (rune, error) {
	lone := faultf(start, `write both halves of the pair, such as \ud83d\ude00, or the character itself`,
		`\u%04x is half of a surrogate pair and stands alone`, high)
	if !bytes.HasPrefix(s.text[s.at:], []byte(`\u`)) {
		return 0, lone
	}
	low, err := s.hex()
	if err != nil {
		return 0, err
	}
	if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
		return r, nil
	}
	return 0, lone
}

// hex reads an escape of the form \uXXXX.
func (s *scanner) hex() (rune, error) {
	start := s.at
	if s.at+6 > len(s.text) {
		return 0, faultf(start, `write four hex digits after \u`, "incomplete escape in a string")
	}
	var r rune
	for _, c := range s.text[start+2 : start+6] {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 {
			return 0, faultf(start, `write four hex digits after \u`, "unknown escape %q in a string", s.text[start:start+6])
		}
		r = r<<4 | rune(digit)
	}
	s.at += 6
	return r, nil
}
