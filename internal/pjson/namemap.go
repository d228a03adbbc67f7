package pjson

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"vesperdb.io/vesper/internal/statement"
)

// names say how property names, ids and references are written at one place of
// a document. They are immutable; a namemap makes new ones.
type names struct {
	id, ref, datatype, context, namemap string

	refs    patterns
	exclude []string
	// shared, ownIDs and ownProps are as the namemaps give them; ids and props
	// are what they make together.
	shared, ownIDs, ownProps patterns
	ids, props               patterns
	datatypes                []datatypePatterns
}

// datatypePatterns are the strings that are values of one type.
type datatypePatterns struct {
	name     string
	patterns patterns
}

// These keys have a meaning of their own wherever they stand; a property of
// that name is written with the escape mark.
const (
	keyPJSON     = "pjson"
	keyID        = "id"
	keyRef       = "$ref"
	keyDatatype  = "datatype"
	keyContext   = "context"
	keyNamemap   = "namemap"
	keyData      = "data"
	keyValue     = "value"
	keyRefs      = "refpattern"
	keyExclude   = "exclude"
	keyShared    = "sharedpatterns"
	keyIDs       = "idpatterns"
	keyProps     = "propertypatterns"
	keyDatatypes = "datatypepatterns"
	datatypeJSON = "json"
)

var defaultNames = sync.OnceValue(func() *names {
	n, err := newNames(DefaultRefPattern)
	if err != nil { // the constant compiles: a test proves it
		return &names{}
	}
	return n
})

func newNames(refPattern string) (*names, error) {
	n := &names{id: keyID, ref: keyRef, datatype: keyDatatype, context: keyContext, namemap: keyNamemap}
	refs, err := stringPattern(refPattern)
	n.refs = refs
	return n, err
}

// namesFor returns the names with a reference pattern, DefaultRefPattern if empty.
func namesFor(refPattern string) (*names, error) {
	if refPattern == "" || refPattern == DefaultRefPattern {
		return defaultNames(), nil
	}
	return newNames(refPattern)
}

func stringPattern(source string) (patterns, error) {
	if source == "" {
		return nil, nil
	}
	p, err := newPattern(source, "")
	if err != nil {
		return nil, err
	}
	return patterns{p}, nil
}

// reserved reports whether a key of an object is not a property there.
func (n *names) reserved(key string) bool {
	switch key {
	case keyPJSON, n.id, n.ref, n.datatype, n.context, n.namemap:
		return true
	default:
		return false
	}
}

// skips reports whether a key of an object is not read as a property.
func (n *names) skips(key string) bool {
	return n.reserved(key) || slices.Contains(n.exclude, key)
}

// reference returns the id that a string refers to, if it is a reference.
func (n *names) reference(text string) (string, bool) {
	captured, p := n.refs.find(text)
	if p == nil {
		return "", false
	}
	// A pattern with a replacement gives the whole id; else it is one as it
	// would stand in the place of an id.
	id := unescape(captured)
	if p.head == "" && p.tail == "" {
		id = n.expandID(captured)
	}
	return id, id != ""
}

// expandID returns the id that a text without reference marks stands for.
func (n *names) expandID(text string) string {
	if id, ok := n.ids.parse(text); ok {
		return id
	}
	return unescape(text)
}

// parseID returns the id that a string in the place of an id stands for.
func (n *names) parseID(text string) string {
	if id, ok := n.reference(text); ok {
		return id
	}
	return n.expandID(text)
}

// spellings are the texts that may stand for an id, the best first. The last
// always does in the place of an id.
func (n *names) spellings(id string) []string {
	out := []string{id, escapeMark + id}
	if short, ok := n.ids.write(id); ok {
		return append([]string{short}, out...)
	}
	return out
}

// usual reports whether references are those of DefaultRefPattern, and ids and
// typed strings have no patterns: what a text stands for can then be told
// without trying any.
func (n *names) usual() bool {
	return len(n.refs) == 1 && n.refs[0].isDefault() && len(n.ids) == 0 && len(n.datatypes) == 0
}

// isPlainReference reports whether "@" and the id is what writeReference gives.
func (n *names) isPlainReference(id string) bool {
	return n.usual() && len(id) < maxMatchBytes && isURIRef(id)
}

// isPlainText reports whether a string stands for itself.
func (n *names) isPlainText(text string) bool { return n.usual() && !strings.HasPrefix(text, refMark) }

