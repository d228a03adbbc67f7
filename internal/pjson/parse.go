package pjson

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// Parse reads a pJSON document: an object, a list of objects, or an object
// with the key "pjson" whose "data" is either; or, after a first line
// "=multipart-json", several of these with long texts beside them. It returns a *SyntaxError for
// text that is not strict JSON and for everything that cannot be stored
// exactly as it was sent. Nothing of a document with an error is returned.
func Parse(data []byte, opts Options) (Document, error) {
	return ParseContext(context.Background(), data, opts)
}

// ParseContext is Parse that ends when the context does, with its cause: the
// patterns of a document, though each is bounded, may have much to match.
func ParseContext(ctx context.Context, data []byte, opts Options) (Document, error) {
	stopped := func() bool { return ctx.Err() != nil }
	p := &parser{
		opts:     opts,
		locate:   newLocator(data),
		compiler: newCompiler(stopped),
		objects:  map[string]int{},
		bodies:   map[string]body{},
		props:    map[Prop]bool{},
		facts:    map[statement.Fact]place{},
	}
	p.doc.text = data
	if p.opts.IDs == nil {
		p.opts.IDs = Random()
	}
	err := p.document()
	switch {
	case stopped(): // from then on no pattern has matched
		return Document{}, fmt.Errorf("parsing a document: %w", context.Cause(ctx))
	case err != nil:
		return Document{}, p.located(err)
	}
	return p.doc, nil
}

var errStopped = errors.New("the context ended")

// located gives a fault its line and column.
func (p *parser) located(err error) error { return p.locate.located(err) }

// Check returns a *SyntaxError for text that is not JSON as a document must be:
// one value, strict, in UTF-8, with no key twice in an object, no NUL, no half of
// a surrogate pair, and nested no deeper than 100 levels.
func Check(text []byte) error {
	_, err := scan(text)
	return newLocator(text).located(err)
}

// WithIDs returns the document's text with the generated ids put in, so that
// parsing it again gives the same statements.
func (d Document) WithIDs() []byte {
	inserts := slices.Clone(d.inserts)
	slices.SortStableFunc(inserts, func(a, b insert) int { return a.at - b.at })
	var out []byte
	from := 0
	for _, in := range inserts {
		out = append(out, d.text[from:in.at]...)
		out = append(out, in.text...)
		from = in.at
	}
	return append(out, d.text[from:]...)
}

type parser struct {
	opts   Options
	doc    Document
	locate *locator
	// compiler has the patterns of the document's namemaps.
	compiler *compiler
	objects  map[string]int // id → index in doc.Objects
	bodies   map[string]body
	props    map[Prop]bool // the key's Null is always false
	facts    map[statement.Fact]place
}

// body is the content that an id was first given.
type body struct {
	node  *node
	scope string
	names *names
}

// place is where a statement is kept.
type place struct{ object, statement int }

// frame is what holds at one place of the document.
type frame struct {
	names *names
	scope string
	// object is the index in doc.Objects that statements go to.
	object int
	// owner is the closest enclosing object that is not embedded.
	owner  string
	nested bool
}

func (p *parser) document() error {
	sections, err := roots(p.doc.text)
	if err != nil {
		return err
	}
	for i := range sections {
		if err := p.section(&sections[i]); err != nil {
			return err
		}
	}
	p.doc.Single = p.doc.Single && len(sections) == 1
	return nil
}

func (p *parser) section(root *node) error {
	n, err := namesFor(p.opts.RefPattern)
	if err != nil {
		return faultf(0, "", "refpattern %q: %v", p.opts.RefPattern, err)
	}
	f := frame{names: n, scope: p.opts.Scope}
	if root.kind == kindObject && root.member(keyPJSON) != nil {
		if f, err = p.enter(root, f); err != nil {
			return err
		}
		data := root.member(keyData)
		if data == nil {
			return faultf(root.at, `add "data": [...]`, `a document with the key "pjson" must have "data"`)
		}
		root = &data.value
	}
	return p.top(root, f)
}

func (p *parser) top(root *node, f frame) error {
	switch root.kind {
	case kindObject:
		p.doc.Single = true
		_, err := p.object(root, f)
		return err
	case kindArray:
		return p.list(root, f)
	default:
		return faultf(root.at, "", "JSON must be an object or a list of objects, and this is %s", root.kind)
	}
}

