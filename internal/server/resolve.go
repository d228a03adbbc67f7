package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// resolveSuffix ends the path of a resolution: /v1/conflicts/{id}/resolve.
const resolveSuffix = "/resolve"

// resolution is the body of POST /v1/conflicts/{id}/resolve.
type resolution struct {
	// Choose says for properties whose value stays: that of which changeset.
	Choose choices `json:"choose"`
	// Set gives properties values, as PATCH does.
	Set json.RawMessage `json:"set"`
}

// choices are written {"property": "changeset", …}, or, for properties of
// embedded objects, [{"subject": …, "property": …, "changeset": …}, …].
type choices []choice

type choice struct {
	Subject   string     `json:"subject"`
	Property  string     `json:"property"`
	Changeset branch.Dot `json:"changeset"`
}

// UnmarshalJSON reads either form.
func (c *choices) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte("[")) {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		var list []choice
		if err := dec.Decode(&list); err != nil {
			return err
		}
		*c = list
		return nil
	}
	var byProperty map[string]branch.Dot
	if err := json.Unmarshal(text, &byProperty); err != nil {
		return err
	}
	for property, dot := range byProperty {
		*c = append(*c, choice{Property: property, Changeset: dot})
	}
	return nil
}

// resolved is the answer to a resolution.
type resolved struct {
	receipt
	// Settled counts the properties that are no longer in conflict, Left those
	// that still are.
	Settled int `json:"settled"`
	Left    int `json:"left"`
}

// resolve ends conflicts of one object. What it writes is an ordinary changeset
// that has seen all the values.
func (s *Server) resolve(w http.ResponseWriter, r *http.Request) error {
	id, ok := strings.CutSuffix(r.PathValue("id"), resolveSuffix)
	if !ok {
		return problem(kindNoRoute, "%s takes no POST: POST /v1/conflicts/{id}/resolve ends the conflicts of an object", r.URL.EscapedPath())
	}
	if err := statement.CheckID(id); err != nil {
		return problem(kindInvalid, "%s", err)
	}
	_, wait, err := writeQuery(r)
	if err != nil {
		return err
	}
	body, set, err := s.readResolution(w, r, id)
	if err != nil {
		return err
	}
	conditions, err := precondition(r, id)
	if err != nil {
		return err
	}
	out := outcome{id: id, objects: 1}
	var before, left int
	commit, err := s.update(r.Context(), store.WriteOptions{Preconditions: conditions}, func(tx *store.Tx) error {
		if err := out.before(tx); err != nil {
			return err
		}
		if before, left, err = settleConflicts(tx, id, body, set); err != nil {
			return err
		}
		return out.after(tx)
	})
	if err != nil {
		return err
	}
	answerResolved(w, &out, commit, s.await(r.Context(), w.Header(), commit, wait), before, left)
	return nil
}

func answerResolved(w http.ResponseWriter, out *outcome, commit store.Commit, r *replicated, before, left int) {
	setCommit(w.Header(), commit)
	if tag := out.tag(commit); tag != "" {
		w.Header().Set("ETag", tag)
	}
	answered := resolved{receipt: receipt{ID: out.id, Replicated: r}, Settled: before - left, Left: left}
	answered.committed(commit)
	answer(w, http.StatusOK, answered)
}

func (s *Server) readResolution(w http.ResponseWriter, r *http.Request, id string) (resolution, []pjson.Object, error) {
	var body resolution
	if _, err := mediaType(r, typeJSON); err != nil {
		return body, nil, err
	}
	text, err := s.readBody(w, r)
	if err != nil {
		return body, nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		return body, nil, problem(kindBadRequest, `the body must be {"choose": {"property": "changeset"}, "set": {"property": value}}, with one of the two or both: %v`, err)
	}
	if len(body.Choose) == 0 && len(body.Set) == 0 {
		return body, nil, problem(kindBadRequest, "the body neither chooses nor sets a value: give choose or set")
	}
	if len(body.Set) == 0 {
		return body, nil, nil
	}
	doc, err := pjson.Parse(body.Set, pjson.Options{IDs: pathIDs(id)})
	if err != nil {
		return body, nil, err
	}
	return body, doc.Objects, checkOne(id, doc)
}

// settleConflicts makes the choices and sets the values, and returns how many
// properties of the object were in conflict and how many still are.
func settleConflicts(tx *store.Tx, id string, body resolution, set []pjson.Object) (before, left int, err error) {
	object, found, err := tx.Object(id)
	if err != nil {
		return 0, 0, err
	}
	if !found {
		return 0, 0, problem(kindNotFound, "there is no object with the id %q", id)
	}
	if before = len(object.Conflicts); before == 0 {
		return 0, 0, problem(kindNoConflict, "the object %q is not in conflict (any more): nothing was written; PATCH writes values", id)
	}
	list := make([]store.Choice, len(body.Choose))
	for i, c := range body.Choose {
		list[i] = store.Choice{Subject: c.Subject, Predicate: c.Property, Dot: c.Changeset}
	}
	if err := tx.Choose(id, list); err != nil {
		return 0, 0, err
	}
	if len(set) > 0 {
		if err := merge(tx, set); err != nil {
			return 0, 0, err
		}
	}
	object, _, err = tx.Object(id)
	if left = len(object.Conflicts); err == nil && left >= before {
		err = problem(kindNoConflict, "none of the properties given is in conflict (any more), so nothing was written: GET /v1/conflicts/{id} lists those that are")
	}
	return before, left, err
}

// conflictProblem maps the errors of a choice; nil when it is another error.
func conflictProblem(err error) *Problem {
	var (
		none  *store.NoConflictError
		value *store.NoValueError
		gap   *store.FeedGapError
	)
	switch {
	case errors.As(err, &none):
		return problem(kindNoConflict, "%s", none)
	case errors.As(err, &value):
		return problem(kindNoValue, "%s", value)
	case errors.As(err, &gap):
		return problem(kindFeedGap, "%s", gap)
	}
	return nil
}
