package server

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newRecorder(h http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/broken", nil))
	return rec
}

// serving runs Serve on a free port until stop is called.
func serving(t *testing.T, s *Server, grace time.Duration) (addr string, stop func() error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, grace) }()
	stop = func() error { cancel(); return <-done }
	t.Cleanup(cancel)
	return l.Addr().String(), stop
}

// halfRequest sends a PUT whose body lacks its last byte.
func halfRequest(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	body := `{"x":1}`
	_, err = fmt.Fprintf(conn, "PUT /v1/objects/slow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)-1])
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// inFlight waits until a request is being answered.
func (n *node) inFlight() {
	n.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if strings.Contains(n.get("/metrics").body, "vesper_http_requests_in_flight 2\n") {
			return
		}
	}
	n.t.Fatal("the request never arrived")
}

func TestServeLetsRequestsFinish(t *testing.T) {
	n := newNode(t)
	addr, stop := serving(t, n.server, 30*time.Second)
	conn := halfRequest(t, addr)
	n.inFlight()
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	waitRefused(t, addr)
	select {
	case err := <-stopped:
		t.Fatalf("Serve returned with a request under way: %v", err)
	default:
	}
	if _, err := conn.Write([]byte("}")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Errorf("the request was answered with %s", resp.Status)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

// waitRefused waits until nobody listens any more.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Fatal("the listener is still open")
}

func TestServeCutsOffRequestsAfterTheGracePeriod(t *testing.T) {
	n := newNode(t)
	addr, stop := serving(t, n.server, 50*time.Millisecond)
	conn := halfRequest(t, addr)
	n.inFlight()
	start := time.Now()
	if err := stop(); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("half a request was answered with %s", resp.Status)
		}
	}
	n.get("/v1/objects/slow").wantProblem(kindNotFound)
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	n := newNode(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := n.server.Serve(t.Context(), l, time.Second); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestAStoppedClientWritesNothing(t *testing.T) {
	n := newNode(t)
	addr, stop := serving(t, n.server, time.Second)
	conn := halfRequest(t, addr)
	n.inFlight()
	_ = conn.Close()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	n.get("/v1/objects/slow").wantProblem(kindNotFound)
}
