// Package statement is Vesper's data model: flat statements, the values they
// carry, and the conventions hidden in object ids. Everything stored,
// replicated, queried and shown is made of these statements. The package does
// no I/O.
//
// A statement says that a subject has, under a predicate, one value, in one
// scope. Unlike the original Vesper, which records the order of a JSON list in
// further statements, a Statement carries its places in the list itself, so
// that a value and its position can never disagree.
package statement

import (
	"slices"
	"strings"
)

// The types a Term may have besides a datatype URI (which contains a colon)
// and a language tag (which does not).
const (
	// TypeRef marks a reference: the text is the id of an object.
	TypeRef = "R"
	// TypeLiteral marks a plain string.
	TypeLiteral = "L"
)

// Datatype URIs with a meaning of their own.
const (
	xsd = "http://www.w3.org/2001/XMLSchema#"

	// XSDInteger marks a JSON number without fraction or exponent, of any size.
	XSDInteger = xsd + "integer"
	// XSDDouble marks a JSON number with fraction or exponent.
	XSDDouble = xsd + "double"
	// XSDBoolean marks true and false.
	XSDBoolean = xsd + "boolean"
	// TypeNull marks JSON null.
	TypeNull = "pjson:schema#null"
	// TypePrefix is put before a datatype name that is neither a URI nor a
	// language tag.
	TypePrefix = "pjson:"
)

const (
	// Nil is the id that stands, as a reference, for the empty list.
	Nil = "http://www.w3.org/1999/02/22-rdf-syntax-ns#nil"
	// ListItem is the predicate of the items of a list inside a list. Such a
	// list is a subject of its own (see IsList), and its items are ordered by
	// Positions like those of any other list.
	ListItem = "http://www.w3.org/2000/01/rdf-schema#member"
)

// Term is a value: its text and how to read it. Two terms are the same value
// exactly when both fields are equal; the integer 1, the double 1.0 and the
// string "1" are three values.
type Term struct {
	// Text is the value as text: the string, the decimal digits, the id.
	Text string
	// Type is TypeRef, TypeLiteral, a datatype URI, or a language tag.
	Type string
}

// Compare orders terms by text, then by type, each by code point: the order in
// which values without list positions are read.
func (t Term) Compare(o Term) int {
	return compareTerms(t, o)
}

func compareTerms(a, b Term) int {
	if c := strings.Compare(a.Text, b.Text); c != 0 {
		return c
	}
	return strings.Compare(a.Type, b.Type)
}

// IsRef reports whether the term is a reference. The empty list is one, to Nil.
func (t Term) IsRef() bool { return t.Type == TypeRef }

// Reference returns the term that refers to the object with this id.
func Reference(id string) Term { return Term{Text: id, Type: TypeRef} }

// Literal returns the term of a plain string.
func Literal(text string) Term { return Term{Text: text, Type: TypeLiteral} }

// Null returns the term of JSON null.
func Null() Term { return Term{Text: "null", Type: TypeNull} }

// EmptyList returns the term of a list with no items: a reference to Nil.
func EmptyList() Term { return Reference(Nil) }

// Statement is one fact: Subject has, under Predicate, the value Term, in Scope.
type Statement struct {
	Subject   string
	Predicate string
	Term
	// Scope is the context of the fact; "" is the default one. Equal facts in
	// two scopes are two statements.
	Scope string
	// Positions are the 0-based places of the value in the ordered list that
	// the property holds, ascending; several when the list has the value more
	// than once. Empty means the value is not part of a list.
	Positions []int
}

// Compare orders statements by subject, predicate, text, type and scope, each
// by code point, and then by positions. It returns 0 only for equal statements.
func Compare(a, b Statement) int {
	if c := CompareFact(a, b); c != 0 {
		return c
	}
	return slices.Compare(a.Positions, b.Positions)
}

// CompareFact is Compare without the positions: it returns 0 for two
// statements of the same fact, wherever it stands in a list.
func CompareFact(a, b Statement) int {
	if c := strings.Compare(a.Subject, b.Subject); c != 0 {
		return c
	}
	if c := strings.Compare(a.Predicate, b.Predicate); c != 0 {
		return c
	}
	if c := compareTerms(a.Term, b.Term); c != 0 {
		return c
	}
	return strings.Compare(a.Scope, b.Scope)
}

// Fact is a statement without its positions, usable as the key of a map.
type Fact struct {
	Subject   string
	Predicate string
	Term      Term
	Scope     string
}

// Fact returns what the statement says apart from its positions.
func (s Statement) Fact() Fact { return Fact{s.Subject, s.Predicate, s.Term, s.Scope} }

// Equal reports whether a and b are the same statement, positions included.
func Equal(a, b Statement) bool { return Compare(a, b) == 0 }

// Sort brings statements into the canonical order of Compare.
func Sort(list []Statement) { slices.SortFunc(list, Compare) }

// Set returns the statements in canonical order with those of the same fact
// made one: its positions are the union of theirs. The argument is not changed.
func Set(list []Statement) []Statement {
	sorted := slices.Clone(list)
	Sort(sorted)
	out := make([]Statement, 0, len(sorted))
	for _, s := range sorted {
		last := len(out) - 1
		if last < 0 || CompareFact(out[last], s) != 0 {
			out = append(out, s)
			continue
		}
		out[last].Positions = unionPositions(out[last].Positions, s.Positions)
	}
	return out
}

func unionPositions(a, b []int) []int {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b)
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// InOrder returns the values of one property as they are read: those with
// positions first, in the order of their positions and once for each, then the
// others in canonical order. It reports whether the property reads as a list:
// it has a position or more than one value. The argument must not be empty.
func InOrder(list []Statement) ([]Statement, bool) {
	if len(list) == 1 && len(list[0].Positions) == 0 {
		return list, false
	}
	type placed struct {
		at int
		Statement
	}
	var inList []placed
	var rest []Statement
	for _, s := range list {
		for _, at := range s.Positions {
			inList = append(inList, placed{at, s})
		}
		if len(s.Positions) == 0 {
			rest = append(rest, s)
		}
	}
	slices.SortStableFunc(inList, func(a, b placed) int {
		if a.at != b.at {
			return a.at - b.at
		}
		return CompareFact(a.Statement, b.Statement)
	})
	Sort(rest)
	out := make([]Statement, 0, len(inList)+len(rest))
	for _, p := range inList {
		out = append(out, p.Statement)
	}
	return append(out, rest...), len(inList) > 0 || len(rest) > 1
}
