package store

import (
	"iter"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/statement"
)

// Revision returns the revision of the snapshot. In a transaction it is the one
// before it.
func (r *Reader) Revision() branch.Revision { return r.revision }

// Object returns an object, and whether it exists. The id may be that of an
// embedded object or list.
func (r *Reader) Object(id string) (Object, bool, error) { return r.object(id) }

// Objects yields all objects that are not embedded in order of their ids,
// starting after the given one ("" for all).
func (r *Reader) Objects(after string) iter.Seq2[Object, error] { return r.objects(after) }

// SubjectsWith yields the subjects (embedded ones too) that have this value
// under this predicate, in any scope, each once, in order of root and subject.
func (r *Reader) SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error] {
	return r.subjectsWith(predicate, term)
}

// SubjectsHaving yields the subjects (embedded ones too) that have any value
// under this predicate, each once, in order of root and subject.
func (r *Reader) SubjectsHaving(predicate string) iter.Seq2[string, error] {
	return r.subjectsHaving(predicate)
}

// References yields the statements whose value is a reference to id.
func (r *Reader) References(id string) iter.Seq2[statement.Statement, error] { return r.references(id) }

// Conflicted yields the objects that have conflicts, in order of their ids,
// starting after the given one.
func (r *Reader) Conflicted(after string) iter.Seq2[Object, error] { return r.conflicted(after) }

// History returns what every changeset did to an object, oldest first. It is
// equal on stores of equal revision.
func (r *Reader) History(id string) ([]HistoryEntry, error) { return r.history(id) }

// ObjectAt returns an object as it was at a revision, and whether it existed.
// The revision must be covered by that of the snapshot.
func (r *Reader) ObjectAt(id string, at branch.Revision) (Object, bool, error) {
	return r.objectAt(id, at)
}

// Changeset returns an applied changeset, and whether the store has it.
func (r *Reader) Changeset(dot branch.Dot) (changeset.Changeset, bool, error) {
	return r.changeset(dot)
}
