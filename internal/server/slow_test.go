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

// TestWhatIsNoHTTPIsRefusedAndEndsTheConnection, without harm to anybody else.
func TestWhatIsNoHTTPIsRefusedAndEndsTheConnection(t *testing.T) {
	n := newNode(t)
	for name, c := range map[string]struct {
		sent   string
		status int
	}{
		"no HTTP at all":            {"SELECT 1\r\n\r\n", 400},
		"a TLS hello":               {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400},
		"no host":                   {"GET /v1/status HTTP/1.1\r\n\r\n", 400},
		"two hosts":                 {"GET /v1/status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		"a version to come":         {"GET /v1/status HTTP/7.0\r\nHost: x\r\n\r\n", 505},
		"a path that is none":       {"GET v1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a path with an odd escape": {"GET /v1/objects/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		"a length that is none":     {"PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n{}", 400},
		"a length below nothing":    {"PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}", 400},
		"two lengths":               {"PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\n{\"x\":1}", 400},
		"a transfer that is none":   {"PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: magic\r\n\r\n{}", 501},
		"a name with a blank":       {"GET /v1/status HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n", 400},
		"a value with NUL":          {"GET /v1/status HTTP/1.1\r\nHost: x\r\nIf-Match: \"\x00\"\r\n\r\n", 400},
		"an unknown expectation":    {"PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nExpect: cake\r\nContent-Length: 2\r\n\r\n{}", 417},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialed(t, n)
			if _, err := io.WriteString(conn, c.sent); err != nil {
				t.Fatal(err)
			}
			status, media, text := answered(t, conn)
			if status != c.status || strings.Contains(media, "html") {
				t.Errorf("got %d %s: %s", status, media, text)
			}
			if rest, err := io.ReadAll(conn); len(rest) > 0 {
				t.Errorf("the connection goes on with %q, %v", rest, err)
			}
		})
	}
	n.get("/v1/objects/a").wantProblem(kindNotFound)
}
