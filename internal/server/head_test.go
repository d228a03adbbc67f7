package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// head sends HEAD and gives up when the answer has to be waited for.
func (n *node) head(path string, headers ...string) reply {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "HEAD", n.url+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatalf("HEAD %s: %v", path, err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || len(text) > 0 {
		n.t.Errorf("HEAD %s has a body: %q, %v", path, text, err)
	}
	return reply{t: n.t, status: resp.StatusCode, header: resp.Header}
}

// TestHeadRunsNoQuery: a query that would hit its limit is answered, since it is
// not run, and one that cannot be read is refused as for GET.
func TestHeadRunsNoQuery(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.Limits.QueryRows = 1 })
	n.do("POST", "/v1/objects", `[{"x":1},{"x":2},{"x":3}]`).want(201)
	for _, path := range []string{"/v1/query?q=%7B*%7D", "/api/query?data=%7B*%7D"} {
		if r := n.get(path); !strings.Contains(r.body, "more than 1 rows") {
			t.Fatalf("the query is answered: %s", r.body)
		}
		n.head(path).want(200).wantHeader("Content-Type", typeJSON)
	}
	n.head("/v1/query?q=%7B*%7D", "Accept: "+typeNDJSON).want(200).wantHeader("Content-Type", typeNDJSON).wantHeader(headerRevision, "0A00001")
	n = newNode(t)
	n.put("a", `{"x":1}`)
	for path, status := range map[string]int{
		"/v1/query": 400, "/v1/query?q=%7B": 400, "/v1/query?q=%7B*%7D&limit=x": 400, "/v1/query?q=%7B*%7D&at=0A99999": 404, "/api/query": 400,
	} {
		if r := n.get(path); r.status != status {
			t.Errorf("GET %s: %d", path, r.status)
		}
		n.head(path).want(status)
	}
}

// TestHeadWaitsForNothing: a long-poll, an event stream and a file are described.
func TestHeadWaitsForNothing(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.head("/v1/changes?feed=longpoll&timeout=2m&after=1").want(200).wantHeader("Content-Type", typeJSON)
	n.head("/v1/changes?feed=eventsource").want(200).wantHeader("Content-Type", typeEvents)
	n.head("/v1/export").want(200).wantHeader("Content-Type", typeNDJSON).wantHeader(headerRevision, "0A00001")
	n.head("/v1/snapshot").want(200).wantHeader("Content-Type", snapshotType)
}

// TestHeadSaysWhatGetSays: of all paths that have GET, with the same status and
// the same headers, whether or not the answer is compressed.
func TestHeadSaysWhatGetSays(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.StoragePath = t.TempDir() })
	n.put("a", `{"x":"`+strings.Repeat("long ", 1000)+`"}`)
	for _, c := range apiCalls("") {
		if c.method != "GET" || c.template == "/metrics" {
			continue
		}
		for _, encoding := range []string{"identity", "gzip"} {
			t.Run(fmt.Sprint(c.path, " ", encoding), func(t *testing.T) {
				headers := append(slices.Clone(c.headers), "Accept-Encoding: "+encoding)
				get, head := n.do("GET", c.path, "", headers...), n.head(c.path, headers...)
				if get.status != head.status {
					t.Errorf("GET answers %d and HEAD %d", get.status, head.status)
				}
				for _, name := range []string{"Content-Type", "ETag", "Vary", "Cache-Control", "Allow", "Link", "Content-Disposition", headerRevision} {
					if got, want := strings.Join(head.header.Values(name), ", "), strings.Join(get.header.Values(name), ", "); got != want {
						t.Errorf("%s: HEAD %q, GET %q", name, got, want)
					}
				}
				if length := head.header.Get("Content-Length"); length != "" && length != fmt.Sprint(len(get.body)) {
					t.Errorf("HEAD says %s bytes, and GET sends %d", length, len(get.body))
				}
			})
		}
	}
}

// TestEveryPathSaysWhatItTakes: OPTIONS and 405 name the methods there are, and
// nothing is done for a method that is not among them.
func TestEveryPathSaysWhatItTakes(t *testing.T) {
	n := newNode(t)
	for _, r := range n.server.routes() {
		path := strings.NewReplacer("{id...}", "a", "{dot}", "0A00001", "{branch}", "0B", "{number}", "1", "{store}", "default").Replace(r.pattern)
		for method := range r.methods {
			allow := n.do("OPTIONS", path, "").want(204).header.Get("Allow")
			if !strings.Contains(allow, method) || strings.Contains(allow, "HEAD") != strings.Contains(allow, "GET") {
				t.Errorf("%s has %s, and OPTIONS says %q", path, method, allow)
			}
			n.do("BREW", path, "").wantProblem(kindMethod, path).wantHeader("Allow", allow)
			if _, gets := r.methods["GET"]; !gets {
				n.head(path).want(405).wantHeader("Allow", allow)
			}
		}
	}
	n.do("OPTIONS", "/nowhere", "").wantProblem(kindNoRoute)
}
