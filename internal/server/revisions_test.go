package server

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"vesperdb.io/vesper/internal/branch"
)

// TestDiffTellsWhatChangedBetweenTwoRevisions, forwards and backwards.
func TestDiffTellsWhatChangedBetweenTwoRevisions(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1,"y":1}`)
	n.put("b", `{"x":1}`)
	n.put("a", `{"x":2,"y":1}`)
	n.do("DELETE", "/v1/objects/b", "").want(200)
	n.put("c", `{"x":1}`)
	n.put("d", `{"x":1}`)
	n.do("DELETE", "/v1/objects/d", "").want(200)
	n.get("/v1/diff?from=0A00002&to=0A00007").want(200).wantJSON(`{"from":"0A00002","to":"0A00007","objects":[
		{"id":"a","change":"changed","added":[{"id":"a","x":2}],"removed":[{"id":"a","x":1}]},
		{"id":"b","change":"deleted","added":[],"removed":[{"id":"b","x":1}]},
		{"id":"c","change":"created","added":[{"id":"c","x":1}],"removed":[]}]}`)
	n.get("/v1/diff?from=0A00007&to=0A00005").want(200).wantJSON(`{"from":"0A00007","to":"0A00005","objects":[]}`)
	n.get("/v1/diff?from=0A00005&to=0A00004").want(200).wantJSON(`{"from":"0A00005","to":"0A00004","objects":[
		{"id":"c","change":"deleted","added":[],"removed":[{"id":"c","x":1}]}]}`)
	n.get("/v1/diff?from=0A00007").want(200).wantJSON(`{"from":"0A00007","to":"0A00007","objects":[]}`)
	n.get("/v1/diff?from=0").want(200).wantJSON(`{"from":"0","to":"0A00007","objects":[
		{"id":"a","change":"created","added":[{"id":"a","x":2,"y":1}],"removed":[]},
		{"id":"c","change":"created","added":[{"id":"c","x":1}],"removed":[]}]}`)
	var page struct{ Next string }
	n.get("/v1/diff?from=0A00002&limit=1").into(&page)
	n.get(page.Next).want(200).wantJSON(`{"from":"0A00002","to":"0A00007","objects":[
		{"id":"b","change":"deleted","added":[],"removed":[{"id":"b","x":1}]}],"next":"/v1/diff?after=b&from=0A00002&limit=1&to=0A00007"}`)
	n.get("/v1/diff").wantProblem(kindBadRequest, "from is missing")
	n.get("/v1/diff?from=nope").wantProblem(kindBadRequest, "from")
	n.get("/v1/diff?from=0A00099").wantProblem(kindNoRevision, "does not cover 0A00099")
	n.get("/v1/diff?from=0&to=0B00001").wantProblem(kindNoRevision, "to:")
}

// TestRevisionsListWhatTheNodeHasBeenAt: each can be asked for.
func TestRevisionsListWhatTheNodeHasBeenAt(t *testing.T) {
	a, b := newNode(t), newNode(t, branchB(t))
	a.put("o", `{"x":1}`)
	b.put("p", `{"x":1}`)
	exchange2(t, a, b)
	a.put("o", `{"x":2}`)
	var page revisionPage
	a.get("/v1/revisions?limit=2").want(200).into(&page)
	if len(page.Revisions) != 2 || page.Revisions[0].Revision.String() != "0A00001" || page.Revisions[1].Revision.String() != "0A00001,0B00001" {
		t.Fatalf("got %+v", page)
	}
	next := page.Next
	page = revisionPage{}
	a.get(next).want(200).into(&page)
	if len(page.Revisions) != 1 || page.Revisions[0].Revision.String() != "0A00002,0B00001" || page.Next != "" {
		t.Fatalf("the next page: %+v", page)
	}
	a.get("/v1/objects/o?at=0A00001").want(200).wantJSON(`{"id":"o","x":1}`)
}

// TestAnswersAreCompressedForThoseWhoAccept, with a weak tag that still counts.
func TestAnswersAreCompressedForThoseWhoAccept(t *testing.T) {
	n := newNode(t)
	long := `{"id":"o","x":"` + strings.Repeat("whale ", 2000) + `"}`
	n.put("o", long)
	r := n.get("/v1/objects/o", "Accept-Encoding: gzip").want(200).wantHeader("Content-Encoding", "gzip").wantHeader("ETag", `W/"0A00001"`)
	z, err := gzip.NewReader(bytes.NewReader([]byte(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	reply{t: t, body: string(plain)}.wantJSON(long)
	if len(r.body) > len(plain)/10 {
		t.Errorf("%d bytes became %d", len(plain), len(r.body))
	}
	n.get("/v1/objects/o", "Accept-Encoding: gzip", `If-None-Match: W/"0A00001"`).want(304)
	n.get("/v1/objects/o", "Accept-Encoding: identity").want(200).wantHeader("Content-Encoding", "").wantHeader("ETag", `"0A00001"`)
	n.put("small", `{"x":1}`)
	n.get("/v1/objects/small", "Accept-Encoding: gzip").want(200).wantHeader("Content-Encoding", "")
	n.do("PUT", "/v1/objects/o", `{"x":1}`, `If-Match: `+r.header.Get("ETag")).want(200)
	n.client.Transport.(*http.Transport).DisableCompression = false
}

// TestEveryPageOfRevisionsBeginsAtTheRevisionBeforeIt, wherever it begins, and
// the last one has no next.
func TestEveryPageOfRevisionsBeginsAtTheRevisionBeforeIt(t *testing.T) {
	a, b := newNode(t), newNode(t, branchB(t))
	for i := range 6 {
		a.put("o", fmt.Sprintf(`{"x":%d}`, i))
		b.put("p", fmt.Sprintf(`{"x":%d}`, i))
		if i%2 == 1 {
			exchange2(t, a, b)
		}
	}
	var whole revisionPage
	a.get("/v1/revisions").want(200).into(&whole)
	if len(whole.Revisions) != 12 || whole.Next != "" {
		t.Fatalf("%d revisions, next %q", len(whole.Revisions), whole.Next)
	}
	var got []revisionView
	for next := "/v1/revisions?limit=1"; next != ""; {
		var page revisionPage
		a.get(next).want(200).into(&page)
		if len(page.Revisions) != 1 {
			t.Fatalf("%s has %d revisions", next, len(page.Revisions))
		}
		got, next = append(got, page.Revisions...), page.Next
	}
	if diff := cmp.Diff(whole.Revisions, got, cmp.AllowUnexported(revisionView{})); diff != "" {
		t.Errorf("one by one they are others:\n%s", diff)
	}
}

// TestAPageOfRevisionsThatEndsByItsBytesHasANextOne: what fits in no answer is
// not the end.
func TestAPageOfRevisionsThatEndsByItsBytesHasANextOne(t *testing.T) {
	n := newNode(t)
	for i := range 3 {
		n.put("o", fmt.Sprintf(`{"x":%d,"t":%q}`, i, strings.Repeat(fmt.Sprint(i), pageBytes*2/3)))
	}
	seen := 0
	for next := "/v1/revisions"; next != ""; {
		var page revisionPage
		n.get(next).want(200).into(&page)
		if seen += len(page.Revisions); len(page.Revisions) != 1 {
			t.Fatalf("%s has %d revisions", next, len(page.Revisions))
		}
		next = page.Next
	}
	if seen != 3 {
		t.Errorf("%d revisions of 3", seen)
	}
}

// TestADiffHoldsAWindowOfIDs: pages over more ids than are held at once have
// each once, in order.
func TestADiffHoldsAWindowOfIDs(t *testing.T) {
	var all []string
	for i := range 3*idsHeld + 7 {
		all = append(all, fmt.Sprintf("%07d", i))
	}
	order := rand.Perm(len(all))
	var got []string
	for w := (idWindow{more: true}); w.more; {
		w = idWindow{after: w.after}
		for _, i := range append(order, order[:idsHeld]...) {
			if w.add(all[i]); len(w.ids) > 2*idsHeld {
				t.Fatalf("%d ids are held", len(w.ids))
			}
		}
		got = append(got, w.sorted()...)
		w.after = got[len(got)-1]
	}
	if !slices.Equal(got, all) {
		t.Errorf("%d ids of %d, in order: %v", len(got), len(all), slices.IsSorted(got))
	}
}

func TestADiffOverTooManyChangesetsIsRefused(t *testing.T) {
	w := idWindow{}
	err := w.collect(t.Context(), nil, diff{to: branch.Revision{{Branch: "0A", Seq: maxBetween}, {Branch: "0B", Seq: 1}}})
	if err == nil || problemOf(err).Status != 400 || !strings.Contains(problemOf(err).Detail, "100001 changesets") {
		t.Errorf("got %v", err)
	}
}
