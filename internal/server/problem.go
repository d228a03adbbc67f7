package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// Problem is an RFC 9457 problem document, the body of every error under /v1.
type Problem struct {
	// Type is a URN that a program can compare, "urn:vesper:problem:not-found".
	Type string `json:"type"`
	// Title is the same for all problems of a Type.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail names the thing, what is wrong with it, and the remedy.
	Detail string `json:"detail"`
	// Line and Column tell where in the request's body, from 1; 0 when the
	// problem is not of one place.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Pointer is the JSON pointer (RFC 6901) to the part of the body at fault, for
	// bodies that list several things to do.
	Pointer string `json:"pointer,omitempty"`
	// Imported is how much of an import was done before it failed.
	Imported *imported `json:"imported,omitempty"`
	// Revision is, for a precondition that failed, what the object is at.
	Revision string `json:"revision,omitempty"`

	// retryAfter is the seconds after which it makes sense to try again; 0: unknown.
	retryAfter int
	// challenge is the header WWW-Authenticate, for 401 and 403.
	challenge string
	// allow lists the methods of the resource, for 405.
	allow string
}

// Error makes a Problem an error that handlers can return.
func (p *Problem) Error() string { return p.Detail }

// kind is a type of problem: what its URN ends with, its title and status.
type kind struct {
	name, title string
	status      int
}

var (
	kindBadRequest    = kind{"bad-request", "The request cannot be understood", http.StatusBadRequest}
	kindBadJSON       = kind{"bad-json", "The body is not a pJSON document", http.StatusBadRequest}
	kindBadQuery      = kind{"bad-query", "The query cannot be answered", http.StatusBadRequest}
	kindBadImport     = kind{"bad-import", "A line cannot be imported", http.StatusUnprocessableEntity}
	kindInvalid       = kind{"invalid-value", "A value cannot be stored", http.StatusBadRequest}
	kindIDMismatch    = kind{"id-mismatch", "The body names another object than the path", http.StatusBadRequest}
	kindUnauthorized  = kind{"unauthorized", "The request needs a token", http.StatusUnauthorized}
	kindForbidden     = kind{"forbidden", "The role does not allow this", http.StatusForbidden}
	kindCrossOrigin   = kind{"cross-origin", "The request comes from another web site", http.StatusForbidden}
	kindNotFound      = kind{"not-found", "There is no such object", http.StatusNotFound}
	kindNoRevision    = kind{"no-such-revision", "The node does not have that revision", http.StatusNotFound}
	kindNoRoute       = kind{"no-such-path", "There is no such path", http.StatusNotFound}
	kindMethod        = kind{"method-not-allowed", "The method does not apply here", http.StatusMethodNotAllowed}
	kindExists        = kind{"already-exists", "The object already exists", http.StatusConflict}
	kindNoSuch        = kind{"no-such-entry", "There is no such entry", http.StatusNotFound}
	kindNotAcceptable = kind{"branch-not-acceptable", "The branch cannot be accepted now", http.StatusConflict}
	kindForeign       = kind{"foreign-bundle", "The bundle is of another system", http.StatusConflict}
	kindBadBundle     = kind{"bad-bundle", "The bundle cannot be read", http.StatusUnprocessableEntity}
	kindNoChangeset   = kind{"no-such-changeset", "The node does not have that changeset", http.StatusNotFound}
	kindNoConflict    = kind{"not-in-conflict", "The property is not in conflict", http.StatusConflict}
	kindNoValue       = kind{"no-such-value", "The property has no value of that changeset", http.StatusUnprocessableEntity}
	kindCompacted     = kind{"compacted", "That part of the history is no longer kept", http.StatusGone}
	kindFeedGap       = kind{"feed-gap", "The feed cannot be resumed there", http.StatusGone}
	kindPrecondition  = kind{"precondition-failed", "The object is not what the request expects", http.StatusPreconditionFailed}
	kindTooLarge      = kind{"too-large", "The request is too large", http.StatusRequestEntityTooLarge}
	kindMediaType     = kind{"unsupported-media-type", "The body's media type is not understood", http.StatusUnsupportedMediaType}
	kindSlowClient    = kind{"request-timeout", "The request came too slowly", http.StatusRequestTimeout}
	kindInternal      = kind{"internal", "The node failed", http.StatusInternalServerError}
	kindRefused       = kind{"writes-refused", "The node takes no writes now", http.StatusServiceUnavailable}
	kindClosed        = kind{"closing", "The node is stopping", http.StatusServiceUnavailable}
	kindStorage       = kind{"storage-failed", "The disk did not take the write", http.StatusServiceUnavailable}
	kindFull          = kind{"disk-full", "The disk is full", http.StatusInsufficientStorage}
)