func (p *parser) list(root *node, f frame) error {
	for i := range root.items {
		item := &root.items[i]
		var err error
		switch {
		case item.kind == kindString && p.opts.AllowReferences:
			err = p.wholeObject(item, f)
		case item.kind != kindObject:
			err = faultf(item.at, "", "item %d of the list must be an object, and is %s", i+1, item.kind)
		case item.member(keyPJSON) == nil:
			_, err = p.object(item, f)
		case item.member(keyData) != nil:
			err = faultf(item.at, `put the objects after it in the list`, `a header inside a list cannot have "data"`)
		default:
			f, err = p.enter(item, f)
		}
		if err != nil {
			return err
		}
		p.forget()
	}
	return nil
}

// forget drops what is known of the properties and facts of the last item: no
// other can have the same, unless ids may occur twice.
func (p *parser) forget() {
	if p.opts.AllowDuplicateIDs {
		return
	}
	if len(p.facts) > maxKnown || len(p.props) > maxKnown {
		p.facts, p.props = map[statement.Fact]place{}, map[Prop]bool{}
		return
	}
	clear(p.facts)
	clear(p.props)
}

// maxKnown bounds the maps that are cleared, which costs as much as they once
// held, and not made anew.
const maxKnown = 256

// enter returns the frame inside an object: its namemap, then its context.
func (p *parser) enter(n *node, f frame) (frame, error) {
	if m := n.member(f.names.namemap); m != nil {
		inner, err := p.compiler.enter(f.names, &m.value)
		if err != nil {
			return f, err
		}
		f.names = inner
	}
	if m := n.member(f.names.context); m != nil {
		if m.value.kind != kindString {
			return f, faultf(m.value.at, "", "a context must be a string, and this is %s", m.value.kind)
		}
		f.scope = m.value.text
	}
	return f, nil
}

func (p *parser) wholeObject(item *node, f frame) error {
	id := f.names.parseID(item.text)
	if err := statement.CheckID(id); err != nil {
		return faultf(item.at, "", "%v", err)
	}
	p.doc.References = append(p.doc.References, id)
	return nil
}

// object reads an object and returns its id.
func (p *parser) object(n *node, f frame) (string, error) {
	if p.compiler.stopped() {
		return "", errStopped
	}
	// The namemap stands under the name that the object around gives to it.
	namemap := f.names.namemap
	f, err := p.enter(n, f)
	if err != nil {
		return "", err
	}
	id, generated, err := p.identify(n, f)
	if err != nil {
		return "", err
	}
	if !generated && p.seen(id, n, f) {
		return id, nil
	}
	if err := p.checkDuplicate(id, generated, n, f); err != nil {
		return "", err
	}
	f.object = p.open(id, generated, n, f)
	f.owner = statement.Root(id)
	f.nested = true
	for i := range n.members {
		m := &n.members[i]
		if m.key == namemap || f.names.skips(m.key) {
			continue
		}
		if err := p.property(id, m, f); err != nil {
			return "", err
		}
	}
	return id, nil
}

// identify returns the id that an object has or is given.
func (p *parser) identify(n *node, f frame) (id string, generated bool, err error) {
	m := n.member(f.names.id)
	if m == nil {
		id = p.generate(n, f)
		return id, true, p.checkID(n.at, id)
	}
	switch m.value.kind {
	case kindString:
		id = f.names.parseID(m.value.text)
	case kindNumber:
		t, err := statement.FromNumber(m.value.text)
		if err != nil {
			return "", false, faultf(m.value.at, "", "id: %v", err)
		}
		id = t.Text
	default:
		return "", false, faultf(m.value.at, "leave it out to have one generated",
			"an id must be a string or a number, and this is %s", m.value.kind)
	}
	return id, false, p.checkID(m.value.at, id)
}

func (p *parser) checkID(at int, id string) error {
	if err := statement.CheckID(id); err != nil {
		return faultf(at, "", "%v", err)
	}
	return nil
}

func (p *parser) generate(n *node, f frame) string {
	var id string
	if f.nested {
		id = p.opts.IDs.Embedded(f.owner)
	} else {
		id = p.opts.IDs.Anonymous()
	}
	pair := string(AppendJSON(nil, Map{{Key: f.names.id, Value: f.names.writeID(id)}}))
	pair = strings.Trim(pair, "{}")
	if len(n.members) > 0 {
		pair += ","
	}
	p.doc.inserts = append(p.doc.inserts, insert{at: n.at + 1, text: pair})
	return id
}

// named reports whether an object names any property.
func (n *node) named(with *names) bool {
	return slices.ContainsFunc(n.members, func(m member) bool {
		return !with.skips(m.key)
	})
}

