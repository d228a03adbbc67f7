// Package jsonqltest has a jsonql.Source in memory, for tests.
package jsonqltest

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/statement"
)

// Source is a set of statements. It counts what is asked of it, so that a test
// can tell whether a query was answered from an index.
type Source struct {
	// Scans counts the iterations over all objects.
	Scans int
	// Lookups counts the iterations over an index.
	Lookups int

	statements []statement.Statement
	roots      map[string][]statement.Statement
}

// New returns a source that has these statements.
func New(list []statement.Statement) *Source {
	s := &Source{statements: statement.Set(list), roots: map[string][]statement.Statement{}}
	for _, one := range s.statements {
		root := statement.Root(one.Subject)
		s.roots[root] = append(s.roots[root], one)
	}
	return s
}

// Object returns an object and whether it exists.
func (s *Source) Object(id string) (jsonql.Object, bool, error) {
	list, ok := s.roots[id]
	return jsonql.Object{ID: id, Statements: list}, ok, nil
}

// Objects yields all objects in order of their ids.
func (s *Source) Objects() iter.Seq2[jsonql.Object, error] {
	s.Scans++
	return func(yield func(jsonql.Object, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(s.roots)) {
			if !yield(jsonql.Object{ID: id, Statements: s.roots[id]}, nil) {
				return
			}
		}
	}
}

// SubjectsWith yields the subjects that have a value under a predicate.
func (s *Source) SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error] {
	return s.subjects(func(one statement.Statement) bool { return one.Predicate == predicate && one.Term == term })
}

// SubjectsHaving yields the subjects that have any value under a predicate.
func (s *Source) SubjectsHaving(predicate string) iter.Seq2[string, error] {
	return s.subjects(func(one statement.Statement) bool { return one.Predicate == predicate })
}

func (s *Source) subjects(has func(statement.Statement) bool) iter.Seq2[string, error] {
	s.Lookups++
	var list []string
	for _, one := range s.statements {
		if has(one) {
			list = append(list, one.Subject)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(cmp.Compare(statement.Root(a), statement.Root(b)), cmp.Compare(within(a), within(b)))
	})
	list = slices.Compact(list)
	return func(yield func(string, error) bool) {
		for _, subject := range list {
			if !yield(subject, nil) {
				return
			}
		}
	}
}

// within is the id of what is embedded, by which it is ordered in its root.
func within(subject string) string {
	if subject == statement.Root(subject) {
		return ""
	}
	return subject
}

// Indexed is a Source with all that a source may offer.
type Indexed struct {
	*Source
	// Guess, when it is set, is given as every count instead of the true one.
	Guess func() int
}

// CountObjects implements jsonql.Estimator.
func (s Indexed) CountObjects() (int, error) {
	n, _ := s.count(len(s.roots), len(s.roots))
	return n, nil
}

// CountWith implements jsonql.Estimator.
func (s Indexed) CountWith(predicate string, term statement.Term, atMost int) (int, bool) {
	n := 0
	for _, one := range s.statements {
		if one.Predicate == predicate && one.Term == term {
			n++
		}
	}
	return s.count(n, atMost)
}

// CountHaving implements jsonql.Estimator.
func (s Indexed) CountHaving(predicate string, atMost int) (int, bool) {
	n := 0
	for _, one := range s.statements {
		if one.Predicate == predicate {
			n++
		}
	}
	return s.count(n, atMost)
}

// CountDistinct implements source.DistinctEstimator.
func (s Indexed) CountDistinct(predicate string, _ int) (values, entries int) {
	different := map[statement.Term]bool{}
	for _, one := range s.statements {
		if one.Predicate == predicate {
			different[one.Term] = true
			entries++
		}
	}
	if s.Guess != nil {
		return s.Guess(), s.Guess()
	}
	return len(different), entries
}

func (s Indexed) count(n, atMost int) (int, bool) {
	if s.Guess != nil {
		n = s.Guess()
	}
	return min(n, atMost), n > atMost
}

// Postings implements jsonql.PostingSource, in order of the values.
func (s Indexed) Postings(predicate string) iter.Seq2[jsonql.Posting, error] {
	s.Lookups++
	var list []jsonql.Posting
	for _, one := range s.statements {
		if one.Predicate == predicate {
			list = append(list, jsonql.Posting{Subject: one.Subject, Term: one.Term})
		}
	}
	slices.SortStableFunc(list, func(a, b jsonql.Posting) int { return a.Term.Compare(b.Term) })
	return func(yield func(jsonql.Posting, error) bool) {
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
	}
}
