package server

import (
	"context"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/branch"
)

// peers is what replication would know: who has which changeset, and how long
// it takes until that is known.
type peers struct {
	have  []branch.ID
	asked []branch.Dot
	// block makes waiting last until the context ends.
	block bool
}

func (p *peers) await(ctx context.Context, d branch.Dot, n int) []branch.ID {
	p.asked = append(p.asked, d)
	if p.block || len(p.have) < n {
		<-ctx.Done()
	}
	return p.have
}

func (p *peers) holders(branch.Dot) []branch.ID { return p.have }

func nodeWithPeers(t *testing.T, have ...branch.ID) (*node, *peers) {
	p := &peers{have: have}
	return newNode(t, func(d *Deps) { d.AwaitHolders, d.Holders = p.await, p.holders }), p
}

func TestEveryWriteMayWaitForPeersAndSaysWhichHaveIt(t *testing.T) {
	const enough = `{"wanted": 2, "peers": ["0B", "0C"], "enough": true}`
	n, p := nodeWithPeers(t, "0B", "0C")
	for i, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/v1/objects/a?wait=2", `{"v": 1}`, 201},
		{"PATCH", "/v1/objects/a?wait=2&timeout=1s", `{"v": 2}`, 200},
		{"POST", "/v1/objects?mode=add&wait=2", `{"id": "b", "v": 1}`, 200},
		{"POST", "/v1/objects?wait=2", `{"v": 1}`, 201},
		{"DELETE", "/v1/objects/a?timeout=1s&wait=2", "", 200},
	} {
		r := n.do(tt.method, tt.path, tt.body).want(tt.status).wantHeader("Vesper-Peers", "2")
		var got map[string]any
		r.into(&got)
		if have := parse(t, enough); !equalJSON(t, got["replicated"], have) {
			t.Errorf("%s %s: replicated %v", tt.method, tt.path, got["replicated"])
		}
		if len(p.asked) != i+1 || p.asked[i].String() != r.header.Get("Vesper-Changeset") {
			t.Errorf("%s %s waited for %v", tt.method, tt.path, p.asked)
		}
	}
	n.do("POST", "/datarequest?wait=2", `{"jsonrpc":"2.0","id":1,"method":"create","params":{"id":"z","v":1}}`).
		want(200).wantHeader("Vesper-Peers", "2")
}

func equalJSON(t *testing.T, a, b any) bool {
	t.Helper()
	return marshal(t, a) == marshal(t, b)
}

func TestWriteThatTooFewPeersHaveInTimeIsKeptAndNeverCalledAFailure(t *testing.T) {
	n, _ := nodeWithPeers(t, "0B")
	n.do("PUT", "/v1/objects/a?wait=3&timeout=20ms", `{"v": 1}`).want(201).wantHeader("Vesper-Peers", "1").
		wantJSON(`{"id": "a", "created": true, "changed": true, "changeset": "0A00001", "revision": "0A00001",
			"replicated": {"wanted": 3, "peers": ["0B"], "enough": false}}`)
	n.get("/v1/objects/a").want(200)
}

func TestWritesThatDoNotWaitOrChangeNothingDoNotAskPeers(t *testing.T) {
	n, p := nodeWithPeers(t, "0B")
	n.do("PUT", "/v1/objects/a", `{"v": 1}`).want(201).wantHeader("Vesper-Peers", "")
	n.do("PUT", "/v1/objects/a?wait=0", `{"v": 2}`).want(200).wantHeader("Vesper-Peers", "")
	r := n.do("PUT", "/v1/objects/a?wait=1", `{"v": 2}`).want(200).wantHeader("Vesper-Peers", "")
	r.wantJSON(`{"id": "a", "changed": false, "revision": "0A00002"}`)
	if len(p.asked) > 0 {
		t.Errorf("asked for %v", p.asked)
	}
}

func TestNodeWithoutPeersAnswersAtOnceThatNobodyElseHasTheWrite(t *testing.T) {
	n := newNode(t)
	start := time.Now()
	n.do("PUT", "/v1/objects/a?wait=1&timeout=1m", `{"v": 1}`).want(201).
		wantJSON(`{"id": "a", "created": true, "changed": true, "changeset": "0A00001", "revision": "0A00001",
			"replicated": {"wanted": 1, "peers": [], "enough": false}}`)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("waited %v", took)
	}
}

func TestStoppingNodeEndsTheWaitWithAnAnswer(t *testing.T) {
	n, p := nodeWithPeers(t)
	p.block = true
	done := make(chan reply, 1)
	go func() { done <- n.do("PUT", "/v1/objects/a?wait=1&timeout=2m", `{"v": 1}`) }()
	for deadline := time.Now().Add(20 * time.Second); n.store.Revision().At("0A") == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
	}
	n.server.Drain()
	select {
	case r := <-done:
		r.want(201).wantHeader("Vesper-Peers", "0")
	case <-time.After(20 * time.Second):
		t.Fatal("a stopping node goes on waiting")
	}
}

func TestWrongWaitsAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	n, _ := nodeWithPeers(t, "0B")
	for params, says := range map[string]string{
		"wait=-1": "wait", "wait=many": "wait", "wait=1001": "1000", "wait=1&wait=2": "2 times",
		"timeout=5s": "without wait", "wait=1&timeout=5": "timeout", "wait=1&timeout=3m": "2m0s", "wait=1&timeout=-1s": "timeout", "waits=1": "waits",
	} {
		n.do("PUT", "/v1/objects/a?"+params, `{"v": 1}`).wantProblem(kindBadRequest, says)
		n.do("DELETE", "/v1/objects/a?"+params, "").wantProblem(kindBadRequest, says)
	}
	if r := n.do("POST", "/datarequest?wait=x", `{"jsonrpc":"2.0","id":1,"method":"create","params":{"id":"z","v":1}}`); r.status != 400 {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if got := n.store.Revision().String(); got != "0" {
		t.Errorf("revision %s", got)
	}
}
