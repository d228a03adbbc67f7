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
	// Deleted is the greatest deletion in effect: what is older is not seen.
	// Zero when there is none, and once a later write has taken note of it.
	Deleted changeset.Stamp
	// Conflicts are the properties that hold concurrent values.
	Conflicts []Conflict
}

// Conflict is a property to which concurrent transactions assigned different
// values. The visible ones are in the object's statements.
type Conflict struct {
	// Subject and Predicate name the property.
	Subject, Predicate string
	// Values are what each of the transactions assigned, in the order of the
	// policy: the one that is read first. At most MaxConflictValues.
	Values []ConflictValue
}

// ConflictValue is what one of several concurrent transactions assigned.
type ConflictValue struct {
	Stamp changeset.Stamp
	// Statements are those of the property, and those of the objects and lists
	// that it embeds, in canonical order.
	Statements []statement.Statement
	// Visible says that the value is among the object's statements. Of a list
	// that is not read, what it has besides the list may be.
	Visible bool
}

// MaxConflictValues bounds how many concurrent assignments of one property are
// read and listed: those that the policy puts first. It does not bound how many
// are kept, which is one for each branch at most: which of them live depends on
// writes still to come, so none can be dropped without making the state depend
// on the order of arrival.
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
