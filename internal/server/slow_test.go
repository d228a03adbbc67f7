package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dialed opens a connection to a server that runs on a real socket.
func dialed(t *testing.T, n *node) net.Conn {
	t.Helper()
	addr, stop := serving(t, n.server, time.Second)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// answered returns the status, the media type and the body of an answer.
func answered(t *testing.T, conn net.Conn) (status int, media, body string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(text)
}

func TestAHeaderThatIsTooLongIsAnsweredWith431(t *testing.T) {
	n := newNode(t)
	conn := dialed(t, n)
	_, _ = fmt.Fprintf(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n", strings.Repeat("x", maxHeader+8<<10)) // the server may hang up before the end
	status, media, text := answered(t, conn)
	if status != http.StatusRequestHeaderFieldsTooLarge || !strings.HasPrefix(media, "text/plain") {
		t.Errorf("got %d %s: %s", status, media, text)
	}
}

func TestAHeaderUnderTheBoundIsTaken(t *testing.T) {
	n := newNode(t)
	conn := dialed(t, n)
	if _, err := fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", maxHeader-1<<10)); err != nil {
		t.Fatal(err)
	}
	if status, _, text := answered(t, conn); status != http.StatusOK {
		t.Errorf("got %d: %s", status, text)
	}
}

// TestABodyThatNeverComesIsAnsweredWith408 waits for as long as a client may
// pause, so it is none of the short ones.
func TestABodyThatNeverComesIsAnsweredWith408(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as a client may pause")
	}
	t.Parallel()
	n := newNode(t)
	conn := dialed(t, n)
	_ = conn.SetDeadline(time.Now().Add(readTimeout / 2)) // the pause, not the time for the whole
	if _, err := io.WriteString(conn, "PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"x\":"); err != nil {
		t.Fatal(err)
	}
	if status, _, text := answered(t, conn); status != http.StatusRequestTimeout || !strings.Contains(text, kindSlowClient.name) {
		t.Errorf("got %d: %s", status, text)
	}
	n.get("/v1/objects/a").wantProblem(kindNotFound)
}
