package server

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/store"
)

// statements are what the OpenAPI document says of one operation, each of which a
// call must bear out: the forms of its body, its parameters, the statuses and
// media types of its answers and the headers that come with them.
type statements map[string]bool

// anyDefault is the answer that every operation may give: a problem. That each of
// them does is seen by TestEveryRouteRefusesAnUnknownToken.
const anyDefault = "any: default"

// ownHeaders are those that an answer has only if the document says so.
var ownHeaders = []string{
	headerRevision, headerChangeset, headerPeers, headerConflicts, headerError, "ETag", "Link", "Location", "Trailer", "WWW-Authenticate", "Retry-After", "Allow",
}

// describedAll returns every statement of the document.
func describedAll(doc apiDocument) statements {
	out := statements{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			of := strings.ToUpper(method) + " " + path + ": "
			for media := range op.RequestBody.Content {
				out[of+"takes "+media] = true
			}
			for _, p := range op.Parameters {
				out[of+p.In+" "+p.Name] = true
			}
			for status, response := range op.Responses {
				of := of + status
				if status == "default" {
					of = anyDefault // the same for all
				}
				out[of] = true
				for media := range response.Content {
					out[of+" "+media] = true
				}
				for header := range response.Headers {
					out[of+" has "+header] = true
				}
			}
		}
	}
	return out
}

// note notes what a call has borne out.
func (s statements) note(op apiOperation, c apiCall, status string, r reply) {
	of := c.method + " " + c.template + ": "
	media := mediaOf(r)
	answer := of + status
	if status == "default" {
		answer = anyDefault
	}
	s[answer], s[answer+" "+media] = true, true
	for _, header := range ownHeaders {
		if r.header.Get(header) != "" {
			s[answer+" has "+header] = true
		}
	}
	if c.status >= 400 {
		return // what is refused bears out nothing of what is asked
	}
	query, _ := url.Parse(c.path)
	for _, p := range op.Parameters {
		if p.In == "path" || query.Query().Has(p.Name) {
			s[of+p.In+" "+p.Name] = true
		}
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ": ")
		if s[of+"header "+name] = true; name == "Content-Type" {
			s[of+"takes "+value] = true
		}
	}
}

func mediaOf(r reply) string {
	media, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	return media
}

// undescribed returns the headers of an answer of which the document says nothing.
func undescribed(described statements, c apiCall, status string, r reply) (out []string) {
	for _, header := range ownHeaders {
		of := c.method + " " + c.template + ": " + status + " has " + header
		if status == "default" {
			of = anyDefault + " has " + header
		}
		if r.header.Get(header) != "" && !described[of] {
			out = append(out, header)
		}
	}
	return out
}

