package pjson

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// Nesting says which objects are written in the place of a reference to them.
type Nesting int

const (
	// NestEmbedded nests what lives inside another object, and nothing else.
	NestEmbedded Nesting = iota
	// NestAnonymous nests, besides, objects with a generated id that are
	// referred to exactly once.
	NestAnonymous
	// NestAll nests, besides, every object that is referred to exactly once.
	NestAll
)

// Format says how statements are written as JSON. The zero value writes ids as
// references ("id": "@x") with the default pattern, and keeps everything that
// the statements say except the difference between the numeric datatypes.
type Format struct {
	// RefPattern is how references are written; empty means DefaultRefPattern.
	RefPattern string
	// BareIDs writes "id": "x" instead of "id": "@x".
	BareIDs bool
	// ExplicitRefs writes references as {"$ref": "x"} instead of "@x".
	ExplicitRefs bool
	// OmitEmbeddedIDs leaves out the ids of embedded objects.
	OmitEmbeddedIDs bool
	// OmitHiddenIDs leaves out all ids that are hidden (statement.IsHidden).
	OmitHiddenIDs bool
	// OmitScopes writes no contexts.
	OmitScopes bool
	// PreserveTypes writes decimals, floats and the like with their datatype
	// instead of as plain numbers, so that parsing gives the same type again.
	PreserveTypes bool
	// Nest says which references are replaced by what they refer to.
	Nest Nesting
	// Scope is the context that the reader takes for granted.
	Scope string
	// Namemap is how names, ids, references and typed strings are written, as
	// it stands in a document; its refpattern comes before RefPattern. Nil
	// means none.
	Namemap Map
	// KeepOrder writes the objects of a document in the order in which their
	// first statements are given, not in that of their ids.
	KeepOrder bool
}

// Writer writes statements as JSON in one Format.
type Writer struct {
	format Format
	names  *names
}

// NewWriter returns a writer, or an error if the reference pattern is not one.
func NewWriter(f Format) (*Writer, error) {
	n, err := namesFor(f.RefPattern)
	if err != nil {
		return nil, err
	}
	if f.Namemap != nil {
		if n, err = n.withMap(f.Namemap); err != nil {
			return nil, fmt.Errorf("namemap: %w", err)
		}
	}
	return &Writer{format: f, names: n}, nil
}

// Object writes the object id, given its statements and those of everything
// embedded in it. Properties follow the id in order of their names. An id with
// no statements gives an object that has only its id.
func (w *Writer) Object(id string, statements []statement.Statement) Map {
	if w.isFlat(id, statements) {
		return w.flat(id, statements)
	}
	g := w.graph(statements)
	return g.object(id, w.format.Scope)
}

// Objects writes all statements as a list of objects, in order of their ids.
// Each subject is written once: in the list, or nested where Format.Nest says.
func (w *Writer) Objects(statements []statement.Statement) []any {
	g := w.graph(statements)
	out := []any{}
	// What has no place to be nested comes first. Then what is left: objects
	// that refer to each other in a circle, or are referred to in a scope of
	// its own; owners before what is embedded in them.
	passes := []func(id string) bool{
		func(id string) bool { return !g.nests(id) },
		func(id string) bool { return !statement.IsEmbedded(id) },
		func(string) bool { return true },
	}
	for _, takes := range passes {
		for _, id := range g.subjects {
			if !g.written[id] && takes(id) {
				out = append(out, g.object(id, w.format.Scope))
			}
		}
	}
	return out
}

// Document writes all statements as a pJSON document that says how its
// references are to be read: {"pjson": "0.9", "namemap": ..., "data": [...]}.
func (w *Writer) Document(statements []statement.Statement) Map {
	return append(w.header(), Member{Key: keyData, Value: w.Objects(statements)})
}

// List writes all statements as a list: a header that says how references are
// to be read, then the objects.
func (w *Writer) List(statements []statement.Statement) []any {
	return append([]any{w.header()}, w.Objects(statements)...)
}

func (w *Writer) header() Map {
	namemap := slices.Clone(w.format.Namemap)
	if _, has := namemap.Get(keyRefs); !has && (namemap == nil || !w.format.ExplicitRefs) {
		namemap.Set(keyRefs, cmp.Or(w.format.RefPattern, DefaultRefPattern))
	}
	return Map{{Key: keyPJSON, Value: "0.9"}, {Key: keyNamemap, Value: namemap}}
}

