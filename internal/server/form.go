package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// typeForm is the media type of a form.
const typeForm = "application/x-www-form-urlencoded"

// formAnswer is an answer of /api/{action}: its keys are sorted and indented, as
// the original writes them.
type formAnswer map[string]any

// formActions are the actions that write. query is answered by formQuery.
var formActions = map[string]func(*Server, context.Context, *store.Tx, url.Values) (formAnswer, error){
	"add":    (*Server).formAdd,
	"update": (*Server).formUpdate,
	"delete": formDelete,
}

// form serves one action of the form-encoded interface that the original has for
// its own tests: the answer is JSON with HTTP 200 whether or not it succeeded.
// What the original answers with its 500 has a status of its own.
func (s *Server) form(action string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := s.readForm(w, r)
		if err == nil {
			err = checkForm(action, form)
		}
		if err == nil && formActions[action] != nil {
			err = unconditional(r)
		}
		if err != nil {
			sendForm(w, problemOf(err).Status, formFailure(action, problemOf(err).Detail))
			return nil
		}
		if r.Method == http.MethodHead {
			describeForm(w, http.StatusOK) // no query is run for headers
			return nil
		}
		var out formAnswer
		if write := formActions[action]; write != nil {
			out, err = s.formWrite(w, r, form, write)
		} else {
			out, err = s.formQuery(r.Context(), form)
		}
		if err != nil {
			return s.failForm(w, r, action, err)
		}
		out["action"], out["success"] = action, true
		sendForm(w, http.StatusOK, out)
		return nil
	}
}

func (s *Server) formWrite(w http.ResponseWriter, r *http.Request, form url.Values, write func(*Server, context.Context, *store.Tx, url.Values) (formAnswer, error)) (out formAnswer, err error) {
	commit, err := s.update(r.Context(), store.WriteOptions{}, func(tx *store.Tx) (err error) {
		out, err = write(s, r.Context(), tx, form)
		return err
	})
	if err == nil {
		setCommit(w.Header(), commit)
	}
	return out, err
}

func (s *Server) failForm(w http.ResponseWriter, r *http.Request, action string, err error) error {
	p := problemOf(err)
	status := http.StatusOK
	if p.Status >= http.StatusInternalServerError {
		status = p.Status
		if r.Context().Err() == nil { // of a client that left nothing is to be said
			s.log.Error("Request failed", "method", r.Method, "path", r.URL.EscapedPath(), "error", err)
		}
	}
	sendForm(w, status, formFailure(action, p.Detail))
	return nil
}

func formFailure(action, why string) formAnswer {
	return formAnswer{"action": action, "success": false, "error": why}
}

func describeForm(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Content-Type", typeJSON)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
}

func sendForm(w http.ResponseWriter, status int, out formAnswer) {
	describeForm(w, status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	_ = enc.Encode(out) // an error means that the client is gone
}

// readForm returns the form of the body, or of the query string of a GET.
func (s *Server) readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	encoded := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if _, err := mediaType(r, typeForm); err != nil {
			return nil, err
		}
		body, err := s.readBody(w, r)
		if err != nil {
			return nil, err
		}
		encoded = string(body)
	}
	form, err := url.ParseQuery(encoded)
	if err != nil {
		return nil, problem(kindBadRequest, "the form is not form-encoded: %v", err)
	}
	return form, nil
}

// checkForm refuses fields that would be left out or taken for another.
func checkForm(action string, form url.Values) error {
	if !form.Has("data") {
		return problem(kindBadRequest, "data is missing: the form must have it")
	}
	for _, name := range sortedNames(form) {
		switch {
		case name != "data" && (action != "update" || name != "where"):
			return problem(kindBadRequest, "the form has the unknown field %.60q: known are data and, for update, where", name)
		case len(form[name]) > 1:
			return problem(kindBadRequest, "the form has the field %s %d times: send it once", name, len(form[name]))
		}
	}
	return nil
}

// formAdd adds objects. Its count is the original's: of a list its length, of
// one object the number of its keys, the id included.
func (s *Server) formAdd(ctx context.Context, tx *store.Tx, form url.Values) (formAnswer, error) {
	doc, err := s.parseForm(ctx, form, pjson.Options{})
	if err != nil {
		return nil, err
	}
	if err := tx.Add(doc.Objects); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	var object map[string]json.RawMessage
	if text := doc.WithIDs(); json.Unmarshal(text, &list) != nil {
		_ = json.Unmarshal(text, &object) // one or the other
	}
	return formAnswer{"count": len(list) + len(object)}, nil
}

