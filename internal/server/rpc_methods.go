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
}

var rpcMethods = map[string]rpcMethod{
	"add":              {true, (*batch).add},
	"create":           {true, (*batch).create},
	"update":           {true, (*batch).update},
	"replace":          {true, (*batch).replace},
	"remove":           {true, (*batch).remove},
	"query":            {false, (*batch).query},
	"transaction_info": {false, (*batch).transactionInfo},
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

func (b *batch) parse(c *call, opts pjson.Options) (pjson.Document, error) {
	if len(c.params) == 0 {
		return pjson.Document{}, problem(kindBadJSON, "params is missing: it must be a pJSON object or a list of them")
	}
	return pjson.Parse(c.params, opts)
}

func (b *batch) add(c *call) (any, error) {
	doc, err := b.parse(c, pjson.Options{})
	if err != nil {
		return nil, err
	}
	if err := b.tx.Add(doc.Objects); err != nil {
		return nil, err
	}
	return addedResult{Added: doc.WithIDs()}, nil
}

func (b *batch) create(c *call) (any, error) {
	doc, err := b.parse(c, pjson.Options{})
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
	doc, err := b.parse(c, pjson.Options{})
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
	doc, err := b.parse(c, pjson.Options{AllowReferences: true})
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
	info := struct {
		Comment *string `json:"comment"`
	}{}
	if err := json.Unmarshal(c.params, &info); err != nil || info.Comment == nil {
		return nil, problem(kindBadRequest, `the params of transaction_info must be {"comment": "text"}`)
	}
	comment := b.fillIn(*info.Comment)
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
