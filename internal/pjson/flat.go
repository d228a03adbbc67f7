package pjson

import (
	"iter"

	"vesperdb.io/vesper/internal/statement"
)

// Most objects are flat: nothing is embedded in them, and all that is said of
// them is said in one scope. This file writes those without finding out first
// what is to be nested where.

// isFlat reports whether the statements are those of one object in canonical
// order, in the scope that the reader takes for granted, and none of them refers
// to what may be embedded.
func (w *Writer) isFlat(id string, statements []statement.Statement) bool {
	for i := range statements {
		s := &statements[i]
		if s.Subject != id || s.Scope != w.format.Scope && !w.format.OmitScopes ||
			i > 0 && statement.CompareFact(statements[i-1], *s) >= 0 ||
			s.IsRef() && statement.IsEmbedded(s.Text) {
			return false
		}
	}
	return true
}

// showsID reports whether an object is written with its id.
func (w *Writer) showsID(id string) bool {
	return (!w.format.OmitHiddenIDs || !statement.IsHidden(id)) && (!w.format.OmitEmbeddedIDs || !statement.IsEmbedded(id))
}

// properties yields the statements of each property of a flat object.
func properties(list []statement.Statement) iter.Seq[[]statement.Statement] {
	return func(yield func([]statement.Statement) bool) {
		for from := 0; from < len(list); {
			to := from + 1
			for to < len(list) && list[to].Predicate == list[from].Predicate {
				to++
			}
			if !yield(list[from:to:to]) {
				return
			}
			from = to
		}
	}
}

func (w *Writer) flat(id string, statements []statement.Statement) Map {
	out := make(Map, 0, len(statements)+1)
	if w.showsID(id) {
		out = append(out, Member{w.names.id, w.ID(id)})
	}
	for property := range properties(statements) {
		out = append(out, Member{w.Key(property[0].Predicate), w.flatValue(property)})
	}
	return out
}

func (w *Writer) flatValue(property []statement.Statement) any {
	items, isList := statement.InOrder(property)
	if !isList {
		return w.Term(items[0].Term)
	}
	out := make([]any, 0, len(items))
	for i := range items {
		out = append(out, w.Term(items[i].Term))
	}
	return out
}

// AppendObject appends what Object returns, as AppendJSON writes it.
func (w *Writer) AppendObject(dst []byte, id string, statements []statement.Statement) []byte {
	if !w.isFlat(id, statements) {
		return AppendJSON(dst, w.Object(id, statements))
	}
	dst = append(dst, '{')
	open := len(dst)
	if w.showsID(id) {
		dst = append(appendString(dst, w.names.id), ':')
		dst = appendString(dst, w.ID(id))
	}
	for property := range properties(statements) {
		if len(dst) > open {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, w.Key(property[0].Predicate)), ':')
		dst = w.appendProperty(dst, property)
	}
	return append(dst, '}')
}

func (w *Writer) appendProperty(dst []byte, property []statement.Statement) []byte {
	items, isList := statement.InOrder(property)
	if !isList {
		return w.AppendTerm(dst, items[0].Term)
	}
	dst = append(dst, '[')
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = w.AppendTerm(dst, items[i].Term)
	}
	return append(dst, ']')
}

// AppendTerm appends what Term returns, as AppendJSON writes it.
func (w *Writer) AppendTerm(dst []byte, t statement.Term) []byte {
	switch {
	case t.Type == statement.TypeLiteral && w.names.isPlainText(t.Text):
		return appendString(dst, t.Text)
	case t.IsRef() && t.Text != statement.Nil && !w.format.ExplicitRefs && w.names.isPlainReference(t.Text):
		return append(appendText(append(dst, '"', refMark[0]), t.Text), '"')
	case t.IsInteger():
		return append(dst, t.Text...)
	}
	return AppendJSON(dst, w.Term(t))
}

// AppendID appends what ID returns, as AppendJSON writes it.
func (w *Writer) AppendID(dst []byte, id string) []byte {
	if !w.format.BareIDs && w.names.isPlainReference(id) {
		return append(appendText(append(dst, '"', refMark[0]), id), '"')
	}
	return appendString(dst, w.ID(id))
}
