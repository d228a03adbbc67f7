package server

import (
	"fmt"
	"strings"
	"testing"
)

func transact(n *node, body string, headers ...string) reply {
	n.t.Helper()
	return n.do("POST", "/v1/transactions", body, append(headers, "Content-Type: application/json")...)
}

// TestTransactionIsOneChangesetOfAllItsOperations: each kind of operation does
// what its request of its own does, and the history has one changeset.
func TestTransactionIsOneChangesetOfAllItsOperations(t *testing.T) {
	n := newNode(t)
	n.put("keep", `{"a":1,"b":2}`)
	n.put("gone", `{"x":1}`)
	n.put("list", `{"tag":["a","b"]}`)
	transact(n, `{"comment":"all at once","operations":[
		{"op":"put","id":"new","object":{"x":1}},
		{"op":"patch","id":"keep","object":{"a":null,"c":3}},
		{"op":"delete","id":"gone"},
		{"op":"create","object":{"id":"made","y":2}},
		{"op":"add","id":"new","object":{"z":5}},
		{"op":"remove","id":"list","object":{"tag":"a"}}]}`).want(200).
		wantJSON(`{"ids":["new","keep","gone","made","new","list"],"changed":true,"changeset":"0A00004","revision":"0A00004"}`)
	n.get("/v1/objects/new").wantJSON(`{"id":"new","x":1,"z":5}`)
	n.get("/v1/objects/keep").wantJSON(`{"id":"keep","b":2,"c":3}`)
	n.get("/v1/objects/gone").want(404)
	n.get("/v1/objects/made").wantJSON(`{"id":"made","y":2}`)
	n.get("/v1/objects/list").wantJSON(`{"id":"list","tag":["b"]}`)
	var c changesetView
	n.get("/v1/changesets/0A00004").into(&c)
	if c.Comment != "all at once" || len(c.Objects) != 5 {
		t.Errorf("the changeset: %+v", c)
	}
}

// TestTransactionWritesNothingWhenOneOperationFails, whichever it is.
func TestTransactionWritesNothingWhenOneOperationFails(t *testing.T) {
	n := newNode(t)
	tag := n.put("o", `{"x":1}`).header.Get("ETag")
	for _, tt := range []struct {
		name, second string
		kind         kind
		says         string
	}{
		{"delete of what is absent", `{"op":"delete","id":"none"}`, kindNotFound, `operations[1] (delete "none")`},
		{"create of what exists", `{"op":"create","id":"o","object":{"x":2}}`, kindExists, "operations[1]"},
		{"another revision", `{"op":"put","id":"o","object":{"x":2},"ifMatch":"0A00009"}`, kindPrecondition, "0A00009"},
		{"must not exist", `{"op":"put","id":"o","object":{"x":2},"ifNoneMatch":"*"}`, kindPrecondition, "o"},
		{"must exist", `{"op":"put","id":"p","object":{"x":2},"ifMatch":"*"}`, kindPrecondition, "p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transact(n, `{"operations":[{"op":"put","id":"first","object":{"x":1}},`+tt.second+`]}`).wantProblem(tt.kind, tt.says)
			n.get("/v1/objects/first").want(404)
		})
	}
	if got := n.store.Revision().String(); got != "0A00001" {
		t.Errorf("the node is at %s", got)
	}
	transact(n, fmt.Sprintf(`{"operations":[{"op":"put","id":"o","object":{"x":2},"ifMatch":%q}]}`, strings.Trim(tag, `"`))).want(200)
}

// TestTransactionConditionsAreAboutWhatWasThereBefore, not about what an earlier
// operation of the same transaction did.
func TestTransactionConditionsAreAboutWhatWasThereBefore(t *testing.T) {
	n := newNode(t)
	transact(n, `{"operations":[{"op":"put","id":"a","object":{"x":1}},{"op":"patch","id":"a","object":{"y":1},"ifNoneMatch":"*"}]}`).want(200)
	n.get("/v1/objects/a").wantJSON(`{"id":"a","x":1,"y":1}`)
}

