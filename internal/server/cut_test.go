package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// cut reads an answer that must end before its end, as it comes over the wire.
func (n *node) cut(method, path, body string, headers ...string) (*http.Response, []byte) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range append(headers, jsonBody) {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if !errors.Is(err, io.ErrUnexpectedEOF) || resp.StatusCode != 200 {
		n.t.Fatalf("status %d, the end is %v, want a cut", resp.StatusCode, err)
	}
	return resp, text
}

// wantLast checks that the last line is whole and says why the answer broke off.
func wantLast(t *testing.T, text []byte, k kind, says string) {
	t.Helper()
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 2 || len(lines[len(lines)-1]) > 0 {
		t.Fatalf("the last line is not whole: %q", lines[len(lines)-1])
	}
	_, compiler := theDocument(t)
	schema, err := compiler.Compile("openapi.json#/components/schemas/BreakingOff")
	if err != nil {
		t.Fatal(err)
	}
	conforms(t, schema, typeJSON, string(lines[len(lines)-2]))
	var last map[string]Problem
	if err := json.Unmarshal(lines[len(lines)-2], &last); err != nil {
		t.Fatalf("%v: %s", err, lines[len(lines)-2])
	}
	p := last["problem"]
	if len(last) != 1 || p.Type != "urn:vesper:problem:"+k.name || p.Status != k.status || !strings.Contains(p.Detail, says) {
		t.Errorf("the last line is %s", lines[len(lines)-2])
	}
}

// TestLinesThatAreCutSayWhyAlsoCompressed: what the compressor holds is sent
// before the cut.
func TestLinesThatAreCutSayWhyAlsoCompressed(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.Limits.QueryRows = 50 })
	n.stuff(100, 4<<10)
	for _, encoding := range []string{"identity", "gzip"} {
		resp, text := n.cut("POST", "/v1/query", `{"query":"{*}"}`, "Accept: "+typeNDJSON, "Accept-Encoding: "+encoding) //nolint:bodyclose // cut has read and closed it
		if encoding == "gzip" {
			if resp.Header.Get("Content-Encoding") != "gzip" {
				t.Fatal("the answer is not compressed")
			}
			z, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if text, err = io.ReadAll(z); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
		}
		wantLast(t, text, kindBadQuery, "50 rows")
		if len(resp.Trailer) > 0 && resp.Trailer.Get(trailerRows) != "" {
			t.Errorf("%s: the trailer of a whole answer: %v", encoding, resp.Trailer)
		}
	}
}

// TestAnExportThatIsCutSaysWhy, when the history that it needs leaves the log
// under it; and its last line is no object that an import takes.
func TestAnExportThatIsCutSaysWhy(t *testing.T) {
	n := newNode(t)
	n.stuff(600, 40<<10)
	req, err := http.NewRequestWithContext(t.Context(), "GET", n.url+"/v1/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := n.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	if _, err := in.ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	n.put("o000599", `{"x":1}`)
	for more := true; more; {
		trimmed, err := n.store.Trim(t.Context(), n.store.Revision(), time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		more = trimmed.More
	}
	text, err := io.ReadAll(in)
	if !errors.Is(err, io.ErrUnexpectedEOF) || resp.Trailer.Get(trailerObjects) != "" {
		t.Fatalf("the end is %v with the trailer %q, want a cut", err, resp.Trailer)
	}
	wantLast(t, text, kindCompacted, "history begins at")
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	load(n, "/v1/import", lines[len(lines)-2]+"\n"+lines[len(lines)-1]).wantProblem(kindBadImport, "line 2", "broke off", "export")
}

// TestEventsThatAreCutSayWhy: the place to go on from has left the log.
func TestEventsThatAreCutSayWhy(t *testing.T) {
	n := newNode(t)
	n.server.heartbeat = 5 * time.Millisecond
	n.put("a", `{"x":1}`)
	gone := errors.New("as if the disk were gone")
	out := httptest.NewRecorder()
	e := &eventWriter{w: out, control: http.NewResponseController(out), patience: time.Minute}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/changes", nil)
	if err := e.breakOff(r, gone); !errors.Is(err, gone) {
		t.Errorf("the stream ends with %v, which would not cut it", err)
	}
	if got := out.Body.String(); !strings.HasPrefix(got, "event: problem\ndata: {\"type\":\"urn:vesper:problem:internal\"") || !strings.HasSuffix(got, "}\n\n") {
		t.Errorf("the client is told %q", got)
	}
	s := n.events("/v1/changes")
	s.change()
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(s.lines)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(string(rest), "event: problem\ndata: {\"type\":\"urn:vesper:problem:closing\"") {
		t.Errorf("the stream ended with %v after %q", err, rest)
	}
}

// peak is a client that measures, at each part, what the node holds.
type peak struct {
	sized
	heap uint64
	body bytes.Buffer
}

func (p *peak) Write(b []byte) (int, error) {
	p.heap = max(p.heap, heapInUse())
	return p.body.Write(b)
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAnExportHoldsAWindowOfWhatWasWrittenSince: 8 MiB of ids written since its
// revision pass through few, and what it sends is what was there.
func TestAnExportHoldsAWindowOfWhatWasWrittenSince(t *testing.T) {
	n := newNode(t)
	const objects, batch = 4000, 100
	id := func(i int) string { return fmt.Sprintf("%06d-%s", i*7919%objects, strings.Repeat("i", 2000)) }
	var want, since strings.Builder
	for i := range 10 {
		fmt.Fprintf(&want, "{\"id\":\"%06d\",\"x\":1}\n", i*objects/10)
	}
	load(n, "/v1/import", want.String()).want(200)
	for i := range objects {
		if fmt.Fprintf(&since, "{\"id\":%q,\"x\":2}\n", id(i)); (i+1)%batch == 0 {
			load(n, "/v1/import", since.String()).want(200)
			since.Reset()
		}
	}
	load(n, "/v1/import", strings.ReplaceAll(want.String(), `"x":1`, `"x":3`)).want(200)
	n.do("DELETE", "/v1/objects/000000", "").want(200)
	before := heapInUse()
	out := &peak{sized: sized{header: http.Header{}}}
	n.server.Handler().ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), "GET", "/v1/export?at=0A00001", nil))
	if out.body.String() != want.String() {
		t.Errorf("got\n%s", out.body.String())
	}
	if grown := int64(out.heap) - int64(before); out.heap == 0 || grown > 5<<20 {
		t.Errorf("the node held %d bytes more while it answered", grown)
	}
}
