package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"

	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// An administrator may declare properties whose values are kept in order besides:
// bucketOrdered has one entry for each subject that has a value under such a
// property. It is changed with the records, in the same transactions, and not
// held back by the tail. It is this file's own affair: no snapshot has it, and
// older programs neither know nor change it. So metaOrdered says of which state
// of the objects it is, and when that is not the state of the file, somebody
// wrote who did not know of it, and it is made anew.

// MaxDeclared is how many properties can be declared.
const MaxDeclared = 32

// indexState is how far an index is.
type indexState string

const (
	// indexBuilding: it has the objects up to done.
	indexBuilding indexState = "building"
	// indexBuilt: it has all objects.
	indexBuilt indexState = "built"
	// indexLeaving: it is not declared any more, and its entries are being removed.
	indexLeaving indexState = "leaving"
)

// declaredIndex is the index of one property.
type declaredIndex struct {
	Property string     `json:"property"`
	State    indexState `json:"state"`
	// Done is the last object that it has while it is being built.
	Done []byte `json:"done,omitempty"`
}

// covers reports whether the index has to have an object.
func (d *declaredIndex) covers(root string) bool {
	return d.State == indexBuilt || d.State == indexBuilding && root <= string(d.Done)
}

// declaration is the value of metaOrdered.
type declaration struct {
	// Stamp names the state of the objects that the entries are of.
	Stamp   string          `json:"stamp"`
	Indexes []declaredIndex `json:"indexes"`
}

// stampIn names the state of the objects in a file, and what is read of them:
// the end of the log, the sum of the digest, the policy and a change of it.
func stampIn(tx *bolt.Tx) (string, error) {
	meta := tx.Bucket(bucketMeta)
	pos, err := positionIn(tx, metaTrimmed)
	if err != nil {
		return "", err
	}
	if k, _ := tx.Bucket(bucketLog).Cursor().Last(); len(k) == 8 {
		pos = binary.BigEndian.Uint64(k)
	}
	sum := uint64(0)
	for raw := meta.Get(metaDigest); len(raw) >= 8; raw = raw[8:] {
		sum += binary.BigEndian.Uint64(raw)
	}
	return fmt.Sprintf("%d %x %s %x", pos, sum, policyOf(meta), meta.Get(metaPolicyChange)), nil
}

// declarationIn reads what a file says of its indexes.
func declarationIn(tx *bolt.Tx) (d declaration, err error) {
	sealed := tx.Bucket(bucketMeta).Get(metaOrdered)
	if sealed == nil {
		return d, nil
	}
	raw, err := unseal("the declared indexes", metaOrdered, sealed)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, &CorruptError{What: "the declared indexes", Err: err}
	}
	return d, nil
}

// writeDeclaration writes how far the indexes are, as the last thing of a batch.
func (b *batch) writeDeclaration() {
	if len(b.st.declared) == 0 {
		if b.err == nil && b.tx.Bucket(bucketMeta).Get(metaOrdered) != nil {
			b.remove(bucketMeta, metaOrdered)
		}
		return
	}
	if b.err != nil {
		return
	}
	stamp, err := stampIn(b.tx)
	b.fail(err)
	raw, err := json.Marshal(declaration{Stamp: stamp, Indexes: b.st.declared})
	b.fail(err)
	b.put(bucketMeta, metaOrdered, seal(metaOrdered, raw))
}

// checkIndexes says what is wrong with the properties to index.
func checkIndexes(properties []string) error {
	if len(properties) > MaxDeclared {
		return fmt.Errorf("%d indexes are declared: at most %d can be", len(properties), MaxDeclared)
	}
	for i, p := range properties {
		switch {
		case slices.Contains(properties[:i], p):
			return fmt.Errorf("the index of %s is declared twice: remove one", statement.Excerpt(p))
		case p == "" || len(p) > statement.MaxPredicateBytes || strings.ContainsRune(p, 0):
			return fmt.Errorf("%s is no property that could be indexed", statement.Excerpt(p))
		}
	}
	return nil
}

// declare makes the indexes of the file those of the options: it only says what
// is to be built or removed. Without any in the options they stay as they are.
func (s *Store) declare() error {
	var now []declaredIndex
	same := false
	err := s.file.db.View(func(tx *bolt.Tx) error {
		have, stale, err := haveDeclared(tx)
		now = wanted(have.Indexes, s.opts.Indexes, stale)
		same = !stale && slices.EqualFunc(now, have.Indexes, func(a, b declaredIndex) bool {
			return a.Property == b.Property && a.State == b.State
		})
		return err
	})
	if err != nil || same {
		return err
	}
	return s.file.update(func(tx *bolt.Tx) error {
		if _, stale, err := haveDeclared(tx); err != nil {
			return err
		} else if stale {
			s.opts.Logger.Info("The declared indexes are of another state than the objects: building them anew", "path", s.path)
			if err := emptyOrdered(tx); err != nil {
				return err
			}
		}
		b := &batch{tx: tx, st: &state{declared: now}}
		b.writeDeclaration()
		return b.err
	})
}

// haveDeclared returns what the file says of its indexes, and whether they are of
// another state than its objects, or there is something where nothing should be.
func haveDeclared(tx *bolt.Tx) (d declaration, stale bool, err error) {
	if d, err = declarationIn(tx); err != nil {
		return d, false, err
	}
	k, _ := tx.Bucket(bucketOrdered).Cursor().First()
	if len(d.Indexes) == 0 {
		return d, k != nil, nil
	}
	stamp, err := stampIn(tx)
	return d, stamp != d.Stamp, err
}

