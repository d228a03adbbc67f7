package store

import (
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Writes tells which changeset wrote each value of an object.
type Writes struct {
	root string
	rec  *record
	lens lens
	// embedded are the embedded subjects that are seen.
	embedded map[string]bool
}

// Writes returns who wrote the values of an object; of an object that does not
// exist, nothing was written. What a transaction has written so far is in no
// changeset yet, and is not told.
func (r *Reader) Writes(id string) (Writes, error) {
	root := statement.Root(id)
	rec, err := r.load(root)
	if err != nil {
		return Writes{}, err
	}
	return rec.writes(root, r.policy), nil
}

// Writes returns who wrote the values of an object as it was.
func (p *PastReader) Writes(id string) (Writes, error) {
	root := statement.Root(id)
	of := p.reader.recordAt
	if p.closed {
		of = p.reader.recordIn
	}
	rec, err := of(root, p.at)
	if err != nil {
		return Writes{}, err
	}
	return rec.writes(root, p.reader.policy), nil
}

func (r *record) writes(root string, policy ConflictPolicy) Writes {
	l := r.lens(policy)
	return Writes{root: root, rec: r, lens: l, embedded: r.reachable(root, l)}
}

// Of returns the stamp of the changeset that wrote a value last, and whether the
// value is seen. A changeset that changes a list writes all of it. Of concurrent
// changesets, and of those of the same value in several scopes, it is the latest
// whose writing is read.
func (w Writes) Of(subject, predicate string, term statement.Term) (changeset.Stamp, bool) {
	var last changeset.Stamp
	found := false
	within := subject
	if subject == w.root {
		within = ""
	} else if !w.embedded[subject] {
		return last, false
	}
	at, ok := w.rec.find(within, predicate)
	if !ok {
		return last, false
	}
	w.rec.regs[at].readOf(w.lens, func(g *group, values []changeset.Value) {
		for _, v := range values {
			if v.Term == term && g.stamp.Compare(last) > 0 {
				last, found = g.stamp, true
			}
		}
	})
	return last, found
}

// readOf calls visit with each group of a register of which something is read,
// and with what is read of it.
func (reg *register) readOf(l lens, visit func(*group, []changeset.Value)) {
	rivals := reg.rivals(l)
	l.shown(rivals, func(at int, values []changeset.Value) { visit(rivals[at], values) })
	for i := range reg.groups {
		if g := &reg.groups[i]; !g.assign && l.sees(g) {
			visit(g, g.values)
		}
	}
}

// Note is what the author of a changeset says of it.
type Note struct{ Author, Comment string }

// Note returns what is said of an applied changeset, and whether it is known: it
// goes with the changeset when that leaves the log.
func (r *Reader) Note(d branch.Dot) (Note, bool, error) {
	e, found, err := entryOf(r.tx, d)
	if err != nil || !found {
		return Note{}, false, err
	}
	c, err := changeset.Decode(e.Envelope, changeset.DefaultLimits())
	if err != nil {
		return Note{}, false, &CorruptError{What: "changeset " + d.String(), Err: err}
	}
	return Note{Author: c.Author, Comment: c.Comment}, true, nil
}

// Note is that of the snapshot that the past is read from.
func (p *PastReader) Note(d branch.Dot) (Note, bool, error) { return p.reader.Note(d) }
