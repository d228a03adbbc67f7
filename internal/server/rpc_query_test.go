package server

import (
	"strings"
	"testing"
)

func TestAQueryIsAnsweredAsOfAPastRevision(t *testing.T) {
	n := newNode(t)
	n.rpc(request("1", "add", `[{"id":"a","v":1},{"id":"b","v":1}]`)).wantHeader("Vesper-Revision", "0A00001")
	n.rpc(request("1", "replace", `{"id":"a","v":2}`))
	for query, want := range map[string]string{
		`{"query":"{* where v = 1}","at":"0A00001"}`: `[{"id":"@a","v":1},{"id":"@b","v":1}]`,
		`{"query":"{* where v = 1}"}`:                `[{"id":"@b","v":1}]`,
		`{"query":"{* where v = 2}","at":"0A00001"}`: `[]`,
	} {
		r := n.rpc(request("1", "query", query))
		if body := strings.NewReplacer("\n", "", " ", "").Replace(r.body); !strings.Contains(body, `"results":`+want) {
			t.Errorf("%s gives %s, want %s", query, r.body, want)
		}
	}
	r := n.rpc(request("1", "query", `{"query":"{*}","at":"0A00099"}`))
	if !strings.Contains(r.body, "has not been reached") || !strings.Contains(r.body, "query failed") {
		t.Errorf("a revision that has not come: %s", r.body)
	}
}

func TestAQueryTellsItsPlanWhenAsked(t *testing.T) {
	n := newNode(t)
	n.rpc(request("1", "add", `[{"id":"a","v":1},{"id":"b","v":1},{"id":"c","v":2}]`))
	r := n.rpc(request("1", "query", `{"query":"{id where v = 2}","explain":true}`))
	for _, want := range []string{`"explain"`, `"value index"`, `"estimated":1`, `"actual":1`} {
		if !strings.Contains(r.body, want) {
			t.Errorf("%s is not in %s", want, r.body)
		}
	}
	if r := n.rpc(request("1", "query", `"{id}"`)); strings.Contains(r.body, `"explain"`) {
		t.Errorf("a plan that nobody asked for: %s", r.body)
	}
}
