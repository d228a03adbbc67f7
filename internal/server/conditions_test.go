package server

import (
	"strings"
	"testing"
)

// TestEveryWriteHonorsOrRefusesIfMatch: a condition that is ignored is a lost
// update of somebody who was careful.
func TestEveryWriteHonorsOrRefusesIfMatch(t *testing.T) {
	n, _ := inConflict(t)
	stale, revision := `If-Match: "0A00001"`, n.store.Revision().String()
	for _, c := range []struct{ method, path, body string }{
		{"PUT", "/v1/objects/lamp", `{"price":1}`},
		{"PATCH", "/v1/objects/lamp", `{"price":1}`},
		{"DELETE", "/v1/objects/lamp", ``},
		{"POST", "/v1/conflicts/lamp/resolve", `{"set":{"price":1}}`},
	} {
		r := n.do(c.method, c.path, c.body, stale).wantProblem(kindPrecondition, "0A00001", "read it again")
		var p Problem
		if r.into(&p); p.Revision != "0A00002,0B00001" {
			t.Errorf("%s %s: the problem says revision %q", c.method, c.path, p.Revision)
		}
		for _, empty := range []string{`If-Match: `, `If-Match: ""`, `If-None-Match: ""`} {
			n.do(c.method, c.path, c.body, empty).wantProblem(kindBadRequest, "names no revision")
		}
	}
	for _, header := range []string{stale, "If-None-Match: *"} {
		n.do("POST", "/v1/objects", `{"id":"x","y":1}`, header).wantProblem(kindBadRequest, "many objects")
		r := n.do("POST", "/datarequest", request("1", "update", `{"id":"lamp","price":1}`), header).want(400)
		if !strings.Contains(r.body, "many objects") {
			t.Errorf("JSON-RPC with %s says %s", header, r.body)
		}
	}
	if got := n.store.Revision().String(); got != revision {
		t.Errorf("something was written: %s became %s", revision, got)
	}
}

// TestIfMatchOfOneOfSeveralRevisions: a conflicted object's tag has several
// components, and any tag of a list may match.
func TestIfMatchOfOneOfSeveralRevisions(t *testing.T) {
	n, _ := inConflict(t)
	n.do("PATCH", "/v1/objects/lamp", `{"price":1}`, `If-Match: "0A00001", "0A00002,0B00001"`).want(200)
}
