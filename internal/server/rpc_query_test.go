package server

import (
	"encoding/json"
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
	if !strings.Contains(r.body, "does not cover 0A00099") || !strings.Contains(r.body, "query failed") {
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

// TestForUpdateGivesEveryObjectItsID, so that the result can be sent back.
func TestForUpdateGivesEveryObjectItsID(t *testing.T) {
	n := newNode(t)
	n.rpc(request("1", "add", `{"id":"a","o":{"k":"v"}}`))
	var out []struct {
		Result struct {
			Results []struct{ O map[string]string }
		}
	}
	n.rpc(request("1", "query", `{"query":"{*}","forUpdate":true}`)).into(&out)
	id := out[0].Result.Results[0].O["id"]
	if id == "" {
		t.Fatalf("an embedded object without an id: %+v", out)
	}
	n.rpc(request("1", "update", `{"id":"`+strings.TrimPrefix(id, "@")+`","k":"w"}`))
	n.get("/v1/objects/a").want(200).wantJSON(`{"id":"a","o":{"k":"w"}}`)
	if r := n.rpc(request("1", "query", `{"query":"{*}"}`)); strings.Contains(r.body, id) {
		t.Errorf("an id that nobody asked for: %s", r.body)
	}
	if r := n.rpc(request("1", "query", `{"query":"{*}","debug":true}`)); !strings.Contains(r.body, "not supported yet: debug") {
		t.Errorf("debug: %s", r.body)
	}
}

func TestPrintASTShowsTheQueryAsUnderstood(t *testing.T) {
	for query, want := range map[string]string{
		`{id}`: `{"at":0,"items":[{"at":1,"key":{"at":1,"node":"literal","text":"id","type":"L"},"node":"item","value":{"at":1,"node":"id"}}],"node":"construct","shape":"object"}`,
		`{* where x = :v and y > 1 limit 3 offset 1}`: `{"at":0,"items":[{"at":1,"node":"item","star":true}],"limit":3,"node":"construct","offset":1,"shape":"object",
			"where":{"at":16,"node":"and","of":[
				{"at":11,"node":"=","of":[{"at":9,"node":"property","path":["x"]},{"at":13,"name":"v","node":"bindvar"}]},
				{"at":22,"node":">","of":[{"at":20,"node":"property","path":["y"]},{"at":24,"node":"literal","text":"1","type":"http://www.w3.org/2001/XMLSchema#integer"}]}]}}`,
	} {
		got, err := queryTree(query)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		reply{t: t, body: string(text)}.wantJSON(want)
	}
	n := newNode(t)
	if r := n.rpc(request("1", "query", `{"query":"{id}","printast":true}`)); !strings.Contains(r.body, `"ast":{"at":0`) {
		t.Errorf("got %s", r.body)
	}
}

// TestEveryPartOfAQueryHasANameInItsTree: all that the grammar knows.
func TestEveryPartOfAQueryHasANameInItsTree(t *testing.T) {
	for query, want := range map[string]string{
		`[a, [b]]`: `"shape":"list"`, `(count(*))`: `"star":true`, `{a: -b}`: `"negative"`, `{a where not b}`: `"not"`, `{maybe a}`: `"maybe"`,
		`{a where b in (1, 2)}`: `"in"`, `{a where b not in (1)}`: `"not in"`, `{a order by b desc}`: `"desc":true`, `{a group by b}`: `"groupBy"`,
		`{a: {b}}`: `"key"`, `{"self": * where a.b = 1}`: `"path":["a","b"]`, `{?x a where ?x.b = ?y}`: `"label":"y"`, `{a mergeall}`: `"mergeall":true`, `{a depth 2}`: `"depth":2`,
		`{a where {?z b = 1}}`: `"filter"`,
	} {
		got, err := queryTree(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		text, err := json.Marshal(got)
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "unknown") {
			t.Errorf("%s: %s has no %s (%v)", query, text, want, err)
		}
	}
}
