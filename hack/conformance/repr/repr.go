// Package repr reads a query of the original Vesper that was recorded as the
// printed form of its tree, after the original has turned it into joins and
// filters, and gives the tree of a query of ours that asks for the same (Parse).
// It is test material: some of the original's recordings have no text.
package repr

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// node is a constructor call: what an operation of the tree is printed as.
type node struct {
	at    int
	name  string
	args  []any
	named map[string]any
}

// word is a bare name, such as that of a type.
type word string

// list is a list or a tuple.
type list []any

// member is an entry of a dictionary.
type member struct{ key, value any }

// dict is a dictionary in the order in which it is printed.
type dict []member

// number is a number as it is printed.
type number string

// reader is a recursive descent over the text. A value is a node, list, dict,
// word, number, string or bool, or nil for None.
type reader struct {
	text  string
	at    int
	depth int
}

// maxDepth bounds how deep values are nested.
const maxDepth = 100

// read reads a text that is one node.
func read(text string) (*node, error) {
	r := &reader{text: text}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.blank(); r.at < len(text) {
		return nil, r.fail("the text should end here")
	}
	n, ok := v.(*node)
	if !ok {
		return nil, r.fail("the text is no operation")
	}
	return n, nil
}

func (r *reader) fail(format string, args ...any) error { return fault(r.at, format, args...) }

func fault(at int, format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", at, fmt.Sprintf(format, args...))
}

func (r *reader) blank() {
	r.at = len(r.text) - len(strings.TrimLeft(r.text[r.at:], " \t\r\n"))
}

// next returns the byte that comes after blanks, 0 at the end.
func (r *reader) next() byte {
	if r.blank(); r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) accept(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) value() (any, error) {
	if r.depth++; r.depth > maxDepth {
		return nil, r.fail("values are nested more than %d deep", maxDepth)
	}
	defer func() { r.depth-- }()
	switch c := r.next(); {
	case c == '[':
		return r.list(']')
	case c == '(':
		return r.list(')')
	case c == '{':
		return r.dict()
	case c == '\'' || c == '"':
		return r.quoted()
	case c == '-' || c >= '0' && c <= '9':
		return r.number(), nil
	case c == 'u' && r.at+1 < len(r.text) && strings.IndexByte(`'"`, r.text[r.at+1]) >= 0:
		r.at++
		return r.quoted()
	case isNamed(rune(c)):
		return r.called()
	default:
		return nil, r.fail("a value should be here")
	}
}

func isNamed(c rune) bool { return c == '_' || c == '.' || unicode.IsLetter(c) || unicode.IsDigit(c) }

func (r *reader) name() string {
	r.blank()
	start := r.at
	r.at = len(r.text) - len(strings.TrimLeftFunc(r.text[r.at:], isNamed))
	return r.text[start:r.at]
}

func (r *reader) number() number {
	start := r.at
	r.at = len(r.text) - len(strings.TrimLeft(r.text[r.at:], "+-.0123456789eE"))
	return number(r.text[start:r.at])
}

// quoted reads a text in quotes, which the original escapes with backslashes.
func (r *reader) quoted() (string, error) {
	start, quote := r.at, r.text[r.at]
	rest := r.text[r.at+1:]
	var b strings.Builder
	for rest != "" && rest[0] != quote {
		c, multibyte, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", fault(start, "this text cannot be read")
		}
		if multibyte {
			b.WriteRune(c)
		} else {
			b.WriteByte(byte(c))
		}
		rest = tail
	}
	if rest == "" {
		return "", fault(start, "this text has no end")
	}
	r.at = len(r.text) - len(rest) + 1
	return b.String(), nil
}

// list reads values up to a bracket.
func (r *reader) list(closing byte) (list, error) {
	out := list{}
	for r.at++; !r.accept(closing); {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if !r.accept(',') && r.next() != closing {
			return nil, r.fail("a comma or %q should be here", closing)
		}
	}
	return out, nil
}

func (r *reader) dict() (dict, error) {
	out := dict{}
	for r.at++; !r.accept('}'); {
		key, err := r.value()
		if err != nil {
			return nil, err
		}
		if !r.accept(':') {
			return nil, r.fail("a colon should be here")
		}
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		out = append(out, member{key, v})
		if !r.accept(',') && r.next() != '}' {
			return nil, r.fail("a comma or } should be here")
		}
	}
	return out, nil
}

// called reads a name, with arguments if it has any.
func (r *reader) called() (any, error) {
	at := r.at
	n := &node{at: at, name: r.name(), named: map[string]any{}}
	if r.next() != '(' {
		return constant(n.name), nil
	}
	for r.at++; !r.accept(')'); {
		if err := r.argument(n); err != nil {
			return nil, err
		}
		if !r.accept(',') && r.next() != ')' {
			return nil, r.fail("a comma or ) should be here")
		}
	}
	return n, nil
}

func constant(name string) any {
	switch name {
	case "None":
		return nil
	case "True", "False":
		return name == "True"
	default:
		return word(name)
	}
}

// argument reads one argument, which may be named.
func (r *reader) argument(n *node) error {
	start := r.at
	name := r.name()
	if name == "" || !r.accept('=') {
		r.at, name = start, ""
	}
	v, err := r.value()
	switch {
	case err != nil:
		return err
	case name == "":
		n.args = append(n.args, v)
	case n.named[name] != nil:
		return fault(n.at, "%s has %s twice", n.name, name)
	default:
		n.named[name] = v
	}
	return nil
}

// arg returns an argument by its place, nil when there is none.
func (n *node) arg(i int) any {
	if i >= 0 && i < len(n.args) {
		return n.args[i]
	}
	return nil
}

// text returns an argument that is a text, "" when there is none.
func (n *node) text(i int) string {
	s, _ := n.arg(i).(string)
	return s
}

// flag reports whether an argument is true, by its place or its name.
func (n *node) flag(i int, name string) bool {
	return n.arg(i) == true || n.named[name] == true
}

// nodes returns the arguments that are operations.
func (n *node) nodes() []*node {
	var out []*node
	for _, a := range n.args {
		if inner, ok := a.(*node); ok {
			out = append(out, inner)
		}
	}
	return out
}

// texts returns a named argument that is a list of texts.
func (n *node) texts(name string) []string {
	var out []string
	items, _ := n.named[name].(list)
	for _, v := range items {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
