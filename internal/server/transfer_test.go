package server

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/nodeconfig"
)

func load(n *node, path, body string, headers ...string) reply {
	n.t.Helper()
	return n.do("POST", path, body, append(headers, "Content-Type: application/x-ndjson")...)
}

// TestExportIsWhatImportTakes: another node has the same objects afterwards, and
// taking them again changes nothing.
func TestExportIsWhatImportTakes(t *testing.T) {
	n, other := newNode(t), newNodeOf(t, "0B")
	n.put("a", `{"x":[1,[2,[]]],"o":{"l":[{"a":1}]},"r":"@b","d":{"datatype":"date","value":"2026-01-01"},"n":null}`)
	n.put("b/c", `{"x":1.0,"s":{"datatype":"json","value":"@me"}}`)
	out := n.get("/v1/export").want(200).wantHeader("Content-Type", typeNDJSON).wantHeader("Vesper-Revision", "0A00002")
	var got imported
	load(other, "/v1/import", out.body).want(200).into(&got)
	if got.Lines != 2 || got.Objects != 2 || got.Transactions != 1 {
		t.Errorf("imported %+v", got)
	}
	again := other.get("/v1/export").want(200)
	if again.body != out.body {
		t.Errorf("exported\n%s\nand after the import\n%s", out.body, again.body)
	}
	load(other, "/v1/import", out.body).want(200).into(&got)
	if got.Transactions != 0 || got.Revision != "0B00001" {
		t.Errorf("the second import: %+v", got)
	}
}

// TestExportAtARevisionHasWhatWasThere: what was written or deleted since does
// not show, in the middle of it and from any place on.
func TestExportAtARevisionHasWhatWasThere(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.put("b", `{"x":1}`)
	n.put("d", `{"x":1}`)
	n.put("z", `{"x":1}`)
	want := n.get("/v1/export").want(200).body
	n.put("b", `{"x":2}`)
	n.put("c", `{"x":1}`)
	n.put("zz", `{"x":1}`)
	for _, id := range []string{"a", "d", "z"} {
		n.do("DELETE", "/v1/objects/"+id, "").want(200)
	}
	if got := n.get("/v1/export?at=0A00004").want(200).body; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	lines := strings.SplitAfter(want, "\n")
	for i, after := range []string{"a", "b", "d"} {
		if got := n.get("/v1/export?at=0A00004&after=" + after).want(200).body; got != strings.Join(lines[i+1:], "") {
			t.Errorf("after %s: %s", after, got)
		}
	}
	if got := n.get("/v1/export").want(200).body; got != "{\"id\":\"b\",\"x\":2}\n{\"id\":\"c\",\"x\":1}\n{\"id\":\"zz\",\"x\":1}\n" {
		t.Errorf("now: %s", got)
	}
	n.get("/v1/export?at=0A99999").wantProblem(kindNoRevision, "does not cover")
	n.get("/v1/export?at=x").wantProblem(kindBadRequest, "at:")
}

// TestExportOfManyStepsIsWhole: each object once, in order, and their number last.
func TestExportOfManyStepsIsWhole(t *testing.T) {
	n := newNode(t)
	const objects = 2*exportStep + 7
	var b strings.Builder
	for i := range objects {
		fmt.Fprintf(&b, "{\"id\":\"%06d\",\"x\":%d}\n", i, i)
	}
	load(n, "/v1/import", b.String()).want(200)
	resp, err := n.client.Get(n.url + "/v1/export") //nolint:noctx // the server is the test's own
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	if got.String() != b.String() {
		t.Errorf("%d bytes came of %d", got.Len(), b.Len())
	}
	if n := resp.Trailer.Get(trailerObjects); n != fmt.Sprint(objects) {
		t.Errorf("the trailer says %q objects", n)
	}
}

// TestABadLineStopsAnImportBeforeItsBatch: what is told as done is there, nothing
// else is, and mending the line and going on from there gives all.
func TestABadLineStopsAnImportBeforeItsBatch(t *testing.T) {
	n := newNode(t)
	var lines []string
	for i := range importObjects + 500 {
		lines = append(lines, fmt.Sprintf(`{"id":"%05d","x":1}`, i))
	}
	bad := append([]string{}, lines...)
	bad[importObjects+300] = `{"id":"broken",}`
	r := load(n, "/v1/import", strings.Join(bad, "\n")).wantProblem(kindBadImport, fmt.Sprintf("line %d, column 16", importObjects+301), "skip=")
	var p Problem
	r.into(&p)
	if p.Line != importObjects+301 || p.Imported == nil {
		t.Fatalf("got %+v", p)
	}
	done := p.Imported.Lines
	if done == 0 || done > importObjects+300 || n.store.Stats().Objects != done {
		t.Fatalf("%d lines are done, and there are %d objects", done, n.store.Stats().Objects)
	}
	load(n, fmt.Sprintf("/v1/import?skip=%d", done), strings.Join(lines, "\n")).want(200)
	if got := n.store.Stats().Objects; got != int64(len(lines)) {
		t.Errorf("there are %d objects of %d", got, len(lines))
	}
}

func TestImportRefusesWhatItDoesNotUnderstand(t *testing.T) {
	small := func(d *Deps) {
		limits := nodeconfig.Default().Limits
		limits.RequestBytes = 200
		d.Config.Limits = limits
	}
	n := newNode(t, small)
	load(n, "/v1/import?mode=create", "").wantProblem(kindBadRequest, "replace, update or add")
	load(n, "/v1/import?skip=-1", "").wantProblem(kindBadRequest, "skip")
	load(n, "/v1/import", "{\"id\":\"a\"}\n").wantProblem(kindBadImport, "line 1", "no property")
	load(n, "/v1/import", "\n\n[]\n{\"x\":\"\\u0000\"}").wantProblem(kindBadImport, "line 4")
	load(n, "/v1/import", `{"x":"`+strings.Repeat("y", 300)+`"}`).wantProblem(kindTooLarge, "line 1")
	load(n, "/v1/import", "x", "Content-Encoding: gzip").wantProblem(kindBadRequest, "gzip")
	load(n, "/v1/import", "x", "Content-Encoding: br").wantProblem(kindMediaType, "br")
	load(n, "/v1/import", "", "If-Match: *").wantProblem(kindBadRequest, "If-Match")
	n.do("POST", "/v1/import", "{}", "Content-Type: application/json").wantProblem(kindMediaType, "application/json")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range 50 { // together longer than one request's limit
		fmt.Fprintf(z, "{\"id\":\"%d\",\"x\":1}\n", i)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	load(n, "/v1/import", b.String(), "Content-Encoding: gzip").want(200)
	load(n, "/v1/import", b.String()[:b.Len()-12], "Content-Encoding: gzip").wantProblem(kindBadRequest, "broke off")
	load(n, "/v1/import?mode=update", `{"id":"1","y":2}`).want(200)
	n.get("/v1/objects/1").wantJSON(`{"id":"1","x":1,"y":2}`)
	n.server.Drain()
	load(n, "/v1/import", "{\"x\":1}").want(http.StatusServiceUnavailable)
}

// TestALineCountsMoreThanOneBeforeIt: an object twice is written twice.
func TestALineCountsMoreThanOneBeforeIt(t *testing.T) {
	n := newNode(t)
	load(n, "/v1/import", "{\"id\":\"a\",\"x\":1}\n{\"id\":\"a\",\"x\":2}\n").want(200)
	n.get("/v1/objects/a").wantJSON(`{"id":"a","x":2}`)
}
