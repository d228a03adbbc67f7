package server

import (
	"encoding/json"
	"errors"
	"fmt"
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
	// choose says for properties whose value stays: that of which changeset. It is
	// written {"property": "changeset", …}, or, for properties of embedded objects,
	// [{"subject": …, "property": …, "changeset": …}, …].
	choose []store.Choice
	// set gives properties values, as PATCH does.
	set []pjson.Object
}

func (c *resolution) readChoices(body text, v value) error {
	changeset := func(to *branch.Dot) func(value) error {
		return func(v value) (err error) {
			var name string
			if err := body.string("the changeset", &name)(v); err != nil {
				return err
			}
			if *to, err = parseDot("choose", name); err != nil {
				return body.fault(v.at, "%s", problemOf(err).Detail)
			}
			return nil
		}
	}
	if v.raw[0] != '[' {
		return body.each(v, "choose", func(_ int64, property string, v value) error {
			one := store.Choice{Predicate: property}
			err := changeset(&one.Dot)(v)
			c.choose = append(c.choose, one)
			return err
		})
	}
	return body.items(v, "choose", func(i int, v value) error {
		var one store.Choice
		err := body.members(v, fmt.Sprintf("choose[%d]", i), map[string]func(value) error{
			"subject": body.string("subject", &one.Subject), "property": body.string("property", &one.Predicate), "changeset": changeset(&one.Dot),
		})
		if err == nil && (one.Predicate == "" || one.Dot.IsZero()) {
			err = body.fault(v.at, "choose[%d] must have a property and a changeset", i)
		}
		c.choose = append(c.choose, one)
		return err
	})
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
		p := problem(kindMethod, "%s takes no POST: POST /v1/conflicts/{id}/resolve ends the conflicts of an object", r.URL.EscapedPath())
		p.allow = "GET, HEAD, OPTIONS"
		return p
	}
	if err := statement.CheckID(id); err != nil {
		return problem(kindInvalid, "%s", err)
	}
	_, wait, err := writeQuery(r)
	if err != nil {
		return err
	}
	body, err := s.readResolution(w, r, id)
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
		if before, left, err = settleConflicts(tx, id, body); err != nil {
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

func (s *Server) readResolution(w http.ResponseWriter, r *http.Request, id string) (c resolution, err error) {
	body, err := s.readJSON(w, r)
	if err != nil {
		return c, err
	}
	ctx, cancel := s.parsing(r.Context(), s.parseTime)
	defer cancel()
	err = body.members(value{raw: json.RawMessage(body)}, "the body", map[string]func(value) error{
		"choose": func(v value) error { return c.readChoices(body, v) },
		"set": func(v value) error {
			doc, err := body.parse(ctx, v, pjson.Options{IDs: pathIDs(id)})
			if err == nil {
				err = checkOne(id, doc)
			}
			c.set = doc.Objects
			return err
		},
	})
	if err == nil && len(c.choose)+len(c.set) == 0 {
		err = problem(kindBadRequest, `the body neither chooses nor sets a value: give {"choose": {"property": "changeset"}, "set": {"property": value}}, with one of the two or both`)
	}
	return c, err
}

// settleConflicts makes the choices and sets the values, and returns how many
// properties of the object were in conflict and how many still are.
func settleConflicts(tx *store.Tx, id string, c resolution) (before, left int, err error) {
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
	if err := tx.Choose(id, c.choose); err != nil {
		return 0, 0, err
	}
	if len(c.set) > 0 {
		if err := merge(tx, c.set); err != nil {
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
