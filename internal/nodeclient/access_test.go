package nodeclient

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/certtest"
)

const word = "0123456789abcdef-operator"

// guardedNode answers over TLS to who has the token, and where clients is not
// nil, a certificate of that CA.
func guardedNode(t *testing.T, cert, key []byte, clients *certtest.CA) (address string) {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+word || clients != nil && len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"branch":"0B"}`)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clients != nil {
		server.TLS.ClientCAs, server.TLS.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		server.TLS.ClientCAs.AppendCertsFromPEM(clients.PEM)
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

func TestANodeWithTLSAndTokensIsHeardByWhoHasThem(t *testing.T) {
	ca, other := certtest.NewCA(t), certtest.NewCA(t)
	cert, key := ca.Issue(t, "shop.prod.svc")
	mine, mineKey := other.Issue(t, "operator")
	open, strict := guardedNode(t, cert, key, nil), guardedNode(t, cert, key, other)
	right := Access{Token: word, Roots: string(ca.PEM), Names: "shop-core-0a.prod.svc,shop.prod.svc"}
	for _, test := range []struct {
		name, address string
		change        func(*Access)
		says          string // "" is an answer
	}{
		{"all right", open, func(*Access) {}, ""},
		{"its own certificate is trusted", open, func(a *Access) { a.Roots = string(cert) }, ""},
		{"another CA", open, func(a *Access) { a.Roots = string(other.PEM) }, "cannot be trusted"},
		{"another name", open, func(a *Access) { a.Names = "lab.prod.svc" }, "is for shop.prod.svc and not for lab.prod.svc"},
		{"no token", open, func(a *Access) { a.Token = "" }, "401"},
		{"another token", open, func(a *Access) { a.Token = "fedcba9876543210" }, "does not take the operator's token"},
		{"no PEM", open, func(a *Access) { a.Roots = "x" }, "no certificate to trust"},
		{"no client certificate", strict, func(*Access) {}, "401"},
		{"a client certificate", strict, func(a *Access) { a.Cert, a.Key = string(mine), string(mineKey) }, ""},
		{"a client certificate of another CA", strict, func(a *Access) { a.Cert, a.Key = string(cert), string(key) }, "unknown certificate authority"},
		{"a client certificate without its key", strict, func(a *Access) { a.Cert, a.Key = string(mine), string(key) }, "reading the client certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			access := right
			test.change(&access)
			status, err := newClient(t).Status(t.Context(), Target{Address: test.address, Access: access})
			switch {
			case test.says == "" && (err != nil || status.Branch != "0B"):
				t.Errorf("status %+v, error %v", status, err)
			case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
				t.Errorf("error is %v, want it to say %q", err, test.says)
			case err != nil && (strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "PRIVATE")):
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// TestATokenNeverGoesOverPlainHTTPToANodeWithTLS: what listens without TLS at the
// address of a node with TLS is something else.
func TestATokenNeverGoesOverPlainHTTPToANodeWithTLS(t *testing.T) {
	heard := make(chan string, 10)
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { heard <- r.Header.Get("Authorization") })
	_, err := newClient(t).Status(t.Context(), Target{Address: address, Access: Access{Token: word, Roots: string(certtest.NewCA(t).PEM), Names: "a"}})
	if err == nil || len(heard) != 0 {
		t.Errorf("error %v, and %d requests were heard", err, len(heard))
	}
}

func TestNoFormOfAnAccessShowsASecret(t *testing.T) {
	a := Access{Token: word, Roots: "R", Cert: "C", Key: "PRIVATE"}
	target := Target{Address: "a:1", Access: a}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("Asking", "access", a)
	for _, text := range []string{fmt.Sprint(a), fmt.Sprintf("%v %+v %#v %s", a, a, a, a), fmt.Sprintf("%v %+v %#v", target, target, target), logged.String()} {
		if strings.Contains(text, word) || strings.Contains(text, "PRIVATE") {
			t.Errorf("it shows a secret: %s", text)
		}
	}
	if json.Valid(logged.Bytes()) == false {
		t.Errorf("the log is %s", logged.String())
	}
}
