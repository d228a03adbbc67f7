package server

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPostCreatesOneObjectWithAGeneratedID(t *testing.T) {
	n := newNode(t)
	r := n.do("POST", "/v1/objects", `{"x":1}`).want(201).wantHeader("Vesper-Revision", "0A00001").wantHeader("Vesper-Changeset", "0A00001")
	var got receipt
	if r.into(&got); len(got.IDs) != 1 || !strings.HasPrefix(got.IDs[0], "bnode:j:t:object:") || !got.Created || !got.Changed {
		t.Fatalf("unexpected receipt %+v", got)
	}
	location := r.header.Get("Location")
	n.get(location).want(200).wantJSON(`{"id":"` + got.IDs[0] + `","x":1}`)
}

func TestPostOfManyIsOneTransaction(t *testing.T) {
	n := newNode(t)
	bodies := map[string][2]string{
		"a list":                        {"application/json", `[{"id":"1a","x":1},{"id":"1b","x":2}]`},
		"lines":                         {"application/x-ndjson", "{\"id\":\"2a\",\"x\":1}\n\n{\"id\":\"2b\",\"x\":2}\n"},
		"lines, DOS":                    {"application/jsonl; charset=utf-8", "{\"id\":\"3a\",\"x\":1}\r\n{\"id\":\"3b\",\"x\":2}"},
		"with a header":                 {"application/json", `{"pjson":"0.9","data":[{"id":"4a","x":1},{"id":"4b","x":2}]}`},
		"with nested":                   {"application/json", `[{"id":"5a","x":{"id":"5c","y":1}},{"id":"5b","x":2}]`},
		"with embedded":                 {"application/json", `[{"id":"6a","x":{"y":1}},{"id":"6b","x":2}]`},
		"of which some have references": {"application/json", `[{"id":"7a","x":"@7b"},{"id":"7b","x":2}]`},
	}
	for name, tt := range bodies {
		t.Run(name, func(t *testing.T) {
			before := n.store.Revision().At("0A")
			var got receipt
			n.do("POST", "/v1/objects", tt[1], "Content-Type: "+tt[0]).want(201).wantHeader("Location", "").into(&got)
			if n.store.Revision().At("0A") != before+1 {
				t.Errorf("%d transactions", n.store.Revision().At("0A")-before)
			}
			if len(got.IDs) != 2 || got.IDs[0][1:] != "a" || got.IDs[1][1:] != "b" {
				t.Errorf("ids %v are not those listed, in order", got.IDs)
			}
		})
	}
}

func TestPostOfManyWritesAllOrNothing(t *testing.T) {
	n := newNode(t)
	n.put("b", `{"x":1}`)
	n.do("POST", "/v1/objects", `[{"id":"a","x":1},{"id":"b","x":2}]`).wantProblem(kindExists, "b", "PUT or PATCH")
	n.do("POST", "/v1/objects", "{\"id\":\"c\",\"x\":1}\n{\"id\":\"d\",,}", "Content-Type: application/x-ndjson").wantProblem(kindBadJSON, "line 2")
	n.do("POST", "/v1/objects", `[{"id":"c","x":1},{"id":"d"}]`).wantProblem(kindBadRequest, `"d"`, "no property")
	n.get("/v1/objects").wantJSON(`{"objects":[{"id":"b","x":1}]}`).wantHeader("Vesper-Revision", "0A00001")
}

func TestPostModes(t *testing.T) {
	tests := map[string]string{
		"add":     `{"id":"a","x":[1,2],"y":1}`,
		"update":  `{"id":"a","x":2,"y":1}`,
		"replace": `{"id":"a","x":2}`,
	}
	for mode, want := range tests {
		t.Run(mode, func(t *testing.T) {
			n := newNode(t)
			n.put("a", `{"x":1,"y":1}`)
			n.do("POST", "/v1/objects?mode="+mode, `{"id":"a","x":2}`).want(200)
			n.get("/v1/objects/a").wantJSON(want)
		})
	}
	n := newNode(t)
	n.do("POST", "/v1/objects?mode=upsert", `{"x":2}`).wantProblem(kindBadRequest, "upsert", "create, add, update or replace")
	n.do("POST", "/v1/objects?Mode=add", `{"x":2}`).wantProblem(kindBadRequest, `"Mode"`)
	n.do("POST", "/v1/objects", `[]`).wantProblem(kindBadRequest, "no object")
	n.do("POST", "/v1/objects", "\n", "Content-Type: application/x-ndjson").wantProblem(kindBadRequest, "no object")
	n.do("POST", "/v1/objects", "a,b", "Content-Type: text/csv").wantProblem(kindMediaType, "text/csv")
}

