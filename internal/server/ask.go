package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/store"
)

// question is a query as /v1/query takes it.
type question struct {
	text  string
	binds jsonql.Bindings
	// limit is the most rows wanted; 0 for as many as the node gives.
	limit int
	// at is the revision asked about; empty for the present. explain asks for the plan.
	at      string
	explain bool
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
	q := question{text: params.Get("q"), at: params.Get("at"), explain: params.Get("explain") == "true"}
	if params.Has("explain") && !q.explain {
		return problem(kindBadRequest, "explain: %q is not understood: leave it out, or send true", params.Get("explain"))
	}
	if params.Has("limit") {
		if q.limit, err = strconv.Atoi(params.Get("limit")); err != nil || q.limit < 1 {
			return problem(kindBadRequest, "limit: %q is not a number from 1 on", params.Get("limit"))
		}
	}
	if err := q.bind(params); err != nil {
		return err
	}
	return s.ask(w, r, q)
}

func (q *question) bind(params url.Values) error {
	if !params.Has("bindvars") {
		return nil
	}
	body := text(params.Get("bindvars"))
	if err := body.check(); err != nil {
		return problem(kindBadRequest, "bindvars: %s", problemOf(err).Detail)
	}
	if err := json.Unmarshal(body, &q.binds); err != nil {
		return problem(kindBadRequest, "bindvars: %v", err)
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
	found := false
	err = body.members(value{raw: json.RawMessage(body)}, "the body", map[string]func(value) error{
		"query":   func(v value) error { found = true; return body.string("query", &q.text)(v) },
		"at":      body.string("at", &q.at),
		"explain": body.bool("explain", &q.explain),
		"bindvars": func(v value) error {
			if err := json.Unmarshal(v.raw, &q.binds); err != nil {
				return body.fault(v.at, "bindvars: %v", err)
			}
			return nil
		},
		"limit": func(v value) error {
			if json.Unmarshal(v.raw, &q.limit) != nil || q.limit < 1 {
				return body.fault(v.at, "limit must be a number from 1 on")
			}
			return nil
		},
	})
	if err == nil && !found {
		err = body.fault(0, `the body must have "query", the text of the query`)
	}
	if err != nil {
		return err
	}
	return s.ask(w, r, q)
}

// ask runs a query and sends its rows while they are made, as one document or
// as lines of JSON.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, q question) error {
	at, err := branch.ParseRevision(q.at)
	if err != nil {
		return problem(kindBadRequest, "at: %v", err)
	}
	clock := startClock(r.Context(), s.deps.Config.Limits.QueryTime)
	defer clock.stop()
	out := answerStream{rows: rows{w: w, patience: s.patience}, clock: clock, lines: acceptsLines(r), limit: q.limit, explain: q.explain, start: time.Now()}
	limits := s.queryLimits()
	if q.limit > 0 && q.limit <= limits.MaxRows {
		limits.MaxRows = q.limit + 1 // one more tells that there are more
	}
	params := queryParams{Query: q.text, BindVars: q.binds, At: at}
	err = s.deps.Store.View(clock.ctx, func(rd *store.Reader) error {
		w.Header().Set(headerRevision, rd.Revision().String())
		if r.Method == http.MethodHead { // a query that can be read is not run for its headers
			_, _, err := s.prepareQuery(rd, params)
			return err
		}
		answer, err := s.startQuery(clock.ctx, rd, params, limits)
		if err != nil {
			return err
		}
		return out.make(answer)
	})
	if err == nil && r.Method == http.MethodHead {
		out.begin()
		return nil
	}
	if err == nil {
		err = out.finish() // without holding the store
	}
	if err == nil || out.gone {
		return nil
	}
	return out.breakOff(queryProblem(clock.explain(err)))
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

func acceptsLines(r *http.Request) bool {
	return slices.ContainsFunc(ndjsonTypes, func(t string) bool { return acceptsOnly(r, t) })
}
