package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// question is a query as /v1/query takes it.
type question struct {
	queryParams
	// limit is the most rows wanted; 0 for as many as the node gives.
	limit int
}

// getQuery answers the query of the parameter q.
func (s *Server) getQuery(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "q", "bindvars", "limit", "at", "explain")
	if err != nil {
		return err
	}
	if !params.Has("q") {
		return problem(kindBadRequest, "q is missing: the query, percent-encoded")
	}
	q := question{queryParams: queryParams{Query: params.Get("q"), Explain: params.Get("explain") == "true"}}
	if params.Has("explain") && !q.Explain {
		return problem(kindBadRequest, "explain: %q is not understood: leave it out, or send true", params.Get("explain"))
	}
	if params.Has("limit") {
		if q.limit, err = strconv.Atoi(params.Get("limit")); err != nil || q.limit < 1 {
			return problem(kindBadRequest, "limit: %q is not a number from 1 on", params.Get("limit"))
		}
	}
	if params.Has("at") {
		if err := q.ask(params.Get("at")); err != nil {
			return err
		}
	}
	if params.Has("bindvars") {
		if err := q.bindText(params.Get("bindvars")); err != nil {
			return err
		}
	}
	return s.ask(w, r, q)
}

// bindText reads the bind variables of a query string.
func (q *question) bindText(vars string) error {
	body := text(vars)
	err := pjson.Check(body)
	if err == nil {
		err = q.bind(body, value{raw: json.RawMessage(body)})
	}
	if err != nil {
		return problem(kindBadRequest, "bindvars: %s", problemOf(err).Detail)
	}
	return nil
}

// postQuery answers the query in the body.
func (s *Server) postQuery(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	body, err := s.readJSON(w, r)
	if err != nil {
		return err
	}
	var q question
	known, found := q.members(body), false
	read := known["query"]
	known["query"] = func(v value) error { found = true; return read(v) }
	known["limit"] = func(v value) error {
		if json.Unmarshal(v.raw, &q.limit) != nil || q.limit < 1 {
			return body.fault(v.at, "limit must be a number from 1 on")
		}
		return nil
	}
	err = body.members(value{raw: json.RawMessage(body)}, "the body", known)
	if err == nil && !found {
		err = body.fault(0, `the body must have "query", the text of the query`)
	}
	if err != nil {
		return err
	}
	return s.ask(w, r, q)
}

// ask runs a query and sends its rows while they are made, as one document or
// as lines of JSON. HEAD does not run it.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, q question) error {
	clock := startClock(r.Context(), s.deps.Config.Limits.QueryTime)
	defer clock.stop()
	out := answerStream{rows: rows{w: w, patience: s.patience}, clock: clock, lines: acceptsLines(r), held: s.heldAnswer, limit: q.limit, explain: q.Explain, start: time.Now()}
	limits := s.queryLimits()
	if q.limit > 0 && q.limit <= limits.MaxRows {
		limits.MaxRows = q.limit + 1 // one more tells that there are more
	}
	if r.Method == http.MethodHead {
		return s.describeAnswer(r, &out, q)
	}
	err := s.deps.Store.View(clock.ctx, func(rd *store.Reader) error {
		w.Header().Set(headerRevision, rd.Revision().String())
		answer, err := s.startQuery(clock.ctx, rd, q.queryParams, limits)
		if err != nil {
			return err
		}
		return out.make(answer)
	})
	if err == nil {
		err = out.finish() // without holding the store
	}
	if err == nil || out.gone {
		return nil
	}
	return out.breakOff(queryProblem(clock.explain(err)))
}

// describeAnswer sends the headers of the answer to a query that can be run.
func (s *Server) describeAnswer(r *http.Request, out *answerStream, q question) error {
	err := s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
		out.w.Header().Set(headerRevision, rd.Revision().String())
		_, _, err := s.prepareQuery(rd, q.queryParams)
		return err
	})
	if err == nil {
		out.begin()
		return nil
	}
	return queryProblem(err)
}

// queryProblem gives a fault of the query its place in it.
func queryProblem(err error) error {
	var syntax *jsonql.SyntaxError
	var evaluation *jsonql.EvaluationError
	p := problem(kindBadQuery, "%v", err)
	switch {
	case errors.As(err, &syntax):
		p.Line, p.Column = syntax.Line, syntax.Col
	case errors.As(err, &evaluation):
		p.Line, p.Column = evaluation.Line, evaluation.Col
	default:
		return err
	}
	return p
}

func acceptsLines(r *http.Request) bool { return prefers(r, ndjsonTypes...) }