// wanted returns the indexes with those that are new, and with those that are not
// declared any more on their way out. None of them is known to hold anything if
// they are stale.
func wanted(have []declaredIndex, properties []string, stale bool) []declaredIndex {
	out := []declaredIndex{}
	for _, d := range have {
		declared := d.State != indexLeaving
		if properties != nil {
			declared = slices.Contains(properties, d.Property)
		}
		switch {
		case stale && !declared:
			continue
		case stale:
			d = declaredIndex{Property: d.Property, State: indexBuilding}
		case !declared:
			d = declaredIndex{Property: d.Property, State: indexLeaving}
		}
		out = append(out, d)
	}
	for _, p := range properties {
		if !slices.ContainsFunc(out, func(d declaredIndex) bool { return d.Property == p }) {
			out = append(out, declaredIndex{Property: p, State: indexBuilding})
		}
	}
	return out
}

// createOrdered makes the bucket of the indexes where there is none: an older
// program did not make it, or has compacted the file without it. Then nothing
// that is said of indexes is true.
func createOrdered(tx *bolt.Tx) error {
	if tx.Bucket(bucketOrdered) != nil {
		return nil
	}
	_, err := tx.CreateBucket(bucketOrdered)
	return errors.Join(err, tx.Bucket(bucketMeta).Delete(metaOrdered))
}

// emptyOrdered takes all entries away.
func emptyOrdered(tx *bolt.Tx) error {
	if err := tx.DeleteBucket(bucketOrdered); err != nil {
		return err
	}
	_, err := tx.CreateBucket(bucketOrdered)
	return err
}

// reorder makes the declared indexes what they are after an object went from one
// view to another.
func (b *batch) reorder(before, after view) {
	for i := range b.st.declared {
		d := &b.st.declared[i]
		if !d.covers(after.root) {
			continue
		}
		was, is := before.under(d.Property), after.under(d.Property)
		if slices.EqualFunc(was, is, sameTerm) {
			continue
		}
		b.exchange(orderedKeys(before.root, was), orderedKeys(after.root, is))
	}
}

// exchange removes the keys that are only in the first of two sorted lists, and
// puts those that are only in the second.
func (b *batch) exchange(was, is [][]byte) {
	for len(was) > 0 || len(is) > 0 {
		var c int
		switch {
		case len(was) == 0:
			c = 1
		case len(is) == 0:
			c = -1
		default:
			c = bytes.Compare(was[0], is[0])
		}
		if c < 0 {
			b.remove(bucketOrdered, was[0])
		}
		if c > 0 {
			b.put(bucketOrdered, is[0], nil)
		}
		if c <= 0 {
			was = was[1:]
		}
		if c >= 0 {
			is = is[1:]
		}
	}
}

func sameTerm(a, b statement.Statement) bool { return a.Subject == b.Subject && a.Term == b.Term }

// under returns the statements under a predicate, those of each subject together
// and each value once.
func (v view) under(predicate string) []statement.Statement {
	var out []statement.Statement
	for _, s := range v.statements {
		if s.Predicate != predicate {
			continue
		}
		if n := len(out); n == 0 || !sameTerm(out[n-1], s) {
			out = append(out, s)
		}
	}
	return out
}

// orderedKeys returns the entries of an object, in order, from what it has under
// the property.
func orderedKeys(root string, under []statement.Statement) [][]byte {
	var keys [][]byte
	for len(under) > 0 {
		n := 1
		for n < len(under) && under[n].Subject == under[0].Subject {
			n++
		}
		keys = append(keys, orderedKey(root, under[:n]))
		under = under[n:]
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys
}

// orderedKey is the entry of a subject: predicate NUL, key of the whole value
// NUL, root NUL, subject (empty for the root) NUL. The key of the value may hold
// any bytes; root and subject hold no NUL, so they are found from the end.
func orderedKey(root string, property []statement.Statement) []byte {
	subject := property[0].Subject
	if subject == root {
		subject = ""
	}
	key := make([]byte, 0, len(property[0].Predicate)+len(root)+len(subject)+64)
	key = append(append(key, property[0].Predicate...), 0)
	key = append(value.AppendKey(key, wholeValue(property), maxKeyText), 0)
	return append(append(append(append(key, root...), 0), subject...), 0)
}

// wholeValue is the value of a property as queries take it.
func wholeValue(property []statement.Statement) value.Value {
	if len(property) == 1 {
		return value.Of(property[0].Term)
	}
	terms := make([]statement.Term, len(property))
	for i, s := range property {
		terms[i] = s.Term
	}
	return value.OfTerms(terms)
}

// orderedEntry is a key of bucketOrdered, taken apart.
type orderedEntry struct {
	// group is what the keys of equal values begin with.
	group []byte
	// cut says that the values of a group may differ: what they begin with is
	// longer than the index keeps.
	cut           bool
	root, subject []byte // subject is empty for the root
}

// takeApart takes a key apart; its first bytes are the predicate and a NUL.
func takeApart(key []byte, predicate int) (e orderedEntry, err error) {
	at := len(key) - 1
	if at < 0 || key[at] != 0 {
		return e, badEntry(key)
	}
	end := bytes.LastIndexByte(key[:at], 0)
	begin := bytes.LastIndexByte(key[:max(end, 0)], 0)
	if begin <= predicate {
		return e, badEntry(key)
	}
	e.group, e.root, e.subject = key[:begin+1], key[begin+1:end], key[end+1:at]
	e.cut = begin-predicate > maxKeyText
	return e, nil
}

func badEntry(key []byte) error {
	return &CorruptError{What: "a declared index", Err: fmt.Errorf("key %x names no subject", key)}
}

// place returns the subject with its root.
func (e orderedEntry) place() place {
	if len(e.subject) == 0 {
		root := string(e.root)
		return place{root, root}
	}
	return place{string(e.root), string(e.subject)}
}