// parseForm reads the document of a form, within a transaction that others wait for.
func (s *Server) parseForm(ctx context.Context, form url.Values, opts pjson.Options) (pjson.Document, error) {
	ctx, cancel := s.parsing(ctx, min(s.parseTime, maxQueryInWrite))
	defer cancel()
	return pjson.ParseContext(ctx, []byte(form.Get("data")), opts)
}

// noMatch is what the original says whenever not exactly one object matches.
const noMatch = "Update 'where' clause did not match any objects; try an add"

// formUpdate sets properties of the one object that matches where. Its count is
// the original's, which is always 2.
func (s *Server) formUpdate(ctx context.Context, tx *store.Tx, form url.Values) (formAnswer, error) {
	where := form.Get("where")
	if where == "" {
		return nil, problem(kindNotFound, noMatch)
	}
	if err := checkWhere(where); err != nil {
		return nil, err
	}
	limit := min(s.deps.Config.Limits.QueryTime, maxQueryInWrite)
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	found, err := s.runQuery(asking, tx.Reader, queryParams{Query: "{id where (" + where + ") limit 2}"}) // two are not one
	switch {
	case err != nil && errors.Is(asking.Err(), context.DeadlineExceeded):
		return nil, problem(kindBadQuery, "%v", tooLong(limit))
	case err != nil:
		return nil, queryProblem(err)
	}
	if len(found.Rows) != 1 {
		return nil, problem(kindNotFound, noMatch)
	}
	id, ok := rowID(found.Rows[0])
	if !ok {
		return nil, problem(kindNotFound, noMatch)
	}
	doc, err := s.parseForm(ctx, form, pjson.Options{IDs: pathIDs(id)})
	if err != nil {
		return nil, err
	}
	if err := checkOne(id, doc); err != nil {
		return nil, err
	}
	return formAnswer{"count": 2}, tx.Update(doc.Objects)
}

// checkWhere refuses a condition that is none by itself, with its own place: in a
// query, its brackets could end those around it.
func checkWhere(where string) error {
	const before = "{id where "
	query := before + where + "}"
	err := checkQueryText(query)
	if err == nil {
		_, err = jsonql.Parse(query)
	}
	if fault, ok := errors.AsType[*jsonql.SyntaxError](err); ok {
		moved := *fault
		if moved.Line == 1 {
			moved.Col -= len(before)
		}
		return queryProblem(&moved)
	}
	return err
}

// rowID returns the id of the object that a row with its id is about.
func rowID(row any) (string, bool) {
	doc, err := pjson.Parse(pjson.AppendJSON(nil, row), pjson.Options{})
	if err != nil || len(doc.Objects) != 1 || doc.Objects[0].Generated {
		return "", false
	}
	return doc.Objects[0].ID, true
}

// formDelete refuses: the original says that it succeeded and removes nothing.
func formDelete(*Server, context.Context, *store.Tx, url.Values) (formAnswer, error) { //nolint:revive // the form of all actions
	return nil, problem(kindBadRequest, "delete removes nothing here, as it never did: DELETE /v1/objects/{id}, or remove by JSON-RPC")
}

// formQuery answers a query. Text that is no query is told in errors, as the
// original does, and what cannot be computed as a failure.
func (s *Server) formQuery(ctx context.Context, form url.Values) (formAnswer, error) {
	var out queryResult
	err := s.deps.Store.View(ctx, func(rd *store.Reader) error {
		b := &batch{server: s, ctx: ctx, reader: rd}
		quoted, err := json.Marshal(form.Get("data"))
		if err != nil {
			return err
		}
		result, err := b.query(&call{params: quoted})
		out, _ = result.(queryResult)
		return err
	})
	failed, isQuery := errors.AsType[*rpcError](err)
	switch {
	case isQuery && isSyntax(form.Get("data")):
		lines, _ := failed.Data.([]string)
		return formAnswer{"results": []any{}, "errors": lines, "elapsed": 0.0}, nil
	case isQuery:
		return nil, problem(kindBadQuery, "%v", failed.Data)
	case err != nil:
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(out.Results))
	dec.UseNumber()
	var rows any // decoded for the order of the keys
	if err := dec.Decode(&rows); err != nil {
		return nil, fmt.Errorf("reading the rows of a query: %w", err)
	}
	return formAnswer{"results": rows, "errors": out.Errors, "elapsed": out.Elapsed}, nil
}

func isSyntax(query string) bool {
	_, err := jsonql.Parse(query)
	_, is := errors.AsType[*jsonql.SyntaxError](err)
	return is
}
