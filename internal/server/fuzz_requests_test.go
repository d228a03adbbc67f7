package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// send puts a request to a node without a network. headers are "Name: value".
func (n *node) send(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, method, "/", strings.NewReader(body))
	target, query, _ := strings.Cut(path, "?")
	req.URL = &url.URL{Path: target, RawQuery: query}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	n.server.Handler().ServeHTTP(rec, req)
	if rec.Code >= 500 || strings.Contains(rec.Body.String(), "urn:vesper:problem:internal") {
		n.t.Fatalf("%s %q %q: %d %s", method, path, body, rec.Code, rec.Body)
	}
	return rec
}

const asJSON = "Content-Type: " + typeJSON

// FuzzTransaction: a transaction that is refused writes nothing, whatever it is,
// and one that is not is one changeset at most.
func FuzzTransaction(f *testing.F) {
	for _, seed := range []string{
		`{"operations":[{"op":"put","id":"a","object":{"x":2}}]}`, `{"operations":[{"op":"delete","id":"a"},{"op":"delete","id":"b"}]}`,
		`{"comment":"c","operations":[{"op":"patch","id":"a","object":{"x":null,"o":{"y":[1,[]]}},"ifMatch":"0A00001"}]}`,
		`{"operations":[{"op":"create","object":{"x":1}},{"op":"remove","id":"a","object":{"x":1}}]}`,
		`{"operations":[{"op":"add","id":"n","object":{"x":1},"ifNoneMatch":"*"},{"op":"put","id":"a","object":{"id":"b"}}]}`,
		`{"operations":[]}`, `{"operations":{}}`, `[]`, `{"operations":[{"op":"put"`, `{"operations":[{"op":"put","id":"\u0000","object":{"x":1}}],"operations":1}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		n := newNode(t)
		n.put("a", `{"x":1}`)
		rec := n.send("POST", "/v1/transactions", body, asJSON)
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%q: the answer is not JSON: %s", body, rec.Body)
		}
		seq := n.store.Revision().At("0A")
		if rec.Code != 200 && seq != 1 || seq > 2 {
			t.Fatalf("%q: status %d, and the node is at %s", body, rec.Code, n.store.Revision())
		}
	})
}

// FuzzImport: what was imported is exported, and importing that changes nothing.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		"{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":[]}\n", `{"x":1}`, "[{\"id\":\"a\",\"x\":1},{\"id\":\"a\",\"y\":1}]\n\n{\"id\":\"a\",\"z\":{\"k\":1}}",
		"{\"id\":\"a\",\"x\":1}\n{\"id\":", "{\"id\":\"a\"}\n", "null\n", "\x1f\x8b\x00", "{\"id\":\"l\",\"x\":[1,[2,[\"@l\"]]]}\r\n",
	} {
		f.Add(seed, "")
	}
	f.Add(`{"id":"a","x":1}`, "mode=add&skip=1")
	f.Add(`{"id":"a","x":1}`, "mode=update&first=9&skip=8")
	f.Fuzz(func(t *testing.T, body, params string) {
		n := newNode(t)
		rec := n.send("POST", "/v1/import?"+params, body, "Content-Type: "+typeNDJSON)
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%q: the answer is not JSON: %s", body, rec.Body)
		}
		out := n.send("GET", "/v1/export", "")
		again := n.send("POST", "/v1/import", out.Body.String(), "Content-Type: "+typeNDJSON)
		var done imported
		if err := json.Unmarshal(again.Body.Bytes(), &done); err != nil || again.Code != 200 || done.Transactions != 0 {
			t.Fatalf("%q was exported as %q, and that is imported with %d %s", body, out.Body, again.Code, again.Body)
		}
	})
}

// FuzzQuery: a query is answered or refused, and as lines it has the same rows.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		`{*}`, `{id, x where x = :v order by x desc limit 1}`, `[x, [y]]`, `(count(*))`, `{id where`, `{"a": x + 1 where x > 0}`, `{x, "n": count(x) group by x}`, `{* where o.k = 1}`, `{*} #`, "{\x00}", `{"a": 1 / 0}`,
	} {
		f.Add(seed, "{}", 2)
	}
	f.Add(`{* where x = :v}`, `{"v":[1,"@a"]}`, 0)
	f.Fuzz(func(t *testing.T, query, binds string, limit int) {
		n := newNode(t)
		n.put("a", `{"x":1,"o":{"k":1}}`)
		n.put("b", `{"x":"@a","y":[1,2]}`)
		params := url.Values{"q": {query}, "bindvars": {binds}}
		if limit > 0 {
			params.Set("limit", "1")
		}
		whole := n.send("GET", "/v1/query?"+params.Encode(), "")
		lines := n.send("GET", "/v1/query?"+params.Encode(), "", "Accept: "+typeNDJSON)
		if whole.Code != lines.Code || !json.Valid(whole.Body.Bytes()) {
			t.Fatalf("%q: %d %s, as lines %d %s", query, whole.Code, whole.Body, lines.Code, lines.Body)
		}
		if whole.Code != 200 {
			return
		}
		var out struct{ Results []json.RawMessage }
		if err := json.Unmarshal(whole.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		var joined []byte
		for _, row := range out.Results {
			joined = append(append(joined, row...), '\n')
		}
		if !bytes.Equal(joined, lines.Body.Bytes()) {
			t.Fatalf("%q: %s, as lines %s", query, whole.Body, lines.Body)
		}
	})
}

// FuzzLogParameters: whatever is asked of revisions, diff, changes and history is
// answered with JSON, and the next page can be asked for.
func FuzzLogParameters(f *testing.F) {
	for _, seed := range []string{
		"", "limit=1", "limit=0", "after=1&limit=1", "after=18446744073709551615", "from=&limit=1", "from=0A00001&to=0A00002", "from=0A00002&to=", "from=0A00009", "from=0A00001,0B00001",
		"after=0A00001", "feed=normal", "feed=x", "timeout=1", "from=0A00001&after=%00", "limit=1&limit=2", "%", "a=b;c",
	} {
		for path := range uint8(4) {
			f.Add(path, seed)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, params string) {
		if strings.Contains(params, "feed") && !strings.Contains(params, "feed=normal") && !strings.Contains(params, "feed=x") {
			t.Skip("a feed that waits is tested apart")
		}
		n := newNode(t)
		n.put("a", `{"x":1}`)
		n.put("a", `{"x":2}`)
		n.put("b", `{"x":2}`)
		path := []string{"/v1/revisions", "/v1/diff", "/v1/changes", "/v1/history/a"}[which%4]
		for range 10 {
			rec := n.send("GET", path+"?"+params, "")
			var page struct{ Next string }
			if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil {
				t.Fatalf("%s?%s: %v: %s", path, params, err, rec.Body)
			}
			if page.Next == "" {
				return
			}
			if rec.Code != 200 {
				t.Fatalf("%s?%s: %d with a next page", path, params, rec.Code)
			}
			path, params, _ = strings.Cut(page.Next, "?")
		}
		t.Fatalf("%s?%s: three changesets make more than ten pages", path, params)
	})
}

// FuzzForm: every action answers with JSON that says whether it succeeded, and
// one that did not writes nothing.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"data=%7B%2A%7D", `data={"id":"a","x":1}`, `data=[{"id":"a"},{"x":[1,2]}]`, "data=", "", "data=%", "data={&data=}", `data={"id":"a","x":{"y":null}}`, "where=1;2&data=%00",
	} {
		for action := range uint8(4) {
			f.Add(action, seed)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, form string) {
		n := newNode(t)
		n.put("a", `{"x":1}`)
		path := "/api/" + []string{"query", "add", "update", "delete"}[which%4]
		rec := n.send("POST", path, form, "Content-Type: "+typeForm)
		var out struct {
			Action  string
			Success *bool
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || out.Success == nil || out.Action == "" {
			t.Fatalf("%s %q: %d %s (%v)", path, form, rec.Code, rec.Body, err)
		}
		if at := n.store.Revision().At("0A"); !*out.Success && at != 1 {
			t.Fatalf("%s %q failed, and the node is at %d: %s", path, form, at, rec.Body)
		}
	})
}
