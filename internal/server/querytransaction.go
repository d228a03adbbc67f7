package server

import (
	"vesperdb.io/vesper/internal/branch"
	jsonqlsource "vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/legacywire"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// maxNotes bounds how many changesets one query keeps in mind.
const maxNotes = 1000

var (
	_ jsonqlsource.TransactionSource = source{}
	_ jsonqlsource.TransactionSource = pastSource{}
)

// writers tells one query which changesets wrote the values it comes by. It
// keeps in mind what it was asked last, since a query asks for several things of
// one value, and for the values of one object after the other. It is not safe
// for use by several goroutines.
type writers struct {
	reader interface {
		Writes(id string) (store.Writes, error)
		Note(d branch.Dot) (store.Note, bool, error)
	}
	modelURI string

	root   string
	writes store.Writes
	notes  map[branch.Dot]store.Note
}

// Transaction implements source.TransactionSource. What has left the log has no
// author and comment any more.
func (w *writers) Transaction(subject, predicate string, term statement.Term) (jsonqlsource.Transaction, bool, error) {
	if root := statement.Root(subject); w.notes == nil || w.root != root {
		writes, err := w.reader.Writes(root)
		if err != nil {
			return jsonqlsource.Transaction{}, false, err
		}
		w.root, w.writes = root, writes
	}
	stamp, found := w.writes.Of(subject, predicate, term)
	if !found {
		return jsonqlsource.Transaction{}, false, nil
	}
	note, err := w.note(stamp.Dot)
	return jsonqlsource.Transaction{
		ID:     legacywire.TransactionID(w.modelURI, stamp.Dot.String()),
		Time:   float64(stamp.Clock.Time().UnixMilli()) / 1000,
		Author: note.Author, Comment: note.Comment,
	}, err == nil, err
}

func (w *writers) note(d branch.Dot) (store.Note, error) {
	if note, known := w.notes[d]; known {
		return note, nil
	}
	note, _, err := w.reader.Note(d)
	if w.notes == nil || len(w.notes) >= maxNotes {
		w.notes = map[branch.Dot]store.Note{}
	}
	w.notes[d] = note
	return note, err
}
