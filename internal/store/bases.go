package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/branch"
)

// What the author of a changeset had seen is needed again and again: for the
// next changeset of its branch, and for the history. A full vector a changeset
// would cost kilobytes with a thousand branches, so an entry is written only
// when the author had seen something new, and it holds only that, except that
// every fullEvery-th entry, and any that is small, is complete. An entry is the
// number of entries since the last complete one (uvarint; 0: it is complete),
// then for each component the length of the branch, the branch, the sequence.
//
// Entries are about the other branches only: the author's own sequence is in
// the key.
const (
	fullEvery      = 64
	fullComponents = 8
)

// basis is what the author of a branch had seen at its last changeset, without
// its own branch, and the age of the last complete entry.
type basis struct {
	seen branch.Revision
	age  uint64
}

// basisAt returns what the author of the changeset d had seen of other branches.
func basisAt(tx *bolt.Tx, d branch.Dot) (basis, error) {
	c := tx.Bucket(bucketBases).Cursor()
	prefix := append([]byte(d.Branch), 0)
	step := c.Prev
	if after, _ := c.Seek(dotKey(branch.Dot{Branch: d.Branch, Seq: d.Seq + 1})); after == nil {
		step = c.Last
	}
	k, v := step()
	var b basis
	for first := true; k != nil && bytes.HasPrefix(k, prefix); k, v = c.Prev() {
		age, seen, err := decodeBasis(v)
		if err != nil {
			return b, &CorruptError{What: "the bases", Err: fmt.Errorf("at %s: %w", d, err)}
		}
		if first {
			b.age, first = age, false
		}
		b.seen = b.seen.Merge(seen)
		if age == 0 {
			break
		}
	}
	return b, nil
}

// next returns the basis after a changeset whose author has newly seen delta,
// and the entry to write, nil if delta is empty.
func (b basis) next(delta branch.Revision) (basis, []byte) {
	if len(delta) == 0 {
		return b, nil
	}
	b.seen = b.seen.Merge(delta)
	b.age++
	components := delta
	if len(b.seen) <= fullComponents || b.age >= fullEvery {
		b.age, components = 0, b.seen
	}
	return b, encodeBasis(b.age, components)
}

// completeBasis returns an entry that stands for itself.
func completeBasis(seen branch.Revision) []byte { return encodeBasis(0, seen) }

func encodeBasis(age uint64, components branch.Revision) []byte {
	entry := binary.AppendUvarint(nil, age)
	for _, d := range components {
		entry = append(entry, byte(len(d.Branch)))
		entry = append(entry, d.Branch...)
		entry = binary.AppendUvarint(entry, d.Seq)
	}
	return entry
}

func decodeBasis(entry []byte) (age uint64, seen branch.Revision, err error) {
	age, n := binary.Uvarint(entry)
	if n <= 0 {
		return 0, nil, fmt.Errorf("entry %x is cut off", entry)
	}
	for rest := entry[n:]; len(rest) > 0; {
		width := int(rest[0])
		if len(rest) < 1+width {
			return 0, nil, fmt.Errorf("entry %x is cut off", entry)
		}
		seq, n := binary.Uvarint(rest[1+width:])
		if n <= 0 {
			return 0, nil, fmt.Errorf("entry %x is cut off", entry)
		}
		seen = append(seen, branch.Dot{Branch: branch.ID(rest[1 : 1+width]), Seq: seq})
		rest = rest[1+width+n:]
	}
	return age, seen, nil
}
