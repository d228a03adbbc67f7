package jsonql

import (
	"iter"

	"vesperdb.io/vesper/internal/statement"
)

// emptySource has no objects.
type emptySource struct{}

func (emptySource) Object(id string) (Object, bool, error) { return Object{ID: id}, false, nil }

func (emptySource) Objects() iter.Seq2[Object, error] { return func(func(Object, error) bool) {} }

func (emptySource) SubjectsWith(string, statement.Term) iter.Seq2[string, error] { return noSubjects }

func (emptySource) SubjectsHaving(string) iter.Seq2[string, error] { return noSubjects }

func noSubjects(func(string, error) bool) {}
