package store

import (
	"encoding/binary"
	"fmt"
	"iter"

	"vesperdb.io/vesper/internal/statement"
)

// Count is how many entries an index has for something.
type Count struct {
	// N is how many there are, or the bound of the count.
	N int
	// More says that counting stopped at the bound.
	More bool
}

// countKeys counts no further than atMost.
func countKeys[T any](keys iter.Seq[T], atMost int) Count {
	n := 0
	for range keys {
		if n == atMost {
			return Count{N: n, More: true}
		}
		n++
	}
	return Count{N: n}
}

// CountValue counts the subjects that have a value under a predicate, at most
// as far as it is told: it costs no more than that many steps in the index.
// What a transaction has written is not counted, nor taken off.
func (r *Reader) CountValue(predicate string, term statement.Term, atMost int) Count {
	prefix := textKey(predicate, term.Type, keyText(term.Text))
	return countKeys(keysFrom(r.image, bucketValues, prefix, prefix), atMost)
}

// CountPredicate is CountValue for all values of a predicate: it counts values,
// not subjects.
func (r *Reader) CountPredicate(predicate string, atMost int) Count {
	prefix := textKey(predicate)
	return countKeys(keysFrom(r.image, bucketValues, prefix, prefix), atMost)
}

// CountReferences is CountValue for the objects that refer to id.
func (r *Reader) CountReferences(id string, atMost int) Count {
	prefix := textKey(id)
	return countKeys(keysFrom(r.image, bucketRefs, prefix, prefix), atMost)
}

// CountObjects returns the number of objects that are not embedded, as of the
// last commit. It is kept, not counted.
func (r *Reader) CountObjects() (int, error) {
	raw := r.tx.Bucket(bucketMeta).Get(metaCounts)
	n, size := binary.Uvarint(raw)
	if len(raw) > 0 && size <= 0 {
		return 0, &CorruptError{What: "the counts of the store", Err: fmt.Errorf("%x is no number", raw)}
	}
	return int(n), nil
}
