package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Choice picks one of the concurrent values of a property.
type Choice struct {
	// Subject is the embedded object that has the property; "" is the object.
	Subject string
	// Predicate is the property.
	Predicate string
	// Dot is the changeset that assigned the value.
	Dot branch.Dot
}

// NoConflictError says that a property of an object holds no concurrent values,
// or does so no longer.
type NoConflictError struct{ ID, Subject, Predicate string }

// Error names the property and the remedy.
func (e *NoConflictError) Error() string {
	return fmt.Sprintf("%s is not in conflict (any more): read the object's conflicts again", propertyText(e.ID, e.Subject, e.Predicate))
}

// NoValueError says that a changeset assigned none of the concurrent values of
// a property.
type NoValueError struct {
	ID, Subject, Predicate string
	Dot                    branch.Dot
	// Have are the changesets that did.
	Have []branch.Dot
}

// Error names what there is to choose from.
func (e *NoValueError) Error() string {
	have := make([]string, len(e.Have))
	for i, d := range e.Have {
		have[i] = d.String()
	}
	return fmt.Sprintf("%s has no value of changeset %s: choose that of %s, or give a value",
		propertyText(e.ID, e.Subject, e.Predicate), e.Dot, strings.Join(have, " or "))
}

func propertyText(id, subject, predicate string) string {
	of := statement.Excerpt(id)
	if subject != id {
		of = "the embedded object " + statement.Excerpt(subject) + " of " + of
	}
	return fmt.Sprintf("the property %s of %s", statement.Excerpt(predicate), of)
}

// Choose ends conflicts of an object: each property becomes the chosen value,
// with what was added to it one by one. It fails with a *NoConflictError or a
// *NoValueError.
func (t *Tx) Choose(id string, choices []Choice) error {
	work, err := t.w.at(statement.Root(id))
	if err != nil {
		return err
	}
	for _, c := range choices {
		if err := work.choose(id, c); err != nil {
			return err
		}
	}
	work.sweep()
	return nil
}

func (w *working) choose(id string, c Choice) error {
	p := prop{cmp.Or(c.Subject, id), c.Predicate}
	l := w.rec.lens(w.policy)
	rel := w.relative(p)
	at, found := w.rec.find(rel.subject, rel.predicate)
	if !found || !w.conflicts[p] {
		return &NoConflictError{ID: id, Subject: p.subject, Predicate: p.predicate}
	}
	reg := &w.rec.regs[at]
	have := reg.rivals(l)
	chosen := slices.IndexFunc(have, func(g *group) bool { return g.stamp.Dot == c.Dot })
	if chosen < 0 {
		e := &NoValueError{ID: id, Subject: p.subject, Predicate: p.predicate, Dot: c.Dot}
		for _, g := range have {
			e.Have = append(e.Have, g.stamp.Dot)
		}
		return e
	}
	w.bring(p.subject, w.rec.spell(w.root, reg, have[chosen], l))
	w.set(p, slices.Concat(have[chosen].values, reg.added(l)))
	return nil
}

// added returns the values that were added to a register one by one.
func (reg *register) added(l lens) []changeset.Value {
	var out []changeset.Value
	for i := range reg.groups {
		if g := &reg.groups[i]; !g.assign && l.sees(g) {
			out = append(out, g.values...)
		}
	}
	return out
}

// bring makes known what is embedded in a value that was not seen: it is still
// there, and is seen again once the value is.
func (w *working) bring(subject string, spelt []statement.Statement) {
	have := map[string]bool{subject: true}
	for p := range w.all() {
		have[p.subject] = true
	}
	for _, s := range spelt {
		if !have[s.Subject] {
			p := prop{s.Subject, s.Predicate}
			w.was[p] = append(w.was[p], valueOf(s))
		}
	}
}
