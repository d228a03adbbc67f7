// Package pjson turns JSON objects into statements and statements back into
// JSON. pJSON is plain JSON plus a few conventions: an object's id, strings
// that are references ("@id"), and property names with a meaning of their own.
// The package does no I/O and keeps every integer exactly as it was written and
// every double exactly as Go reads it.
//
// On purpose it is stricter than the original, which loses data silently here:
// text must be strict JSON; a property twice in one object, an object with
// "$ref" and further properties, data in a header inside a list, unknown keys
// of a namemap, NUL characters and half surrogate pairs are refused. The order
// of a list is kept also where its values are in different contexts. Patterns
// come from clients, so they are RE2 and bounded. docs/pjson.md is the page for
// users.
package pjson

import (
	"fmt"

	"vesperdb.io/vesper/internal/statement"
)

// Options say how a document is parsed. The zero value is what a node uses,
// with random ids.
type Options struct {
	// IDs names objects and lists that have no id. Nil means Random().
	IDs IDSource
	// RefPattern is the pattern of strings that are references, until the
	// document says otherwise. Empty means DefaultRefPattern.
	RefPattern string
	// Scope is the context of statements until the document says otherwise.
	Scope string
	// AllowReferences accepts strings in the document's list: references to
	// whole objects, as remove takes them; see Document.References.
	AllowReferences bool
	// AllowDuplicateIDs accepts an id that occurs twice with different content
	// and merges the two. Otherwise that is an error.
	AllowDuplicateIDs bool
}

// Document is a parsed pJSON document.
type Document struct {
	// Objects are in document order, an object before those nested in it. An
	// object nested in another under an id of its own is an object of its own
	// here, unless it has nothing but an id: then it is only a reference. Each
	// id occurs once.
	Objects []Object
	// References are the ids that strings in the document's list refer to, in
	// order, with Options.AllowReferences: ["@a", "b"] gives "a" and "b".
	References []string
	// Single reports that the document was one object and not a list.
	Single bool

	text    []byte
	inserts []insert
}

// Object is one object of a document, with everything embedded in it.
type Object struct {
	// ID is the object's id. It may be that of an embedded object, when the
	// document names such an id itself; statement.Root then gives its owner.
	ID string
	// Generated reports that the document gave no id.
	Generated bool
	// Nested reports that the object was the value of another one's property
	// and did not stand in the document's list.
	Nested bool
	// Statements say what the object is: those whose subject is ID and those of
	// the objects and lists embedded in it, each checked and each fact once. They
	// are in document order, with what is embedded before the reference to it.
	Statements []statement.Statement
	// Props are the properties that the document names, of this object and of
	// the objects embedded in it, in document order, each once. One that is
	// not followed by any statement (such as "a": null for remove) is here too.
	// The items of a list in a list are not listed.
	Props []Prop
	// Position is where the object starts in the text.
	Position Position
}

// Prop is a property that a document names.
type Prop struct {
	// Subject is the id of the object, or of the embedded one, that has it.
	Subject string
	// Predicate is the property's name, as stored.
	Predicate string
	// Null reports that the value is JSON null itself. Statements then has the
	// null value as well: for add, update and replace null is a value, for
	// remove it means every value of the property.
	Null bool
}

// Position is a place in a text; lines and columns count from 1, columns in
// characters.
type Position struct{ Line, Column int }

// String returns "line 3, column 7".
func (p Position) String() string { return fmt.Sprintf("line %d, column %d", p.Line, p.Column) }

// SyntaxError says what is wrong with a document, where, and what to do.
type SyntaxError struct {
	Position
	// Message says what was found there.
	Message string
	// Remedy says what to write instead; it may be empty.
	Remedy string
}

// Error returns position, message and remedy in one line.
func (e *SyntaxError) Error() string {
	if e.Remedy == "" {
		return fmt.Sprintf("%s: %s", e.Position, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Position, e.Message, e.Remedy)
}

// insert is a text to be put in at a byte offset; see Document.WithIDs.
type insert struct {
	at   int
	text string
}
