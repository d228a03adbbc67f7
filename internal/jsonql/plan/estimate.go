package plan

import (
	"fmt"

	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/statement"
)

// The costs of steps, in units of reading one entry of an index.
const (
	costEntry  = 1
	costObject = 12
	costLookup = 6
	costHeld   = 2 // to put an object into a table
	// keptOf is how many of the objects a condition is taken to keep: one in so
	// many.
	keptOf = 4
	// countAtMost bounds the counting for an estimate.
	countAtMost = 4096
)

// Where a source counts nothing, there are taken to be so many.
const (
	guessObjects = 10_000
	guessHaving  = 1_000
	guessWith    = 10
)

// estimates asks a source for counts, if it has any, each once.
type estimates struct {
	from    source.Estimator
	objects float64
	having  map[string]float64
	with    map[withKey]float64
}

type withKey struct {
	prop string
	term statement.Term
}

func newEstimates(src source.Source) (*estimates, error) {
	e := &estimates{objects: guessObjects}
	from, ok := src.(source.Estimator)
	if !ok {
		return e, nil
	}
	n, err := from.CountObjects()
	if err != nil {
		return nil, fmt.Errorf("estimate the query: %w", err)
	}
	e.from, e.objects = from, float64(n)
	return e, nil
}

// known reports whether the estimates are worth telling.
func (e *estimates) known() bool { return e.from != nil }

// countHaving is how many values there are of a property; it is not counted
// beyond what matters.
func (e *estimates) countHaving(prop string, matters float64) float64 {
	if n, known := e.having[prop]; known {
		return n
	}
	if e.from == nil {
		return guessHaving
	}
	atMost := int(min(countAtMost, matters+1))
	n, more := e.from.CountHaving(prop, atMost)
	if !more || atMost == countAtMost {
		if e.having == nil {
			e.having = map[string]float64{}
		}
		e.having[prop] = e.bounded(n, more)
	}
	return e.bounded(n, more)
}

// sharing is how many subjects have the same value under a property, on the
// average; known is false if the source does not tell.
func (e *estimates) sharing(prop string) (n float64, known bool) {
	from, ok := e.from.(source.DistinctEstimator)
	if !ok {
		return 0, false
	}
	values, entries := from.CountDistinct(prop, countAtMost)
	return float64(entries) / float64(max(values, 1)), true
}

// countWith is how many subjects have a value.
func (e *estimates) countWith(prop string, term statement.Term) float64 {
	key := withKey{prop, term}
	if n, known := e.with[key]; known {
		return n
	}
	n := float64(guessWith)
	if e.from != nil {
		n = e.bounded(e.from.CountWith(prop, term, countAtMost))
	}
	if e.with == nil {
		e.with = map[withKey]float64{}
	}
	e.with[key] = n
	return n
}

// bounded takes what is beyond counting for as much as there are objects.
func (e *estimates) bounded(n int, more bool) float64 {
	if more {
		return max(float64(n), e.objects)
	}
	return float64(n)
}
