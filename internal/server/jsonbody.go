package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/pjson"
)

// text is the JSON text of a body and what its parts are places in, so that a
// fault can be told with its line and column.
type text []byte

// fault is a problem at a byte of the body.
func (t text) fault(at int64, format string, args ...any) *Problem {
	p := problem(kindBadJSON, format, args...)
	p.Line, p.Column = t.place(at)
	p.Detail = "line " + strconv.Itoa(p.Line) + ", column " + strconv.Itoa(p.Column) + ": " + p.Detail
	return p
}

// place returns line and column of a byte, from 1, columns in characters.
func (t text) place(at int64) (line, column int) {
	before := t[:min(max(at, 0), int64(len(t)))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[start:])
}

// value is one JSON value of a body and where it begins.
type value struct {
	raw json.RawMessage
	at  int64
}

// members calls fn with each member of an object. It refuses what is no object,
// and a name that is unknown.
func (t text) members(v value, what string, fn map[string]func(value) error) error {
	return t.each(v, what, func(at int64, key string, v value) error {
		take, known := fn[key]
		if !known {
			return t.fault(at, "%s has the unknown member %q: known are %s", what, key, strings.Join(names(fn), ", "))
		}
		return take(v)
	})
}

// each calls fn with each member of an object, whatever it is called, and where
// its name stands. That no name is there twice has been checked.
func (t text) each(v value, what string, fn func(at int64, key string, v value) error) error {
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return t.fault(v.at, "%s must be a JSON object", what)
	}
	for dec.More() {
		before := dec.InputOffset()
		name, _ := dec.Token() // well-formed
		key, _ := name.(string)
		at := before + int64(max(bytes.IndexByte(v.raw[before:], '"'), 0))
		if err := fn(v.at+at, key, next(dec, v.at)); err != nil {
			return err
		}
	}
	return nil
}

// items calls fn with each item of a list.
func (t text) items(v value, what string, fn func(i int, v value) error) error {
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('[') {
		return t.fault(v.at, "%s must be a list", what)
	}
	for i := 0; dec.More(); i++ {
		if err := fn(i, next(dec, v.at)); err != nil {
			return err
		}
	}
	return nil
}

func next(dec *json.Decoder, base int64) value {
	var raw json.RawMessage
	_ = dec.Decode(&raw) // well-formed
	return value{raw: raw, at: base + dec.InputOffset() - int64(len(raw))}
}

func names(fn map[string]func(value) error) []string {
	out := make([]string, 0, len(fn))
	for name := range fn {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// string reads a string into to.
func (t text) string(what string, to *string) func(value) error {
	return func(v value) error {
		if len(v.raw) == 0 || v.raw[0] != '"' {
			return t.fault(v.at, "%s must be a string", what)
		}
		return json.Unmarshal(v.raw, to)
	}
}

// bool reads true or false into to.
func (t text) bool(what string, to *bool) func(value) error {
	return func(v value) error {
		if json.Unmarshal(v.raw, to) != nil || v.raw[0] == 'n' {
			return t.fault(v.at, "%s must be true or false", what)
		}
		return nil
	}
}

// parse reads a pJSON document that is part of the body; a fault in it is told
// with its place in the body.
func (t text) parse(ctx context.Context, v value, opts pjson.Options) (pjson.Document, error) {
	doc, err := pjson.ParseContext(ctx, v.raw, opts)
	fault, ok := errors.AsType[*pjson.SyntaxError](err)
	if !ok {
		return doc, err
	}
	moved := *fault
	line, column := t.place(v.at)
	if moved.Line == 1 {
		moved.Column += column - 1
	}
	moved.Line += line - 1
	return doc, &moved
}

// readJSON returns the body of a request that takes JSON, checked to be that.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request) (text, error) {
	if _, err := mediaType(r, typeJSON); err != nil {
		return nil, err
	}
	body, err := s.readBody(w, r)
	if err != nil {
		return nil, err
	}
	body = bytes.TrimPrefix(body, byteOrderMark)
	return body, pjson.Check(body)
}

var byteOrderMark = []byte("\xef\xbb\xbf")
