package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// Posting is a value as the index of values has it: enough to filter and to
// join without reading the object.
type Posting struct {
	// Root is the object that owns Subject; Subject may be embedded.
	Root, Subject string
	// Term is the value. When Cut is set, its text is not the value's but one
	// that stands for it: read the object for the value.
	Term statement.Term
	// Cut says that the value is too long for the index.
	Cut bool
}

// Scan yields the values that subjects have under a predicate, with their
// subjects, without reading objects and without collecting: in order of type
// and text by code point, then of root and subject. In a transaction what it
// has written comes first. A fact in several scopes comes once.
func (r *Reader) Scan(predicate string) iter.Seq2[Posting, error] {
	prefix := textKey(predicate)
	return r.scan(predicate, prefix, prefix, nil)
}

// ScanValue yields the subjects that have this value under this predicate, each
// once, in order of root and subject, without reading objects and without
// collecting.
func (r *Reader) ScanValue(predicate string, term statement.Term) iter.Seq2[Posting, error] {
	prefix := textKey(predicate, term.Type, keyText(term.Text))
	stored := r.postings(prefix, prefix, nil)
	written := r.writtenBy(func(s statement.Statement) bool { return s.Predicate == predicate && s.Term == term })
	return func(yield func(Posting, error) bool) {
		for p, err := range mergePostings(stored, r.over.roots(), written) {
			p.Term, p.Cut = term, false
			if !yield(p, err) {
				return
			}
		}
	}
}

// ScanReferences yields the subjects that refer to id under a predicate: what
// ScanValue does for a reference.
func (r *Reader) ScanReferences(predicate, id string) iter.Seq2[Posting, error] {
	return r.ScanValue(predicate, statement.Reference(id))
}

// ObjectsBetween yields the objects that are not embedded whose ids are at
// least from and less than to ("" for no bound), in order of their ids.
func (r *Reader) ObjectsBetween(from, to string) iter.Seq2[Object, error] {
	stored := func(yield func([]byte) bool) {
		for k := range keysFrom(r.image, bucketObjects, []byte(from), nil) {
			if to != "" && string(k) >= to || !yield(k) {
				return
			}
		}
	}
	written := slices.DeleteFunc(slices.Clone(r.over.roots()), func(root string) bool {
		return root < from || to != "" && root >= to
	})
	return r.existing(mergeRoots(stored, written, ""))
}

// scan yields postings in order of the index, except those of objects that the
// transaction has written, which come first.
func (r *Reader) scan(predicate string, from, prefix []byte, stop func(Posting) bool) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		roots := r.over.roots()
		for _, root := range roots {
			for _, p := range r.writtenBy(func(s statement.Statement) bool { return s.Predicate == predicate })(root) {
				if !yield(p, nil) {
					return
				}
			}
		}
		for p, err := range r.postings(from, prefix, stop) {
			if _, found := slices.BinarySearch(roots, p.Root); found && err == nil {
				continue
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// postings yields what the stored index has, until stop.
func (r *Reader) postings(from, prefix []byte, stop func(Posting) bool) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		n, read := 0, postingReader{}
		for k := range keysFrom(r.image, bucketValues, from, prefix) {
			if n++; n%256 == 0 && r.ctx.Err() != nil {
				yield(Posting{}, context.Cause(r.ctx))
				return
			}
			p, err := read.posting(k)
			if err != nil {
				yield(p, &CorruptError{What: "the index of values", Err: err})
				return
			}
			if stop != nil && stop(p) || !yield(p, nil) {
				return
			}
		}
	}
}

// postingOf reads a key of bucketValues.
func postingOf(key []byte) (Posting, error) { return new(postingReader).posting(key) }

// postingReader reads keys of bucketValues in their order. Most have the value of
// the one before, or a subject that is a root: what they make is one text each.
type postingReader struct {
	value []byte // the part of the last key before its subject
	text  int    // where the text of the value begins in it
	last  Posting
}

