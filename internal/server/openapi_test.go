package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// apiDocument is what the tests need of the OpenAPI document.
type apiDocument struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]apiOperation
}

type apiOperation struct {
	OperationID string `json:"operationId"`
	Summary     string
	Parameters  []struct {
		Name, In string
		Required bool
	}
	RequestBody struct{ Content map[string]any }
	Responses   map[string]struct{ Content, Headers map[string]any }
}

func theDocument(t *testing.T) (apiDocument, *jsonschema.Compiler) {
	t.Helper()
	var doc apiDocument
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", raw); err != nil {
		t.Fatal(err)
	}
	return doc, c
}

// TestOpenAPIHasEveryRouteAndNoOther: the document and the mux agree both ways.
func TestOpenAPIHasEveryRouteAndNoOther(t *testing.T) {
	n := newNode(t)
	doc, _ := theDocument(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("it is of OpenAPI %s", doc.OpenAPI)
	}
	var described, served []string
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
			if ids[op.OperationID] || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s %s: the operation id %q and the summary %q must be there, the id once", method, path, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			for part := range strings.SplitSeq(path, "/") {
				name, is := strings.CutPrefix(part, "{")
				if name = strings.TrimSuffix(name, "}"); is && !hasParameter(op, name) {
					t.Errorf("%s %s: the parameter %s of the path is not described", method, path, name)
				}
			}
		}
	}
	for _, r := range n.server.routes() {
		for method := range r.methods {
			served = append(served, method+" "+strings.Replace(r.pattern, "...", "", 1))
		}
	}
	slices.Sort(described)
	slices.Sort(served)
	for _, s := range served {
		if !slices.Contains(described, s) {
			t.Errorf("%s is served and not described", s)
		}
	}
	for _, d := range described {
		if !slices.Contains(served, d) {
			t.Errorf("%s is described and not served", d)
		}
	}
	n.get("/v1/openapi.json").want(200).wantHeader("Content-Type", typeJSON).wantJSON(string(openAPI))
}

func hasParameter(op apiOperation, name string) bool {
	for _, p := range op.Parameters {
		if p.Name == name && p.In == "path" && p.Required {
			return true
		}
	}
	return false
}

// apiCall is one call of the interface and the path of the document it is of.
type apiCall struct {
	method, template, path, body string
	status                       int
	headers                      []string
}

const jsonBody, linesBody, formBody = "Content-Type: application/json", "Content-Type: application/x-ndjson", "Content-Type: application/x-www-form-urlencoded"

