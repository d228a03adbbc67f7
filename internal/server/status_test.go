package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/nodestatus"
	"vesperdb.io/vesper/internal/store"
)

func (n *node) status() nodestatus.Status {
	n.t.Helper()
	var s nodestatus.Status
	n.get("/v1/status").want(200).wantHeader("Cache-Control", "no-store").into(&s)
	return s
}

func TestStatusOfALoneNode(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	s := n.status()
	if !s.Ready || s.Reason != nodestatus.ReasonStandalone || !s.Writable || s.Branch != "0A" || s.Trunk != "0A" ||
		s.Revision.String() != "0A00001" || s.Objects != 1 || len(s.Digest) != 64 || s.Incarnation == "" ||
		s.Version == "" || s.Started.IsZero() || s.Storage.Bytes == 0 || s.Storage.Free == 0 {
		t.Errorf("unexpected status %+v", s)
	}
	n.get("/readyz").want(200).wantJSON(`{"ok":true}`)
	n.get("/healthz").want(200).wantJSON(`{"ok":true}`)
}

func TestStatusHasWhatReplicationKnows(t *testing.T) {
	told := nodestatus.Status{
		Branch: "0A", Ready: false, Reason: nodestatus.ReasonBrokerUnreachable, Message: "mq:61613 refuses",
		Writable: true, Links: []nodestatus.Link{{Name: "main"}}, Outbox: nodestatus.Outbox{Changesets: 7},
	}
	n := newNode(t, func(d *Deps) { d.Replication = func() nodestatus.Status { return told } })
	s := n.status()
	if s.Ready || s.Reason != told.Reason || s.Message != told.Message || len(s.Links) != 1 || s.Outbox.Changesets != 7 || s.Objects != 0 || s.Version == "" {
		t.Errorf("unexpected status %+v", s)
	}
	// Cut off from the broker, and yet it serves: that is what the node is for.
	n.get("/readyz").want(200)
	n.put("a", `{"x":1}`)
}

func TestReadyzWaitsForTheFirstCatchUp(t *testing.T) {
	dir := t.TempDir()
	fresh, err := store.Open(t.Context(), store.Options{Dir: dir, Branch: "0A"})
	if err != nil {
		t.Fatal(err)
	}
	var shared *store.Store
	n := newNode(t, func(d *Deps) {
		shared, d.Store = d.Store, fresh
		d.Replication = func() nodestatus.Status { return nodestatus.Status{Message: "2 changesets are missing"} }
	})
	t.Cleanup(func() {
		if err := fresh.Close(); err != nil {
			t.Error(err)
		}
	})
	n.get("/readyz").want(503).wantJSON(`{"ok":false,"reason":"the node has never been caught up with its peers: 2 changesets are missing"}`)
	n.get("/healthz").want(200)
	if err := fresh.SetBootstrapped(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.get("/readyz").want(200)
	if shared == nil {
		t.Error("the harness gave no store")
	}
}

func TestDrainingRefusesWritesAndGoesOnReading(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.server.Drain()
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		n.do(method, "/v1/objects/a", `{"x":2}`).wantProblem(kindRefused, "the node is stopping").wantHeader("Retry-After", "2")
	}
	n.do("POST", "/v1/objects", `{"x":2}`).wantProblem(kindRefused)
	var out []rpcResponse
	r := n.rpc("[" + request("1", "add", `{"x":1}`) + "," + request("2", "query", `"{*}"`) + "]")
	if r.into(&out); out[0].Error == nil || out[1].Error == nil || !strings.Contains(out[0].Error.Message, "the node is stopping") {
		t.Errorf("JSON-RPC while draining: %s", r.body)
	}
	if rows := n.query("{*}"); len(rows) != 1 {
		t.Errorf("a query while draining gave %v", rows)
	}
	n.get("/v1/objects/a").want(200).wantJSON(`{"id":"a","x":1}`)
	n.get("/healthz").want(200)
	if r := n.get("/readyz").want(503); !strings.Contains(r.body, "stopping") {
		t.Errorf("readyz gives no reason: %s", r.body)
	}
	if s := n.status(); s.Ready || s.Reason != nodestatus.ReasonDraining || s.Writable || s.WritesRefused == "" {
		t.Errorf("unexpected status %+v", s)
	}
}

func TestWritesThatTheStoreRefusesSayWhy(t *testing.T) {
	n := newNode(t)
	n.store.RefuseWrites("peers hold more of branch 0A than this store")
	n.do("PUT", "/v1/objects/a", `{"x":2}`).wantProblem(kindRefused, "peers hold more of branch 0A").wantHeader("Retry-After", "2")
	if s := n.status(); s.Writable || s.WritesRefused != "peers hold more of branch 0A than this store" {
		t.Errorf("unexpected status %+v", s)
	}
	n.store.AllowWrites()
	n.put("a", `{"x":2}`)
}