// moreCalls are those beside apiCalls that it takes to call for everything.
func moreCalls(bundle string) []apiCall {
	h := func(list ...string) []string { return list }
	events, lines := "Accept: text/event-stream", "Accept: "+typeNDJSON
	add := `{"jsonrpc":"2.0","id":1,"method":"add","params":{"id":"r","x":1}}`
	long := `"` + strings.Repeat("x", 64<<10) + `"`
	calls := []apiCall{
		{"GET", "/v1/objects/{id}", "/v1/objects/fight", "", 200, nil},
		{"GET", "/v1/objects/{id}", "/v1/objects/fight?at=0A00001", "", 200, h("If-Match: *")},
		{"PUT", "/v1/objects/{id}", "/v1/objects/m?wait=1&timeout=1ms", `{"x":1}`, 201, h(jsonBody, "If-None-Match: *")},
		{"PUT", "/v1/objects/{id}", "/v1/objects/m", `{"x":2}`, 200, h(jsonBody, "If-Match: *")},
		{"PATCH", "/v1/objects/{id}", "/v1/objects/o?wait=1&timeout=1ms", `{"x":1}`, 201, h(jsonBody, "If-None-Match: *")},
		{"PATCH", "/v1/objects/{id}", "/v1/objects/o?wait=1&timeout=1ms", `{"x":2}`, 200, h(jsonBody, "If-Match: *")},
		{"DELETE", "/v1/objects/{id}", "/v1/objects/m?wait=1&timeout=1ms", "", 200, h("If-Match: *")},
		{"POST", "/v1/objects", "/v1/objects?mode=create&wait=1&timeout=1ms", `{"id":"n","x":1}`, 201, h(jsonBody)},
		{"POST", "/v1/objects", "/v1/objects?mode=add&wait=1&timeout=1ms", `{"id":"n","y":1}`, 200, h(jsonBody)},
		{"GET", "/v1/objects", "/v1/objects?limit=1&after=a", "", 200, nil},
		{"POST", "/v1/transactions", "/v1/transactions?wait=1&timeout=1ms", `{"operations":[{"op":"delete","id":"n"}]}`, 200, h(jsonBody)},
		{"GET", "/v1/query", "/v1/query?q=%7B*%7D", "", 200, h(lines)},
		{"GET", "/v1/query", "/v1/query?q=%7Bid+where+x%3D%3Av%7D&bindvars=%7B%22v%22%3A1%7D&limit=1&at=0A00001&explain=true", "", 200, nil},
		{"POST", "/v1/query", "/v1/query", `{"query":"{*}","limit":1,"at":"0A00001","explain":true}`, 200, h(jsonBody, lines)},
		{"GET", "/v1/history/{id}", "/v1/history/fight?limit=1&after=0A00001", "", 200, nil},
		{"GET", "/v1/history/{id}", "/v1/history/o?limit=1", "", 200, nil},
		{"GET", "/v1/revisions", "/v1/revisions?limit=1&after=1", "", 200, nil},
		{"GET", "/v1/diff", "/v1/diff?from=0A00001&to=0A00003&limit=1&after=a", "", 200, nil},
		{"GET", "/v1/changes", "/v1/changes?after=1&limit=1", "", 200, nil},
		{"GET", "/v1/changes", "/v1/changes", "", 200, h(events, "Last-Event-ID: 1")},
		{"GET", "/v1/conflicts", "/v1/conflicts?limit=1", "", 200, nil},
		{"GET", "/v1/conflicts", "/v1/conflicts?after=a", "", 200, nil},
		{"GET", "/v1/conflicts/{id}", "/v1/conflicts/fight?at=0A00001", "", 200, nil},
		{"POST", "/v1/conflicts/{id}", "/v1/conflicts/feud/resolve?wait=1&timeout=1ms", `{"set":{"color":"red"}}`, 200, h(jsonBody, "If-Match: *")},
		{"GET", "/v1/export", "/v1/export?at=0A00001&after=a", "", 200, nil},
		{"POST", "/v1/import", "/v1/import?mode=add&skip=1&first=1", `{"id":"i","x":1}`, 200, h("Content-Type: application/ndjson")},
		{"POST", "/v1/import", "/v1/import", `{"id":"i","x":1}`, 200, h("Content-Type: application/jsonl")},
		{"GET", "/v1/bundle", "/v1/bundle?since=0A00001", "", 200, nil},
		{"POST", "/v1/bundle", "/v1/bundle", bundle, 200, h("Content-Type: application/vnd.vesper.bundle")},
		{"DELETE", "/v1/forks/{branch}", "/v1/forks/0C", "", 204, nil},
		{"GET", "/v1/quarantine/{number}", "/v1/quarantine/1", "", 200, nil},
		{"DELETE", "/v1/quarantine/{number}", "/v1/quarantine/1", "", 204, nil},
		{"POST", "/datarequest", "/datarequest?wait=1&timeout=1ms", add, 200, h(jsonBody)},
		{"POST", "/datarequest", "/datarequest?wiat=1", add, 400, h(jsonBody)},
		{"POST", "/datarequest", "/datarequest", long, 413, h(jsonBody)},
		{"POST", "/datarequest", "/datarequest", add, 415, h(jsonBody, "Content-Encoding: br")},
		{"POST", "/{store}/datarequest", "/default/datarequest?wait=1&timeout=1ms", "[" + strings.Replace(add, `"r"`, `"s"`, 1) + "]", 200, h(jsonBody)},
		{"POST", "/{store}/datarequest", "/default/datarequest?wiat=1", add, 400, h(jsonBody)},
		{"POST", "/{store}/datarequest", "/default/datarequest", long, 413, h(jsonBody)},
		{"POST", "/{store}/datarequest", "/default/datarequest", add, 415, h(jsonBody, "Content-Encoding: br")},
	}
	for _, action := range []string{"add", "update", "delete", "query"} {
		path := "/api/" + action
		calls = append(calls, apiCall{"POST", path, path, "", 400, h(formBody)}, apiCall{"POST", path, path, "data=" + long, 413, h(formBody)},
			apiCall{"POST", path, path, "data={}", 415, h(jsonBody)})
	}
	return calls
}

