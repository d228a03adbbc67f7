package server

import (
	"strings"
	"testing"
)

func TestADrainingNodeRefusesWritesWithTheRemedyAndServesReads(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.do("POST", "/v1/drain", "").want(200).wantJSON(`{"branch":"0A","draining":true,"revision":"0A00001","writable":false,` +
		`"writesRefused":"the node is being drained: it takes no writes any more, and goes on replicating those that it took; write to another node"}`)
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		n.do(method, "/v1/objects/a", `{"x":2}`).wantProblem(kindRefused, "write to another node").wantHeader("Retry-After", "2")
	}
	n.get("/v1/objects/a").want(200).wantJSON(`{"id":"a","x":1}`)
	if s := n.status(); !s.Draining || s.Writable || !s.Ready {
		t.Errorf("status is draining %v, writable %v, ready %v; want a node that replicates and takes no writes", s.Draining, s.Writable, s.Ready)
	}
	if r := n.get("/readyz").want(503); !strings.Contains(r.body, "drained") {
		t.Errorf("readyz gives no reason: %s", r.body)
	}
	n.get("/healthz").want(200) // a restart is no remedy
	n.do("DELETE", "/v1/drain", "").want(200).wantJSON(`{"branch":"0A","draining":false,"revision":"0A00001","writable":true}`)
	n.put("a", `{"x":2}`)
	n.do("POST", "/v1/drain?now=1", "").wantProblem(kindBadRequest, "unknown parameter")
}
