package server

import (
	"encoding/json"
	"slices"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// rpcMethod is what a JSON-RPC method does within a transaction.
type rpcMethod struct {
	writes bool
	run    func(b *batch, c *call) (any, error)
	// document says how the document in its params is read; nil: it takes none.
	document *pjson.Options
}

var rpcMethods = map[string]rpcMethod{
	"add":              {true, (*batch).add, &pjson.Options{}},
	"create":           {true, (*batch).create, &pjson.Options{}},
	"update":           {true, (*batch).update, &pjson.Options{}},
	"replace":          {true, (*batch).replace, &pjson.Options{}},
	"remove":           {true, (*batch).remove, &pjson.Options{AllowReferences: true}},
	"query":            {false, (*batch).query, nil},
	"transaction_info": {false, (*batch).transactionInfo, nil},
}

// addedResult answers add and create: the input with the generated ids put in.
type addedResult struct {
	Added json.RawMessage `json:"added"`
	New   []string        `json:"new,omitempty"`
}

// changedResult answers update and replace: what came and what went, as pJSON documents.
type changedResult struct {
	Added   any `json:"added"`
	Removed any `json:"removed"`
}

// removedResult answers remove: the input, or statements [s, p, o, type, scope]
// when whole properties or objects went.
type removedResult struct {
	Removed any `json:"removed"`
}

func (b *batch) add(c *call) (any, error) {
	doc, err := c.doc, c.docErr
	if err != nil {
		return nil, err
	}
	if err := b.tx.Add(doc.Objects); err != nil {
		return nil, err
	}
	return addedResult{Added: doc.WithIDs()}, nil
}

func (b *batch) create(c *call) (any, error) {
	doc, err := c.doc, c.docErr
	if err != nil {
		return nil, err
	}
	if err := b.tx.Create(doc.Objects); err != nil {
		return nil, err
	}
	result := addedResult{Added: doc.WithIDs()}
	for _, o := range doc.Objects {
		result.New = append(result.New, o.ID)
	}
	if len(result.New) > 0 {
		b.created["new"+c.idText()] = result.New[0]
	}
	return result, nil
}

func (b *batch) update(c *call) (any, error) { return b.change(c, b.tx.Update) }

func (b *batch) replace(c *call) (any, error) { return b.change(c, b.tx.Replace) }

func (b *batch) change(c *call, write func([]pjson.Object) error) (any, error) {
	doc, err := c.doc, c.docErr
	if err != nil {
		return nil, err
	}
	added, removed, err := b.difference(func() error { return write(doc.Objects) })
	if err != nil {
		return nil, err
	}
	w := b.server.recorded
	return changedResult{Added: w.Document(added), Removed: w.Document(removed)}, nil
}

func (b *batch) remove(c *call) (any, error) {
	doc, err := c.doc, c.docErr
	if err != nil {
		return nil, err
	}
	_, removed, err := b.difference(func() error {
		if err := b.tx.Remove(doc.Objects); err != nil {
			return err
		}
		for _, id := range doc.References {
			if _, err := b.tx.Delete(id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(doc.References) == 0 && !slices.ContainsFunc(doc.Objects, namesNull) {
		return removedResult{Removed: c.params}, nil
	}
	rows := make([][5]string, len(removed))
	for i, st := range removed {
		rows[i] = [5]string{st.Subject, st.Predicate, st.Text, st.Type, st.Scope}
	}
	return removedResult{Removed: rows}, nil
}

func namesNull(o pjson.Object) bool {
	return slices.ContainsFunc(o.Props, func(p pjson.Prop) bool { return p.Null })
}

// transactionInfo sets the comment that the history keeps.
func (b *batch) transactionInfo(c *call) (any, error) {
	comment, found := "", false
	body := text(c.params)
	err := pjson.Check(body)
	if err == nil {
		err = body.members(value{raw: c.params}, "params", map[string]func(value) error{
			"comment": func(v value) error { found = true; return body.string("comment", &comment)(v) },
		})
	}
	if err == nil && !found {
		err = body.fault(0, "params has no comment")
	}
	if err != nil {
		return nil, problem(kindBadRequest, `the params of transaction_info must be {"comment": "text"}: %s`, problemOf(err).Detail)
	}
	comment = b.fillIn(comment)
	if b.tx != nil {
		b.tx.SetComment(comment)
	}
	return map[string]string{"comment": comment}, nil
}

// difference runs a write and returns what it alone added and removed, whatever
// earlier requests of the batch did.
func (b *batch) difference(write func() error) (added, removed []statement.Statement, err error) {
	addedBefore, removedBefore, err := b.tx.Changes()
	if err != nil {
		return nil, nil, err
	}
	if err := write(); err != nil {
		return nil, nil, err
	}
	addedAfter, removedAfter, err := b.tx.Changes()
	if err != nil {
		return nil, nil, err
	}
	// The state is the base plus added minus removed, both before and after.
	added = append(without(addedAfter, addedBefore), without(removedBefore, removedAfter)...)
	removed = append(without(removedAfter, removedBefore), without(addedBefore, addedAfter)...)
	return statement.Set(added), statement.Set(removed), nil
}

// without returns the statements of a that are not in b; both are sorted.
func without(a, b []statement.Statement) []statement.Statement {
	if len(b) == 0 {
		return slices.Clone(a)
	}
	var out []statement.Statement
	for _, st := range a {
		if _, found := slices.BinarySearchFunc(b, st, statement.Compare); !found {
			out = append(out, st)
		}
	}
	return out
}
