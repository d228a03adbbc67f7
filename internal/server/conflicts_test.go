package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/changeset"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// other is a second store whose writes the node gets to see when told so.
type other struct {
	t *testing.T
	*store.Store
}

func newOther(t *testing.T, id branch.ID) *other {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: id, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &other{t, s}
}

// trade gives each store what the others have.
func trade(t *testing.T, stores ...*store.Store) {
	t.Helper()
	for _, from := range stores {
		feed, err := from.Feed(t.Context(), 0, 64<<20)
		if err != nil {
			t.Fatal(err)
		}
		var list []changeset.Envelope
		for _, e := range feed {
			list = append(list, e.Envelope)
		}
		for _, to := range stores {
			if _, err := to.Apply(t.Context(), list); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (o *other) write(text string) {
	o.t.Helper()
	doc, err := pjson.Parse([]byte(text), pjson.Options{})
	if err != nil {
		o.t.Fatal(err)
	}
	_, err = o.Update(context.Background(), store.WriteOptions{Author: "bob"}, func(tx *store.Tx) error { return tx.Update(doc.Objects) })
	if err != nil {
		o.t.Fatal(err)
	}
}

// inConflict returns a node that has an object with concurrent prices and makers,
// 0A's written first.
func inConflict(t *testing.T) (*node, *other) {
	t.Helper()
	n, o := newNode(t), newOther(t, "0B")
	n.put("lamp", `{"name":"Lamp","price":25,"maker":{"city":"Paris"}}`)
	trade(t, n.store, o.Store)
	n.do("PATCH", "/v1/objects/lamp", `{"price":20}`).want(200)
	o.write(`{"id":"lamp","price":19}`)
	trade(t, n.store, o.Store)
	return n, o
}

func TestObjectShowsItsConflicts(t *testing.T) {
	n, _ := inConflict(t)
	n.get("/v1/objects/lamp").want(200).wantHeader("Vesper-Conflicts", "1")
	var doc struct {
		ID, Revision string
		Object       map[string]any
		Conflicts    []conflictProp
	}
	r := n.get("/v1/objects/lamp?conflicts=true").want(200).wantHeader("Vesper-Conflicts", "1")
	r.into(&doc)
	if doc.ID != "lamp" || doc.Revision != "0A00002,0B00001" || doc.Object["name"] != "Lamp" || len(doc.Conflicts) != 1 {
		t.Fatalf("unexpected document %s", r.body)
	}
	c := doc.Conflicts[0]
	if c.Property != "price" || len(c.Values) != 2 || c.Values[0].Changeset != "0B00001" || !c.Values[0].Visible || c.Values[0].Author != "bob" ||
		c.Values[0].Value != 19.0 || c.Values[1].Changeset != "0A00002" || c.Values[1].Visible || c.Values[1].Value != 20.0 || c.Values[1].Time.IsZero() {
		t.Errorf("unexpected conflict %+v", c)
	}
	if same := n.get("/v1/conflicts/lamp").want(200); same.body != r.body {
		t.Errorf("the two ways to ask differ:\n%s\n%s", same.body, r.body)
	}
	n.get("/v1/objects/lamp?conflicts=yes").wantProblem(kindBadRequest, "send true")
	n.get("/v1/conflicts/desk").wantProblem(kindNotFound)
	n.put("desk", `{"name":"Desk"}`)
	n.get("/v1/conflicts/desk").want(200).wantHeader("Vesper-Conflicts", "")
}

func TestResolutionByChoiceEndsTheConflictEverywhere(t *testing.T) {
	n, o := inConflict(t)
	tag := n.get("/v1/objects/lamp").header.Get("ETag")
	r := n.do("POST", "/v1/conflicts/lamp/resolve", `{"choose":{"price":"0A00002"}}`, "If-Match: "+tag)
	r.want(200).wantHeader("ETag", `"0A00003"`).wantJSON(`{"id":"lamp","changed":true,"changeset":"0A00003","revision":"0A00003,0B00001","settled":1,"left":0}`)
	n.get("/v1/objects/lamp").want(200).wantHeader("Vesper-Conflicts", "").wantHeader("ETag", `"0A00003"`).
		wantJSON(`{"id":"lamp","name":"Lamp","price":20,"maker":{"city":"Paris"}}`)
	trade(t, n.store, o.Store)
	if n.store.Digest() != o.Digest() || o.Stats().Conflicts != 0 {
		t.Errorf("the other store still has %d conflicts", o.Stats().Conflicts)
	}
	n.do("POST", "/v1/conflicts/lamp/resolve", `{"choose":{"price":"0A00002"}}`).wantProblem(kindNoConflict, "not in conflict")
}

func TestResolutionByValueIsAnOrdinaryWrite(t *testing.T) {
	n, _ := inConflict(t)
	n.do("POST", "/v1/conflicts/lamp/resolve", `{"set":{"price":18,"maker":{"city":"Rome"}}}`).want(200)
	n.get("/v1/objects/lamp").wantJSON(`{"id":"lamp","name":"Lamp","price":18,"maker":{"city":"Rome"}}`)
	if h := n.get("/v1/history/lamp").body; !strings.Contains(h, `"changeset":"0A00003"`) {
		t.Errorf("the resolution is not in the history: %s", h)
	}
}

func TestTheNextOrdinaryWriteResolves(t *testing.T) {
	for name, write := range map[string]func(n *node){
		"PATCH of the value that is read": func(n *node) { n.do("PATCH", "/v1/objects/lamp", `{"price":19}`).want(200) },
		"PUT":                             func(n *node) { n.put("lamp", `{"price":1}`) },
		"JSON-RPC update":                 func(n *node) { n.rpc(request("1", "update", `{"id":"lamp","price":19}`)) },
		"POST with mode add":              func(n *node) { n.do("POST", "/v1/objects?mode=add", `{"id":"lamp","price":3}`).want(200) },
		"DELETE":                          func(n *node) { n.do("DELETE", "/v1/objects/lamp", "").want(200) },
	} {
		n, o := inConflict(t)
		write(n)
		trade(t, n.store, o.Store)
		if n.store.Stats().Conflicts != 0 || o.Stats().Conflicts != 0 || n.store.Digest() != o.Digest() {
			t.Errorf("%s: %d and %d conflicts are left", name, n.store.Stats().Conflicts, o.Stats().Conflicts)
		}
	}
}

func TestResolutionsThatCannotBeMadeSayWhy(t *testing.T) {
	n, _ := inConflict(t)
	revision := n.store.Revision().String()
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		kind       kind
		says       string
	}{
		"another property":         {"lamp/resolve", `{"choose":{"name":"0A00002"}}`, nil, kindNoConflict, `the property "name" of "lamp" is not in conflict`},
		"a value not in conflict":  {"lamp/resolve", `{"set":{"name":"x"}}`, nil, kindNoConflict, "GET /v1/conflicts/{id}"},
		"another changeset":        {"lamp/resolve", `{"choose":{"price":"0A00001"}}`, nil, kindNoValue, "choose that of 0B00001 or 0A00002"},
		"an old revision":          {"lamp/resolve", `{"choose":{"price":"0A00002"}}`, []string{`If-Match: "0A00002"`}, kindPrecondition, "0A00002,0B00001"},
		"an object that is not":    {"desk/resolve", `{"choose":{"price":"0A00002"}}`, nil, kindNotFound, "desk"},
		"nothing":                  {"lamp/resolve", `{}`, nil, kindBadRequest, "neither chooses nor sets"},
		"an unknown member":        {"lamp/resolve", `{"chose":{}}`, nil, kindBadJSON, `line 1, column 2: the body has the unknown member "chose"`},
		"no JSON":                  {"lamp/resolve", `nonsense`, nil, kindBadJSON, "line 1, column 1"},
		"a changeset that is none": {"lamp/resolve", `{"choose":{"price":"latest"}}`, nil, kindBadJSON, `line 1, column 20: choose: "latest"`},
		"another body's id":        {"lamp/resolve", `{"set":{"id":"desk","price":1}}`, nil, kindIDMismatch, "desk"},
		"a list's changeset":       {"lamp/resolve", `{"choose":[{"property":"price","changeset":1}]}`, nil, kindBadJSON, "line 1, column 44"},
		"a list's property":        {"lamp/resolve", `{"choose":[{"changeset":"0A00002"}]}`, nil, kindBadJSON, "choose[0] must have a property"},
		"a set that is a number":   {"lamp/resolve", "{\n\"set\":5}", nil, kindBadJSON, "line 2, column 7"},
		"a path without resolve":   {"lamp", `{}`, nil, kindMethod, "/resolve"},
	} {
		r := n.do("POST", "/v1/conflicts/"+c.path, c.body, c.headers...)
		t.Log(name)
		r.wantProblem(c.kind, c.says)
	}
	if got := n.store.Revision().String(); got != revision {
		t.Errorf("a refused resolution wrote: %s became %s", revision, got)
	}
}

func TestConflictsOfEmbeddedObjectsAreListedAndChosen(t *testing.T) {
	n, o := newNode(t), newOther(t, "0B")
	n.put("a/b", `{"maker":{"city":"Paris"}}`)
	trade(t, n.store, o.Store)
	n.do("PATCH", "/v1/objects/a/b", `{"maker":{"city":"Rome"}}`).want(200)
	o.write(`{"id":"a/b","maker":{"city":"Oslo"}}`)
	trade(t, n.store, o.Store)
	var doc struct{ Conflicts []conflictProp }
	n.get("/v1/conflicts/a/b").want(200).into(&doc)
	if len(doc.Conflicts) != 1 || doc.Conflicts[0].Subject == "" || doc.Conflicts[0].Property != "city" {
		t.Fatalf("unexpected conflicts %+v", doc.Conflicts)
	}
	body := fmt.Sprintf(`{"choose":[{"subject":%q,"property":"city","changeset":"0A00002"}]}`, doc.Conflicts[0].Subject)
	n.do("POST", "/v1/conflicts/a/b/resolve", body).want(200)
	n.get("/v1/objects/a/b").wantHeader("Vesper-Conflicts", "").wantJSON(`{"id":"a/b","maker":{"city":"Rome"}}`)
}

func TestListOfConflictsHasPages(t *testing.T) {
	n, o := newNode(t), newOther(t, "0B")
	for _, id := range []string{"a", "b", "c"} {
		n.put(id, `{"x":1}`)
		o.write(`{"id":"` + id + `","x":2}`)
	}
	trade(t, n.store, o.Store)
	var ids []string
	for path := "/v1/conflicts?limit=2"; path != ""; {
		var page struct {
			Objects []struct{ ID string }
			Next    string
			Last    uint64
		}
		n.get(path).want(200).into(&page)
		for _, object := range page.Objects {
			ids = append(ids, object.ID)
		}
		if page.Last != 3 {
			t.Errorf("the feed ends at %d, want 3", page.Last)
		}
		path = page.Next
	}
	if strings.Join(ids, " ") != "a b c" {
		t.Errorf("listed %v", ids)
	}
	for path, says := range map[string]string{"?limit=0": "limit", "?since=x": "no place in the feed", "?since=1&after=b": "one of them", "?at=1": "unknown parameter"} {
		n.get("/v1/conflicts"+path).wantProblem(kindBadRequest, says)
	}
}

func TestPageOfConflictsEndsWhenItIsLongEnough(t *testing.T) {
	n, o := newNode(t), newOther(t, "0B")
	long := strings.Repeat("x", pageBytes/4)
	for _, id := range []string{"a", "b", "c"} {
		n.put(id, `{"v":"n`+long+`"}`)
		o.write(`{"id":"` + id + `","v":"o` + long + `"}`)
	}
	trade(t, n.store, o.Store)
	var page struct {
		Objects []struct{ ID string }
		Next    string
	}
	n.get("/v1/conflicts").want(200).into(&page)
	if len(page.Objects) != 2 || page.Objects[1].ID != "b" || !strings.HasSuffix(page.Next, "after=b") {
		t.Errorf("a page of %d objects, next %q", len(page.Objects), page.Next)
	}
}

func TestConflictFeedTellsEachOnceAndCanBeResumed(t *testing.T) {
	n, _ := inConflict(t)
	n.do("POST", "/v1/conflicts/lamp/resolve", `{"choose":{"price":"0A00002"}}`).want(200)
	var feed conflictFeed
	var states []string
	for since := uint64(0); ; since = feed.Last {
		feed = conflictFeed{}
		n.get("/v1/conflicts?limit=1&since=" + url.QueryEscape(fmt.Sprint(since))).want(200).into(&feed)
		if feed.Incarnation != n.store.Incarnation() {
			t.Errorf("the feed is of incarnation %q", feed.Incarnation)
		}
		if len(feed.Changes) == 0 {
			break
		}
		c := feed.Changes[0]
		states = append(states, fmt.Sprint(c.Pos, " ", c.ID, " ", c.Property, " ", c.State, " ", c.Changeset))
	}
	want := []string{"1 lamp price began 0B00001", "2 lamp price ended 0A00003"}
	if fmt.Sprint(states) != fmt.Sprint(want) || feed.Last != 2 {
		t.Errorf("the feed told %q and ended at %d, want %q", states, feed.Last, want)
	}
	n.get("/v1/conflicts?since=3").wantProblem(kindFeedGap, "ends at 2")
}