func (r *postingReader) posting(key []byte) (Posting, error) {
	known := r.value != nil && bytes.HasPrefix(key, r.value)
	if !known && !r.begin(key) {
		return Posting{}, fmt.Errorf("index key %q has no value", key)
	}
	root, subject, ok := subjectParts(key[len(r.value):])
	if !ok {
		return Posting{}, fmt.Errorf("index key %q does not end with a root and a subject", key)
	}
	p := r.last
	if known {
		p.Root = string(root)
	} else { // one text for the value and the root
		both := string(key[r.text : len(r.value)+len(root)])
		r.last.Term.Text = both[:len(r.value)-1-r.text]
		p.Term.Text, p.Root = r.last.Term.Text, both[len(r.value)-r.text:]
	}
	if p.Subject = p.Root; len(subject) > 0 {
		p.Subject = string(subject)
	}
	return p, nil
}

// begin reads the place of the value of a key, and its type.
func (r *postingReader) begin(key []byte) bool {
	_, rest, _ := bytes.Cut(key, nul)
	typ, rest, _ := bytes.Cut(rest, nul)
	text, rest, ok := bytes.Cut(rest, nul)
	if !ok {
		return false
	}
	r.value = append(r.value[:0], key[:len(key)-len(rest)]...)
	r.text = len(r.value) - 1 - len(text)
	r.last = Posting{Term: statement.Term{Type: typeOf(typ)}, Cut: len(text) > maxKeyText}
	return true
}

// typeOf returns a type as a string, without making one for those that are common.
func typeOf(typ []byte) string {
	for _, known := range typeCodes[1:] {
		if string(typ) == known {
			return known
		}
	}
	return string(typ)
}

// writtenBy returns a function that finds, in an object that the transaction
// has written, the matching values: each once, in order of subject.
func (r *Reader) writtenBy(match func(statement.Statement) bool) func(root string) []Posting {
	return func(root string) []Posting {
		var out []Posting
		o, _, _ := r.over.object(root, root)
		for _, s := range o.Statements {
			if match(s) {
				out = append(out, Posting{Root: root, Subject: s.Subject, Term: s.Term})
			}
		}
		slices.SortFunc(out, comparePostings)
		return slices.CompactFunc(out, func(a, b Posting) bool { return a == b })
	}
}

// comparePostings orders those of one object as the index does.
func comparePostings(a, b Posting) int {
	return cmp.Or(
		place{a.Root, a.Subject}.compare(place{b.Root, b.Subject}),
		cmp.Compare(a.Term.Type, b.Term.Type), cmp.Compare(a.Term.Text, b.Term.Text))
}

// mergePostings yields stored postings, which are in order of their roots, and
// in the place of those of written objects what these have now.
func mergePostings(stored iter.Seq2[Posting, error], roots []string, written func(string) []Posting) iter.Seq2[Posting, error] {
	return func(yield func(Posting, error) bool) {
		rest, last := roots, ""
		upTo := func(root string, all bool) bool {
			for len(rest) > 0 && (all || rest[0] <= root) {
				last, rest = rest[0], rest[1:]
				for _, p := range written(last) {
					if !yield(p, nil) {
						return false
					}
				}
			}
			return true
		}
		for p, err := range stored {
			if err != nil {
				yield(p, err)
				return
			}
			if !upTo(p.Root, false) {
				return
			}
			if p.Root != last && !yield(p, nil) {
				return
			}
		}
		upTo("", true)
	}
}

// rootsIn yields the roots that keys of a bucket begin with, each once and in
// order, skipping over the keys of one root instead of reading them.
func rootsIn(i image, bucket []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		from := []byte(nil)
		for {
			root, found := "", false
			for k := range keysFrom(i, bucket, from, nil) {
				root, _, _ = strings.Cut(string(k), "\x00")
				found = true
				break
			}
			if !found || !yield(root) {
				return
			}
			from = append([]byte(root), 1)
		}
	}
}