// seen reports whether nothing of this occurrence of an id needs reading: it
// is a nested one that is only a reference, or repeats what was read before.
func (p *parser) seen(id string, n *node, f frame) bool {
	at, known := p.objects[id]
	if !n.named(f.names) {
		if known && !f.nested {
			p.doc.Objects[at].Nested = false
		}
		return known || f.nested
	}
	first, known := p.bodies[id]
	if !known || first.scope != f.scope || first.names != f.names || !first.node.same(n) {
		return false
	}
	if !f.nested {
		p.doc.Objects[at].Nested = false
	}
	return true
}

func (p *parser) checkDuplicate(id string, generated bool, n *node, f frame) error {
	if generated || !n.named(f.names) {
		return nil
	}
	first, known := p.bodies[id]
	if !known {
		p.bodies[id] = body{node: n, scope: f.scope, names: f.names}
		return nil
	}
	if p.opts.AllowDuplicateIDs {
		return nil
	}
	return faultf(n.at, "put all its properties into one object, or give one of them another id",
		"duplicate id encountered: %s, first at %s", id, newLocator(p.doc.text).position(first.node.at))
}

// open returns the index of the object that statements about id go to: that of
// the enclosing object for what is embedded in it, else one of its own.
func (p *parser) open(id string, generated bool, n *node, f frame) int {
	if f.nested && statement.IsEmbedded(id) && statement.Root(id) == f.owner {
		return f.object
	}
	if at, known := p.objects[id]; known {
		p.doc.Objects[at].Nested = p.doc.Objects[at].Nested && f.nested
		return at
	}
	p.doc.Objects = append(p.doc.Objects, Object{
		ID: id, Generated: generated, Nested: f.nested, Position: p.locate.position(n.at),
	})
	p.objects[id] = len(p.doc.Objects) - 1
	return p.objects[id]
}

func (p *parser) property(subject string, m *member, f frame) error {
	name := f.names.parseProperty(m.key)
	at := Prop{Subject: subject, Predicate: name}
	if p.props[at] && !p.opts.AllowDuplicateIDs {
		return faultf(m.at, "make the values one list", "property %q is given twice in one object", name)
	}
	if !p.props[at] {
		p.props[at] = true
		at.Null = m.value.kind == kindNull
		object := &p.doc.Objects[f.object]
		object.Props = append(object.Props, at)
	}
	if m.value.kind == kindArray && len(m.value.items) > 0 {
		return p.items(subject, name, &m.value, f)
	}
	return p.single(subject, name, &m.value, f)
}

func (p *parser) single(subject, name string, v *node, f frame) error {
	term, scope, err := p.term(v, f)
	if err != nil {
		return err
	}
	return p.add(v, f, statement.Statement{Subject: subject, Predicate: name, Term: term, Scope: scope})
}

func (p *parser) items(subject, name string, list *node, f frame) error {
	for i := range list.items {
		item := &list.items[i]
		term, scope, err := p.item(item, f)
		if err != nil {
			return err
		}
		s := statement.Statement{Subject: subject, Predicate: name, Term: term, Scope: scope, Positions: []int{i}}
		if err := p.add(item, f, s); err != nil {
			return err
		}
	}
	return nil
}

// item is term for an item of a list, which may be a list itself: that one
// becomes a subject of its own.
func (p *parser) item(v *node, f frame) (statement.Term, string, error) {
	if v.kind != kindArray || len(v.items) == 0 {
		return p.term(v, f)
	}
	id := p.opts.IDs.List(f.owner)
	return statement.Reference(id), f.scope, p.items(id, statement.ListItem, v, f)
}

// add keeps a statement, or gives one that is there already another position.
func (p *parser) add(v *node, f frame, s statement.Statement) error {
	if err := s.Check(); err != nil {
		return faultf(v.at, "", "%v", err)
	}
	key := s.Fact()
	if at, known := p.facts[key]; known {
		kept := &p.doc.Objects[at.object].Statements[at.statement]
		kept.Positions = mergePositions(kept.Positions, s.Positions)
		return nil
	}
	object := &p.doc.Objects[f.object]
	p.facts[key] = place{f.object, len(object.Statements)}
	object.Statements = append(object.Statements, s)
	return nil
}

func mergePositions(a, b []int) []int {
	if len(a) > 0 && len(b) > 0 && a[len(a)-1] < b[0] {
		return append(a, b...) // the items of one list come in order
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
