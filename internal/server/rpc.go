package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"vesperdb.io/vesper/internal/store"
)

// The codes of JSON-RPC errors.
const (
	rpcParseError     = -32700
	rpcInvalidRequest = -32600
	rpcNoMethod       = -32601
	rpcServerError    = -32000
	// rpcQueryFailed is the original's code for a query with an error.
	rpcQueryFailed = 0
)

// defaultStore is the name of the only store in /{store}/datarequest.
const defaultStore = "default"

// rpcError is the error member of a JSON-RPC response.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// Error implements error: methods return it for what only they can tell.
func (e *rpcError) Error() string { return e.Message }

// rpcResponse is one response. It has a result or an error.
type rpcResponse struct {
	ID      json.RawMessage `json:"id"`
	JSONRPC string          `json:"jsonrpc"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

var nullID = json.RawMessage("null")

func rpcFailure(id json.RawMessage, code int, format string, args ...any) rpcResponse {
	if len(id) == 0 {
		id = nullID
	}
	return rpcResponse{ID: id, JSONRPC: "2.0", Error: &rpcError{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// call is one request of a batch and what becomes of it.
type call struct {
	id       json.RawMessage
	name     string
	method   rpcMethod
	params   json.RawMessage
	response rpcResponse
	// runs is false for a request that is answered with an error from the outset.
	runs bool
}

// idText is the id as "$new<id>" names it.
func (c *call) idText() string {
	var text string
	if json.Unmarshal(c.id, &text) == nil {
		return text
	}
	return string(c.id)
}

// parseCall checks one request. Notifications are refused: a client that does
// not want to know whether its write was kept is more likely mistaken.
func parseCall(raw json.RawMessage) *call {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return &call{response: rpcFailure(nil, rpcInvalidRequest, "Invalid Request")}
	}
	c := &call{id: fields["id"], params: fields["params"]}
	var protocol, name string
	_ = json.Unmarshal(fields["jsonrpc"], &protocol) // what is no string is not "2.0"
	if protocol != "2.0" || len(c.id) == 0 || bytes.Equal(c.id, nullID) {
		c.response = rpcFailure(c.id, rpcInvalidRequest, "Invalid Request")
		return c
	}
	if json.Unmarshal(fields["method"], &name) != nil {
		c.response = rpcFailure(c.id, rpcInvalidRequest, "Invalid Request")
		return c
	}
	c.name = name
	if c.method, c.runs = rpcMethods[name]; !c.runs {
		c.response = rpcFailure(c.id, rpcNoMethod, "Method not found")
	}
	return c
}

// parseBatch returns the requests of a body, and false when it is not JSON.
func parseBatch(body []byte) ([]*call, bool) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		return []*call{parseCall(body)}, json.Valid(body)
	}
	var items []json.RawMessage
	if json.Unmarshal(body, &items) != nil {
		return nil, false
	}
	calls := make([]*call, len(items))
	for i, item := range items {
		calls[i] = parseCall(item)
	}
	return calls, true
}

// storeDataRequest serves POST /{store}/datarequest.
func (s *Server) storeDataRequest(w http.ResponseWriter, r *http.Request) error {
	if name := r.PathValue("store"); name != defaultStore {
		answer(w, http.StatusOK, rpcFailure(nil, rpcInvalidRequest, "Invalid Request: store %q not found", name))
		return nil
	}
	return s.dataRequest(w, r)
}

// dataRequest serves POST /datarequest: one JSON-RPC request or a batch, run in
// one transaction. The reply is an array, also for one request.
func (s *Server) dataRequest(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readBody(w, r)
	if err != nil {
		p := problemOf(err)
		answer(w, p.Status, rpcFailure(nil, rpcInvalidRequest, "Invalid Request: %s", p.Detail))
		return nil
	}
	if err := unconditional(r); err != nil {
		p := problemOf(err)
		answer(w, p.Status, rpcFailure(nil, rpcInvalidRequest, "Invalid Request: %s", p.Detail))
		return nil
	}
	wait, err := parseWaiting(r.URL.Query())
	if err != nil {
		p := problemOf(err)
		answer(w, p.Status, rpcFailure(nil, rpcInvalidRequest, "Invalid Request: %s", p.Detail))
		return nil
	}
	calls, ok := parseBatch(body)
	if !ok {
		answer(w, http.StatusOK, rpcFailure(nil, rpcParseError, "Parse error"))
		return nil
	}
	if err := s.calling(r, calls); err != nil {
		return err
	}
	if len(calls) > 0 {
		s.runBatch(w, r, calls, wait)
	}
	responses := make([]rpcResponse, len(calls))
	for i, c := range calls {
		responses[i] = c.response
	}
	answer(w, http.StatusOK, responses)
	return nil
}

// runBatch runs the calls in one transaction, or on one snapshot if none
// writes, so that a node which refuses writes still answers queries.
func (s *Server) runBatch(w http.ResponseWriter, r *http.Request, calls []*call, wait waiting) {
	writes, runs := false, false
	for _, c := range calls {
		runs = runs || c.runs
		writes = writes || c.runs && c.method.writes
	}
	if !runs {
		return
	}
	var err error
	if writes {
		var commit store.Commit
		commit, err = s.update(r.Context(), store.WriteOptions{}, func(tx *store.Tx) error {
			b := &batch{server: s, ctx: r.Context(), reader: tx.Reader, tx: tx, created: map[string]string{}}
			return b.run(calls)
		})
		if err == nil {
			setCommit(w.Header(), commit)
			s.await(r.Context(), w.Header(), commit, wait)
		}
	} else {
		err = s.deps.Store.View(r.Context(), func(rd *store.Reader) error {
			w.Header().Set(headerRevision, rd.Revision().String())
			b := &batch{server: s, ctx: r.Context(), reader: rd, created: map[string]string{}}
			return b.run(calls)
		})
	}
	if err != nil {
		s.abort(r, calls, err)
	}
}

// abortError says which call ended the transaction.
type abortError struct {
	call *call
	err  error
}

// Error implements error.
func (e *abortError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *abortError) Unwrap() error { return e.err }

// abort makes every response tell the truth about a transaction that failed:
// nothing of it was written.
func (s *Server) abort(r *http.Request, calls []*call, err error) {
	var aborted *abortError
	errors.As(err, &aborted)
	cause := rpcErrorOf(err)
	if p := problemOf(err); cause.Code == rpcServerError && p.Status == http.StatusInternalServerError {
		s.log.Error("JSON-RPC batch failed", "path", r.URL.EscapedPath(), "error", err)
	}
	for _, c := range calls {
		switch {
		case !c.runs:
		case aborted == nil || aborted.call == c:
			c.response = rpcResponse{ID: c.id, JSONRPC: "2.0", Error: cause}
		default:
			c.response = rpcFailure(c.id, rpcServerError, "Server Error: nothing was written, since request %s of the same batch failed: %s",
				aborted.call.id, cause.Message)
		}
	}
}

// rpcErrorOf turns an error of a method into a JSON-RPC error. Its data is the
// problem document that /v1 would have answered.
func rpcErrorOf(err error) *rpcError {
	if own, ok := errors.AsType[*rpcError](err); ok {
		return own
	}
	p := problemOf(err)
	return &rpcError{Code: rpcServerError, Message: "Server Error: " + p.Detail, Data: p}
}

// batch is a batch being run.
type batch struct {
	server *Server
	ctx    context.Context
	reader *store.Reader
	// tx is nil when no call writes.
	tx *store.Tx
	// created holds the first id that each create made, by "new<request id>".
	created map[string]string
}

// run runs the calls in order. It stops at the first error, apart from failed
// queries, which change nothing and are answered by themselves.
func (b *batch) run(calls []*call) error {
	for _, c := range calls {
		if !c.runs {
			continue
		}
		result, err := c.method.run(b, c)
		var own *rpcError
		switch {
		case err == nil:
			c.response = rpcResponse{ID: c.id, JSONRPC: "2.0", Result: result}
		case errors.As(err, &own) && own.Code == rpcQueryFailed:
			c.response = rpcResponse{ID: c.id, JSONRPC: "2.0", Error: own}
		default:
			return &abortError{call: c, err: err}
		}
	}
	return nil
}

// fillIn replaces $new<request id> by the id that the request created.
func (b *batch) fillIn(text string) string {
	for name, id := range b.created {
		text = strings.ReplaceAll(text, "$"+name, id)
	}
	return text
}
