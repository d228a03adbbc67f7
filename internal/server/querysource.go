package server

import (
	"iter"

	"vesperdb.io/vesper/internal/jsonql"
	sources "vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// source is a snapshot as a query sees it, with all its indexes.
type source struct {
	reader *store.Reader
	*writers
}

func newSource(rd *store.Reader, modelURI string) *source {
	own := &struct { // one piece of memory
		source
		writers
	}{writers: writers{reader: rd, modelURI: modelURI}}
	own.source = source{rd, &own.writers}
	return &own.source
}

var (
	_ jsonql.Source             = source{}
	_ jsonql.Estimator          = source{}
	_ jsonql.PostingSource      = source{}
	_ jsonql.PartSource         = source{}
	_ sources.OrderedSource     = source{}
	_ sources.FactSource        = source{}
	_ sources.DistinctEstimator = source{}
	_ jsonql.Source             = pastSource{}
)

// QuerySource returns a snapshot as queries read it, for those who ask a store
// without a server. It is of no use when the reader is not any more.
func QuerySource(rd *store.Reader) jsonql.Source {
	return newSource(rd, nodeconfig.DefaultModelURI)
}

// Object implements jsonql.Source.
func (s source) Object(id string) (jsonql.Object, bool, error) {
	if statement.IsEmbedded(id) {
		return jsonql.Object{}, false, nil
	}
	o, found, err := s.reader.Object(id)
	return jsonql.Object{ID: o.ID, Statements: o.Statements}, found, err
}

// Objects implements jsonql.Source.
func (s source) Objects() iter.Seq2[jsonql.Object, error] { return asQueried(s.reader.Objects("")) }

// asQueried gives objects of the store the form that queries know.
func asQueried(objects iter.Seq2[store.Object, error]) iter.Seq2[jsonql.Object, error] {
	return func(yield func(jsonql.Object, error) bool) {
		for o, err := range objects {
			if !yield(jsonql.Object{ID: o.ID, Statements: o.Statements}, err) {
				return
			}
		}
	}
}

// Part implements jsonql.PartSource.
func (s source) Part(id string, predicates []string) (jsonql.Part, bool, error) {
	if statement.IsEmbedded(id) {
		return jsonql.Part{}, false, nil
	}
	p, found, err := s.reader.Part(id, predicates)
	return asPart(p), found, err
}

// Facts implements source.FactSource.
func (s source) Facts(into []statement.Statement, id string, predicates []string) (jsonql.Part, bool, error) {
	if statement.IsEmbedded(id) {
		return jsonql.Part{}, false, nil
	}
	p, found, err := s.reader.Facts(into, id, predicates)
	return asPart(p), found, err
}

// Parts implements jsonql.PartSource.
func (s source) Parts(predicates []string) iter.Seq2[jsonql.Part, error] {
	return func(yield func(jsonql.Part, error) bool) {
		for p, err := range s.reader.Parts(predicates) {
			if !yield(asPart(p), err) {
				return
			}
		}
	}
}

func asPart(p store.Part) jsonql.Part {
	return jsonql.Part{Object: jsonql.Object{ID: p.ID, Statements: p.Statements}, Embedded: p.Embedded, Flat: p.Flat}
}

// SubjectsWith implements jsonql.Source.
func (s source) SubjectsWith(predicate string, term statement.Term) iter.Seq2[string, error] {
	return s.reader.SubjectsWith(predicate, term)
}

// SubjectsHaving implements jsonql.Source.
func (s source) SubjectsHaving(predicate string) iter.Seq2[string, error] {
	return s.reader.SubjectsHaving(predicate)
}

// Postings implements jsonql.PostingSource.
func (s source) Postings(predicate string) iter.Seq2[jsonql.Posting, error] {
	return func(yield func(jsonql.Posting, error) bool) {
		for p, err := range s.reader.Scan(predicate) {
			if !yield(jsonql.Posting{Subject: p.Subject, Term: p.Term, Cut: p.Cut}, err) {
				return
			}
		}
	}
}

// CountObjects implements jsonql.Estimator.
func (s source) CountObjects() (int, error) { return s.reader.CountObjects() }

// CountValues calls visit with each value under a predicate, and how many
// subjects have it: embedded ones too, lists inside lists not. The text of one
// that is cut stands for the value's own. It reports whether that can be counted:
// what cannot be exact is not.
func (s source) CountValues(predicate string, visit func(term statement.Term, cut bool, subjects int) bool) (ok bool, err error) {
	if !s.reader.ExactCounts() {
		return false, nil
	}
	for c, err := range s.reader.CountValues(predicate) {
		if err != nil || !visit(c.Term, c.Cut, c.N) {
			return true, err
		}
	}
	return true, nil
}

// CountWith implements jsonql.Estimator.
func (s source) CountWith(predicate string, term statement.Term, atMost int) (int, bool) {
	c := s.reader.CountValue(predicate, term, atMost)
	return c.N, c.More
}

// CountHaving implements jsonql.Estimator.
func (s source) CountHaving(predicate string, atMost int) (int, bool) {
	c := s.reader.EstimatePredicate(predicate, atMost)
	return c.N, c.More
}

// CountDistinct implements source.DistinctEstimator.
func (s source) CountDistinct(predicate string, atMost int) (values, entries int) {
	c := s.reader.EstimatePredicate(predicate, atMost)
	return c.Values, c.N
}

// Ordered implements source.OrderedSource.
func (s source) Ordered(predicate string, r sources.Range) (iter.Seq2[string, error], bool) {
	return s.reader.Ordered(predicate, store.ValueRange(r))
}

// CountRange implements source.OrderedSource.
func (s source) CountRange(predicate string, r sources.Range, atMost int) (n int, more, ok bool) {
	c, ok := s.reader.CountOrdered(predicate, store.ValueRange(r), atMost)
	return c.N, c.More, ok
}

// pastSource is the state at a past revision. It has no indexes, so it does not
// say how many there are of anything.
type pastSource struct {
	*store.PastReader
	*writers
}

func newPastSource(rd *store.PastReader, modelURI string) pastSource {
	return pastSource{rd, &writers{reader: rd, modelURI: modelURI}}
}

// Object implements jsonql.Source.
func (s pastSource) Object(id string) (jsonql.Object, bool, error) {
	if statement.IsEmbedded(id) {
		return jsonql.Object{}, false, nil
	}
	o, found, err := s.PastReader.Object(id)
	return jsonql.Object{ID: o.ID, Statements: o.Statements}, found, err
}

// Objects implements jsonql.Source.
func (s pastSource) Objects() iter.Seq2[jsonql.Object, error] {
	return asQueried(s.PastReader.Objects())
}
