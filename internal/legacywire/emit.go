package legacywire

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Codec writes messages.
type Codec struct {
	// ModelURI is what the original calls model_uri: it is part of every
	// statement's scope in a message, and the nodes of a channel should share it.
	ModelURI string
	// Prefix starts the ids of the original's list records. Empty means
	// statement.AnonymousPrefix, as live nodes have it.
	Prefix string
}

// Emit returns the message of a changeset. past gives the objects at the
// revision that the changeset builds on; seen is what its author had applied of
// other branches by then, and base the published revision to name as the one
// before (see the package's description).
func (k Codec) Emit(c changeset.Changeset, seen branch.Revision, base string, past Past) (Message, error) {
	revision := seen.With(c.Dot())
	m := Message{
		Origin: c.Branch, Timestamp: Timestamp(c.Clock), Base: base, Revision: revision.String(),
		seq: c.Seq, seen: without(revision, c.Branch),
	}
	w := writer{
		t:      TransactionID(k.ModelURI, m.Revision),
		prefix: k.Prefix, scopes: map[kind]map[string]bool{kindAdded: {}, kindRemoved: {}},
	}
	if w.prefix == "" {
		w.prefix = statement.AnonymousPrefix
	}
	for _, o := range c.Objects {
		before, err := past(o.Root)
		if err != nil {
			return m, fmt.Errorf("writing changeset %s in the original's form: %w", c.Dot(), err)
		}
		w.object(o, stateOf(o.Root, before))
	}
	m.Rows = slices.Concat(w.metadata(c, m), sortedRows(w.added), sortedRows(w.removed))
	return m, nil
}

func sortedRows(rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(rows)
}

// writer collects the statements of a message.
type writer struct {
	// t is the id of the transaction.
	t, prefix      string
	added, removed []Row
	scopes         map[kind]map[string]bool
}

func (w *writer) metadata(c changeset.Changeset, m Message) []Row {
	row := func(s, p, o, ty string) Row { return Row{s, p, o, ty, w.t} }
	created := m.Timestamp
	if f, err := strconv.ParseFloat(m.Timestamp, 64); err == nil {
		created = twelve(f)
	}
	rows := []Row{
		row(w.t, baseRevision, m.Base, statement.TypeLiteral),
		row(w.t, hasRevision, m.Revision, statement.TypeLiteral),
		row(w.t, createdOn, created, statement.XSDDouble),
	}
	if c.Author != "" {
		rows = append(rows, row(w.t, createdBy, c.Author, statement.TypeLiteral))
	}
	if c.Comment != "" {
		rows = append(rows, row(w.t, comment, c.Comment, statement.TypeLiteral))
	}
	for _, part := range []struct {
		kind
		name, in string
	}{{kindRemoved, excludes, removedIn}, {kindAdded, includes, addedIn}} {
		for _, of := range slices.Sorted(maps.Keys(w.scopes[part.kind])) {
			id := part.in + w.t + scopeMark + of
			rows = append(rows, row(w.t, part.name, id, statement.TypeRef), row(id, appliesTo, of, statement.TypeRef))
		}
	}
	return append(rows, row(w.t, rdfType, transactionIRI, statement.TypeRef))
}

func (w *writer) row(k kind, s, p string, f fact) {
	in, to := addedIn, &w.added
	if k == kindRemoved {
		in, to = removedIn, &w.removed
	}
	w.scopes[k][f.scope] = true
	*to = append(*to, Row{s, p, f.Text, f.Type, in + w.t + scopeMark + f.scope})
}

// object writes what a changeset does to an object.
func (w *writer) object(c changeset.ObjectChange, s state) {
	if c.Delete {
		for p, was := range s.values {
			w.property(p, was, nil, false)
		}
		return
	}
	for _, pc := range c.Props {
		p := property{c.Root, pc.Predicate}
		if pc.Subject != "" {
			p.subject = pc.Subject
		}
		was := s.values[p]
		w.property(p, was, after(pc, was), s.conflicts[p])
	}
}

