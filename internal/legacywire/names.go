package legacywire

import (
	"strconv"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// The names that the original gives to its metadata and to the order of lists.
const (
	archive        = "http://rx4rdf.sf.net/ns/archive#"
	baseRevision   = archive + "baseRevision"
	hasRevision    = archive + "hasRevision"
	createdOn      = archive + "createdOn"
	createdBy      = archive + "createdBy"
	comment        = archive + "comment"
	includes       = archive + "includes"
	excludes       = archive + "excludes"
	appliesTo      = archive + "applies-to"
	transactionIRI = archive + "TransactionContext"

	rdf         = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
	rdfType     = rdf + "type"
	rdfFirst    = rdf + "first"
	rdfItem     = rdf + "_"
	rdfSeq      = rdf + "Seq"
	schema      = "pjson:schema#"
	propSeq     = schema + "propseq"
	seqProp     = schema + "propseqprop"
	seqSubject  = schema + "propseqsubject"
	typePropSeq = schema + "propseqtype"
	typeListSeq = schema + "standalongseqtype" // the original's spelling

	orderMark = "j:proplist:"
	orderCut  = ";"
)

// TransactionID is the id that the original gives to a changeset.
func TransactionID(modelURI, revision string) string {
	return transaction + modelURI + ";" + revision
}

// property is a property of a subject.
type property struct{ subject, predicate string }

// orderOf returns what follows the mark in the id of the record that says the
// order of a property's values, and whether id is one.
func orderOf(id string) (string, bool) {
	for _, prefix := range []string{statement.AnonymousPrefix, statement.ShortAnonymousPrefix} {
		if rest, ok := strings.CutPrefix(id, prefix+orderMark); ok {
			return rest, true
		}
	}
	return "", false
}

// ordered reports whether the original records an order of the property's
// values beside them.
func ordered(p property) bool {
	return p.predicate != rdfFirst && p.predicate != statement.ListItem && !strings.HasPrefix(p.predicate, rdfItem)
}

// isItems reports whether the property holds the items of a list inside a list.
func isItems(p property) bool {
	return p.predicate == statement.ListItem && statement.IsList(p.subject)
}

// place returns the position that the name of a numbered property stands for.
func place(predicate string) (int, bool) {
	text, ok := strings.CutPrefix(predicate, rdfItem)
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 || n > statement.MaxListItems || strconv.Itoa(n) != text {
		return 0, false
	}
	return n - 1, true
}

// isOrder reports whether a statement only says an order, as the original
// keeps it: it is no data here.
func isOrder(row Row) bool {
	if _, ok := orderOf(row[subject]); ok {
		return true
	}
	if _, ok := orderOf(row[object]); ok && row[predicate] == propSeq {
		return true
	}
	if !statement.IsList(row[subject]) {
		return false
	}
	_, numbered := place(row[predicate])
	return numbered || row[predicate] == rdfType && (row[object] == rdfSeq || row[object] == typeListSeq)
}