// retrySeconds is what a client is told to wait when nobody knows better.
const retrySeconds = 2

func problem(k kind, format string, args ...any) *Problem {
	return &Problem{Type: "urn:vesper:problem:" + k.name, Title: k.title, Status: k.status, Detail: fmt.Sprintf(format, args...)}
}

// problemOf maps what the packages below return. What it does not know is the
// node's fault and says no more than that: the log has the rest.
func problemOf(err error) *Problem {
	var (
		own          *Problem
		syntax       *pjson.SyntaxError
		tooLong      *http.MaxBytesError
		exists       *store.ExistsError
		precondition *store.PreconditionError
		limit        *store.LimitError
		invalid      *store.InvalidError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &syntax):
		p := problem(kindBadJSON, "%s", err)
		p.Line, p.Column = syntax.Line, syntax.Column
		return p
	case errors.As(err, &tooLong):
		return problem(kindTooLarge, "the body is longer than %d bytes: split it, or raise limits.requestBytes in the node's configuration", tooLong.Limit)
	case errors.As(err, &exists):
		return problem(kindExists, "%s: PUT or PATCH it, or choose another id", exists)
	case errors.As(err, &precondition):
		p := problem(kindPrecondition, "%s", precondition)
		p.Revision = precondition.Revision.String()
		return p
	case errors.As(err, &limit):
		return problem(kindTooLarge, "%s", limit)
	case errors.As(err, &invalid):
		return problem(kindInvalid, "%s", invalid)
	}
	if p := compactedProblem(err); p != nil {
		return p
	}
	if p := conflictProblem(err); p != nil {
		return p
	}
	return unavailable(err)
}

// unavailable maps errors that are not the request's fault.
func unavailable(err error) *Problem {
	var (
		refused *store.RefusedError
		storage *store.StorageError
		closed  *store.ClosedError
	)
	p := problem(kindInternal, "an unexpected error: the node's log has it under this time; if it comes again, report it")
	switch {
	case errors.As(err, &refused):
		p = problem(kindRefused, "%s", refused)
	case errors.As(err, &storage) && storage.DiskFull():
		p = problem(kindFull, "%s", storage)
	case errors.As(err, &storage):
		p = problem(kindStorage, "%s", storage)
	case errors.As(err, &closed):
		p = problem(kindClosed, "the node is stopping: ask another one, or this one when it is back")
	}
	if p.Status == http.StatusServiceUnavailable {
		p.retryAfter = retrySeconds
	}
	return p
}

// write sends the problem. Whatever headers of success were set are dropped.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range []string{"ETag", "Trailer", headerRevision} {
		h.Del(name)
	}
	h.Set("Content-Type", typeProblem)
	h.Set("Cache-Control", "no-store")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.challenge != "" {
		h.Set("WWW-Authenticate", p.challenge)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	w.WriteHeader(p.Status)
	writeJSON(w, p)
}

// breakingOff is what stands where an answer that has begun ends before its end:
// in a document beside the rows, in lines as the last of them.
type breakingOff struct {
	Problem *Problem `json:"problem"`
}

// lineOf is the last line of an answer of lines that breaks off.
func lineOf(err error) []byte {
	var b bytes.Buffer
	writeJSON(&b, breakingOff{problemOf(err)})
	return b.Bytes()
}

// writeJSON sends v. An error here means that the client is gone.
func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
