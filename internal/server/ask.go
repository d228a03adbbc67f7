package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
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

// ask runs a query and sends its rows, one at a time, as one document or as
// lines of JSON.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, q question) error {
	limit := s.deps.Config.Limits.QueryTime
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	start := time.Now()
	at, err := branch.ParseRevision(q.at)
	if err != nil {
		return problem(kindBadRequest, "at: %v", err)
	}
	var result jsonql.Result
	err = s.deps.Store.View(ctx, func(rd *store.Reader) (err error) {
		w.Header().Set(headerRevision, rd.Revision().String())
		result, err = s.runQuery(ctx, rd, queryParams{Query: q.text, BindVars: q.binds, At: at, Explain: q.explain})
		return err
	})
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return problem(kindBadQuery, "the query ran longer than %s: narrow it with where, or raise limits.queryTime in the node's configuration", limit)
	}
	if err != nil {
		return queryProblem(err)
	}
	out := rows{w: w, patience: s.patience, lines: acceptsLines(r), errors: result.Errors, start: start}
	if q.explain {
		out.plan = result.Plan
	}
	if q.limit > 0 && len(result.Rows) > q.limit {
		result.Rows, out.more = result.Rows[:q.limit], true
	}
	return out.send(result.Rows)
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

// rows sends the rows of a result.
type rows struct {
	w        http.ResponseWriter
	patience time.Duration
	lines    bool
	errors   []string
	// more reports that there were more rows than the client wanted.
	more  bool
	start time.Time
	// plan is nil unless it was asked for.
	plan *jsonql.Plan
}

// rowsBytes is how much of a result is sent at once.
const rowsBytes = 64 << 10

func (o rows) send(list []any) error {
	h := o.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	open, between, end := `{"results":[`, ",\n", o.tail()
	h.Set("Content-Type", typeJSON)
	if o.lines {
		open, between, end = "", "\n", ""
		h.Set("Content-Type", typeNDJSON)
	}
	part := append(make([]byte, 0, rowsBytes+4096), open...)
	for i, row := range list {
		if i > 0 {
			part = append(part, between...)
		}
		if part = pjson.AppendJSON(part, row); len(part) > rowsBytes {
			if err := o.flush(part); err != nil {
				return nil //nolint:nilerr // the client is gone
			}
			part = part[:0]
		}
	}
	if o.lines && len(list) > 0 {
		end = "\n"
	}
	_ = o.flush(append(part, end...)) // an error means that the client is gone
	return nil
}

func (o rows) flush(part []byte) error {
	_ = http.NewResponseController(o.w).SetWriteDeadline(time.Now().Add(o.patience)) // a recorder in tests has none
	_, err := o.w.Write(part)
	return err
}

// tail is what follows the rows in a document.
func (o rows) tail() string {
	tail := struct {
		Errors  []string `json:"errors"`
		More    bool     `json:"more,omitempty"`
		Plan    any      `json:"explain,omitempty"`
		Elapsed float64  `json:"elapsed"`
	}{Errors: append([]string{}, o.errors...), More: o.more, Elapsed: time.Since(o.start).Seconds()}
	if o.plan != nil {
		tail.Plan = o.plan
	}
	text, _ := json.Marshal(tail) // strings and numbers
	return "]," + string(text[1:]) + "\n"
}
