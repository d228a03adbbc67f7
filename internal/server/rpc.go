package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/pjson"
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

// headerError says of a request that is not valid what is wrong with it, and
// where: the answer itself is as the original's, which does not.
const headerError = "Vesper-Error"

// call is one request of a batch and what becomes of it.
type call struct {
	id       json.RawMessage
	name     string
	method   rpcMethod
	params   json.RawMessage
	response rpcResponse
	// runs is false for a request that is answered with an error from the outset;
	// fault then says what is wrong with it.
	runs  bool
	fault string
	// doc is the document in params, of methods that take one, and why it is none.
	doc    pjson.Document
	docErr error
}

// parse reads the document of a method that takes one.
func (c *call) parse(ctx context.Context) {
	if c.method.document == nil {
		return
	}
	if len(c.params) == 0 {
		c.docErr = problem(kindBadJSON, "params is missing: it must be a pJSON object or a list of them")
		return
	}
	c.doc, c.docErr = pjson.ParseContext(ctx, c.params, *c.method.document)
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
	c := &call{}
	if c.fault = c.read(raw); c.fault != "" {
		c.response = rpcFailure(c.id, rpcInvalidRequest, "Invalid Request")
		return c
	}
	if c.method, c.runs = rpcMethods[c.name]; !c.runs {
		c.fault = fmt.Sprintf("there is no method %.60q: known are %s", c.name, listed(slices.Sorted(maps.Keys(rpcMethods))))
		c.response = rpcFailure(c.id, rpcNoMethod, "Method not found")
	}
	return c
}

// read takes a request apart and says what is wrong with it, "" if nothing is.
func (c *call) read(raw json.RawMessage) (fault string) {
	fields := map[string]json.RawMessage{}
	err := text(raw).each(value{raw: raw}, "a request", func(_ int64, name string, v value) error {
		if _, twice := fields[name]; twice {
			return fmt.Errorf("a request has the member %.60q twice", name)
		}
		fields[name] = v.raw
		return nil
	})
	if err != nil {
		return err.Error()
	}
	c.id, c.params = fields["id"], fields["params"]
	var protocol string
	_ = json.Unmarshal(fields["jsonrpc"], &protocol) // what is no string is not "2.0"
	switch {
	case protocol != "2.0":
		return `jsonrpc must be "2.0"`
	case len(c.id) == 0 || bytes.Equal(c.id, nullID):
		return "id is missing or null: every request is answered, and must have one"
	case json.Unmarshal(fields["method"], &c.name) != nil:
		return "method must be a string"
	}
	return ""
}

// parseBatch returns the requests of a body, and false when it is not JSON.
func parseBatch(body []byte) ([]*call, bool) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	if !utf8.Valid(body) || !json.Valid(body) {
		return nil, false
	}
	if body[0] != '[' {
		return []*call{parseCall(body)}, true
	}
	var items []json.RawMessage
	_ = json.Unmarshal(body, &items) // it is a list
	calls := make([]*call, len(items))
	for i, item := range items {
		calls[i] = parseCall(item)
	}
	return calls, true
}

// explain puts what is wrong with a request into the header.
func explain(h http.Header, fault string) {
	ascii := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, fault)
	h.Set(headerError, ascii[:min(len(ascii), 1000)])
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
	body, wait, err := s.readRPC(w, r)
	if err != nil {
		p := problemOf(err)
		answer(w, p.Status, rpcFailure(nil, rpcInvalidRequest, "Invalid Request: %s", p.Detail))
		return nil
	}
	calls, ok := parseBatch(body)
	if !ok {
		if err := pjson.Check(body); err != nil {
			explain(w.Header(), err.Error())
		}
		answer(w, http.StatusOK, rpcFailure(nil, rpcParseError, "Parse error"))
		return nil
	}
	if err := s.calling(r, calls); err != nil {
		return err
	}
	if at := slices.IndexFunc(calls, func(c *call) bool { return !c.runs }); at >= 0 {
		explain(w.Header(), fmt.Sprintf("request %d: %s", at+1, calls[at].fault))
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

// readRPC reads the body and what the write waits for. Any content type will do,
// as with the original.
func (s *Server) readRPC(w http.ResponseWriter, r *http.Request) ([]byte, waiting, error) {
	_, wait, err := writeQuery(r)
	if err == nil {
		err = unconditional(r)
	}
	if err == nil {
		err = unencoded(r)
	}
	if err != nil {
		return nil, wait, err
	}
	body, err := s.readBody(w, r)
	return body, wait, err
}

// runBatch runs the calls in one transaction, or on one snapshot if none
// writes, so that a node which refuses writes still answers queries.
func (s *Server) runBatch(w http.ResponseWriter, r *http.Request, calls []*call, wait waiting) {
	writes, runs := false, false
	for _, c := range calls {
		runs = runs || c.runs
		writes = writes || c.runs && c.method.writes
	}
	if !runs || writes && refuseAll(calls) {
		return
	}
	s.parseCalls(r.Context(), calls)
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

// parseCalls reads the documents of a batch, before its transaction begins: the
// node's other writers are not to wait for their patterns.
func (s *Server) parseCalls(ctx context.Context, calls []*call) {
	ctx, cancel := s.parsing(ctx, s.parseTime)
	defer cancel()
	for _, c := range calls {
		c.parse(ctx)
	}
}

// refuseAll lets none of the calls write, if one of them is not valid: they are
// one transaction.
func refuseAll(calls []*call) bool {
	at := slices.IndexFunc(calls, func(c *call) bool { return !c.runs })
	if at < 0 {
		return false
	}
	for _, c := range calls {
		if c.runs {
			c.response = rpcFailure(c.id, rpcServerError, "Server Error: nothing was written, since request %d of the same batch is not valid: %s", at+1, calls[at].fault)
		}
	}
	return true
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
	if p := problemOf(err); cause.Code == rpcServerError && p.Status == http.StatusInternalServerError && r.Context().Err() == nil { // of a client that left nothing is to be said
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
	// held is how many bytes the rows of its queries have so far.
	held int
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
