package server

import (
	"encoding/json"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// marshal writes a value as JSON with sorted keys.
func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestChangesetShowsWhoDidWhatOnWhichBaseAndWhoHasIt(t *testing.T) {
	n, _ := nodeWithPeers(t, "0B", "0C")
	other, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: "0B"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if _, err := other.Update(t.Context(), store.WriteOptions{Author: "ada", Comment: "first"}, func(tx *store.Tx) error {
		return tx.Replace(parsed(t, `{"id": "x", "a": 1, "deep": {"b": 2}}`))
	}); err != nil {
		t.Fatal(err)
	}
	list, err := other.Range(t.Context(), "0B", 1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	n.put("y", `{"v": 1}`)
	if _, err := n.store.Apply(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	n.do("DELETE", "/v1/objects/x", "").want(200)
	n.put("y", `{"v": 2}`)

	var got changesetView
	n.get("/v1/changesets/0B00001").want(200).into(&got)
	if got.Author != "ada" || got.Comment != "first" || got.Branch != "0B" || got.Base.String() != "0" || got.Revision.String() != "0B00001" ||
		len(got.Hash) != 64 || got.Bytes != len(list[0].Body) || got.Time.IsZero() || marshal(t, got.Peers) != `["0B","0C"]` {
		t.Errorf("got %+v", got)
	}
	if text := marshal(t, got.Objects); text != `[{"id":"x","properties":["a","deep","b"]}]` && text != `[{"id":"x","properties":["a","b","deep"]}]` {
		t.Errorf("objects %s", text)
	}
	n.get("/v1/changesets/0A00002").want(200).into(&got)
	if got.Base.String() != "0A00001,0B00001" || got.Revision.String() != "0A00002,0B00001" || !got.Objects[0].Deleted {
		t.Errorf("got %+v", got)
	}
	n.get("/v1/changesets/0A00003").want(200).into(&got)
	if got.Base.String() != "0A00002,0B00001" {
		t.Errorf("the base of one that saw nothing new is %s", got.Base)
	}
}

func TestChangesetThatIsNotThereOrNoName(t *testing.T) {
	n := newNode(t)
	n.get("/v1/changesets/0A00001").wantProblem(kindNoChangeset, "0A00001", "revision 0")
	n.get("/v1/changesets/xyz").wantProblem(kindBadRequest, "like 0A00012")
	n.get("/v1/changesets/0A00001?at=1").wantProblem(kindBadRequest, "at")
	n.do("PUT", "/v1/changesets/0A00001", "{}").wantProblem(kindMethod, "GET")
	n.put("x", `{"v": 1}`)
	n.get("/v1/changesets/0A00001").want(200)
}

// parsed parses one pJSON document.
func parsed(t *testing.T, text string) []pjson.Object {
	t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{IDs: pjson.Random()})
	if err != nil {
		t.Fatal(err)
	}
	return doc.Objects
}
