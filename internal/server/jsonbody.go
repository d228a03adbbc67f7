package server

import (
	"bytes"
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

// check refuses what encoding/json would silently mend: bytes that are no UTF-8
// and halves of surrogate pairs.
func (t text) check() error {
	if !utf8.Valid(t) {
		at := 0
		for at < len(t) {
			r, size := utf8.DecodeRune(t[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return t.fault(int64(at), "a byte that is no UTF-8: send JSON as UTF-8")
	}
	if err := t.wellFormed(); err != nil {
		return err
	}
	return t.surrogates()
}

func (t text) wellFormed() error {
	var v json.RawMessage
	err := json.Unmarshal(t, &v)
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(t)) == 0:
		return problem(kindBadJSON, "the body is empty: it must be a JSON object")
	case errors.As(err, &syntax):
		return t.fault(syntax.Offset-1, "%s", syntax)
	case err != nil:
		return problem(kindBadJSON, "%v", err)
	}
	return nil
}

// surrogates looks at the escapes in a text that is well-formed JSON, where a
// backslash stands in strings only.
func (t text) surrogates() error {
	const half = "half of a surrogate pair: it stands for no character"
	for i := 0; i < len(t); i++ {
		if t[i] != '\\' {
			continue
		}
		i++
		unit := t.unit(i)
		switch {
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return t.fault(int64(i-1), half)
		case unit >= 0xD800 && unit <= 0xDBFF:
			if i+6 >= len(t) || t[i+5] != '\\' || t.unit(i+6) < 0xDC00 || t.unit(i+6) > 0xDFFF {
				return t.fault(int64(i-1), half)
			}
			i += 6 // the other half
		}
	}
	return nil
}

// unit is the UTF-16 unit of the escape whose u stands at i; 0 of another escape.
func (t text) unit(i int) uint64 {
	if t[i] != 'u' {
		return 0
	}
	unit, _ := strconv.ParseUint(string(t[i+1:i+5]), 16, 32) // well-formed: four hexadecimal digits
	return unit
}

// members calls fn with each member of an object. It refuses what is no object,
// and a name that is unknown or stands there twice.
func (t text) members(v value, what string, fn map[string]func(value) error) error {
	dec := json.NewDecoder(bytes.NewReader(v.raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return t.fault(v.at, "%s must be a JSON object", what)
	}
	seen := map[string]bool{}
	for dec.More() {
		name, _ := dec.Token() // well-formed
		key, _ := name.(string)
		at := v.at + dec.InputOffset() - int64(len(strconv.Quote(key)))
		take, known := fn[key]
		switch {
		case !known:
			return t.fault(at, "%s has the unknown member %q: known are %s", what, key, strings.Join(names(fn), ", "))
		case seen[key]:
			return t.fault(at, "%s has the member %q twice", what, key)
		}
		seen[key] = true
		if err := take(next(dec, v.at)); err != nil {
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
func (t text) parse(v value, opts pjson.Options) (pjson.Document, error) {
	doc, err := pjson.Parse(v.raw, opts)
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
	return body, text(body).check()
}
