package pjson

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	// DefaultRefPattern is the pattern of strings that are references unless a
	// namemap says otherwise: "@" and an id.
	DefaultRefPattern = "@((::)?URIREF)"

	// escapeMark before a name, id or reference says: no pattern applies.
	escapeMark = "::"

	maxPatternBytes = 1024

	uriref = `[\w$-]+[^\s\v{}\\]*`
	absuri = `(?:_:|[A-Za-z][0-9A-Za-z+.-]*:)[^\s\v{}\\<>"]+`
)

// pattern maps one way of writing a name to the name itself and back: text =
// prefix + x + suffix, name = head + x + tail, for every x the expression matches.
type pattern struct {
	source         string
	prefix, suffix string
	head, tail     string
	inner          *regexp.Regexp
	weight         int
}

// newPattern compiles `literal(regex)literal`, or a literal prefix without
// parentheses, with a replacement in which "@@" stands for what was matched.
func newPattern(source, replacement string) (*pattern, error) {
	if len(source) > maxPatternBytes || len(replacement) > maxPatternBytes {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", maxPatternBytes)
	}
	p := &pattern{source: source}
	expression := ".*"
	if open := strings.IndexByte(source, '('); open < 0 {
		p.prefix = source
	} else {
		end := strings.LastIndexByte(source, ')')
		if end < open {
			return nil, fmt.Errorf("the pattern opens a parenthesis and does not close it")
		}
		p.prefix, expression, p.suffix = source[:open], source[open+1:end], source[end+1:]
	}
	expanded := strings.NewReplacer("ABSURI", absuri, "URIREF", uriref).Replace(expression)
	var err error
	if p.inner, err = regexp.Compile(`(?s)\A(?:` + expanded + `)\z`); err != nil {
		return nil, fmt.Errorf("the pattern is not a regular expression (RE2 syntax): %w", err)
	}
	p.head, p.tail, _ = strings.Cut(replacement, "@@")
	p.weight = patternWeight(p.prefix, expression)
	return p, nil
}

// patternWeight orders the patterns of a table: those with a literal prefix
// first, then expressions, then the one that matches everything.
func patternWeight(prefix, expression string) int {
	switch {
	case prefix != "":
		return 0
	case expression != ".*":
		return 1
	default:
		return 2
	}
}

// parse returns the name that text writes, if the pattern matches.
func (p *pattern) parse(text string) (string, bool) {
	x, ok := p.between(text, p.prefix, p.suffix)
	return p.head + x + p.tail, ok
}

// write returns the text that stands for name, if the pattern can write it.
func (p *pattern) write(name string) (string, bool) {
	x, ok := p.between(name, p.head, p.tail)
	return p.prefix + x + p.suffix, ok
}

func (p *pattern) between(text, left, right string) (string, bool) {
	if len(text) < len(left)+len(right) || !strings.HasPrefix(text, left) || !strings.HasSuffix(text, right) {
		return "", false
	}
	x := text[len(left) : len(text)-len(right)]
	return x, p.inner.MatchString(x)
}

// patterns are tried in order; the first that matches counts. Text that starts
// with the escape mark matches none.
type patterns []*pattern

func (ps patterns) parse(text string) (string, bool) {
	if strings.HasPrefix(text, escapeMark) {
		return "", false
	}
	for _, p := range ps {
		if name, ok := p.parse(text); ok {
			return name, true
		}
	}
	return "", false
}

// write returns a text that parses back to name, if one of the patterns has one.
func (ps patterns) write(name string) (string, bool) {
	for _, p := range ps {
		text, ok := p.write(name)
		if !ok {
			continue
		}
		if back, ok := ps.parse(text); ok && back == name {
			return text, true
		}
	}
	return "", false
}

func (ps patterns) sorted() patterns {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b *pattern) int { return a.weight - b.weight })
	return out
}

// unescape removes one escape mark.
func unescape(text string) string { return strings.TrimPrefix(text, escapeMark) }
