package store

import (
	"bytes"
	"context"
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

// ExactCounts reports whether CountObjects, CountValue, CountPredicate and
// CountValues are exact: in a View they are, and in a transaction not, which has
// written what they do not know.
func (r *Reader) ExactCounts() bool {
	_, writes := r.image.tail.(*batch)
	return !writes
}

// ValueCount is a value under a predicate, and how many subjects have it.
type ValueCount struct {
	// Term is the value, unless Cut is set; see Posting.
	Term statement.Term
	Cut  bool
	// N counts subjects, embedded ones too, but not lists inside lists.
	N int
}

// CountValues yields the values under a predicate, each once, in order of type
// and text, from the index alone: it reads each entry, and makes a value of the
// first one of each only. In a transaction it does not know what that has written.
func (r *Reader) CountValues(predicate string) iter.Seq2[ValueCount, error] {
	return func(yield func(ValueCount, error) bool) {
		prefix := textKey(predicate)
		c, n := valueCounter{predicate: len(prefix)}, 0
		for k := range keysFrom(r.image, bucketValues, prefix, prefix) {
			if n++; n%256 == 0 && r.ctx.Err() != nil {
				yield(ValueCount{}, context.Cause(r.ctx))
				return
			}
			last := c.now
			another, err := c.add(k)
			if err != nil {
				yield(ValueCount{}, &CorruptError{What: "the index of values", Err: err})
				return
			}
			if another && last.N > 0 && !yield(last, nil) {
				return
			}
		}
		if c.now.N > 0 {
			yield(c.now, nil)
		}
	}
}

// valueCounter counts entries of the index of values, which come in order.
type valueCounter struct {
	predicate int    // the length of its part of a key
	value     []byte // the part of a key before the subject
	now       ValueCount
}

// add counts an entry, and reports whether its value is another than the last's.
func (c *valueCounter) add(key []byte) (another bool, err error) {
	if c.value == nil || !bytes.HasPrefix(key, c.value) {
		p, err := postingOf(key)
		if err != nil {
			return false, err
		}
		another, c.now = true, ValueCount{Term: p.Term, Cut: p.Cut}
		c.value = append(c.value[:0], key[:c.predicate+len(p.Term.Type)+len(p.Term.Text)+2]...)
	}
	subject, ok := subjectAfter(key[len(c.value):])
	if !ok {
		return false, fmt.Errorf("key %q does not end with a subject", key)
	}
	if !isListID(subject) {
		c.now.N++
	}
	return another, nil
}

// isListID is statement.IsList, without a string for what does not look like one.
func isListID(subject []byte) bool {
	if len(subject) == 0 || subject[0] != '_' && subject[0] != 'b' {
		return false
	}
	return statement.IsList(string(subject))
}
