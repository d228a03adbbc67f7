package server

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// FuzzDataRequest: whatever is sent, the answer is JSON-RPC, never a fault of
// the node, and a batch with an error of execution writes nothing.
func FuzzDataRequest(f *testing.F) {
	for _, seed := range []string{
		request("1", "add", `{"id":"a","x":1}`), `[]`, `[5]`, `{`, "[" + request("1", "create", `{"x":1}`) + "," + request("2", "query", `"{*}"`) + "]",
		request("1", "remove", `["@a"]`), request("1", "update", `{"id":"a","l":[[1],{"y":null}]}`), request("1", "transaction_info", `{"comment":"$new1"}`),
		request("1", "query", `{"query":"{* where x = :x}","bindvars":{"x":[1,"@a"]}}`), request("1", "replace", `{"pjson":"0.9","data":[]}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		n := newNode(t)
		rec := httptest.NewRecorder()
		n.server.Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/datarequest", strings.NewReader(body)))
		if rec.Code != 200 || strings.Contains(rec.Body.String(), "urn:vesper:problem:internal") {
			t.Fatalf("%q: %d %s", body, rec.Code, rec.Body)
		}
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%q: the answer is not JSON: %s", body, rec.Body)
		}
	})
}

// FuzzPutObject: whatever is stored is given back so that putting it again
// changes nothing.
func FuzzPutObject(f *testing.F) {
	for _, seed := range []string{`{"x":1}`, `{"x":[1,[2,[]]],"o":{"l":[{"a":1}]}}`, `{"x":"@@a","y":"::@b","::id":1}`, `{"d":{"datatype":"date","value":"x"}}`, `{"x":1e400}`, `{"context":"c","x":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		n := newNode(t)
		r := n.do("PUT", "/v1/objects/f", body)
		if r.status >= 500 {
			t.Fatalf("%q: %d %s", body, r.status, r.body)
		}
		got := n.get("/v1/objects/f")
		if r.status != 201 || got.status != 200 {
			return // refused, or nothing but objects of their own in it
		}
		var again receipt
		n.do("PUT", "/v1/objects/f", got.body).want(200).into(&again)
		if again.Changed {
			t.Fatalf("%q was given back as %s, which is something else", body, got.body)
		}
		n.get("/v1/objects/f").wantJSON(got.body)
	})
}

// TestDifferenceIsWhatOneRequestDid: for any two consecutive states of a
// transaction, what it added and removed in between leads from one to the other.
func TestDifferenceIsWhatOneRequestDid(t *testing.T) {
	n := newNode(t)
	n.put("o", `{"p":["a","b"],"q":1}`)
	rapid.Check(t, func(rt *rapid.T) {
		undo := &Problem{Detail: "only looking"}
		_, err := n.store.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error {
			b := &batch{server: n.server, ctx: t.Context(), reader: tx.Reader, tx: tx}
			for range rapid.IntRange(1, 5).Draw(rt, "steps") {
				step(rt, b)
			}
			return undo
		})
		if err != undo { //nolint:errorlint // the very value that the function returned
			rt.Fatal(err)
		}
	})
}

func step(rt *rapid.T, b *batch) {
	value := rapid.SampledFrom([]string{`"a"`, `["b","a"]`, `1`, `[]`, `null`, `{"in":1}`}).Draw(rt, "value")
	doc, err := pjson.Parse([]byte(`{"id":"o","p":`+value+`}`), pjson.Options{})
	if err != nil {
		rt.Fatal(err)
	}
	writes := map[string]func([]pjson.Object) error{"add": b.tx.Add, "update": b.tx.Update, "replace": b.tx.Replace, "remove": b.tx.Remove}
	method := rapid.SampledFrom([]string{"add", "update", "replace", "remove"}).Draw(rt, "method")
	before := statementsOf(rt, b)
	added, removed, err := b.difference(func() error { return writes[method](doc.Objects) })
	if err != nil {
		rt.Fatal(err)
	}
	got := without(before, removed)
	got = append(got, added...)
	statement.Sort(got)
	if want := statementsOf(rt, b); !slices.EqualFunc(got, want, statement.Equal) {
		rt.Fatalf("%s %s: before %v, added %v, removed %v, after %v", method, value, before, added, removed, want)
	}
}

func statementsOf(rt *rapid.T, b *batch) []statement.Statement {
	o, _, err := b.tx.Object("o")
	if err != nil {
		rt.Fatal(err)
	}
	list := slices.Clone(o.Statements)
	statement.Sort(list)
	return list
}