// withMap is with for a namemap that is no part of a text.
func (n *names) withMap(namemap Map) (*names, error) {
	root, err := scan(AppendJSON(nil, namemap))
	if err != nil {
		return nil, err
	}
	return n.with(root, newCompiler(nil))
}

// graph is a set of statements by subject, being written.
type graph struct {
	*Writer
	subjects   []string
	statements map[string][]statement.Statement
	references map[string]int  // id → references to it
	own        map[string]bool // id → it refers to itself
	others     map[string]bool // id → another one refers to it
	written    map[string]bool
	depth      int
}

func (w *Writer) graph(list []statement.Statement) *graph {
	g := &graph{
		Writer:     w,
		statements: map[string][]statement.Statement{},
		references: map[string]int{},
		own:        map[string]bool{},
		others:     map[string]bool{},
		written:    map[string]bool{},
	}
	set := statement.Set(list)
	if !w.format.KeepOrder {
		list = set
	}
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s.Subject] {
			seen[s.Subject] = true
			g.subjects = append(g.subjects, s.Subject)
		}
	}
	for _, s := range set {
		g.statements[s.Subject] = append(g.statements[s.Subject], s)
		if !s.IsRef() {
			continue
		}
		g.references[s.Text] += max(1, len(s.Positions))
		if s.Subject == s.Text {
			g.own[s.Text] = true
		} else {
			g.others[s.Text] = true
		}
	}
	return g
}

// nests reports whether an object is written inside the one that refers to it.
func (g *graph) nests(id string) bool {
	once := g.references[id] == 1 && !g.own[id]
	switch {
	case statement.IsEmbedded(id):
		return g.others[id]
	case g.format.Nest == NestAll:
		return once
	case g.format.Nest == NestAnonymous:
		return once && statement.IsAnonymous(id)
	default:
		return false
	}
}

// maxNesting bounds how deep objects are written inside each other; those
// deeper still, which no document of one piece can have made, stay references.
const maxNesting = maxDepth

func (g *graph) object(id, outer string) Map {
	g.written[id] = true
	g.depth++
	defer func() { g.depth-- }()
	list := g.statements[id]
	out := Map{}
	if g.showsID(id) {
		out = append(out, Member{g.names.id, g.ID(id)})
	}
	scope := g.mainScope(list, outer)
	if scope != outer {
		out = append(out, Member{g.names.context, scope})
	}
	for _, property := range byPredicate(list) {
		key := g.names.writeProperty(property[0].Predicate)
		out = append(out, Member{key, g.property(property, scope)})
	}
	return out
}

// mainScope is the scope that most of an object's statements have; between
// equals the outer one, then the first in order. What is embedded counts more
// than anything, because it can be nested only in the scope of the object.
func (g *graph) mainScope(list []statement.Statement, outer string) string {
	if g.format.OmitScopes || len(list) == 0 {
		return outer
	}
	count := map[string]int{}
	for _, s := range list {
		count[s.Scope]++
		if s.IsRef() && statement.IsEmbedded(s.Text) {
			count[s.Scope] += len(list)
		}
	}
	best := outer
	for _, s := range list {
		if count[s.Scope] > count[best] || count[s.Scope] == count[best] && best != outer && s.Scope < best {
			best = s.Scope
		}
	}
	return best
}

// byPredicate splits the statements of one subject, in order, by property.
func byPredicate(list []statement.Statement) [][]statement.Statement {
	var out [][]statement.Statement
	for i, s := range list {
		if i == 0 || s.Predicate != list[i-1].Predicate {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], s)
	}
	return out
}

func (g *graph) property(list []statement.Statement, scope string) any {
	items, isList := statement.InOrder(list)
	if !isList {
		return g.value(items[0], scope)
	}
	return g.list(items, scope)
}

func (g *graph) list(items []statement.Statement, scope string) []any {
	out := make([]any, 0, len(items))
	for _, s := range items {
		out = append(out, g.value(s, scope))
	}
	return out
}

// value writes one value inside an object whose context is scope.
func (g *graph) value(s statement.Statement, scope string) any {
	if s.IsRef() {
		return g.reference(s, scope)
	}
	if s.Scope == scope || g.format.OmitScopes {
		return g.Term(s.Term)
	}
	return append(g.explicit(s.Term), Member{g.names.context, s.Scope})
}

