package server

import (
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/bundle"
)

func TestBundleCarriesObjectsFromOneNodeToAnotherOfTheSystem(t *testing.T) {
	a, b := newNode(t), newNodeOf(t, "0B")
	for _, id := range []string{"x", "y", "z"} {
		a.put(id, `{"v": "`+id+`"}`)
	}
	all := a.get("/v1/bundle").want(200).wantHeader("Content-Type", bundle.ContentType).wantHeader("Vesper-Revision", "0A00003")
	b.do("POST", "/v1/bundle", all.body, "Content-Type: "+bundle.ContentType).want(200).
		wantJSON(`{"changesets": 3, "applied": 3, "duplicate": 0, "pending": 0, "rejected": 0, "revision": "0A00003"}`)
	b.get("/v1/objects/y").want(200)
	b.put("w", `{"v": 1}`)
	rest := b.get("/v1/bundle?since=0A00003").want(200)
	a.do("POST", "/v1/bundle", rest.body).want(200).
		wantJSON(`{"changesets": 1, "applied": 1, "duplicate": 0, "pending": 0, "rejected": 0, "revision": "0A00003,0B00001"}`)
	a.do("POST", "/v1/bundle", rest.body).want(200).
		wantJSON(`{"changesets": 1, "applied": 0, "duplicate": 1, "pending": 0, "rejected": 0, "revision": "0A00003,0B00001"}`)
}

func TestBundleThatCannotBeTakenSaysWhyAndHowMuchIsHere(t *testing.T) {
	a, b := newNode(t), newNodeOf(t, "0B")
	a.put("x", `{"v": 1}`)
	all := a.get("/v1/bundle").body
	b.do("POST", "/v1/bundle", all[:len(all)-5]).wantProblem(kindBadBundle, "ends too early", "1 changesets of it are here")
	b.do("POST", "/v1/bundle", "hello").wantProblem(kindBadBundle, "no bundle")
	b.do("POST", "/v1/bundle", all, "Content-Type: text/plain").wantProblem(kindMediaType, bundle.ContentType)
	foreign := newNode(t)
	foreign.put("x", `{"v": "other"}`)
	b.do("POST", "/v1/bundle", foreign.get("/v1/bundle").body).wantProblem(kindForeign, "0A00001")
	a.get("/v1/bundle?since=x").wantProblem(kindBadRequest, "since")
	a.get("/v1/bundle?all=true").wantProblem(kindBadRequest, "all")
	if got := b.store.Revision().String(); got != "0A00001" {
		t.Errorf("revision %s", got)
	}
}

func TestStoppingNodeTakesNoBundle(t *testing.T) {
	n := newNode(t)
	all := n.get("/v1/bundle").body
	n.server.Drain()
	n.do("POST", "/v1/bundle", all).wantProblem(kindRefused, "stopping")
	if !strings.HasPrefix(all, "VSPRBUND") {
		t.Errorf("an empty node's bundle: %q", all)
	}
}