// list collects the ids of all pages and the number of pages.
func (n *node) list(path string) (ids []string, pages int) {
	n.t.Helper()
	for path != "" {
		var page struct {
			Objects []struct{ ID string }
			Next    string
		}
		r := n.get(path).want(200)
		r.into(&page)
		for _, o := range page.Objects {
			ids = append(ids, o.ID)
		}
		if link := r.header.Get("Link"); (link != "") != (page.Next != "") || !strings.Contains(link, page.Next) {
			n.t.Errorf("Link %q and next %q differ", link, page.Next)
		}
		path = page.Next
		if pages++; pages > 100 {
			n.t.Fatal("the pages have no end")
		}
	}
	return ids, pages
}

func TestListPagesThroughAllObjectsOnceInOrder(t *testing.T) {
	n := newNode(t)
	var body []string
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("o/%02d &", i) // needs escaping in the next link
		want = append(want, id)
		body = append(body, fmt.Sprintf(`{"id":%q,"o":{"embedded":%d}}`, id, i))
	}
	n.do("POST", "/v1/objects", "["+strings.Join(body, ",")+"]").want(201)
	for limit, pages := range map[int]int{1: 25, 7: 4, 24: 2, 25: 1, 1000: 1} {
		got, count := n.list(fmt.Sprintf("/v1/objects?limit=%d", limit))
		if diff := cmp.Diff(want, got); diff != "" || count != pages {
			t.Errorf("limit %d: %d pages, want %d (-want +got):\n%s", limit, count, pages, diff)
		}
	}
	if got, _ := n.list("/v1/objects?after=" + url.QueryEscape(want[22])); len(got) != 2 {
		t.Errorf("after the third last came %q", got)
	}
}

func TestListEndsAPageBeforeItGrowsTooLong(t *testing.T) {
	n := newNode(t)
	for i := range 4 {
		n.put(fmt.Sprint(i), `{"x":"`+strings.Repeat("y", pageBytes*2/3)+`"}`)
	}
	if ids, pages := n.list("/v1/objects"); len(ids) != 4 || pages != 2 {
		t.Errorf("got %d objects on %d pages, want 4 on 2", len(ids), pages)
	}
}

func TestListFilters(t *testing.T) {
	n := newNode(t)
	n.do("POST", "/v1/objects", `[
		{"id":"1","type":"book","year":1851,"by":"@melville","limit":"L"},
		{"id":"2","type":"book","year":1922,"read":true},
		{"id":"3","type":"film","year":"1851","read":null},
		{"id":"4","type":"@book","tags":["a","b"],"o":{"type":"book"}},
		{"id":"5","type":["book","film"],"year":1851.5}]`).want(201)
	for params, want := range map[string][]string{
		"type=book":               {"1", "2", "5"},
		"type=@book":              {"4"},
		"year=1851":               {"1", "3"},
		"year=1851.5":             {"5"},
		"type=book&year=1851":     {"1"},
		"type=book&type=film":     {"5"},
		"read=true":               {"2"},
		"read=null":               {"3"},
		"by=@melville":            {"1"},
		"tags=b":                  {"4"},
		"::limit=L":               {"1"},
		"nothing=x":               nil,
		"type=book&after=1":       {"2", "5"},
		"type=book&limit=1":       {"1", "2", "5"},
		"type=book&limit=2":       {"1", "2", "5"},
		"type=book&read=true&x=y": nil,
	} {
		if got, _ := n.list("/v1/objects?" + params); !cmp.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", params, got, want)
		}
	}
	n.get("/v1/objects?limit=0").wantProblem(kindBadRequest, "limit", "1 to 1000")
	n.get("/v1/objects?limit=many").wantProblem(kindBadRequest, `"many"`)
	n.get("/v1/objects?x=%zz").wantProblem(kindBadRequest, "form-encoded")
}

