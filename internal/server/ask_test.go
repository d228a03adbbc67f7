package server

import (
	"net/url"
	"testing"
)

func TestQueryOverREST(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1,"name":"A"}`)
	n.put("b", `{"x":2,"name":"B"}`)
	ask := func(body string, headers ...string) reply {
		return n.do("POST", "/v1/query", body, append(headers, "Content-Type: application/json")...)
	}
	var out struct {
		Results []map[string]any
		Errors  []string
		More    bool
	}
	ask(`{"query":"{id, name where x = :x}","bindvars":{"x":2}}`).want(200).wantHeader("Vesper-Revision", "0A00002").into(&out)
	if len(out.Results) != 1 || out.Results[0]["name"] != "B" || out.Errors == nil || out.More {
		t.Errorf("got %+v", out)
	}
	ask(`{"query":"{id}","limit":1}`).want(200).into(&out)
	if len(out.Results) != 1 || !out.More {
		t.Errorf("with a limit: %+v", out)
	}
	lines := ask(`{"query":"{name}"}`, "Accept: application/x-ndjson").want(200).wantHeader("Content-Type", typeNDJSON)
	if lines.body != "{\"name\":\"A\"}\n{\"name\":\"B\"}\n" {
		t.Errorf("lines: %s", lines.body)
	}
	n.get("/v1/query?q="+url.QueryEscape("{name where x = :x}")+"&bindvars="+url.QueryEscape(`{"x":1}`), "Accept: application/x-ndjson").
		want(200)
	var p Problem
	ask(`{"query":"{id where x < }"}`).wantProblem(kindBadQuery).into(&p)
	if p.Line != 1 || p.Column == 0 {
		t.Errorf("the place of a fault: %+v", p)
	}
	for body, says := range map[string]string{
		`{}`: "query", `{"query":1}`: "query must be a string", `{"query":"{*}","limit":0}`: "limit", `{"query":"{*}","rows":1}`: `"rows"`,
		`{"query":"{*}","bindvars":[1]}`: "bindvars", `{"query":"{*}`: "does not end", `{"query":"\ud800"}`: "surrogate",
	} {
		ask(body).wantProblem(kindBadJSON, says)
	}
	for path, says := range map[string]string{
		"/v1/query": "q is missing", "/v1/query?q={*}&limit=x": "limit", "/v1/query?q={*}&bindvars={": "bindvars", "/v1/query?query={*}": "unknown parameter",
	} {
		n.get(path).wantProblem(kindBadRequest, says)
	}
	ask(`{"query":"{id where x = :none}"}`).wantProblem(kindBadQuery)
	n.do("PUT", "/v1/query", "{}").wantProblem(kindMethod, "GET, HEAD, POST")
}