func TestAClosedStoreIsUnhealthy(t *testing.T) {
	n := newNode(t)
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	if r := n.get("/healthz").want(503); !strings.Contains(r.body, "closed") {
		t.Errorf("no reason: %s", r.body)
	}
	n.get("/readyz").want(503)
	n.do("PUT", "/v1/objects/a", `{"x":1}`).wantProblem(kindClosed, "stopping").wantHeader("Retry-After", "2")
	n.get("/v1/objects/a").wantProblem(kindClosed)
}

func TestErrorsOfTheStoreBecomeProblems(t *testing.T) {
	full := &store.StorageError{Op: "committing", Path: "/data/vesper.db", Err: syscall.ENOSPC}
	for name, tt := range map[string]struct {
		err   error
		kind  kind
		says  string
		retry int
	}{
		"disk full":    {fmt.Errorf("writing: %w", full), kindFull, "free some space", 0},
		"failing disk": {&store.StorageError{Op: "committing", Path: "/data/vesper.db", Err: syscall.EIO}, kindStorage, "/data/vesper.db", retrySeconds},
		"too large":    {&store.LimitError{Err: errors.New("2000000 objects, at most 1048576")}, kindTooLarge, "split it", 0},
		"invalid":      {&store.InvalidError{Err: errors.New("the id is empty")}, kindInvalid, "the id is empty", 0},
		"refused":      {&store.RefusedError{Reason: "because"}, kindRefused, "because", retrySeconds},
		"closed":       {&store.ClosedError{}, kindClosed, "stopping", retrySeconds},
		"unknown":      {errors.New("secret detail"), kindInternal, "log", 0},
		"corrupt":      {&store.CorruptError{What: "page 7", Err: errors.New("x")}, kindInternal, "log", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := problemOf(tt.err)
			if p.Status != tt.kind.status || p.Title != tt.kind.title || !strings.Contains(p.Detail, tt.says) || p.retryAfter != tt.retry {
				t.Errorf("got %+v", p)
			}
			if strings.Contains(p.Detail, "secret") {
				t.Error("what is not for clients is in the answer")
			}
		})
	}
}

func TestAFailingDiskShowsInTheStatusUntilAWriteSucceeds(t *testing.T) {
	n := newNode(t)
	n.server.storage.tried = time.Now().Add(time.Hour) // no try without a write: it would succeed
	n.server.storage.note(&store.StorageError{Op: "committing", Path: "vesper.db", Err: syscall.ENOSPC})
	n.server.storage.note(&store.ExistsError{ID: "a"}) // says nothing about the disk
	s := n.status()
	if s.Ready || s.Reason != nodestatus.ReasonStorageFailed || s.Writable || !strings.Contains(s.Message, "full") {
		t.Errorf("unexpected status %+v", s)
	}
	n.get("/healthz").want(200) // a restart frees no space
	n.put("a", `{"x":1}`)
	if s := n.status(); !s.Ready || !s.Writable {
		t.Errorf("still not ready after a write: %+v", s)
	}
}