// TestEveryStatementOfTheOpenAPIDocumentIsBorneOut: each way to send a body, each
// parameter, each status, media type and header of every operation is seen in a
// call that the server answers, bodies are what the document says that they are,
// and no header comes that it does not tell of.
func TestEveryStatementOfTheOpenAPIDocumentIsBorneOut(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.StoragePath, d.Config.Limits.RequestBytes = t.TempDir(), 64<<10 })
	other := newNodeOf(t, "0B")
	for _, id := range []string{"fight", "feud"} {
		n.put(id, `{"color":"green"}`)
		other.put(id, `{"color":"blue"}`)
	}
	exchange2(t, n, other)
	if _, err := n.store.TellFork(t.Context(), branch.Dot{Branch: "0C", Seq: 4}, "0B"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := n.store.AddEvidence(t.Context(), store.Evidence{Link: "main", From: "0B", Dot: branch.Dot{Branch: "0C", Seq: 4}, Cause: "wrong-hash"}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	doc, compiler := theDocument(t)
	described, seen := describedAll(doc), statements{}
	theirs := other.get("/v1/bundle").want(200).body
	for _, c := range slices.Concat(moreCalls(theirs), apiCalls(theirs)) {
		op := doc.Paths[c.template][strings.ToLower(c.method)]
		r := n.whole(c)
		if r.status != c.status {
			t.Fatalf("%s %s: %d %s, want %d", c.method, c.path, r.status, r.body, c.status)
		}
		status := fmt.Sprint(c.status)
		if _, known := op.Responses[status]; !known {
			status = "default"
		}
		seen.note(op, c, status, r)
		if media := mediaOf(r); media != "" && len(op.Responses[status].Content) > 0 && op.Responses[status].Content[media] == nil {
			t.Errorf("%s %s answers %d with %s, which is not described", c.method, c.path, r.status, media)
		}
		for _, header := range undescribed(described, c, status, r) {
			t.Errorf("%s %s answers %s with the header %s, which is not described", c.method, c.template, status, header)
		}
		if c.status < 400 {
			wantRequest(t, compiler, op, c)
		}
	}
	locked, _ := guarded(t)
	unknown := apiCall{"GET", "/v1/objects", "/v1/objects", "", 401, []string{bearer("no-such-token-0123456789")}}
	seen.note(doc.Paths[unknown.template]["get"], unknown, "default", locked.whole(unknown).want(unknown.status))
	n.store.RefuseWrites("as after a start")
	refused := apiCall{"DELETE", "/v1/objects/{id}", "/v1/objects/b", "", 503, nil}
	seen.note(doc.Paths[refused.template]["delete"], refused, "default", n.whole(refused).want(refused.status))
	for s := range described {
		if !seen[s] {
			t.Errorf("described and never seen: %s", s)
		}
	}
}

// whole is do with the announced trailers; of an answer without end the headers count.
func (n *node) whole(c apiCall) reply {
	req, err := http.NewRequestWithContext(n.t.Context(), c.method, n.url+c.path, strings.NewReader(c.body))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range c.headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	r := reply{t: n.t, status: resp.StatusCode, header: resp.Header}
	for name := range resp.Trailer {
		r.header.Set("Trailer", name)
	}
	if resp.Header.Get("Content-Type") == typeEvents {
		return r
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	r.body = string(text)
	return r
}

// wantRequest checks that a body which the server takes is as described.
func wantRequest(t *testing.T, compiler *jsonschema.Compiler, op apiOperation, c apiCall) {
	t.Helper()
	for _, h := range c.headers {
		name, media, _ := strings.Cut(h, ": ")
		content, known := op.RequestBody.Content[media]
		if name != "Content-Type" {
			continue
		}
		if !known {
			t.Errorf("%s %s takes %s, which is not described", c.method, c.template, media)
			continue
		}
		if _, schema := content.(map[string]any)["schema"]; !schema || !json.Valid([]byte(c.body)) || strings.Contains(c.body, `"nope"`) {
			continue // no JSON, or meant to be answered with an error
		}
		schema, err := compiler.Compile("openapi.json#" + pointerTo("paths", c.template, strings.ToLower(c.method), "requestBody", "content", media, "schema"))
		if err != nil {
			t.Fatal(err)
		}
		conforms(t, schema, media, c.body)
	}
}
