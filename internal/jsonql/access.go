package jsonql

import (
	"fmt"
	"hash/maphash"
	"iter"
	"slices"

	"vesperdb.io/vesper/internal/statement"
)

// Posting is a value under a property as an index has it.
type Posting struct {
	// Subject has the value; it may be embedded.
	Subject string
	// Term is the value, unless Cut is set.
	Term statement.Term
	// Cut says that the index has not the whole value.
	Cut bool
}

// PostingSource is what a Source may offer beside its methods: conditions on
// one property are then tried on the index before any object is read.
type PostingSource interface {
	// Postings yields all values under a predicate, with their subjects, in any
	// order, each value of a subject once.
	Postings(predicate string) iter.Seq2[Posting, error]
}

// Estimator is what a Source may offer beside its methods: the index that
// leads to the fewest objects is then used.
type Estimator interface {
	// CountObjects returns the number of objects that are not embedded.
	CountObjects() (int, error)
	// CountWith counts what SubjectsWith yields, and reports whether there are
	// more than atMost.
	CountWith(predicate string, term statement.Term, atMost int) (n int, more bool)
	// CountHaving is CountWith for the values under a predicate.
	CountHaving(predicate string, atMost int) (n int, more bool)
}

// The ways to find candidates.
const (
	accessID       = "id"
	accessValue    = "value index"
	accessFiltered = "property index, filtered"
	accessProperty = "property index"
	accessAll      = "all objects"
)

// The costs of a step, in units of reading one entry of an index.
const (
	costEntry  = 1
	costObject = 12
	// keptOf is how many of the values a condition is taken to keep: one in so
	// many.
	keptOf = 4
	// countAtMost bounds the counting for an estimate.
	countAtMost = 4096
)

// access is a way to find the candidates of a query.
type access struct {
	kind   string
	detail string
	// rows is the estimated number of candidates, -1 when it is not known.
	rows int
	cost int
	find func(visit func(subject string) (bool, error)) error
}

// choose returns the cheapest way to find the candidates. All ways give them in
// the same order.
func (r *run) choose() (access, error) {
	if ids := r.query.plan.ids; len(ids) > 0 {
		return access{kind: accessID, detail: r.describe(ids[0]), rows: 1, find: func(visit func(string) (bool, error)) error {
			return r.byID(ids[0], visit)
		}}, nil
	}
	all, err := r.ways()
	if err != nil {
		return access{}, err
	}
	best := all[0]
	for _, a := range all[1:] {
		if a.cost < best.cost {
			best = a
		}
	}
	return best, nil
}

// ways returns all ways to find the candidates, what is best without any
// figures first.
func (r *run) ways() ([]access, error) {
	estimate := estimates{total: -1}
	if e, ok := r.src.(Estimator); ok {
		n, err := e.CountObjects()
		if err != nil {
			return nil, fmt.Errorf("estimate the query: %w", err)
		}
		estimate = estimates{from: e, total: n, beyond: countAtMost * (costEntry + costObject)}
	}
	out := r.byValue(estimate)
	for _, a := range out {
		estimate.beyond = min(estimate.beyond, a.cost)
	}
	out = append(out, r.byCondition(estimate)...)
	for _, name := range r.query.plan.required {
		rows := estimate.having(name, costEntry+costObject)
		out = append(out, access{kind: accessProperty, detail: name, rows: rows, cost: rows * (costEntry + costObject),
			find: func(visit func(string) (bool, error)) error { return each(r.src.SubjectsHaving(name), visit) }})
	}
	return append(out, access{kind: accessAll, rows: estimate.total, cost: estimate.total * costObject, find: r.all}), nil
}

