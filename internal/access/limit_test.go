package access

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/nodeconfig"
)

// crowded serves with a limit of one connection on a real socket.
func crowded(t *testing.T, life time.Duration, wrap func(net.Listener) net.Listener) *httptest.Server {
	t.Helper()
	web := httptest.NewUnstartedServer(Reserve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	})))
	l := Limit(web.Listener, 1).(*limited)
	l.life = life
	web.Listener = wrap(l)
	web.Config.ConnContext = ConnContext
	web.Start()
	t.Cleanup(web.Close)
	return web
}

func plain(l net.Listener) net.Listener { return l }

func dial(t *testing.T, web *httptest.Server) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// exchange sends a request on a connection and reads its answer.
func exchange(c net.Conn, path string) (string, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return "", err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return fmt.Sprint(r.StatusCode, " ", string(text)), err
}

func want(t *testing.T, c net.Conn, path, begin string) {
	t.Helper()
	if got, err := exchange(c, path); err != nil || !strings.HasPrefix(got, begin) {
		t.Errorf("%s: got %q, %v; want %q", path, got, err, begin)
	}
}

func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stays open: %d bytes, %v", n, err)
	}
}

func TestAConnectionTooManyIsToldSoAndTheOthersGoOn(t *testing.T) {
	web := crowded(t, reserveLife, plain)
	first := dial(t, web)
	want(t, first, "/v1/objects", "200 here")
	second := dial(t, web)
	want(t, second, "/v1/objects", "503 {\"type\":\"urn:vesper:problem:too-many-connections\"")
	ends(t, second)
	want(t, first, "/v1/objects", "200 here")
	_ = first.Close()
	eventually(t, "the room that the first leaves", func() bool {
		got, _ := exchange(dial(t, web), "/v1/objects")
		return got == "200 here"
	})
}

func TestAFullNodeAnswersItsProbesOncePerConnection(t *testing.T) {
	web := crowded(t, reserveLife, plain)
	want(t, dial(t, web), "/v1/objects", "200 here")
	for _, path := range []string{"/healthz", "/readyz", "/healthz?x=1"} {
		c := dial(t, web)
		want(t, c, path, "200 here")
		ends(t, c)
	}
}

func TestTheReserveIsThereWithTLSToo(t *testing.T) {
	dir := t.TempDir()
	trust := certificate(t, dir, 1)
	s, err := NewServerTLS(nodeconfig.ServerTLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")})
	if err != nil {
		t.Fatal(err)
	}
	web := crowded(t, reserveLife, s.Listener)
	secure := func() net.Conn {
		return tls.Client(dial(t, web), &tls.Config{RootCAs: trust, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	}
	want(t, secure(), "/v1/objects", "200 here")
	want(t, secure(), "/v1/objects", "503 ")
	want(t, secure(), "/readyz", "200 here")
}

func TestWhoFloodsTheReserveDoesNotKeepProbesOut(t *testing.T) {
	web := crowded(t, time.Hour, plain)
	want(t, dial(t, web), "/v1/objects", "200 here")
	silent := make([]net.Conn, 3*reserve)
	for i := range silent {
		silent[i] = dial(t, web)
	}
	want(t, dial(t, web), "/healthz", "200 here")
	for _, c := range silent[:2*reserve] {
		ends(t, c)
	}
}

func TestAConnectionOfTheReserveEndsEvenIfItSaysNothing(t *testing.T) {
	web := crowded(t, 50*time.Millisecond, plain)
	want(t, dial(t, web), "/v1/objects", "200 here")
	c := dial(t, web)
	_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\n") // and no more
	ends(t, c)
}
