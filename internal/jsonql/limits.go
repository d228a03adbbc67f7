package jsonql

import (
	"fmt"
	"slices"
)

// hold accounts for bytes that are kept until the query ends.
func (r *run) hold(bytes int) error {
	if r.held += bytes; r.held <= r.limits.MaxBytes {
		return nil
	}
	return &EvaluationError{Message: fmt.Sprintf("the query has to hold more than %d bytes to order or to group: "+
		"add a condition, or a limit", r.limits.MaxBytes)}
}

// looked accounts for an object or an entry of an index that is looked at, and
// ends the query when its context has ended.
func (r *run) looked() error {
	r.steps++
	if r.steps > r.limits.MaxSteps {
		return &EvaluationError{Message: fmt.Sprintf("the query has to look at more than %d objects and entries of indexes: "+
			"add a condition that an index answers, such as property = value", r.limits.MaxSteps)}
	}
	if r.steps%64 == 0 {
		return r.ctx.Err()
	}
	return nil
}

// topRows keeps the rows that come first in an order.
type topRows struct {
	keys   []sortKey
	wanted int // -1 for all
	rows   []row
}

// topSlack is how many rows more than twice the wanted are kept between sorts.
const topSlack = 64

// add keeps a row, and returns about how many bytes it has dropped.
func (t *topRows) add(one row) (dropped int) {
	t.rows = append(t.rows, one)
	if t.wanted < 0 || len(t.rows) < 2*t.wanted+topSlack {
		return 0
	}
	order(t.rows, t.keys)
	for _, gone := range t.rows[t.wanted:] {
		dropped += sizeOf(gone.keys) + len(gone.subject) + valueBytes
	}
	t.rows = slices.Delete(t.rows, t.wanted, len(t.rows))
	return dropped
}

// sizeOf is about how many bytes values hold.
func sizeOf(list []value) int {
	n := 0
	for _, v := range list {
		n += valueBytes + len(v.Term.Text) + sizeOf(v.List)
	}
	return n
}

// size is about how many bytes an object holds that has been cut down.
func (o *object) size() int {
	n := 2*valueBytes + len(o.subject)
	for _, s := range o.own {
		n += 2*valueBytes + len(s.Predicate) + len(s.Text)
	}
	return n
}
