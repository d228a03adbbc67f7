package jsonqltest

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// Part implements source.PartSource.
func (s Indexed) Part(id string, predicates []string) (jsonql.Part, bool, error) {
	list, ok := s.roots[id]
	p := jsonql.Part{Object: jsonql.Object{ID: id}}
	for _, one := range list {
		if one.Subject != id && (len(p.Embedded) == 0 || p.Embedded[len(p.Embedded)-1] != one.Subject) {
			p.Embedded = append(p.Embedded, one.Subject)
		}
		if slices.Contains(predicates, one.Predicate) {
			p.Statements = append(p.Statements, one)
		}
	}
	return p, ok, nil
}

// Facts implements source.FactSource: it does put the statements into the memory
// that it is given, so that whoever still uses it notices.
func (s Indexed) Facts(into []statement.Statement, id string, predicates []string) (jsonql.Part, bool, error) {
	p, ok, err := s.Part(id, predicates)
	if predicates == nil {
		p.Statements = s.roots[id]
	}
	p.Statements = append(into[:0], p.Statements...)
	return p, ok, err
}

// Parts implements source.PartSource.
func (s Indexed) Parts(predicates []string) iter.Seq2[jsonql.Part, error] {
	s.Scans++
	return func(yield func(jsonql.Part, error) bool) {
		for _, id := range slices.Sorted(maps.Keys(s.roots)) {
			p, _, err := s.Part(id, predicates)
			if !yield(p, err) {
				return
			}
		}
	}
}

// Ordered is a source with an ordered index of every property.
type Ordered struct{ Indexed }

// Ordered implements source.OrderedSource.
func (s Ordered) Ordered(predicate string, r source.Range) (iter.Seq2[string, error], bool) {
	list := s.within(predicate, r)
	return func(yield func(string, error) bool) {
		for _, subject := range list {
			if !yield(subject, nil) {
				return
			}
		}
	}, true
}

// CountRange implements source.OrderedSource.
func (s Ordered) CountRange(predicate string, r source.Range, atMost int) (int, bool, bool) {
	n, more := s.count(len(s.within(predicate, r)), atMost)
	return n, more, true
}

func (s Ordered) within(predicate string, r source.Range) []string {
	s.Lookups++
	values := map[string][]statement.Term{}
	for _, one := range s.statements {
		if one.Predicate == predicate && !slices.Contains(values[one.Subject], one.Term) {
			values[one.Subject] = append(values[one.Subject], one.Term)
		}
	}
	var out []string
	for subject, terms := range values {
		v := value.OfTerms(terms)
		low := r.Low == nil || value.Compare(v, *r.Low) > 0 || !r.LowOpen && value.Compare(v, *r.Low) == 0
		high := r.High == nil || value.Compare(v, *r.High) < 0 || !r.HighOpen && value.Compare(v, *r.High) == 0
		if low && high {
			out = append(out, subject)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		o := value.Compare(value.OfTerms(values[a]), value.OfTerms(values[b]))
		if r.Desc {
			o = -o
		}
		return cmp.Or(o, source.CompareSubjects(a, b))
	})
	return out
}
