package legacywire

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Predecessor is what must be known of the changeset before in a branch.
type Predecessor struct {
	// Seen is what the author had seen of other branches by then.
	Seen branch.Revision
	// Hash is that changeset's; zero before the first of a branch.
	Hash [32]byte
}

// Before is an object as the author of a changeset saw it.
type Before struct {
	// Statements are the visible ones of the object and all embedded in it.
	Statements []statement.Statement
	// Conflicts are the properties that held concurrent values, as subject and
	// predicate.
	Conflicts [][2]string
	// Deleted is the deletion in effect, which a write anew must name.
	Deleted changeset.Stamp
}

// Past returns the object with the given root at the revision that a message
// builds on (see CausalPast). The zero Before is an object that never was.
type Past func(root string) (Before, error)

// Converted is a message as a changeset.
type Converted struct {
	Changeset changeset.Changeset
	Envelope  changeset.Envelope
	// Skipped are the statements that cannot be stored here.
	Skipped []Skipped
}

// Warning says what of the message was left out, nil if nothing.
func (c Converted) Warning() error { return reason(c.Skipped) }

// CausalPast returns the revision that the changeset of a message builds on.
// Only a store that has reached it can convert the message.
func CausalPast(m Message, before Predecessor) branch.Revision {
	past := before.Seen.Merge(m.seen)
	return past.With(branch.Dot{Branch: m.Origin, Seq: m.seq - 1})
}

// Convert returns the changeset of a message: the same on every node, see the
// package's description. An error of past is returned as it is wrapped; any
// other says why the message can never be a changeset.
func Convert(m Message, before Predecessor, past Past) (Converted, error) {
	c, skipped, err := convert(m, before, past)
	if err != nil {
		return Converted{}, fmt.Errorf("converting changeset %s of the original's form: %w", m.Dot(), err)
	}
	e, err := changeset.Encode(c)
	if err != nil {
		return Converted{}, fmt.Errorf("converting changeset %s of the original's form: %w", m.Dot(), err)
	}
	return Converted{Changeset: c, Envelope: e, Skipped: skipped}, nil
}

func convert(m Message, before Predecessor, past Past) (changeset.Changeset, []Skipped, error) {
	c := changeset.Changeset{
		Branch: m.Origin, Seq: m.seq, Base: m.seen.Since(before.Seen), Prev: before.Hash,
		Author: m.metadata(createdBy), Comment: m.metadata(comment),
	}
	var err error
	if c.Clock, err = ClockOf(m.Timestamp); err != nil {
		return c, nil, err
	}
	e, err := collect(m, past)
	if err != nil {
		return c, nil, err
	}
	for _, root := range slices.Sorted(maps.Keys(e.roots)) {
		was, err := past(root)
		if err != nil {
			return c, nil, err
		}
		if o, changed := e.object(root, was); changed {
			c.Objects = append(c.Objects, o)
			if !o.Floor.IsZero() && o.Floor.Compare(c.Stamp()) >= 0 {
				c.Clock = o.Floor.Clock + 1 // its author's clock is behind what it had seen
			}
		}
	}
	return c, e.skipped, nil
}

// metadata returns the text that a message has for people, the least if it has
// several.
func (m Message) metadata(name string) (text string) {
	found := false
	for _, row := range m.Rows {
		if row[predicate] == name && kindOf(row, m.Revision) == kindMetadata && (!found || row[object] < text) {
			text, found = row[object], true
		}
	}
	return text
}

// state is an object during a conversion.
type state struct {
	root      string
	values    map[property][]changeset.Value
	conflicts map[property]bool
}

func stateOf(root string, before Before) state {
	s := state{root: root, values: map[property][]changeset.Value{}, conflicts: map[property]bool{}}
	for _, st := range before.Statements {
		p := property{st.Subject, st.Predicate}
		s.values[p] = append(s.values[p], changeset.Value{Term: st.Term, Scope: st.Scope, Positions: st.Positions})
	}
	for p := range s.values {
		slices.SortFunc(s.values[p], changeset.CompareValues)
	}
	for _, c := range before.Conflicts {
		s.conflicts[property{c[0], c[1]}] = true
	}
	return s
}

// object returns what a message did to an object, and whether it did anything.
func (e *edits) object(root string, before Before) (changeset.ObjectChange, bool) {
	s := stateOf(root, before)
	c := changeset.ObjectChange{Root: root}
	for p, edit := range e.roots[root] {
		was := s.values[p]
		is := edit.apply(p, was)
		s.values[p] = is
		if pc, changed := change(was, is, s.conflicts[p]); changed {
			pc.Subject, pc.Predicate = relative(p.subject, root), p.predicate
			c.Props = append(c.Props, pc)
		}
	}
	if len(c.Props) == 0 {
		return c, false
	}
	if len(before.Statements) > 0 && s.gone() {
		return changeset.ObjectChange{Root: root, Delete: true}, true
	}
	slices.SortFunc(c.Props, func(a, b changeset.PropChange) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Predicate, b.Predicate))
	})
	c.Floor = before.Deleted
	return c, true
}

func relative(subject, root string) string {
	if subject == root {
		return ""
	}
	return subject
}

// gone reports whether nothing of the object can be seen any more: what is
// embedded in it is seen only through the object.
func (s state) gone() bool {
	for p, values := range s.values {
		if p.subject == s.root && len(values) > 0 {
			return false
		}
	}
	return true
}

// change chooses how the change of a property is told, and reports whether
// there is one. A message that names a property in conflict decides it.
func change(was, is []changeset.Value, conflict bool) (changeset.PropChange, bool) {
	if conflict {
		return changeset.PropChange{Mode: changeset.Assign, Added: is}, true
	}
	if slices.EqualFunc(was, is, func(v, w changeset.Value) bool { return changeset.CompareValues(v, w) == 0 }) {
		return changeset.PropChange{}, false
	}
	came, went := minus(is, was), minus(was, is)
	whole := len(was) == 0 || len(is) == 0 || len(came) > 0 && len(went) > 0
	if whole || listed(was) || listed(is) {
		return changeset.PropChange{Mode: changeset.Assign, Added: is}, true
	}
	return changeset.PropChange{Mode: changeset.Patch, Added: came, Removed: went}, true
}

func listed(values []changeset.Value) bool {
	return slices.ContainsFunc(values, func(v changeset.Value) bool { return len(v.Positions) > 0 })
}

// minus returns the values that are not among the others.
func minus(values, others []changeset.Value) []changeset.Value {
	there := make(map[fact]bool, len(others))
	for _, v := range others {
		there[factOf(v)] = true
	}
	return slices.DeleteFunc(slices.Clone(values), func(v changeset.Value) bool { return there[factOf(v)] })
}