// isPlainID reports whether an id stands for itself in the place of an id.
func (n *names) isPlainID(id string) bool {
	return n.isPlainText(id) && !strings.HasPrefix(id, escapeMark)
}

// writeReference returns the string that parses as a reference to id, if any.
func (n *names) writeReference(id string) (string, bool) {
	if n.isPlainReference(id) {
		return refMark + id, true
	}
	for _, spelling := range n.spellings(id) {
		text, ok := n.refs.write(spelling)
		if !ok {
			continue
		}
		if back, ok := n.reference(text); ok && back == id {
			return text, true
		}
	}
	return "", false
}

// writeID returns a string that stands for id in the place of an id, bare or
// with the escape mark.
func (n *names) writeID(id string) string {
	if n.isPlainID(id) {
		return id
	}
	for _, spelling := range n.spellings(id) {
		if n.parseID(spelling) == id {
			return spelling
		}
	}
	return escapeMark + id
}

func (n *names) parseProperty(key string) string {
	if name, ok := n.props.parse(key); ok {
		return name
	}
	return unescape(key)
}

// writeProperty returns the key that stands for a property.
func (n *names) writeProperty(name string) string {
	if key, ok := n.props.write(name); ok && !n.skips(key) {
		return key
	}
	if n.skips(name) || n.parseProperty(name) != name {
		return escapeMark + name
	}
	return name
}

// stringTerm returns the value that a string stands for.
func (n *names) stringTerm(text string) (statement.Term, error) {
	if id, ok := n.reference(text); ok {
		return statement.Reference(id), nil
	}
	for i := range n.datatypes {
		if value, ok := n.datatypes[i].patterns.parse(text); ok {
			return statement.FromTyped(n.datatypes[i].name, value)
		}
	}
	return statement.FromValue(text)
}

// writeTyped returns the string that stands for a typed value, if any does.
func (n *names) writeTyped(datatype string, t statement.Term) (string, bool) {
	for i := range n.datatypes {
		if n.datatypes[i].name != datatype {
			continue
		}
		text, ok := n.datatypes[i].patterns.write(t.Text)
		if !ok {
			return "", false
		}
		back, err := n.stringTerm(text)
		return text, err == nil && back == t
	}
	return "", false
}

// renames are the namemap keys whose value is another name for the key.
var renames = map[string]func(*names) *string{
	keyID:       func(n *names) *string { return &n.id },
	keyRef:      func(n *names) *string { return &n.ref },
	keyDatatype: func(n *names) *string { return &n.datatype },
	keyContext:  func(n *names) *string { return &n.context },
	keyNamemap:  func(n *names) *string { return &n.namemap },
}

// with returns the names that hold where a namemap applies: what it does not
// mention stays as it was.
func (n *names) with(namemap *node, c *compiler) (*names, error) {
	if namemap.kind != kindObject {
		return nil, faultf(namemap.at, "", "a namemap must be an object, and this is %s", namemap.kind)
	}
	out := *n
	for i := range namemap.members {
		if err := out.apply(&namemap.members[i], c); err != nil {
			return nil, err
		}
	}
	out.ids = slices.Concat(out.shared, out.ownIDs).sorted()
	out.props = slices.Concat(out.shared, out.ownProps).sorted()
	return &out, nil
}

func (n *names) apply(m *member, c *compiler) (err error) {
	if field, ok := renames[m.key]; ok {
		if m.value.kind != kindString || m.value.text == "" {
			return faultf(m.value.at, "give the name to use instead, as a string",
				"the new name of %q is %s", m.key, m.value.kind)
		}
		*field(n) = m.value.text
		return nil
	}
	switch m.key {
	case keyRefs:
		n.refs, err = c.patterns(m)
	case keyShared:
		n.shared, err = c.patterns(m)
	case keyIDs:
		n.ownIDs, err = c.patterns(m)
	case keyProps:
		n.ownProps, err = c.patterns(m)
	case keyDatatypes:
		n.datatypes, err = c.datatypes(&m.value)
	case keyExclude:
		n.exclude, err = stringList(&m.value)
	default:
		known := slices.Concat(slices.Sorted(maps.Keys(renames)),
			[]string{keyRefs, keyShared, keyIDs, keyProps, keyDatatypes, keyExclude})
		err = faultf(m.at, "", "unknown key %q in a namemap: it may have %q", m.key, known)
	}
	return err
}

