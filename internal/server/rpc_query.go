package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/store"
)

// maxQueryInWrite bounds a query in a batch that writes: it holds up all other
// writers of the node.
const maxQueryInWrite = 5 * time.Second

// queryParams are the params of query: a text, or an object that has it.
type queryParams struct {
	Query    string          `json:"query"`
	BindVars jsonql.Bindings `json:"bindvars"`
	// Explain asks for the plan beside the results.
	Explain bool `json:"explain"`
	// At is the revision to ask about; empty for the present.
	At branch.Revision `json:"at"`
	// ForUpdate asks for the ids of all objects, embedded ones too; PrintAST for
	// the query as it was understood.
	ForUpdate bool `json:"forUpdate"`
	PrintAST  bool `json:"printast"`
	// Debug is not offered; asking for it is an error.
	Debug bool `json:"debug"`
	// CaptureErrors and UseSerializer are what every answer does anyway.
	CaptureErrors bool `json:"captureErrors"`
	UseSerializer any  `json:"useSerializer"`
}

// queryResult is the result of a query.
type queryResult struct {
	Results []any    `json:"results"`
	Errors  []string `json:"errors"`
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
	result, err := b.server.runQuery(ctx, b.reader, params)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, queryFailed(tooLong(limit))
	case err != nil && isQueryFault(err):
		return nil, queryFailed(err)
	case err != nil:
		return nil, err
	}
	out := queryResult{Results: result.Rows, Errors: result.Errors, Elapsed: time.Since(start).Seconds()}
	if params.Explain {
		out.Plan = result.Plan
	}
	if params.PrintAST {
		if out.AST, err = queryTree(params.Query); err != nil {
			return nil, queryFailed(err)
		}
	}
	if out.Results == nil {
		out.Results = []any{}
	}
	if out.Errors == nil {
		out.Errors = []string{}
	}
	return out, nil
}

// isQueryFault tells faults of the query from those of the store.
func isQueryFault(err error) bool {
	var syntax *jsonql.SyntaxError
	var evaluation *jsonql.EvaluationError
	var invalid *store.InvalidError
	var compacted *store.CompactedError
	return errors.As(err, &syntax) || errors.As(err, &evaluation) || errors.As(err, &invalid) || errors.As(err, &compacted)
}

func queryFailed(err error) *rpcError {
	return &rpcError{Code: rpcQueryFailed, Message: "query failed", Data: []string{"ERROR: " + err.Error()}}
}

func parseQueryParams(raw json.RawMessage) (queryParams, error) {
	var p queryParams
	if json.Unmarshal(raw, &p.Query) == nil && len(raw) > 0 {
		return p, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, fmt.Errorf(`the params of query must be a text or {"query": text, "bindvars": {...}}: %w`, err)
	}
	if p.Debug {
		return p, errors.New("not supported yet: debug")
	}
	return p, nil
}

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
	return jsonql.Limits{MaxRows: int(s.deps.Config.Limits.QueryRows)}
}

func (s *Server) prepareQuery(rd *store.Reader, p queryParams) (*jsonql.Query, jsonql.Source, error) {
	q, err := jsonql.Parse(p.Query)
	if err != nil {
		return nil, nil, err
	}
	q.ForUpdate = p.ForUpdate
	if len(p.At) == 0 {
		return q, newSource(rd, s.deps.Config.ModelURI), nil
	}
	past, err := rd.At(p.At)
	return q, newPastSource(past, s.deps.Config.ModelURI), err
}
