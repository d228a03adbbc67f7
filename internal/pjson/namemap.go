package pjson

import (
	"maps"
	"slices"
	"sync"
)

// names say how property names, ids and references are written at one place of
// a document. They are immutable; a namemap makes new ones.
type names struct {
	id, ref, datatype, context, namemap string

	refs    patterns
	exclude []string
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
	captured, ok := n.refs.parse(text)
	if !ok {
		return "", false
	}
	id := unescape(captured)
	return id, id != ""
}

// parseID returns the id that a string in the place of an id stands for.
func (n *names) parseID(text string) string {
	if id, ok := n.reference(text); ok {
		return id
	}
	return unescape(text)
}

// writeReference returns the string that parses as a reference to id, if any.
func (n *names) writeReference(id string) (string, bool) {
	text, ok := n.refs.write(id)
	if !ok {
		return "", false
	}
	back, ok := n.reference(text)
	return text, ok && back == id
}

// writeID returns a string that stands for id in the place of an id, bare or
// with the escape mark.
func (n *names) writeID(id string) string {
	if n.parseID(id) == id {
		return id
	}
	return escapeMark + id
}

// writeProperty returns the key that stands for a property.
func (n *names) writeProperty(name string) string {
	if n.reserved(name) || n.parseProperty(name) != name {
		return escapeMark + name
	}
	return name
}

func (n *names) parseProperty(key string) string { return unescape(key) }

// renames are the namemap keys whose value is another name for the key.
var renames = map[string]func(*names) *string{
	keyID:       func(n *names) *string { return &n.id },
	keyRef:      func(n *names) *string { return &n.ref },
	keyDatatype: func(n *names) *string { return &n.datatype },
	keyContext:  func(n *names) *string { return &n.context },
	keyNamemap:  func(n *names) *string { return &n.namemap },
}

// later are the namemap keys of the specification that are still to come.
var later = []string{"idpatterns", "propertypatterns", "sharedpatterns", "datatypepatterns"}

// with returns the names that hold where a namemap applies: what it does not
// mention stays as it was.
func (n *names) with(namemap *node) (*names, error) {
	if namemap.kind != kindObject {
		return nil, faultf(namemap.at, "", "a namemap must be an object, and this is %s", namemap.kind)
	}
	out := *n
	for i := range namemap.members {
		m := &namemap.members[i]
		if err := out.apply(m); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (n *names) apply(m *member) (err error) {
	if field, ok := renames[m.key]; ok {
		if m.value.kind != kindString || m.value.text == "" {
			return faultf(m.value.at, "give the name to use instead, as a string",
				"the new name of %q is %s", m.key, m.value.kind)
		}
		*field(n) = m.value.text
		return nil
	}
	switch {
	case m.key == keyRefs:
		n.refs, err = parseRefPattern(&m.value)
	case m.key == keyExclude:
		n.exclude, err = stringList(&m.value)
	case slices.Contains(later, m.key):
		err = faultf(m.at, "write full names", "%q in a namemap is not supported yet", m.key)
	default:
		known := slices.Concat(slices.Sorted(maps.Keys(renames)), []string{keyRefs, keyExclude})
		err = faultf(m.at, "", "unknown key %q in a namemap: it may have %q", m.key, known)
	}
	return err
}

func parseRefPattern(v *node) (patterns, error) {
	switch v.kind {
	case kindString:
		ps, err := stringPattern(v.text)
		if err != nil {
			return nil, faultf(v.at, "", "%q: %v", v.text, err)
		}
		return ps, nil
	case kindObject:
		return patternTable(v)
	default:
		return nil, faultf(v.at, `write for example "@(URIREF)"`,
			"a refpattern must be a string or an object, and this is %s", v.kind)
	}
}

func patternTable(v *node) (patterns, error) {
	var out patterns
	for i := range v.members {
		m := &v.members[i]
		if m.value.kind != kindString {
			return nil, faultf(m.value.at, "", "what %q stands for must be a string, and this is %s", m.key, m.value.kind)
		}
		p, err := newPattern(m.key, m.value.text)
		if err != nil {
			return nil, faultf(m.at, "", "%q: %v", m.key, err)
		}
		out = append(out, p)
	}
	return out.sorted(), nil
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