func TestMetrics(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	n.get("/v1/objects/none").want(404)
	n.do("BREW", "/teapot", "").want(404)
	body := n.get("/metrics").want(200).body
	for _, line := range []string{
		`vesper_http_requests_total{method="PUT",path="/v1/objects/{id}",status="201"} 1`,
		`vesper_http_requests_total{method="GET",path="/v1/objects/{id}",status="404"} 1`,
		`vesper_http_requests_total{method="other",path="other",status="404"} 1`,
		`vesper_http_request_duration_seconds_count{method="PUT",path="/v1/objects/{id}"} 1`,
		`vesper_store_objects 1`,
		`vesper_store_writes_total 1`,
		`vesper_store_changesets 1`,
		`vesper_node_ready 1`,
		`vesper_node_writable 1`,
		`vesper_node_info{branch="0A",version="`,
		`go_goroutines `,
		`process_open_fds `,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(body, "none") {
		t.Error("an id is in a label")
	}
}

func TestOneRegistryTakesOneServer(t *testing.T) {
	n := newNode(t)
	if _, err := New(n.server.deps); err == nil || !strings.Contains(err.Error(), "registering metrics") {
		t.Errorf("got %v", err)
	}
}

func TestPathsAndMethodsThatDoNotExist(t *testing.T) {
	n := newNode(t)
	for _, path := range []string{"/", "/v2/objects", "/index.html", "/api/bogus", "/v1", "/favicon.ico", "/default/x/datarequest"} {
		n.get(path).wantProblem(kindNoRoute, path, "/v1/objects")
	}
	for _, path := range []string{"/v1/objects/http://x/y", "/v1/objects/", "/v1//objects", "/v1/objects/../x", "/v1/history/a/./b"} {
		r := n.get(path).wantProblem(kindNoRoute)
		if strings.HasPrefix(path, "/v1/objects/") && !strings.Contains(r.body, "%2F") {
			t.Errorf("%s: no hint to encode the id: %s", path, r.body)
		}
	}
	n.do("POST", "/v1/objects/a", "{}").wantProblem(kindMethod, "DELETE, GET, HEAD, PATCH, PUT").wantHeader("Allow", "DELETE, GET, HEAD, PATCH, PUT, OPTIONS")
	n.do("DELETE", "/v1/status", "").wantProblem(kindMethod, "GET")
	n.do("OPTIONS", "/v1/objects", "").want(204).wantHeader("Allow", "GET, HEAD, POST, OPTIONS")
	n.put("a", `{"x":1}`)
	if r := n.do("HEAD", "/v1/objects/a", "").want(200).wantHeader("ETag", `"0A00001"`); r.body != "" {
		t.Errorf("HEAD has a body: %s", r.body)
	}
}

// Proxies, the API server of Kubernetes among them, decode %2F on the way.
func TestAnIDWithASlashIsFoundEncodedOrNot(t *testing.T) {
	n := newNode(t)
	n.put("country/IS", `{"name":"Iceland"}`)
	for _, path := range []string{"/v1/objects/country/IS", "/v1/objects/country%2FIS", "/v1/history/country/IS"} {
		if r := n.get(path).want(200); !strings.Contains(r.body, "Iceland") {
			t.Errorf("%s answered %s", path, r.body)
		}
	}
	n.do("PATCH", "/v1/objects/country/IS", `{"code":"IS"}`).want(200)
	n.do("DELETE", "/v1/objects/country/IS", "").want(200)
	n.get("/v1/objects/country%2FIS").wantProblem(kindNotFound)
}

func TestAPanicIsAnsweredLoggedAndCounted(t *testing.T) {
	n := newNode(t)
	broken := n.server.instrument("/broken", func(http.ResponseWriter, *http.Request) error { panic("a bug") })
	rec := newRecorder(broken)
	if rec.Code != 500 || !strings.Contains(rec.Body.String(), "urn:vesper:problem:internal") || strings.Contains(rec.Body.String(), "a bug") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	if log := n.log.String(); !strings.Contains(log, "Request panicked") || !strings.Contains(log, "a bug") || !strings.Contains(log, "status_test.go") {
		t.Errorf("the log does not show it: %s", log)
	}
	if body := n.get("/metrics").body; !strings.Contains(body, "vesper_http_panics_total 1") || !strings.Contains(body, "vesper_http_requests_in_flight 1\n") {
		t.Error("the panic is not counted, or its request counts as in flight")
	}
}

func TestAnUnexpectedErrorIsLoggedAndKeptFromTheClient(t *testing.T) {
	n := newNode(t)
	rec := newRecorder(n.server.instrument("/broken", func(http.ResponseWriter, *http.Request) error { return errors.New("page 7 is torn") }))
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "page 7") {
		t.Errorf("got %d %s", rec.Code, rec.Body)
	}
	if !strings.Contains(n.log.String(), "page 7 is torn") {
		t.Errorf("the log does not show it: %s", n.log)
	}
}

func TestOtherWebSitesCannotWriteThroughABrowser(t *testing.T) {
	n := newNode(t)
	rpc := request("1", "add", `{"id":"evil","x":1}`)
	for _, headers := range [][]string{{"Sec-Fetch-Site: cross-site"}, {"Origin: https://evil.example"}} {
		n.do("POST", "/datarequest", rpc, append(headers, "Content-Type: text/plain")...).wantProblem(kindCrossOrigin, "another web site")
		n.do("POST", "/v1/objects", `{"id":"evil","x":1}`, headers...).wantProblem(kindCrossOrigin)
	}
	n.get("/v1/objects/evil").wantProblem(kindNotFound)
	n.get("/v1/objects", "Sec-Fetch-Site: cross-site").want(200) // a browser does not show it to the site
	n.do("POST", "/datarequest", rpc, "Sec-Fetch-Site: same-origin").want(200)
	n.get("/v1/objects/evil").want(200)
}
