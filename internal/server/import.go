package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

const (
	// importObjects and importBytes are how much of an import is one transaction.
	importObjects = 1000
	importBytes   = 4 << 20
	maxLines      = 1 << 53
)

// brokenOff begins the last line of an export that broke off.
var brokenOff = []byte(`{"problem":{"type":"urn:vesper:problem:`)

// imported is the answer to an import, and what a problem says of one.
type imported struct {
	// Lines are those that are done, Objects the objects in them.
	Lines   int64 `json:"lines"`
	Objects int64 `json:"objects"`
	// Transactions are those that changed something.
	Transactions int64  `json:"transactions"`
	Revision     string `json:"revision"`
}

// postImport takes lines of JSON, each one object or a list, and makes the
// objects what they say. Lines are written many at a time, and each such batch
// whole or not at all; skip= leaves out lines that an earlier try has done, and
// first= is the number of the body's first line, for a body that is part of a file.
// Sending them again changes nothing either.
func (s *Server) postImport(w http.ResponseWriter, r *http.Request) error {
	params, err := query(r, "skip", "mode", "first")
	if err != nil {
		return err
	}
	in, err := s.parseImport(params)
	if err != nil {
		return err
	}
	if err := unconditional(r); err != nil {
		return err
	}
	body, err := importBody(r)
	if err != nil {
		return err
	}
	if s.draining.Load() {
		return &store.RefusedError{Reason: drainingReason}
	}
	unhurried(w)
	in.control = http.NewResponseController(w)
	if err := in.run(r, body); err != nil {
		return in.failed(err)
	}
	in.done.Revision = s.deps.Store.Revision().String()
	w.Header().Set(headerRevision, in.done.Revision)
	answer(w, http.StatusOK, in.done)
	return nil
}

// importer is an import under way.
type importer struct {
	server  *Server
	write   func(*store.Tx, []pjson.Object) error
	skip    int64
	control *http.ResponseController
	done    imported
	// line is the last that was read; batch, ids and size are what is read and
	// not yet written.
	line  int64
	batch []pjson.Object
	ids   map[string]bool
	size  int
}

func (s *Server) parseImport(params url.Values) (*importer, error) {
	mode := params.Get("mode")
	if mode == "" {
		mode = "replace"
	}
	write, known := addModes[mode]
	if !known || mode == "create" {
		return nil, problem(kindBadRequest, "mode: %q is unknown: it must be replace, update or add", mode)
	}
	in := &importer{server: s, write: write, ids: map[string]bool{}}
	for name, to := range map[string]*int64{"skip": &in.skip, "first": &in.line} {
		if !params.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(params.Get(name), 10, 64)
		if err != nil || n < 0 || n > maxLines {
			return nil, problem(kindBadRequest, "%s: %q is not a number of lines", name, params.Get(name))
		}
		*to = n
	}
	in.line = max(in.line-1, 0) // the one before the first
	in.done.Lines = in.line
	return in, nil
}

// importBody returns the lines of a request; they may come as gzip.
func importBody(r *http.Request) (io.Reader, error) {
	encoding := r.Header.Get("Content-Encoding")
	zipped := strings.EqualFold(encoding, "gzip")
	if zipped {
		r.Header.Del("Content-Encoding")
	}
	if _, err := mediaType(r, ndjsonTypes...); err != nil {
		return nil, err
	}
	if !zipped {
		return r.Body, nil
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, problem(kindBadRequest, "the body is not gzip, as Content-Encoding says: %v", err)
	}
	return z, nil
}

// run reads lines and writes them in batches.
func (in *importer) run(r *http.Request, body io.Reader) error {
	lines := bufio.NewReaderSize(body, 64<<10)
	for {
		_ = in.control.SetReadDeadline(time.Now().Add(in.server.patience)) // a recorder in tests has none
		line, err := in.read(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > 0 {
			if in.line++; in.line > in.skip {
				if err := in.take(r, line); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return in.flush(r)
		}
	}
}

// read returns a line. One that is longer than a request's body may be is refused
// before it is read whole.
func (in *importer) read(lines *bufio.Reader) ([]byte, error) {
	var line []byte
	limit := in.server.deps.Config.Limits.RequestBytes
	for {
		part, err := lines.ReadSlice('\n')
		if line = append(line, part...); int64(len(line)) > limit {
			return nil, problem(kindTooLarge, "line %d is longer than %d bytes: split it, or raise limits.requestBytes in the node's configuration", in.line+1, limit)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			err = problem(kindBadRequest, "the body broke off in line %d: %v", in.line+1, err)
		}
		return line, err
	}
}

// take reads the objects of a line. What is in the batch already is written
// before an object comes a second time: the later line counts.
func (in *importer) take(r *http.Request, line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	if bytes.HasPrefix(line, brokenOff) {
		return in.bad(errors.New("the export that these lines are of broke off here: export again, or go on after the line before"))
	}
	ctx, cancel := in.server.parsing(r.Context(), in.server.parseTime)
	defer cancel()
	doc, err := pjson.ParseContext(ctx, line, pjson.Options{IDs: pjson.Random()})
	if err != nil && r.Context().Err() == nil {
		return in.bad(err)
	}
	if err != nil {
		return err
	}
	again := false
	for _, o := range doc.Objects {
		if len(o.Props) == 0 {
			return in.bad(fmt.Errorf("the object %q has no property", o.ID))
		}
		again = again || in.ids[o.ID]
	}
	if again || len(in.batch) > importObjects || in.size > importBytes {
		if err := in.flushBefore(r); err != nil {
			return err
		}
	}
	for _, o := range doc.Objects {
		in.ids[o.ID] = true
	}
	in.batch, in.size = append(in.batch, doc.Objects...), in.size+len(line)
	return nil
}

// flushBefore writes what came before the line that was just read.
func (in *importer) flushBefore(r *http.Request) error {
	in.line--
	err := in.flush(r)
	in.line++
	return err
}

// flush writes the batch in one transaction.
func (in *importer) flush(r *http.Request) error {
	if len(in.batch) > 0 {
		commit, err := in.server.update(r.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return in.write(tx, in.batch) })
		if err != nil {
			return err
		}
		if !commit.Dot.IsZero() {
			in.done.Transactions++
		}
		in.done.Objects += int64(len(in.batch))
	}
	in.done.Lines = max(in.line, in.skip)
	in.batch, in.size = in.batch[:0], 0
	clear(in.ids)
	return nil
}

// bad is a fault of the last line.
func (in *importer) bad(err error) error {
	p := problem(kindBadImport, "line %d: %v", in.line, err)
	p.Line = int(in.line)
	if fault, ok := errors.AsType[*pjson.SyntaxError](err); ok {
		p.Column = fault.Column
		p.Detail = fmt.Sprintf("line %d, column %d: %s", in.line, fault.Column, fault.Message)
		if fault.Remedy != "" {
			p.Detail += ": " + fault.Remedy
		}
	}
	return p
}

// failed says, with a fault, how much was done before.
func (in *importer) failed(err error) error {
	p := *problemOf(err)
	if p.Status == http.StatusInternalServerError {
		in.server.log.Error("Import failed", "lines", in.done.Lines, "error", err)
	}
	in.done.Revision = in.server.deps.Store.Revision().String()
	p.Imported = &in.done
	p.Detail += fmt.Sprintf(" (lines up to %d are done: mend the rest and go on with skip=%d)", in.done.Lines, in.done.Lines)
	return &p
}