func apiCalls(bundle string) []apiCall {
	h := func(list ...string) []string { return list }
	rpc := `[{"jsonrpc":"2.0","id":1,"method":"query","params":"{*}"},{"jsonrpc":"2.0","id":2,"method":"nope"}]`
	return []apiCall{
		{"PUT", "/v1/objects/{id}", "/v1/objects/a", `{"x":1,"o":{"y":[1,2]}}`, 201, h(jsonBody)},
		{"PUT", "/v1/objects/{id}", "/v1/objects/a?wait=1&timeout=1ms", `{"x":2}`, 200, h(jsonBody)},
		{"PUT", "/v1/objects/{id}", "/v1/objects/a", `{`, 400, h(jsonBody)},
		{"PATCH", "/v1/objects/{id}", "/v1/objects/a", `{"x":3}`, 200, h("Content-Type: application/merge-patch+json")},
		{"PATCH", "/v1/objects/{id}", "/v1/objects/p", `{"x":3}`, 201, h(jsonBody)},
		{"GET", "/v1/objects/{id}", "/v1/objects/a", "", 200, nil},
		{"GET", "/v1/objects/{id}", "/v1/objects/a?conflicts=true", "", 200, nil},
		{"GET", "/v1/objects/{id}", "/v1/objects/a", "", 304, h("If-None-Match: *")},
		{"GET", "/v1/objects/{id}", "/v1/objects/none", "", 404, nil},
		{"DELETE", "/v1/objects/{id}", "/v1/objects/p", "", 200, nil},
		{"DELETE", "/v1/objects/{id}", "/v1/objects/a", "", 412, h(`If-Match: "0A99999"`)},
		{"POST", "/v1/objects", "/v1/objects", `[{"id":"b","x":1},{"id":"c","x":1}]`, 201, h(jsonBody)},
		{"POST", "/v1/objects", "/v1/objects?mode=add", `{"id":"b","y":1}`, 200, h(linesBody)},
		{"GET", "/v1/objects", "/v1/objects?limit=1", "", 200, nil},
		{"POST", "/v1/transactions", "/v1/transactions", `{"comment":"c","operations":[{"op":"put","id":"t","object":{"x":1},"ifNoneMatch":"*"}]}`, 200, h(jsonBody)},
		{"POST", "/v1/transactions", "/v1/transactions", `{"operations":[{"op":"delete","id":"none"}]}`, 404, h(jsonBody)},
		{"GET", "/v1/query", "/v1/query?q=%7B*%7D&limit=1", "", 200, nil},
		{"POST", "/v1/query", "/v1/query", `{"query":"{id where x = :x}","bindvars":{"x":1}}`, 200, h(jsonBody)},
		{"POST", "/v1/query", "/v1/query", `{"query":"{id"}`, 400, h(jsonBody)},
		{"GET", "/v1/history/{id}", "/v1/history/a?limit=1", "", 200, nil},
		{"GET", "/v1/revisions", "/v1/revisions?limit=1", "", 200, nil},
		{"GET", "/v1/diff", "/v1/diff?from=0A00001&limit=1", "", 200, nil},
		{"GET", "/v1/changes", "/v1/changes", "", 200, nil},
		{"GET", "/v1/changes", "/v1/changes?feed=longpoll&timeout=1ms&after=10", "", 200, nil},
		{"GET", "/v1/changesets/{dot}", "/v1/changesets/0A00001", "", 200, nil},
		{"GET", "/v1/conflicts", "/v1/conflicts", "", 200, nil},
		{"GET", "/v1/conflicts", "/v1/conflicts?since=0", "", 200, nil},
		{"GET", "/v1/conflicts/{id}", "/v1/conflicts/fight", "", 200, nil},
		{"POST", "/v1/conflicts/{id}", "/v1/conflicts/fight/resolve", `{"set":{"color":"red"}}`, 200, h(jsonBody)},
		{"GET", "/v1/export", "/v1/export", "", 200, nil},
		{"POST", "/v1/import", "/v1/import", `{"id":"i","x":1}`, 200, h(linesBody)},
		{"POST", "/v1/import", "/v1/import", `{"id":}`, 422, h(linesBody)},
		{"GET", "/v1/bundle", "/v1/bundle", "", 200, nil},
		{"POST", "/v1/bundle", "/v1/bundle", bundle, 200, h("Content-Type: application/octet-stream")},
		{"GET", "/v1/snapshot", "/v1/snapshot", "", 200, nil},
		{"POST", "/v1/branch/accept", "/v1/branch/accept", "", 200, nil},
		{"POST", "/v1/drain", "/v1/drain", "", 200, nil},
		{"DELETE", "/v1/drain", "/v1/drain", "", 200, nil},
		{"GET", "/v1/forks", "/v1/forks", "", 200, nil},
		{"DELETE", "/v1/forks/{branch}", "/v1/forks/0B", "", 404, nil},
		{"GET", "/v1/quarantine", "/v1/quarantine", "", 200, nil},
		{"GET", "/v1/quarantine/{number}", "/v1/quarantine/1", "", 404, nil},
		{"DELETE", "/v1/quarantine/{number}", "/v1/quarantine/1", "", 404, nil},
		{"GET", "/v1/status", "/v1/status", "", 200, nil},
		{"GET", "/v1/openapi.json", "/v1/openapi.json", "", 200, nil},
		{"POST", "/datarequest", "/datarequest", rpc, 200, h(jsonBody)},
		{"POST", "/{store}/datarequest", "/default/datarequest", rpc, 200, h(jsonBody)},
		{"POST", "/{store}/datarequest", "/other/datarequest", rpc, 200, h(jsonBody)},
		{"POST", "/api/add", "/api/add", `data={"id":"f","x":1}`, 200, h(formBody)},
		{"POST", "/api/update", "/api/update", `data={"x":2}&where=id='f'`, 200, h(formBody)},
		{"POST", "/api/delete", "/api/delete", `data={}`, 200, h(formBody)},
		{"POST", "/api/query", "/api/query", `data={*}`, 200, h(formBody)},
		{"GET", "/api/query", "/api/query?data=%7B", "", 200, nil},
		{"GET", "/api/query", "/api/query", "", 400, nil},
		{"GET", "/healthz", "/healthz", "", 200, nil},
		{"GET", "/readyz", "/readyz", "", 200, nil},
		{"GET", "/metrics", "/metrics", "", 200, nil},
	}
}

// TestEveryOperationAnswersAsTheOpenAPIDocumentSays really calls each of them,
// and compares status, media type and body with what is described.
func TestEveryOperationAnswersAsTheOpenAPIDocumentSays(t *testing.T) {
	n, other := newNode(t, func(d *Deps) { d.Config.StoragePath = t.TempDir() }), newNodeOf(t, "0B")
	n.put("fight", `{"color":"green"}`)
	other.put("fight", `{"color":"blue"}`)
	exchange2(t, n, other)
	doc, compiler := theDocument(t)
	called := map[string]bool{}
	for _, c := range apiCalls(other.get("/v1/bundle").want(200).body) {
		called[c.method+" "+c.template] = true
		t.Run(fmt.Sprintf("%s %s %d", c.method, c.path, c.status), func(t *testing.T) {
			r := n.do(c.method, c.path, c.body, c.headers...).want(c.status)
			op := doc.Paths[c.template][strings.ToLower(c.method)]
			status := fmt.Sprint(c.status)
			response, known := op.Responses[status]
			if !known {
				status = "default"
				if response, known = op.Responses[status]; !known || c.status < 400 {
					t.Fatalf("the status %d is not described", c.status)
				}
			}
			media, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
			if len(response.Content) == 0 {
				return
			}
			if response.Content[media] == nil {
				t.Fatalf("the type %s is not described", media)
			}
			pointer := "openapi.json#" + pointerTo("paths", c.template, strings.ToLower(c.method), "responses", status, "content", media, "schema")
			schema, err := compiler.Compile(pointer)
			if err != nil {
				t.Fatal(err)
			}
			conforms(t, schema, media, r.body)
		})
	}
	for path, operations := range doc.Paths {
		for method := range operations {
			if !called[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s is described and was not called", method, path)
			}
		}
	}
}

// conforms validates a body: JSON whole, lines of JSON one by one.
func conforms(t *testing.T, schema *jsonschema.Schema, media, body string) {
	t.Helper()
	var documents []string
	switch {
	case media == typeNDJSON:
		documents = strings.Split(strings.TrimSpace(body), "\n")
	case strings.HasSuffix(media, "json"):
		documents = []string{body}
	}
	for _, text := range documents {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func pointerTo(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		p = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p)
		b.WriteString("/" + p)
	}
	return b.String()
}
