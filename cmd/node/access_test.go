package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/nodestatus"
)

const (
	writerToken = "writer-token-0123456789"
	readerToken = "reader-token-0123456789"
)

// secured is a node, in a process of its own, with tokens and TLS.
type secured struct {
	*member
	files string
	// client has a certificate of the CA that the node asks of its clients.
	client tls.Certificate
}

// startSecured starts such a node; more is added to its configuration, in which
// FILES stands for the directory of its files.
func startSecured(t *testing.T, more string) *secured {
	t.Helper()
	files := t.TempDir()
	s := &secured{files: files}
	put(t, filepath.Join(files, "writer"), writerToken+"\n")
	put(t, filepath.Join(files, "reader"), readerToken+"\n")
	s.client = s.certificate(t, 1)
	s.member = newMember(t, "0A", strings.ReplaceAll("access:\n  tokens:\n"+
		"  - {name: shop, role: write, file: FILES/writer}\n  - {name: report, role: read, file: FILES/reader}\n"+
		"audit: {to: FILES/audit.log}\n"+more, "FILES", files))
	s.url = strings.Replace(s.url, "http:", "https:", 1)
	s.start()
	eventually(t, func() string {
		code, text, _ := s.ask("GET", "/readyz", "", "")
		if code != http.StatusOK {
			return text
		}
		return ""
	})
	return s
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate writes a new self-signed certificate, tls.crt and tls.key, which
// serves as its own CA.
func (s *secured) certificate(t *testing.T, serial int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(s.files, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	put(t, filepath.Join(s.files, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ask sends a request over a connection of its own, and also returns the serial
// number of the certificate that the node showed.
func (s *secured) ask(method, path, token, body string, mine ...tls.Certificate) (code int, text string, serial int64) {
	text0, err := os.ReadFile(filepath.Join(s.files, "tls.crt"))
	if err != nil {
		return 0, err.Error(), 0
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text0)
	c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: mine, MinVersion: tls.VersionTLS12}}}
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error(), 0
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0, err.Error(), 0
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error(), 0
	}
	return answer.StatusCode, string(all), answer.TLS.PeerCertificates[0].SerialNumber.Int64()
}

const withTLS = "tls: {certFile: FILES/tls.crt, keyFile: FILES/tls.key}\n"

func TestANodeWithTokensAndTLSRefusesReadsWritesAndTellsTheAuditLog(t *testing.T) {
	t.Parallel()
	s := startSecured(t, withTLS)
	for _, tt := range []struct {
		method, token string
		code          int
	}{
		{"PUT", "", 401}, {"PUT", "nobody's-token-0123456789", 401}, {"PUT", readerToken, 403}, {"PUT", writerToken, 201},
		{"GET", "", 401}, {"GET", readerToken, 200}, {"GET", writerToken, 200},
	} {
		if code, text, _ := s.ask(tt.method, "/v1/objects/lamp", tt.token, `{"name":"Lamp"}`); code != tt.code {
			t.Errorf("%s with %q: got %d, want %d: %s", tt.method, tt.token, code, tt.code, text)
		}
	}
	if code, text := s.try("GET", "/healthz", ""); code != 0 {
		t.Errorf("a client that does not trust the certificate got %d: %s", code, text)
	}
	s.process.stop()
	log, err := os.ReadFile(filepath.Join(s.files, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for line := range bytes.Lines(log) {
		var e access.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, fmt.Sprintf("%s %s %s %v", e.Principal, e.Outcome, e.Changeset, e.Objects))
	}
	want := []string{" refused  []", " refused  []", "report refused  []", "shop committed 0A00001 [lamp]"}
	if got := strings.Join(outcomes, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the audit log says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	for _, token := range []string{writerToken, readerToken, "nobody's-token"} {
		if strings.Contains(string(log)+s.process.stderr.String()+s.process.stdout.String(), token) {
			t.Errorf("a log holds the token %s", token)
		}
	}
}

func TestANodeTakesANewCertificateAndSaysInItsStatusThatAnotherIsBad(t *testing.T) {
	t.Parallel()
	s := startSecured(t, withTLS)
	s.certificate(t, 2)
	eventually(t, func() string {
		if code, text, serial := s.ask("GET", "/healthz", "", ""); code != http.StatusOK || serial != 2 {
			return fmt.Sprint(code, text, serial)
		}
		return ""
	})
	put(t, filepath.Join(s.files, "tls.key"), "no key\n")
	put(t, filepath.Join(s.files, "reader"), "\n")
	eventually(t, func() string {
		code, text, _ := s.ask("GET", "/v1/status", readerToken, "")
		var status nodestatus.Status
		if err := json.Unmarshal([]byte(text), &status); code != http.StatusOK || err != nil {
			return fmt.Sprint(code, text, err)
		}
		told := strings.Join(status.Access, "\n")
		if len(status.Access) != 2 || !strings.Contains(told, "tls.key") || !strings.Contains(told, "reader") {
			return "the status says " + told
		}
		if !status.Ready {
			t.Fatal("bad files make the node not ready")
		}
		return ""
	})
}

func TestAClientCertificateIsNeededBesideTheToken(t *testing.T) {
	t.Parallel()
	s := startSecured(t, "tls: {certFile: FILES/tls.crt, keyFile: FILES/tls.key, clientCAFile: FILES/tls.crt}\n")
	stranger := (&secured{files: t.TempDir()}).certificate(t, 3)
	if code, text, _ := s.ask("GET", "/v1/status", readerToken, ""); code != http.StatusUnauthorized || !strings.Contains(text, "client certificate") {
		t.Errorf("without a certificate: %d %s", code, text)
	}
	if code, text, _ := s.ask("GET", "/v1/status", readerToken, "", s.client); code != http.StatusOK {
		t.Errorf("with one: %d %s", code, text)
	}
	if code, text, _ := s.ask("GET", "/v1/status", "", "", s.client); code != http.StatusUnauthorized {
		t.Errorf("with one and without a token: %d %s", code, text)
	}
	if code, text, _ := s.ask("GET", "/v1/status", readerToken, "", stranger); code == http.StatusOK {
		t.Errorf("with a stranger's: %s", text)
	}
}

func TestTheCommandsShowATokenAndTrustACA(t *testing.T) {
	t.Parallel()
	s := startSecured(t, withTLS)
	if code, text, _ := s.ask("PUT", "/v1/objects/lamp", writerToken, `{"name":"Lamp"}`); code != http.StatusCreated {
		t.Fatal(code, text)
	}
	put(t, filepath.Join(s.files, "empty"), "\n")
	out := filepath.Join(s.files, "snapshot")
	token, ca := []string{"--token-file", filepath.Join(s.files, "reader")}, []string{"--ca-file", filepath.Join(s.files, "tls.crt")}
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"neither":         {nil, exitFailed, "certificate"},
		"no token":        {ca, exitFailed, "401"},
		"no CA":           {token, exitFailed, "certificate"},
		"no such token":   {append([]string{"--token-file", out + ".none"}, ca...), exitUsage, "--token-file"},
		"an empty token":  {append([]string{"--token-file", filepath.Join(s.files, "empty")}, ca...), exitUsage, "is empty"},
		"a CA that's not": {[]string{"--ca-file", filepath.Join(s.files, "reader")}, exitUsage, "holds no certificate"},
		"both":            {append(token[:2:2], ca...), exitOK, ""},
	} {
		var stdout, stderr output
		to := filepath.Join(t.TempDir(), "snapshot")
		code := execute(t.Context(), append([]string{"snapshot", "--node", s.url, "--out", to}, tt.args...), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.says) || strings.Contains(stderr.String(), readerToken) {
			t.Errorf("%s: exit code %d, want %d: %s", name, code, tt.code, stderr.String())
		}
		if _, err := os.Stat(to); (err == nil) != (tt.code == exitOK) {
			t.Errorf("%s: the snapshot: %v", name, err)
		}
	}
}
