package access

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"vesperdb.io/vesper/internal/nodeconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	first  = "first-token-0123456789"
	second = "second-token-0123456789"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what a goroutine does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s never came", what)
}

// buffer is a log that goroutines write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func guard(t *testing.T, file string, tls *ServerTLS) (*Guard, *buffer) {
	t.Helper()
	log := &buffer{}
	g, err := NewGuard(nodeconfig.Access{Tokens: []nodeconfig.Token{{Name: "app", Role: "write", File: file}}}, tls, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g.every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return g, log
}

func ask(g *Guard, token string) (Principal, error) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return g.Principal(r)
}

func known(g *Guard, token string) bool {
	p, err := ask(g, token)
	return err == nil && p == Principal{"app", Write}
}

func TestTokensOfASwappedDirectoryCountWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"v1": first, "v2": first + "\n# next\n" + second, "v3": second} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "token"), text+"\n")
	}
	swap := func(to string) { // as Kubernetes does with the volume of a Secret
		if err := errors.Join(os.Symlink(to, filepath.Join(dir, "new")), os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data"))); err != nil {
			t.Fatal(err)
		}
	}
	swap("v1")
	g, _ := guard(t, filepath.Join(dir, "data", "token"), nil)
	if !known(g, first) || known(g, second) {
		t.Fatal("the first file is not in force")
	}
	swap("v2")
	eventually(t, "the second token", func() bool { return known(g, second) })
	if !known(g, first) {
		t.Error("the old token is gone while the file has both")
	}
	swap("v3")
	eventually(t, "the end of the first token", func() bool { return !known(g, first) })
}

func TestABadFileKeepsTheOldOneAndSaysSoOnceWithoutTheToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, first)
	g, log := guard(t, file, nil)
	for _, bad := range []string{"", "short", "a token with blanks in it", strings.Repeat("x", MaxToken+1)} {
		write(t, file, bad)
		eventually(t, "the trouble", func() bool { return len(g.Trouble()) == 1 })
		if !known(g, first) {
			t.Errorf("after %q the old token is gone", bad)
		}
		write(t, file, first)
		eventually(t, "the end of the trouble", func() bool { return len(g.Trouble()) == 0 })
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trouble of a lost file", func() bool { return len(g.Trouble()) == 1 })
	if !known(g, first) || strings.Contains(log.String(), "blanks") || !strings.Contains(log.String(), "Kept what was in force before") {
		t.Errorf("the log: %s", log)
	}
}

func TestGuardRefusesFilesThatCannotBeMeant(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, first)
	write(t, b, first)
	for want, list := range map[string][]nodeconfig.Token{
		"the same token": {{Name: "x", Role: "read", File: a}, {Name: "y", Role: "admin", File: b}},
		"no such file":   {{Name: "x", Role: "read", File: filepath.Join(dir, "c")}},
		"is no role":     {{Name: "x", Role: "root", File: a}},
	} {
		_, err := NewGuard(nodeconfig.Access{Tokens: list}, nil, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), first) {
			t.Errorf("want an error that says %q, got %v", want, err)
		}
	}
}

func TestRefusalsAreLoggedOnceAMinuteForACauseAndAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, first)
	g, log := guard(t, file, nil)
	now := time.Now()
	g.quiet.now = func() time.Time { return now }
	for range 100 {
		if _, err := ask(g, second); err == nil {
			t.Fatal("a token of nobody passed")
		}
	}
	if n := strings.Count(log.String(), "Refused a request"); n != 1 || strings.Contains(log.String(), second) {
		t.Errorf("logged %d times: %s", n, log)
	}
	now = now.Add(sayAgain)
	_, _ = ask(g, second)
	if n := strings.Count(log.String(), "Refused a request"); n != 2 {
		t.Errorf("logged %d times after a minute", n)
	}
	for i := range 2 * maxRemembered {
		g.quiet.speak(fmt.Sprint(i))
	}
	if len(g.quiet.last) > maxRemembered {
		t.Errorf("%d addresses are remembered", len(g.quiet.last))
	}
}

func TestTheAuditLogRotatesAndKeepsSoMany(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	a, err := NewAudit(nodeconfig.Audit{To: file, MaxBytes: 1000, Keep: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := a.Write(Entry{Path: fmt.Sprint("/", i), Outcome: "committed"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(file + "*")
	if len(files) != 3 {
		t.Errorf("there are %v", files)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	if text, _ := os.ReadFile(file); !strings.Contains(string(text), `"path":"/49"`) {
		t.Errorf("the last entry is not in the current file: %s", text)
	}
}

// certificate writes a new self-signed pair and returns what trusts it.
func certificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(dir, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	write(t, filepath.Join(dir, "tls.crt"), string(text))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool
}

func TestACertificateIsReplacedAndStandingConnectionsGoOn(t *testing.T) {
	dir, tokens := t.TempDir(), filepath.Join(t.TempDir(), "token")
	write(t, tokens, first)
	trust := certificate(t, dir, 1)
	s, err := NewServerTLS(nodeconfig.ServerTLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")})
	if err != nil {
		t.Fatal(err)
	}
	g, _ := guard(t, tokens, s)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	web.Listener = s.Listener(web.Listener)
	web.Start()
	defer web.Close()
	serial := func(pool *x509.CertPool) (*tls.Conn, int64) {
		c, err := tls.Dial("tcp", web.Listener.Addr().String(), &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		if err != nil {
			return nil, 0
		}
		return c, c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	old, n := serial(trust)
	if n != 1 {
		t.Fatalf("got certificate %d", n)
	}
	defer old.Close()
	trust = certificate(t, dir, 2)
	eventually(t, "the new certificate", func() bool {
		c, n := serial(trust)
		if c != nil {
			_ = c.Close()
		}
		return n == 2
	})
	if _, err := io.WriteString(old, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(old); err != nil || !strings.Contains(string(text), "200 OK") {
		t.Errorf("the standing connection broke: %q %v", text, err)
	}
	write(t, filepath.Join(dir, "tls.key"), "no key")
	eventually(t, "the trouble", func() bool { return len(g.Trouble()) == 1 })
	if c, n := serial(trust); n != 2 {
		t.Errorf("a bad key took the certificate away: %d", n)
	} else {
		_ = c.Close()
	}
	if c, err := tls.Dial("tcp", web.Listener.Addr().String(), &tls.Config{RootCAs: trust, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // that it is refused
		_ = c.Close()
		t.Error("TLS 1.1 was taken")
	}
}
