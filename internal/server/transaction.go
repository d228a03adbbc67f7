package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// operation is one operation of POST /v1/transactions.
type operation struct {
	op, id    string
	doc       pjson.Document
	hasObject bool
	hasID     bool
	// condition demands nothing when conditional is false.
	condition   store.Precondition
	conditional bool
	// place is the operation's own, for faults.
	index int
	at    int64
}

// transaction is the body of POST /v1/transactions.
type transaction struct {
	comment    string
	operations []operation
}

// operations are what can be done with an object. Those that need none in the
// body have it in the path of their own.
var operations = map[string]func(*store.Tx, operation) error{
	"put":    func(tx *store.Tx, o operation) error { return tx.Replace(o.doc.Objects) },
	"patch":  func(tx *store.Tx, o operation) error { return merge(tx, o.doc.Objects) },
	"create": func(tx *store.Tx, o operation) error { return tx.Create(o.doc.Objects) },
	"add":    func(tx *store.Tx, o operation) error { return tx.Add(o.doc.Objects) },
	"remove": func(tx *store.Tx, o operation) error { return tx.Remove(o.doc.Objects) },
	"delete": deleteOperation,
}

const operationNames = "put, patch, create, add, remove or delete"

func deleteOperation(tx *store.Tx, o operation) error {
	existed, err := tx.Delete(o.id)
	if err == nil && !existed {
		return problem(kindNotFound, "there is no object with the id %q", o.id)
	}
	return err
}

// postTransaction runs operations on any objects, all or none, as one changeset.
// The conditions are about what was there before the first of them.
func (s *Server) postTransaction(w http.ResponseWriter, r *http.Request) error {
	_, wait, err := writeQuery(r)
	if err != nil {
		return err
	}
	if err := unconditional(r); err != nil {
		return err
	}
	body, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := s.parsing(r.Context(), s.parseTime)
	defer cancel()
	t, err := parseTransaction(ctx, body)
	if err != nil {
		return err
	}
	opts := store.WriteOptions{Comment: t.comment}
	for _, o := range t.operations {
		if o.conditional {
			opts.Preconditions = append(opts.Preconditions, o.condition)
		}
	}
	commit, err := s.update(r.Context(), opts, t.run)
	if err != nil {
		return err
	}
	setCommit(w.Header(), commit)
	out := receipt{}
	for _, o := range t.operations {
		out.IDs = append(out.IDs, o.id)
	}
	out.committed(commit)
	out.Replicated = s.await(r.Context(), w.Header(), commit, wait)
	answer(w, http.StatusOK, out)
	return nil
}

func (t transaction) run(tx *store.Tx) error {
	for _, o := range t.operations {
		if err := operations[o.op](tx, o); err != nil {
			return o.failed(err)
		}
	}
	return nil
}

// failed says which operation kept all of them from being made.
func (o operation) failed(err error) error {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		return fmt.Errorf("operation %d: %w", o.index, err)
	}
	told := *p
	told.Pointer = fmt.Sprintf("/operations/%d", o.index)
	told.Detail = fmt.Sprintf("operations[%d] (%s %q): %s; nothing was written", o.index, o.op, o.id, p.Detail)
	return &told
}

func parseTransaction(ctx context.Context, body text) (transaction, error) {
	var t transaction
	found := false
	err := body.members(value{raw: json.RawMessage(body)}, "the body", map[string]func(value) error{
		"comment": body.string("comment", &t.comment),
		"operations": func(v value) error {
			found = true
			return body.items(v, "operations", func(i int, v value) error {
				o, err := parseOperation(ctx, body, i, v)
				t.operations = append(t.operations, o)
				return err
			})
		},
	})
	if err == nil && (!found || len(t.operations) == 0) {
		err = body.fault(0, `the body must have "operations", a list of at least one`)
	}
	return t, err
}

func parseOperation(ctx context.Context, body text, index int, v value) (operation, error) {
	o := operation{index: index, at: v.at}
	var object value
	var match, noneMatch string
	err := body.members(v, fmt.Sprintf("operations[%d]", index), map[string]func(value) error{
		"op":          body.string("op", &o.op),
		"id":          func(v value) error { o.hasID = true; return body.string("id", &o.id)(v) },
		"object":      func(v value) error { object, o.hasObject = v, true; return nil },
		"ifMatch":     body.string("ifMatch", &match),
		"ifNoneMatch": body.string("ifNoneMatch", &noneMatch),
	})
	if err != nil {
		return o, err
	}
	if operations[o.op] == nil {
		return o, body.fault(v.at, "operations[%d]: op is %q: it must be %s", index, o.op, operationNames)
	}
	if err := o.take(ctx, body, object); err != nil {
		return o, err
	}
	return o, o.demand(body, match, noneMatch)
}

// take reads the object of an operation, and the id that it is about.
func (o *operation) take(ctx context.Context, body text, object value) error {
	if o.op == "delete" {
		if o.hasObject || o.id == "" {
			return body.fault(o.at, "operations[%d]: delete takes an id and no object", o.index)
		}
		return o.checkID(body)
	}
	if !o.hasObject {
		return body.fault(o.at, "operations[%d]: %s takes an object", o.index, o.op)
	}
	ids := pjson.Random()
	if o.hasID {
		if err := o.checkID(body); err != nil {
			return err
		}
		ids = pathIDs(o.id)
	}
	var err error
	if o.doc, err = body.parse(ctx, object, pjson.Options{IDs: ids}); err != nil {
		return err
	}
	if o.id == "" && len(o.doc.Objects) > 0 {
		o.id = o.doc.Objects[0].ID
	}
	if err := checkOne(o.id, o.doc); err != nil {
		p := problemOf(err)
		return body.fault(object.at, "operations[%d]: %s", o.index, p.Detail)
	}
	return nil
}

func (o *operation) checkID(body text) error {
	if err := statement.CheckID(o.id); err != nil {
		return body.fault(o.at, "operations[%d]: %s", o.index, err)
	}
	return nil
}

// demand makes ifMatch and ifNoneMatch the operation's condition.
func (o *operation) demand(body text, match, noneMatch string) error {
	o.condition.ID = o.id
	switch {
	case noneMatch == "*":
		o.condition.Absent = true
	case noneMatch != "":
		return body.fault(o.at, "operations[%d]: ifNoneMatch is %q: it can only be \"*\", the object must not exist", o.index, noneMatch)
	}
	switch {
	case match == "*":
		o.condition.Present = true
	case match != "":
		revision, err := branch.ParseRevision(strings.Trim(match, `"`))
		if err != nil || len(revision) == 0 {
			return body.fault(o.at, "operations[%d]: ifMatch is %q, which is no revision of an object: send the ETag of a GET", o.index, match)
		}
		o.condition.Revisions = []branch.Revision{revision}
	}
	o.conditional = match != "" || noneMatch != ""
	if match != "" && noneMatch != "" {
		return body.fault(o.at, "operations[%d]: ifMatch and ifNoneMatch contradict each other", o.index)
	}
	return nil
}
