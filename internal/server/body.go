package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/pjson"
)

// The media types of bodies.
const (
	typeJSON       = "application/json"
	typeMergePatch = "application/merge-patch+json"
	typeNDJSON     = "application/x-ndjson"
	typeProblem    = "application/problem+json"
)

// ndjsonTypes are the names under which lines of JSON travel.
var ndjsonTypes = []string{typeNDJSON, "application/ndjson", "application/jsonl"}

// mediaType returns the body's type, one of the accepted; none given means the first.
func mediaType(r *http.Request, accepted ...string) (string, error) {
	if err := unencoded(r); err != nil {
		return "", err
	}
	header := r.Header.Get("Content-Type")
	if header == "" {
		return accepted[0], nil
	}
	t, params, err := mime.ParseMediaType(header)
	if err != nil || !slices.Contains(accepted, t) {
		return "", problem(kindMediaType, "the content type %q is not understood here: send the header Content-Type: %s", header, strings.Join(accepted, " or "))
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") {
		return "", problem(kindMediaType, "the charset %q is not understood: JSON is always UTF-8", c)
	}
	return t, nil
}

// unencoded refuses a body that is compressed.
func unencoded(r *http.Request) error {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return problem(kindMediaType, "the content encoding %q is not understood: send the body as it is", enc)
	}
	return nil
}

// readBody returns the whole body, at most as long as configured.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.deps.Config.Limits.RequestBytes))
	if err == nil {
		return body, nil
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, err
	}
	return nil, problem(kindBadRequest, "the body broke off after %d bytes: %v", len(body), err)
}

// parsing is the context in which a request's documents are read: the patterns
// of their namemaps are the client's, and end with it, or when they take too long.
func (s *Server) parsing(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, within, problem(kindBadJSON,
		"the patterns of the document took longer than %s to match: use fewer or simpler ones, or send less at a time", within))
}

// parseLines parses one pJSON document in each line. A fault is reported with
// its line in the body.
func parseLines(ctx context.Context, body []byte, opts pjson.Options) ([]pjson.Object, error) {
	var objects []pjson.Object
	lines := map[string]int{}
	for i, line := range bytes.Split(body, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		doc, err := pjson.ParseContext(ctx, line, opts)
		if fault, ok := errors.AsType[*pjson.SyntaxError](err); ok {
			moved := *fault
			moved.Line += i
			return nil, &moved
		}
		if err != nil {
			return nil, fmt.Errorf("parsing line %d: %w", i+1, err)
		}
		for _, o := range doc.Objects {
			if first := lines[o.ID]; first > 0 {
				return nil, &pjson.SyntaxError{
					Position: pjson.Position{Line: i + 1, Column: o.Position.Column}, Message: fmt.Sprintf("the id %q is in line %d too", o.ID, first),
					Remedy: "put all its properties into one line, or give one of them another id",
				}
			}
			lines[o.ID] = i + 1
		}
		objects = append(objects, doc.Objects...)
	}
	return objects, nil
}
