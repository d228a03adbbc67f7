package plan

import (
	"fmt"
	"hash/maphash"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/statement"
)

// The ways on which no object is read.
const (
	opCovering = "property index only"
	opBare     = "value index only"
)

// objects is shown candidates that need not be read until it returns false.
type objects func(*eval.Object) (bool, error)

// covering: the query looks at nothing but one property of the set's objects,
// and the index has its values. They come in the order of these, and without
// their places in lists, so that it is a way only where neither matters.
func (c *chooser) covering(set *resolve.Set) (access, bool) {
	postings, ok := c.run.Source().(source.PostingSource)
	if !ok || !c.termsOnly || len(set.Filters) > 0 || len(set.Required) != 1 || len(set.IDs)+len(set.Absent) > 0 {
		return access{}, false
	}
	prop := set.Required[0]
	if only, err := c.run.LooksOnlyAt(set, prop); err != nil || !only {
		return access{}, false
	}
	rows := c.est.countHaving(prop, countAtMost)
	return access{
		op: opCovering, detail: prop, rows: rows, cost: 2*costLookup + rows*2*costEntry,
		find:    func(visit visitor) error { return each(c.run.Source().SubjectsHaving(prop), visit) },
		covered: func(visit objects) error { return c.covered(postings, set, prop, visit) },
	}, true
}

// covered shows the objects that the index has. Those of which it has several
// values, or not the whole of one, are read after the others.
func (c *chooser) covered(postings source.PostingSource, set *resolve.Set, prop string, visit objects) error {
	seed, seen, held := maphash.MakeSeed(), map[uint64]bool{}, 0
	defer func() { _ = c.run.Hold(-held) }()
	// By a number for each subject, whether it must be read: if two have the same,
	// both are.
	err := c.postings(postings, prop, func(p source.Posting) (bool, error) {
		key := maphash.String(seed, p.Subject)
		_, before := seen[key]
		if seen[key] = before || p.Cut; before {
			return true, nil
		}
		held += entryBytes
		return true, c.run.Hold(entryBytes)
	})
	if err != nil {
		return err
	}
	read, ended := gathered{run: c.run}, false
	defer read.release()
	err = c.postings(postings, prop, func(p source.Posting) (bool, error) {
		if seen[maphash.String(seed, p.Subject)] {
			return true, read.add(p.Subject)
		}
		o, err := c.run.Single(set, p.Subject, prop, p.Term)
		if err != nil || o == nil {
			return err == nil, err
		}
		more, err := visit(o)
		ended = !more
		return more, err
	})
	if err != nil || ended {
		return err
	}
	return eachOf(inOrder(read.subjects), func(subject string) (bool, error) {
		o, err := c.run.Load(set, subject, false, false)
		if err != nil || o == nil {
			return err == nil, err
		}
		return visit(o)
	})
}

func (c *chooser) postings(from source.PostingSource, prop string, visit func(source.Posting) (bool, error)) error {
	for p, err := range from.Postings(prop) {
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", statement.Excerpt(prop), err)
		}
		if err := c.run.Looked(); err != nil {
			return err
		}
		if more, err := visit(p); err != nil || !more {
			return err
		}
	}
	return nil
}