func (g *graph) reference(s statement.Statement, scope string) any {
	apart := s.Scope != scope && !g.format.OmitScopes
	switch {
	case s.Text == statement.Nil && !apart:
		return []any{}
	case statement.IsList(s.Text) && !g.written[s.Text]:
		if items, ok := g.nestedList(s, apart); ok {
			return items
		}
	case g.nestable(s, apart):
		return g.object(s.Text, scope)
	}
	if apart {
		return append(g.explicitRef(s.Text), Member{g.names.context, s.Scope})
	}
	return g.Term(s.Term)
}

// nestable reports whether the object referred to is written in this place. A
// reference with a scope of its own stays one, so that the scope is not lost.
func (g *graph) nestable(s statement.Statement, apart bool) bool {
	if apart || g.written[s.Text] || g.depth >= maxNesting {
		return false
	}
	if statement.IsEmbedded(s.Text) {
		return true // even one without statements: it is an empty object
	}
	return g.nests(s.Text) && len(g.statements[s.Text]) > 0
}

// nestedList returns the items of a list inside a list, if it can stand as a
// JSON array: it is all in the scope of the reference and has only items.
func (g *graph) nestedList(s statement.Statement, apart bool) ([]any, bool) {
	list := g.statements[s.Text]
	if apart || g.depth >= maxNesting {
		return nil, false
	}
	for _, s := range list {
		if s.Predicate != statement.ListItem {
			return nil, false
		}
	}
	g.written[s.Text] = true
	g.depth++
	defer func() { g.depth-- }()
	items, _ := statement.InOrder(list)
	return g.list(items, s.Scope), true
}

// Term writes one value: a JSON scalar, a reference as a string, or an object
// that says the datatype. The empty list becomes an empty list.
func (w *Writer) Term(t statement.Term) any {
	if t == statement.EmptyList() {
		return []any{}
	}
	if t.IsRef() {
		if text, ok := w.names.writeReference(t.Text); ok && !w.format.ExplicitRefs {
			return text
		}
		return w.explicitRef(t.Text)
	}
	switch v := w.plain(t).(type) {
	case statement.Typed:
		if text, ok := w.names.writeTyped(v.Datatype, t); ok {
			return text
		}
		return w.explicit(t)
	case string:
		if w.names.isPlainText(v) {
			return v
		}
		if read, err := w.names.stringTerm(v); err != nil || read != t {
			return w.explicit(t)
		}
		return v
	default:
		return v
	}
}

// Key returns the key under which a property is written: its name, escaped if
// the name would mean something else.
func (w *Writer) Key(property string) string { return w.names.writeProperty(property) }

// ID returns the value of the key "id" that stands for an id.
func (w *Writer) ID(id string) string {
	if !w.format.BareIDs {
		if text, ok := w.names.writeReference(id); ok {
			return text
		}
	}
	return w.names.writeID(id)
}

// numeric are the datatypes that read as plain numbers unless types are kept.
var numeric = map[string]bool{
	"http://www.w3.org/2001/XMLSchema#decimal": true,
	"http://www.w3.org/2001/XMLSchema#int":     true,
	"http://www.w3.org/2001/XMLSchema#float":   true,
}

// plain returns the JSON scalar of a term, or Typed if it has none.
func (w *Writer) plain(t statement.Term) any {
	if numeric[t.Type] && !w.format.PreserveTypes {
		if n, err := statement.FromNumber(t.Text); err == nil {
			return n.Value()
		}
	}
	return t.Value()
}

// explicit writes a value as an object that says its datatype.
func (w *Writer) explicit(t statement.Term) Map {
	datatype, value := datatypeJSON, w.plain(t)
	if typed, ok := value.(statement.Typed); ok {
		datatype, value = typed.Datatype, typed.Text
	}
	return Map{{Key: w.names.datatype, Value: datatype}, {Key: keyValue, Value: value}}
}

func (w *Writer) explicitRef(id string) Map {
	return Map{{Key: w.names.ref, Value: w.names.writeID(id)}}
}

// ParseReference returns the id that a string refers to under a reference
// pattern (DefaultRefPattern if empty), and whether it is a reference at all.
func ParseReference(refPattern, text string) (string, bool) {
	n, err := namesFor(refPattern)
	if err != nil || strings.HasPrefix(text, escapeMark) {
		return "", false
	}
	return n.reference(text)
}
