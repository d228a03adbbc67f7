package eval

import (
	"fmt"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// revision tells of the values of a property which changesets wrote them: null
// where the source does not know.
func (r *Run) revision(c *resolve.Call, s *Scope) (value.Value, error) {
	p, ok := c.Args[0].(*resolve.Prop)
	if !ok || len(p.Path) != 1 || p.EndID {
		return value.Null, r.Fail(c.Args[0], "%s tells of a property, and this is none", c.Name)
	}
	from, ok := r.src.(source.TransactionSource)
	if !ok {
		return value.Null, nil
	}
	var out []value.Value
	for _, o := range s.objects(p.Set, p.Up) {
		for _, fact := range o.values(p.Path[0]) {
			t, found, err := from.Transaction(o.subject, p.Path[0], fact.Term)
			if err != nil {
				return value.Null, fmt.Errorf("read who wrote %s of %s: %w", statement.Excerpt(p.Path[0]), statement.Excerpt(o.subject), err)
			}
			if err := r.Looked(); err != nil {
				return value.Null, err
			}
			if !found {
				continue
			}
			v, err := r.told(c, t)
			if err != nil {
				return value.Null, err
			}
			if !v.IsNull() {
				out = append(out, v)
			}
		}
	}
	return one(out), nil
}

// told is what a function tells of a transaction.
func (r *Run) told(c *resolve.Call, t source.Transaction) (value.Value, error) {
	text := t.Author
	switch c.Name {
	case "getTransactionId":
		return value.Of(statement.Reference(t.ID)), nil
	case "getTransactionTime":
		return r.float(c, t.Time)
	case "getTransactionComment":
		text = t.Comment
	}
	if text == "" {
		return value.Null, nil
	}
	return value.Of(statement.Literal(text)), nil
}
