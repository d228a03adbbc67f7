package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"
)

func configOf(url string) *rest.Config { return &rest.Config{Host: url} }

// clientOf trusts the proxy alone.
func clientOf(t *testing.T, p *proxy) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(p.ca) {
		t.Fatal("the proxy has no certificate")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

func TestWhoDoesNotKnowTheTokenDoesNotGetThrough(t *testing.T) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProxy(configOf("http://127.0.0.1:1"), scheme, newCounter())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close() //nolint:errcheck // of a test
	answer, err := clientOf(t, p).Get("https://" + p.address + "/api/v1/secrets")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("answered %s, want 401", answer.Status)
	}
}
