// Package changeset is the form in which one committed transaction of one node
// is stored, sent and hashed. A changeset says what the transaction did to each
// object it wrote, what its author had seen before it, and when. The package
// does no I/O.
package changeset

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/statement"
)

// Clock is a hybrid logical clock: milliseconds since 1970 in the upper 48
// bits, a counter in the lower 16. A changeset's clock is greater than those of
// all the changesets its author had seen.
type Clock uint64

const (
	clockCounterBits = 16
	// MaxClock is the greatest clock that is accepted. It lies far enough below
	// the end of the type that counting on from it can never wrap around.
	MaxClock Clock = 1 << 62
)

// ClockAt returns the clock of a physical time with the counter at 0. Times
// before 1970 give 0.
func ClockAt(t time.Time) Clock {
	return Clock(max(t.UnixMilli(), 0)) << clockCounterBits
}

// Next returns the clock of an event at the physical time now that happens
// after every event up to c: the physical time where it is ahead, else one
// count after c.
func (c Clock) Next(now time.Time) Clock { return max(ClockAt(now), c+1) }

// Time returns the physical part of the clock in UTC.
func (c Clock) Time() time.Time { return time.UnixMilli(int64(c >> clockCounterBits)).UTC() }

// Stamp places a changeset in the one order in which all nodes compare
// concurrent changesets: by clock, then branch, then sequence.
type Stamp struct {
	Clock Clock
	Dot   branch.Dot
}

// Compare orders stamps by clock, then branch, then sequence.
func (s Stamp) Compare(t Stamp) int {
	switch {
	case s.Clock < t.Clock:
		return -1
	case s.Clock > t.Clock:
		return 1
	}
	return s.Dot.Compare(t.Dot)
}

// IsZero reports whether s places nothing.
func (s Stamp) IsZero() bool { return s.Clock == 0 && s.Dot.IsZero() }

// Changeset is one committed transaction.
type Changeset struct {
	// Branch and Seq are the changeset's dot: the Seq-th transaction of Branch.
	Branch branch.ID
	Seq    uint64
	// Clock is the author's hybrid logical clock at the commit.
	Clock Clock
	// Base is what the author had applied before, as the components that are
	// higher than in the revision after its previous changeset. For its first
	// changeset that is the whole base. It never has the author's own branch.
	Base branch.Revision
	// Prev is the hash of the author's previous changeset, zero for the first.
	Prev [32]byte
	// Author and Comment are for people; both may be empty.
	Author, Comment string
	// Objects are the changes, sorted by root, each root once. There are none in
	// what the original Vesper commits to say that it has merged a changeset.
	Objects []ObjectChange
}

// Dot returns the changeset's name.
func (c Changeset) Dot() branch.Dot { return branch.Dot{Branch: c.Branch, Seq: c.Seq} }

// Stamp returns the changeset's place in the order of concurrent changesets.
func (c Changeset) Stamp() Stamp { return Stamp{Clock: c.Clock, Dot: c.Dot()} }

// ObjectChange is what a transaction did to one object: the root and all that
// is embedded in it.
type ObjectChange struct {
	// Root is the id of the object.
	Root string
	// Delete says that the whole object was deleted. Props is then empty.
	Delete bool
	// Floor is the greatest deletion of this object that was in effect when the
	// author wrote it anew: whatever is older than it is gone for good. Zero
	// when there was none.
	Floor Stamp
	// Props are sorted by subject and predicate, each pair once.
	Props []PropChange
}

// Mode says how a property was written.
type Mode uint8

const (
	// Assign replaces every value of the property that the author had seen.
	// Concurrent assignments of different values are a conflict.
	Assign Mode = 1
	// Patch adds and removes single values; what it does not name stays. It is
	// never a conflict.
	Patch Mode = 2
)

// PropChange is what a transaction did to one property of one subject.
type PropChange struct {
	// Subject is the embedded object or list that has the property; empty means
	// the root itself.
	Subject string
	// Predicate is the property's name.
	Predicate string
	Mode      Mode
	// Removed are the values that a Patch takes away; empty for Assign. Sorted,
	// each once.
	Removed []Value
	// Added are for Assign all the values the property has afterwards (none:
	// the property goes), for Patch those that came. Sorted, each once.
	Added []Value
}

// Value is one value of a property.
type Value struct {
	statement.Term
	// Scope is the context of the fact.
	Scope string
	// Positions are the places in the ordered list that the property holds;
	// empty when it is not in one. See statement.Statement.
	Positions []int
}

// Same reports whether both are the same fact, wherever it stands in a list.
func (v Value) Same(w Value) bool { return v.Term == w.Term && v.Scope == w.Scope }

// CompareValues orders values by text, type, scope and positions.
func CompareValues(a, b Value) int {
	if c := a.Compare(b.Term); c != 0 {
		return c
	}
	if c := strings.Compare(a.Scope, b.Scope); c != 0 {
		return c
	}
	return slices.Compare(a.Positions, b.Positions)
}

// Statement returns the value as a statement about subject.
func (v Value) Statement(subject, predicate string) statement.Statement {
	return statement.Statement{Subject: subject, Predicate: predicate, Term: v.Term, Scope: v.Scope, Positions: v.Positions}
}

// Envelope is a changeset as it is stored and sent: the bytes its author
// encoded, never encoded again, and their hash.
type Envelope struct {
	Dot  branch.Dot
	Body []byte
	// Hash is the SHA-256 of Body.
	Hash [32]byte
}

// String names the envelope for logs: the dot and the first digits of the hash.
func (e Envelope) String() string { return fmt.Sprintf("%s#%x", e.Dot, e.Hash[:4]) }
