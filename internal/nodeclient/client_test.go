package nodeclient

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"vesperdb.io/vesper/internal/nodestatus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a node that answers with handler, and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func newClient(t *testing.T) *Client {
	t.Helper()
	c := New()
	t.Cleanup(c.Close)
	return c
}

func TestStatusIsWhatTheNodeSays(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/status" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"branch":"0B","revision":"0A00003,0B00002","ready":true,"reason":"Ready","objects":7,"lag":{"changesets":4},"added in a later release":1}`)
	})
	got, err := newClient(t).Status(t.Context(), Target{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	if got.Branch != "0B" || got.Revision.String() != "0A00003,0B00002" || !got.Ready || got.Reason != nodestatus.ReasonReady || got.Objects != 7 || got.Lag.Changesets != 4 {
		t.Errorf("status is %+v", got)
	}
}

func TestErrorsSayWhatWasTriedAndNeverChangeFromOneAttemptToTheNext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	for _, test := range []struct{ name, address, says string }{
		{"nobody there", closed, "connection refused"},
		{"starting", serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }), "it answered 503"},
		{"not a node", serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }), "its answer is not a status"},
		{"redirect", serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://example.org/", http.StatusFound)
		}), "redirect"},
		{"bad revision", serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"revision":"??"}`) }), "its answer is not a status"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClient(t)
			_, first := c.Status(t.Context(), Target{Address: test.address})
			_, second := c.Status(t.Context(), Target{Address: test.address})
			if first == nil || !strings.Contains(first.Error(), test.says) || !strings.HasPrefix(first.Error(), "asking the node at "+test.address+" for its status: ") {
				t.Fatalf("error is %v, want it to say %q and the address", first, test.says)
			}
			if second == nil || first.Error() != second.Error() {
				t.Errorf("error became %v, was %v: each change is a write to the API server", second, first)
			}
		})
	}
}

func TestANodeThatHangsIsGivenUpInTime(t *testing.T) {
	release := make(chan struct{})
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	began := time.Now()
	_, err := newClient(t).Status(t.Context(), Target{Address: address})
	if err == nil || !strings.Contains(err.Error(), "no answer within 2s") {
		t.Errorf("error is %v, want that there was no answer", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v, want about 2 s", took)
	}
}

func TestAnAnswerWithoutEndIsGivenUp(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := strings.Repeat("x", 1<<20)
		fmt.Fprint(w, `{"version":"`)
		for range 20 {
			if _, err := fmt.Fprint(w, chunk); err != nil {
				return
			}
		}
	})
	_, err := newClient(t).Status(t.Context(), Target{Address: address})
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error is %v, want that the answer is too long", err)
	}
}

func TestTheCallersContextEndsAQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	if _, err := newClient(t).Status(ctx, Target{Address: address}); err == nil {
		t.Error("no error from a question whose context ended")
	}
}

func TestSetDrainingTellsTheNodeAndSaysWhyNot(t *testing.T) {
	var got []string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path)
		w.WriteHeader(status)
	}))
	defer server.Close()
	c, address := New(), strings.TrimPrefix(server.URL, "http://")
	defer c.Close()
	for _, draining := range []bool{true, false} {
		if err := c.SetDraining(t.Context(), Target{Address: address}, draining); err != nil {
			t.Error(err)
		}
	}
	if want := "[POST /v1/drain DELETE /v1/drain]"; fmt.Sprint(got) != want {
		t.Errorf("requests were %v, want %s", got, want)
	}
	status = http.StatusNotFound
	if err := c.SetDraining(t.Context(), Target{Address: address}, true); err == nil || !strings.Contains(err.Error(), "to take no more writes: it answered 404 Not Found") {
		t.Errorf("a node that does not know it gave %v", err)
	}
	server.Close()
	if err := c.SetDraining(t.Context(), Target{Address: address}, false); err == nil || !strings.Contains(err.Error(), "take writes again: ") {
		t.Errorf("a node that is away gave %v", err)
	}
}