func TestHistoryTellsWhatEveryChangesetDid(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1,"y":"@b"}`)
	n.rpc(`[{"jsonrpc":"2.0","id":1,"method":"transaction_info","params":{"comment":"why"}},
		{"jsonrpc":"2.0","id":2,"method":"update","params":{"id":"a","x":2}}]`)
	n.do("DELETE", "/v1/objects/a", "").want(200)
	var page historyPage
	n.get("/v1/history/a").want(200).wantHeader("Vesper-Revision", "0A00003").into(&page)
	want := historyPage{ID: "a", History: []entry{
		{Changeset: "0A00001", Added: []any{map[string]any{"id": "a", "x": 1.0, "y": "@b"}}, Removed: []any{}},
		{Changeset: "0A00002", Comment: "why", Added: []any{map[string]any{"id": "a", "x": 2.0}}, Removed: []any{map[string]any{"id": "a", "x": 1.0}}},
		{Changeset: "0A00003", Deleted: true, Added: []any{}, Removed: []any{map[string]any{"id": "a", "x": 2.0, "y": "@b"}}},
	}}
	for i := range page.History {
		if page.History[i].Time.IsZero() {
			t.Errorf("entry %d has no time", i)
		}
		page.History[i].Time = want.History[0].Time
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("unexpected history (-want +got):\n%s", diff)
	}
	n.get("/v1/history/b").wantProblem(kindNotFound, `"b"`)
}

func TestHistoryPages(t *testing.T) {
	n := newNode(t)
	for i := range 5 {
		n.put("a/b", fmt.Sprintf(`{"x":%d}`, i))
	}
	var seen []string
	for path := "/v1/history/a%2Fb?limit=2"; path != ""; {
		var page historyPage
		n.get(path).want(200).into(&page)
		for _, e := range page.History {
			seen = append(seen, e.Changeset)
		}
		path = page.Next
	}
	if want := []string{"0A00001", "0A00002", "0A00003", "0A00004", "0A00005"}; !cmp.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
	n.get("/v1/history/a%2Fb?limit=0").wantProblem(kindBadRequest, "limit")
	n.get("/v1/history/a%2Fb?after=x").wantProblem(kindBadRequest, "after")
	n.get("/v1/history/a%2Fb?before=x").wantProblem(kindBadRequest, `"before"`)
}

func TestChangesFeedHasEveryChangesetOnce(t *testing.T) {
	n := newNode(t)
	n.get("/v1/changes").want(200).wantJSON(`{"changes":[],"last":0}`)
	n.put("a", `{"x":{"y":1}}`)
	n.do("POST", "/v1/objects", `[{"id":"b","x":1},{"id":"c","x":1}]`).want(201)
	n.do("DELETE", "/v1/objects/a", "").want(200)
	var last uint64
	var got []change
	for range 4 {
		var page changesPage
		n.get(fmt.Sprintf("/v1/changes?limit=1&after=%d", last)).want(200).into(&page)
		last = page.Last
		for _, c := range page.Changes {
			if c.Time.IsZero() {
				t.Errorf("change %d has no time", c.Pos)
			}
			c.Time = time.Time{}
			got = append(got, c)
		}
	}
	want := []change{
		{Pos: 1, Changeset: "0A00001", Objects: []changedObject{{ID: "a"}}},
		{Pos: 2, Changeset: "0A00002", Objects: []changedObject{{ID: "b"}, {ID: "c"}}},
		{Pos: 3, Changeset: "0A00003", Objects: []changedObject{{ID: "a", Deleted: true}}},
	}
	if diff := cmp.Diff(want, got); diff != "" || last != 3 {
		t.Errorf("last is %d; unexpected changes (-want +got):\n%s", last, diff)
	}
	n.get("/v1/changes?after=x").wantProblem(kindBadRequest, `"x"`)
	n.get("/v1/changes?limit=-1").wantProblem(kindBadRequest, "limit")
	n.get("/v1/changes?since=1").wantProblem(kindBadRequest, `"since"`)
}