// byValue: a value is looked up in the index.
func (r *run) byValue(estimate estimates) (out []access) {
	for _, f := range r.filters {
		if f.negated || r.query.plan.nullable[f.prop] {
			continue
		}
		rows := estimate.with(f.prop, f.term)
		out = append(out, access{
			kind: accessValue, detail: f.prop + " = " + statement.Excerpt(f.term.Text), rows: rows, cost: rows * (costEntry + costObject),
			find: func(visit func(string) (bool, error)) error { return each(r.src.SubjectsWith(f.prop, f.term), visit) },
		})
	}
	return out
}

// byCondition: a condition on one property is tried on the values of the index.
func (r *run) byCondition(estimate estimates) (out []access) {
	postings, ok := r.src.(PostingSource)
	if !ok {
		return nil
	}
	for _, e := range r.rest {
		name, single := onlyProperty(e)
		if !single || r.query.plan.nullable[name] {
			continue
		}
		rows := estimate.having(name, costEntry)
		out = append(out, access{
			kind: accessFiltered, detail: r.describe(e), rows: max(rows, keptOf) / keptOf, cost: rows*costEntry + rows/keptOf*costObject,
			find: func(visit func(string) (bool, error)) error {
				return r.filtered(postings.Postings(name), name, e, visit)
			},
		})
	}
	return out
}

// onlyProperty returns the property of a condition on the values of one.
func onlyProperty(e expr) (name string, single bool) {
	single = true
	walk(e, func(e expr) bool {
		switch e := e.(type) {
		case *propRef:
			single = single && (name == "" || name == e.name)
			name = e.name
		case *idRef, *wholeObject, *maybe:
			single = false
		}
		return single
	})
	return name, single && name != ""
}

// oneValue is a scope in which a property has one value.
type oneValue struct {
	run  *run
	term statement.Term
}

func (o oneValue) property(string) value { return termValue(o.term) }

func (o oneValue) id() value { return null }

func (o oneValue) aggregate(c *call) (value, error) {
	return null, o.run.fail(c, "%s has no meaning for one value", c.name)
}

// filtered finds the subjects with a value for which the condition holds, and
// those with several values, of which the condition may hold together. It
// remembers the others by a number: if two have the same, one too many is
// looked at. What fails on a value is left to fail on the object.
func (r *run) filtered(list iter.Seq2[Posting, error], name string, e expr, visit func(string) (bool, error)) error {
	var found []string
	seed, once := maphash.MakeSeed(), map[uint64]struct{}{}
	for p, err := range list {
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", statement.Excerpt(name), err)
		}
		if err := r.looked(); err != nil {
			return err
		}
		v, fault := r.eval(e, oneValue{r, p.Term})
		key := maphash.String(seed, p.Subject)
		_, several := once[key]
		if p.Cut || fault != nil || several || v.Truth() {
			found = append(found, p.Subject)
			if err := r.hold(len(p.Subject) + stringBytes); err != nil {
				return err
			}
		} else if err := r.hold(entryBytes); err != nil {
			return err
		} else {
			once[key] = struct{}{}
		}
	}
	slices.SortFunc(found, compareSubjects)
	for _, subject := range slices.Compact(found) {
		if more, err := visit(subject); err != nil || !more {
			return err
		}
	}
	return nil
}

// What is held of each costs so much besides its text.
const (
	stringBytes = 16
	entryBytes  = 24
	valueBytes  = 64
)

// estimates asks a source for counts, if it has any.
type estimates struct {
	from  Estimator
	total int
	// beyond is the cost of a way that is known already: what is sure to cost
	// more need not be counted to its end.
	beyond int
}

func (e estimates) with(predicate string, term statement.Term) int {
	if e.from == nil {
		return -1
	}
	return e.bounded(e.from.CountWith(predicate, term, countAtMost))
}

func (e estimates) having(predicate string, costEach int) int {
	if e.from == nil {
		return -1
	}
	return e.bounded(e.from.CountHaving(predicate, min(countAtMost, e.beyond/costEach+1)))
}

// bounded takes what is beyond counting for as much as there are objects.
func (e estimates) bounded(n int, more bool) int {
	if more {
		return max(n, e.total)
	}
	return n
}
