// Package source says what queries are asked of: a consistent set of objects
// (Source), and what a set may offer beside that to be asked faster. It does no
// I/O.
package source

import (
	"iter"

	"vesperdb.io/vesper/internal/statement"
)

// Object is one object of a source, with everything embedded in it.
type Object struct {
	// ID is the object's id; it is not that of an embedded object.
	ID string
	// Statements are those of the object and of all that is embedded in it.
	Statements []statement.Statement
}

// Source is a consistent set of objects to query. Object is called while
// iterations are going on. It may also be an Estimator, a PostingSource, a
// ValueCounter, a PartSource, a FactSource, an
// OrderedSource and a TransactionSource.
type Source interface {
	// Object returns an object that is not embedded, and whether it exists.
	Object(id string) (Object, bool, error)
	// Objects yields all objects that are not embedded, in order of their ids.
	Objects() iter.Seq2[Object, error]
	// SubjectsWith yields the subjects, embedded ones too, that have this value
	// under this predicate in any scope: each once, in
	// order of their roots, the root itself first, and then of id.
	SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error]
	// SubjectsHaving yields the subjects, embedded ones too, that have any
	// value under this predicate: each once, in
	// order of their roots, the root itself first, and then of id.
	SubjectsHaving(predicate string) iter.Seq2[string, error]
}

// Posting is a value under a property as an index has it.
type Posting struct {
	// Subject has the value; it may be embedded.
	Subject string
	// Term is the value, unless Cut is set.
	Term statement.Term
	// Cut says that the index has not the whole value.
	Cut bool
}

// PostingSource is what a Source may offer beside its methods: conditions on
// one property are then tried on the index before any object is read.
type PostingSource interface {
	// Postings yields all values under a predicate, with their subjects, in any
	// order, each value of a subject once.
	Postings(predicate string) iter.Seq2[Posting, error]
}

// ValueCounter is what a Source may offer beside its methods: how many subjects
// have each value, counted in the index.
type ValueCounter interface {
	// CountValues calls visit with each value under a predicate once, and how
	// many subjects, embedded ones too but not lists inside lists, have it; until
	// visit returns false. cut says that the text is not the whole value's, but
	// stands for it. ok is false, and visit was not called, where the counts would
	// not be exact.
	CountValues(predicate string, visit func(term statement.Term, cut bool, subjects int) bool) (ok bool, err error)
}

// Estimator is what a Source may offer beside its methods: the index that
// leads to the fewest objects is then used.
type Estimator interface {
	// CountObjects returns the number of objects that are not embedded.
	CountObjects() (int, error)
	// CountWith counts what SubjectsWith yields, and reports whether there are
	// more than atMost.
	CountWith(predicate string, term statement.Term, atMost int) (n int, more bool)
	// CountHaving is CountWith for the values under a predicate.
	CountHaving(predicate string, atMost int) (n int, more bool)
}

// DistinctEstimator is what an Estimator may offer beside its methods: how many
// objects share a value is then known.
type DistinctEstimator interface {
	// CountDistinct counts the values under a predicate no further than atMost, as
	// CountHaving does, and the different ones among those it has counted.
	CountDistinct(predicate string, atMost int) (values, entries int)
}

// Part is what an object has under some predicates.
type Part struct {
	// Object has the statements under the predicates, of the object and of all
	// that is embedded in it.
	Object
	// Embedded are all subjects embedded in the object, in order of their ids,
	// whether or not they have anything under the predicates.
	Embedded []string
	// Flat says that the statements are in canonical order, each once, and none
	// has a scope. Where it is false it may be so as well.
	Flat bool
}

// PartSource is what a Source may offer beside its methods: of objects that
// only have to be looked at, no more than that is then read.
type PartSource interface {
	// Part returns a part of an object that is not embedded, and whether the
	// object exists.
	Part(id string, predicates []string) (Part, bool, error)
	// Parts yields a part of all objects that are not embedded, in order of
	// their ids.
	Parts(predicates []string) iter.Seq2[Part, error]
}

// FactSource is what a PartSource may offer beside its methods: objects that are
// read one after the other then share their memory.
type FactSource interface {
	// Facts is PartSource.Part, or of all predicates if nil is given for them. The
	// statements may be put into the memory of a list that is not used any more.
	Facts(into []statement.Statement, id string, predicates []string) (Part, bool, error)
}

// CompareSubjects orders ids by their roots: the root itself first, then what
// is embedded in it.
func CompareSubjects(a, b string) int {
	rootA, rootB := statement.Root(a), statement.Root(b)
	switch {
	case rootA != rootB:
		return compare(rootA, rootB)
	case a == b:
		return 0
	case a == rootA:
		return -1
	case b == rootB:
		return 1
	}
	return compare(a, b)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
