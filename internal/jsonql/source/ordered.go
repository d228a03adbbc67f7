package source

import (
	"iter"

	"vesperdb.io/vesper/internal/jsonql/value"
)

// Range bounds the values of a property, each taken as a whole: of a property
// with several values that is their list. It also says in which order they come.
type Range struct {
	// Low and High are the least and the greatest value; nil for no bound.
	Low, High *value.Value
	// LowOpen and HighOpen exclude what equals the bound.
	LowOpen, HighOpen bool
	// Desc has values descend. Subjects of equal values come in ascending order
	// nevertheless.
	Desc bool
}

// OrderedSource is what a Source may offer beside its methods: indexes of
// declared properties in the order of their values (value.Compare).
type OrderedSource interface {
	// Ordered yields the subjects, embedded ones too, that have a value under the
	// predicate within the range, each once, in the order of their values, and
	// those of equal values in order of root and subject. ok is false when there
	// is no such index, or it is not built yet.
	Ordered(predicate string, r Range) (seq iter.Seq2[string, error], ok bool)
	// CountRange counts what Ordered yields, no further than atMost; more says
	// that there is more. Where it cannot be told from the index whether a long
	// value lies within the range, it counts.
	CountRange(predicate string, r Range, atMost int) (n int, more, ok bool)
}
