package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// maxQueryInWrite bounds a query in a batch that writes: it holds up all other
// writers of the node.
const maxQueryInWrite = 5 * time.Second

// queryResult is the result of a query.
type queryResult struct {
	Results json.RawMessage `json:"results"`
	Errors  []string        `json:"errors"`
	// Plan is how it was found, when that was asked for.
	Plan *jsonql.Plan `json:"explain,omitempty"`
	// AST is the query as it was understood, when that was asked for.
	AST any `json:"ast,omitempty"`
	// Elapsed is in seconds.
	Elapsed float64 `json:"elapsed"`
}

// query runs a query on the batch's snapshot, its own writes included.
func (b *batch) query(c *call) (any, error) {
	params, err := parseQueryParams(c.params)
	if err != nil {
		return nil, queryFailed(err)
	}
	limit := b.server.deps.Config.Limits.QueryTime
	if b.tx != nil {
		limit = min(limit, maxQueryInWrite)
	}
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	start := time.Now()
	result, rows, err := b.rows(ctx, params)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, queryFailed(tooLong(limit))
	case err != nil && isQueryFault(err):
		return nil, queryFailed(err)
	case err != nil:
		return nil, err
	}
	out := queryResult{Results: rows, Errors: append([]string{}, result.Errors...), Elapsed: time.Since(start).Seconds()}
	if params.Explain {
		out.Plan = result.Plan()
	}
	if params.PrintAST {
		if out.AST, err = queryTree(params.Query); err != nil {
			return nil, queryFailed(err)
		}
	}
	return out, nil
}

// rows returns the rows of a query as a list. What a batch has of them is bounded
// in all, since its answer is held until it is whole.
func (b *batch) rows(ctx context.Context, p queryParams) (*jsonql.Answer, json.RawMessage, error) {
	answer, err := b.server.startQuery(ctx, b.reader, p, b.server.queryLimits())
	if err != nil {
		return nil, nil, err
	}
	var fits bool
	out, limit := []byte{'['}, b.server.heldAnswer-b.held
	for row, err := range answer.Rows() {
		if err != nil {
			return nil, nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		if out, fits, err = row.AppendJSON(out, limit); err != nil {
			return nil, nil, err
		}
		if !fits {
			return nil, nil, tooMuch("the answer", b.server.heldAnswer, "parts with limit and offset; /v1/query sends rows of any number")
		}
	}
	b.held += len(out)
	return answer, append(out, ']'), nil
}

// isQueryFault tells faults of the query from those of the store.
func isQueryFault(err error) bool {
	var syntax *jsonql.SyntaxError
	var evaluation *jsonql.EvaluationError
	var invalid *store.InvalidError
	var compacted *store.CompactedError
	var told *Problem
	return errors.As(err, &told) || errors.As(err, &syntax) || errors.As(err, &evaluation) || errors.As(err, &invalid) || errors.As(err, &compacted)
}

func queryFailed(err error) *rpcError {
	return &rpcError{Code: rpcQueryFailed, Message: "query failed", Data: []string{"ERROR: " + err.Error()}}
}

func parseQueryParams(raw json.RawMessage) (p queryParams, err error) {
	body, debug, ignored := text(raw), false, func(value) error { return nil }
	if len(body) == 0 {
		return p, errors.New(`params is missing: ` + queryParamsForm)
	}
	if err := pjson.Check(body); err != nil {
		return p, err
	}
	whole := value{raw: raw}
	if body[0] == '"' {
		return p, body.string("params", &p.Query)(whole)
	}
	if body[0] != '{' {
		return p, body.fault(0, "params must be %s", queryParamsForm)
	}
	known := p.members(body)
	known["forUpdate"] = body.bool("forUpdate", &p.ForUpdate)
	known["printast"] = body.bool("printast", &p.PrintAST)
	known["debug"] = body.bool("debug", &debug)
	known["captureErrors"], known["useSerializer"] = ignored, ignored // what every answer does anyway
	if err := body.members(whole, "params", known); err != nil {
		return p, err
	}
	if debug {
		err = errors.New("not supported yet: debug")
	}
	return p, err
}

const queryParamsForm = `the text of the query, or {"query": text, "bindvars": {...}}`

func (s *Server) runQuery(ctx context.Context, rd *store.Reader, p queryParams) (jsonql.Result, error) {
	q, src, err := s.prepareQuery(rd, p)
	if err != nil {
		return jsonql.Result{}, err
	}
	return q.Run(ctx, src, p.BindVars, s.queryLimits())
}

// startQuery begins a query whose rows are made when they are asked for, which
// must be before the reader ends.
func (s *Server) startQuery(ctx context.Context, rd *store.Reader, p queryParams, limits jsonql.Limits) (*jsonql.Answer, error) {
	q, src, err := s.prepareQuery(rd, p)
	if err != nil {
		return nil, err
	}
	return q.Start(ctx, src, p.BindVars, limits)
}

func (s *Server) queryLimits() jsonql.Limits {
	limits := s.bounds
	limits.MaxRows = int(s.deps.Config.Limits.QueryRows)
	return limits
}