// TestFaultsOfATransactionNameTheirPlace: line and column in the body.
func TestFaultsOfATransactionNameTheirPlace(t *testing.T) {
	n := newNode(t)
	for _, tt := range []struct {
		name, body   string
		line, column int
		says         string
	}{
		{"no JSON", "{\"operations\":\n [}", 2, 3, "unexpected '}'"},
		{"empty", "", 1, 1, "there is no text"},
		{"a list", "[]", 1, 1, "must be a JSON object"},
		{"no operations", "{}", 1, 1, "operations"},
		{"an unknown member", "{\"operations\":[],\n\"mode\":1}", 2, 1, `"mode"`},
		{"a member twice", `{"comment":"a","comment":"b"}`, 1, 16, "twice"},
		{"an unknown op", "{\"operations\":[\n{\"op\":\"upsert\",\"id\":\"a\"}]}", 2, 1, "upsert"},
		{"op is a number", `{"operations":[{"op":1}]}`, 1, 22, "op must be a string"},
		{"no object", `{"operations":[{"op":"put","id":"a"}]}`, 1, 16, "takes an object"},
		{"delete with an object", `{"operations":[{"op":"delete","id":"a","object":{}}]}`, 1, 16, "no object"},
		{"an object with NUL", "{\"operations\":[\n  {\"op\":\"put\",\"id\":\"a\",\"object\":\n   {\"x\":\"\\u0000\"}}]}", 3, 10, "NUL"},
		{"an id with NUL", `{"operations":[{"op":"delete","id":"\u0000"}]}`, 1, 37, "NUL"},
		{"an empty id", `{"operations":[{"op":"put","id":"","object":{"x":1}}]}`, 1, 16, "id is empty"},
		{"a comment with NUL", `{"comment":"\u0000","operations":[]}`, 1, 13, "NUL"},
		{"half a surrogate pair", `{"comment":"\ud800","operations":[]}`, 1, 13, "surrogate"},
		{"the other half", `{"comment":"a\udc00"}`, 1, 14, "surrogate"},
		{"two first halves", `{"comment":"\ud800\ud800"}`, 1, 13, "surrogate"},
		{"bytes that are no UTF-8", "{\"comment\":\"\xff\"}", 1, 13, "UTF-8"},
		{"an object of two", `{"operations":[{"op":"put","object":[{"x":1}]}]}`, 1, 37, "one JSON object"},
		{"ids that differ", `{"operations":[{"op":"put","id":"a","object":{"id":"b","x":1}}]}`, 1, 46, `"b"`},
		{"a revision that is none", `{"operations":[{"op":"put","id":"a","object":{"x":1},"ifMatch":"zz"}]}`, 1, 16, "ifMatch"},
		{"deep nesting", `{"operations":[{"op":"put","id":"a","object":` + strings.Repeat(`{"x":`, 200) + "1" + strings.Repeat("}", 200) + `}]}`, 1, 0, "100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := transact(n, tt.body).wantProblem(kindBadJSON, tt.says)
			var p Problem
			if r.into(&p); p.Line != tt.line || tt.column > 0 && p.Column != tt.column {
				t.Errorf("line %d, column %d, want %d, %d: %s", p.Line, p.Column, tt.line, tt.column, p.Detail)
			}
		})
	}
	transact(n, `{"comment":"\ud83d\ude00","operations":[{"op":"put","id":"smile","object":{"x":"\ud83d\ude00"}}]}`).want(200)
	transact(n, `{"operations":[]}`, "If-Match: *").wantProblem(kindBadRequest, "If-Match")
	n.do("POST", "/v1/transactions", `{}`, "Content-Type: text/plain").wantProblem(kindMediaType, "text/plain")
	n.get("/v1/transactions").wantProblem(kindMethod, "POST").wantHeader("Allow", "POST, OPTIONS")
}