// after returns the values of a property after its change.
func after(c changeset.PropChange, was []changeset.Value) []changeset.Value {
	if c.Mode == changeset.Assign {
		return c.Added
	}
	return append(minus(minus(was, c.Removed), c.Added), c.Added...)
}

// property writes the difference between the values before and after. With
// again, everything that is there after is said once more: so a message tells
// that it decides a conflict.
func (w *writer) property(p property, was, is []changeset.Value, again bool) {
	known := was
	if again {
		known = nil
	}
	for _, v := range minusRows(rowsOf(p, was), rowsOf(p, is)) {
		w.numbered(kindRemoved, p, v)
	}
	for _, v := range minusRows(rowsOf(p, is), rowsOf(p, known)) {
		w.numbered(kindAdded, p, v)
	}
	w.headers(p, was, is)
}

// noPlace stands for the value itself, beside its places.
const noPlace = -1

// rowsOf returns the value and the places that the original has a statement for.
func rowsOf(p property, values []changeset.Value) []item {
	var out []item
	for _, v := range values {
		if !isItems(p) || len(v.Positions) == 0 {
			out = append(out, item{factOf(v), noPlace})
		}
		if !isItems(p) && !ordered(p) {
			continue
		}
		for _, at := range v.Positions {
			out = append(out, item{factOf(v), at})
		}
	}
	return out
}

func minusRows(rows, others []item) []item {
	there := make(map[item]bool, len(others))
	for _, o := range others {
		there[o] = true
	}
	return slices.DeleteFunc(rows, func(i item) bool { return there[i] })
}

func (w *writer) numbered(k kind, p property, i item) {
	if i.at == noPlace {
		w.row(k, p.subject, p.predicate, i.fact)
		return
	}
	id := p.subject
	if !isItems(p) {
		id = w.record(p)
	}
	w.row(k, id, rdfItem+strconv.Itoa(i.at+1), i.fact)
}

// record is the id of the record that says the order of a property.
func (w *writer) record(p property) string {
	return w.prefix + orderMark + p.subject + orderCut + p.predicate
}

// headers writes what says that there is a list, when one comes or goes.
func (w *writer) headers(p property, was, is []changeset.Value) {
	if !isItems(p) && !ordered(p) || listed(was) == listed(is) {
		return
	}
	k, values := kindAdded, is
	if listed(was) {
		k, values = kindRemoved, was
	}
	for _, of := range scopesOf(values) {
		ref := func(s, predicate, id string) { w.row(k, s, predicate, fact{statement.Reference(id), of}) }
		if isItems(p) {
			ref(p.subject, rdfType, rdfSeq)
			ref(p.subject, rdfType, typeListSeq)
			continue
		}
		id := w.record(p)
		ref(p.subject, propSeq, id)
		ref(id, rdfType, rdfSeq)
		ref(id, rdfType, typePropSeq)
		ref(id, seqProp, p.predicate)
		ref(id, seqSubject, p.subject)
	}
}

func scopesOf(values []changeset.Value) []string {
	scopes := map[string]bool{}
	for _, v := range values {
		if len(v.Positions) > 0 {
			scopes[v.Scope] = true
		}
	}
	return slices.Sorted(maps.Keys(scopes))
}

// reserved returns the first statement among a changeset's data that the
// original would take for one of its records of the order of lists.
func reserved(c changeset.Changeset) (Row, bool) {
	for _, o := range c.Objects {
		for _, p := range o.Props {
			s := p.Subject
			if s == "" {
				s = o.Root
			}
			for _, v := range p.Added {
				if row := (Row{s, p.Predicate, v.Text, v.Type, v.Scope}); isOrder(row) {
					return row, true
				}
			}
		}
	}
	return Row{}, false
}

// text shows a statement in an error message.
func (r Row) text() string {
	parts := make([]string, 3)
	for i := range parts {
		parts[i] = statement.Excerpt(r[i])
	}
	return strings.Join(parts, " ")
}
