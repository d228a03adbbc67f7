package store

import (
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Object is one object as it is seen, with everything embedded in it.
type Object struct {
	// ID is the id asked for: a root, or an embedded object or list.
	ID string
	// Statements are the visible ones of ID and of all that is embedded in it,
	// in canonical order (statement.Compare).
	Statements []statement.Statement
	// Revision names the last write of each branch to the object that no other
	// has seen: one component, or several after concurrent writes. It changes
	// whenever the object does, and is equal wherever the object is.
	Revision branch.Revision
	// Last is the stamp of the latest write.
	Last changeset.Stamp
	// Conflicts are the properties that hold concurrent values.
	Conflicts []Conflict
}

// Conflict is a property to which concurrent transactions assigned different
// values. The visible ones are in the object's statements.
type Conflict struct {
	// Subject and Predicate name the property.
	Subject, Predicate string
	// Values are what each of the transactions assigned, the latest (which is
	// visible) first. At most MaxConflictValues.
	Values []ConflictValue
}

// ConflictValue is what one of several concurrent transactions assigned.
type ConflictValue struct {
	Stamp changeset.Stamp
	// Statements may be empty, when single values were removed afterwards.
	Statements []statement.Statement
}

// MaxConflictValues bounds how many concurrent assignments of one property are
// listed. It does not bound how many are kept: one for each branch at most.
const MaxConflictValues = 32

// HistoryEntry is what one changeset did to one object, as a reader who had
// only the changesets before it (in the order of stamps) would have seen it.
type HistoryEntry struct {
	changeset.Stamp
	Author, Comment string
	// Deleted says that the changeset deleted the object.
	Deleted bool
	// Added and Removed are the difference in visible statements; both are
	// empty for a change that was overruled by a concurrent one.
	Added, Removed []statement.Statement
}
