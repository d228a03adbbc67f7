package pjson

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

const (
	// DefaultRefPattern is the pattern of strings that are references unless a
	// namemap says otherwise: "@" and an id.
	DefaultRefPattern = "@((::)?URIREF)"

	// refMark is what DefaultRefPattern begins with.
	refMark = "@"

	// escapeMark before a name, id or reference says: no pattern applies.
	escapeMark = "::"

	// Patterns come from clients. What matching one costs is bounded by the
	// text's length times its steps: RE2 never goes back.
	maxPatternBytes  = 1024
	maxPatterns      = 256  // in a document
	maxNamemaps      = 1024 // in a document
	maxSteps         = 1000 // of one pattern
	maxDocumentSteps = 4000 // of all patterns in a document
	// maxMatchBytes is the longest text that a pattern can match; it is longer
	// than any id or name may be.
	maxMatchBytes = 4096

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
	// uriref says that inner is "(::)?URIREF", which needs no regular expression.
	uriref bool
	weight int
	// steps is the size of the compiled expression.
	steps int
	// stopped, of a client's pattern, says that it is to match nothing any more.
	stopped func() bool
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
	if err := p.compile(expression); err != nil {
		return nil, err
	}
	p.head, p.tail, _ = strings.Cut(replacement, "@@")
	p.weight = patternWeight(p.prefix, expression, p.suffix)
	return p, nil
}

var expand = strings.NewReplacer("ABSURI", absuri, "URIREF", uriref)

func (p *pattern) compile(expression string) error {
	translated, err := translate(expression)
	if err != nil {
		return err
	}
	text := `(?s)\A(?:` + expand.Replace(translated) + `)\z`
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return fmt.Errorf("the pattern is not a regular expression (RE2 syntax): %w", err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return fmt.Errorf("the pattern is not a regular expression (RE2 syntax): %w", err)
	}
	if p.steps = len(program.Inst); p.steps > maxSteps {
		return fmt.Errorf("the pattern has %d steps when its repetitions are written out, and the limit is %d",
			p.steps, maxSteps)
	}
	p.inner, err = regexp.Compile(text)
	p.uriref = expression == escapedURIRef
	return err
}

// escapedURIRef is the expression of DefaultRefPattern.
const escapedURIRef = "(" + escapeMark + ")?URIREF"

// isDefault reports whether the pattern is DefaultRefPattern, without a
// replacement.
func (p *pattern) isDefault() bool {
	return p.uriref && p.prefix == refMark && p.suffix == "" && p.head == "" && p.tail == ""
}

// matches reports whether the expression matches the whole text.
func (p *pattern) matches(text string) bool {
	if p.uriref {
		return isURIRef(strings.TrimPrefix(text, escapeMark))
	}
	return p.inner.MatchString(text)
}

// isURIRef is what the expression uriref matches.
func isURIRef(text string) bool {
	if text == "" || !isWord(text[0]) && text[0] != '$' && text[0] != '-' {
		return false
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case ' ', '\t', '\n', '\v', '\f', '\r', '{', '}', '\\':
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// translate turns what the original's expressions (Python's) write otherwise
// than RE2 into RE2, and refuses what RE2 does not have.
func translate(expression string) (string, error) {
	var out strings.Builder
	inClass := false
	for i := 0; i < len(expression); i++ {
		rest := expression[i:]
		switch c := expression[i]; {
		case c == '\\' && len(rest) > 1:
			i++
			if !inClass && notInRE2.MatchString(rest) {
				return "", notSupported(notInRE2.FindString(rest))
			}
			out.WriteString(strings.Replace(rest[:2], `\Z`, `\z`, 1))
			continue
		case c == '[' && !inClass:
			inClass = true
			if size := len(classStart.FindString(rest)); size > 1 {
				out.WriteString(rest[:size]) // a bracket there is one of the class
				i += size - 1
				continue
			}
		case c == ']':
			inClass = false
		case inClass:
		case notInRE2.MatchString(rest):
			return "", notSupported(notInRE2.FindString(rest))
		case strings.HasPrefix(rest, "{,"):
			out.WriteString("{0") // Python's {,n}
			continue
		}
		out.WriteByte(expression[i])
	}
	return out.String(), nil
}

var (
	classStart = regexp.MustCompile(`^\[\^?\]?`)
	notInRE2   = regexp.MustCompile(`^(\(\?<?[=!]|\$[1-9]|\\[1-9])`)
)

func notSupported(text string) error {
	if text[0] == '(' {
		return fmt.Errorf("the pattern looks ahead or behind with %q, which is not supported: write what is to be matched", text)
	}
	return fmt.Errorf("the pattern refers back with %q, which is not supported: write out what is to be repeated", text)
}

// patternWeight orders the patterns of a table: those with a literal prefix
// first, then expressions, then the one that matches everything.
func patternWeight(prefix, expression, suffix string) int {
	switch {
	case prefix != "":
		return 0
	case expression != ".*" || suffix != "":
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
	if p.stopped != nil && p.stopped() || len(text) < len(left)+len(right) || len(text) > maxMatchBytes || !strings.HasPrefix(text, left) || !strings.HasSuffix(text, right) {
		return "", false
	}
	x := text[len(left) : len(text)-len(right)]
	return x, p.matches(x)
}

// patterns are tried in order; the first that matches counts. Text that starts
// with the escape mark matches none.
type patterns []*pattern

func (ps patterns) parse(text string) (string, bool) {
	name, p := ps.find(text)
	return name, p != nil
}

// find is parse that returns the pattern too, nil if none matches.
func (ps patterns) find(text string) (string, *pattern) {
	if strings.HasPrefix(text, escapeMark) {
		return "", nil
	}
	for _, p := range ps {
		if name, ok := p.parse(text); ok {
			return name, p
		}
	}
	return "", nil
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
