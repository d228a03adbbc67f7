package server

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a server over a real store, reached over real HTTP.
type node struct {
	t      *testing.T
	server *Server
	store  *store.Store
	url    string
	client *http.Client
	log    *bytes.Buffer
}

func newNode(t *testing.T, change ...func(*Deps)) *node {
	t.Helper()
	return newNodeOf(t, "0A", change...)
}

// newNodeOf makes a node of another branch.
func newNodeOf(t *testing.T, id branch.ID, change ...func(*Deps)) *node {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: id, Trunk: "0A", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetBootstrapped(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := nodeconfig.Default()
	config.BranchID, config.TrunkID, config.StoragePath = id, "0A", "unused"
	log := &bytes.Buffer{}
	deps := Deps{Store: s, Config: config, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(log, nil))}
	for _, c := range change {
		c(&deps)
	}
	server, err := New(deps)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	n := &node{t: t, server: server, store: s, url: web.URL, client: web.Client(), log: log}
	n.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// reply is an answer, read whole.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// do sends a request. headers are "Name: value".
func (n *node) do(method, path, body string, headers ...string) reply {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "html") || bytes.Contains(text, []byte("<html")) {
		n.t.Errorf("%s %s answered with HTML: %s", method, path, text)
	}
	return reply{t: n.t, status: resp.StatusCode, header: resp.Header, body: string(text)}
}

func (n *node) get(path string, headers ...string) reply {
	n.t.Helper()
	return n.do("GET", path, "", headers...)
}

// put stores an object or ends the test.
func (n *node) put(id, body string) reply {
	n.t.Helper()
	r := n.do("PUT", "/v1/objects/"+url.PathEscape(id), body)
	if r.status != 200 && r.status != 201 {
		n.t.Fatalf("PUT %s: %d %s", id, r.status, r.body)
	}
	return r
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("got status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// wantJSON compares the body with JSON text, whatever its spacing and key order.
func (r reply) wantJSON(want string) reply {
	r.t.Helper()
	if diff := cmp.Diff(parse(r.t, want), parse(r.t, r.body)); diff != "" {
		r.t.Errorf("unexpected body (-want +got):\n%s", diff)
	}
	return r
}

func (r reply) wantHeader(name, want string) reply {
	r.t.Helper()
	if got := r.header.Get(name); got != want {
		r.t.Errorf("header %s is %q, want %q", name, got, want)
	}
	return r
}

// wantProblem checks a problem document: its status, its kind, and what its
// detail must say.
func (r reply) wantProblem(k kind, says ...string) reply {
	r.t.Helper()
	r.want(k.status).wantHeader("Content-Type", "application/problem+json")
	var p Problem
	r.into(&p)
	if p.Status != k.status || p.Type != "urn:vesper:problem:"+k.name || p.Title != k.title {
		r.t.Errorf("got problem %+v, want kind %s", p, k.name)
	}
	for _, s := range says {
		if !strings.Contains(p.Detail, s) {
			r.t.Errorf("the detail does not say %q: %s", s, p.Detail)
		}
	}
	return r
}

func (r reply) into(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
}

func parse(t *testing.T, text string) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// rpc sends JSON-RPC and returns the reply.
func (n *node) rpc(body string) reply {
	n.t.Helper()
	return n.do("POST", "/datarequest", body, "Content-Type: application/json").want(200).wantHeader("Content-Type", "application/json")
}

// query returns the rows of a query.
func (n *node) query(q string) []any {
	n.t.Helper()
	text, _ := json.Marshal(q)
	r := n.rpc(`{"jsonrpc":"2.0","id":1,"method":"query","params":` + string(text) + `}`)
	var out []struct {
		Result *struct{ Results []any }
		Error  any
	}
	r.into(&out)
	if len(out) != 1 || out[0].Result == nil {
		n.t.Fatalf("query %s: %s", q, r.body)
	}
	return out[0].Result.Results
}