// compiler reads the patterns of one document, each once, and bounds how many
// there are and what matching them costs.
type compiler struct {
	// stopped says that the patterns are to match no more.
	stopped  func() bool
	known    map[[2]string]*pattern
	steps    int
	namemaps map[entered]*names
}

// entered is a namemap, as JSON, and the names that held before it.
type entered struct {
	outer *names
	text  string
}

func newCompiler(stopped func() bool) *compiler {
	return &compiler{stopped: stopped, known: map[[2]string]*pattern{}, namemaps: map[entered]*names{}}
}

// enter is names.with; one namemap at many places is read once.
func (c *compiler) enter(outer *names, namemap *node) (*names, error) {
	key := entered{outer, string(namemap.appendJSON(nil))}
	if known := c.namemaps[key]; known != nil {
		return known, nil
	}
	inner, err := outer.with(namemap, c)
	if err != nil {
		return nil, err
	}
	if len(c.namemaps) >= maxNamemaps {
		return nil, faultf(namemap.at, "give them to the document, not to each object",
			"the document has more than %d different namemaps", maxNamemaps)
	}
	c.namemaps[key] = inner
	return inner, nil
}

func (c *compiler) pattern(at int, source, replacement string) (*pattern, error) {
	key := [2]string{source, replacement}
	if known := c.known[key]; known != nil {
		return known, nil
	}
	p, err := newPattern(source, replacement)
	if err != nil {
		return nil, faultf(at, "", "%q: %v", source, err)
	}
	if c.steps += p.steps; c.steps > maxDocumentSteps || len(c.known) >= maxPatterns {
		return nil, faultf(at, "use fewer patterns, and shorter repetitions",
			"the patterns of this document are too large together")
	}
	p.stopped = c.stopped
	c.known[key] = p
	return p, nil
}

// patterns reads one pattern, or a table of patterns and what they stand for.
func (c *compiler) patterns(m *member) (patterns, error) {
	v := &m.value
	switch v.kind {
	case kindString:
		if v.text == "" {
			return nil, nil
		}
		p, err := c.pattern(v.at, v.text, "")
		return patterns{p}, err
	case kindObject:
		return c.table(v)
	default:
		return nil, faultf(v.at, `write for example "@(URIREF)" or {"rdf:": "http://www.w3.org/1999/02/22-rdf-syntax-ns#"}`,
			"%q must be a string or an object, and this is %s", m.key, v.kind)
	}
}

func (c *compiler) table(v *node) (patterns, error) {
	var out patterns
	for i := range v.members {
		m := &v.members[i]
		if m.value.kind != kindString {
			return nil, faultf(m.value.at, "", "what %q stands for must be a string, and this is %s", m.key, m.value.kind)
		}
		p, err := c.pattern(m.at, m.key, m.value.text)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out.sorted(), nil
}

// datatypes reads {type: pattern}, {type: table} or {type: [pattern or table, ...]}.
func (c *compiler) datatypes(v *node) ([]datatypePatterns, error) {
	if v.kind != kindObject {
		return nil, faultf(v.at, `write for example {"date": "(\\d{4}-\\d\\d-\\d\\d)"}`,
			"%q must be an object, and this is %s", keyDatatypes, v.kind)
	}
	var out []datatypePatterns
	for i := range v.members {
		m := &v.members[i]
		if _, err := statement.FromTyped(m.key, ""); err != nil {
			return nil, faultf(m.at, "", "%v", err)
		}
		list := []node{m.value}
		if m.value.kind == kindArray {
			list = m.value.items
		}
		d := datatypePatterns{name: m.key}
		for i := range list {
			ps, err := c.patterns(&member{key: m.key, at: m.at, value: list[i]})
			if err != nil {
				return nil, err
			}
			d.patterns = append(d.patterns, ps...)
		}
		d.patterns = d.patterns.sorted()
		out = append(out, d)
	}
	return out, nil
}

func stringList(v *node) ([]string, error) {
	if v.kind != kindArray {
		return nil, faultf(v.at, "", "this must be a list of property names, and is %s", v.kind)
	}
	var out []string
	for i := range v.items {
		if v.items[i].kind != kindString {
			return nil, faultf(v.items[i].at, "", "a property name must be a string, and this is %s", v.items[i].kind)
		}
		out = append(out, v.items[i].text)
	}
	return out, nil
}
