package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/nodeclient"
)

// TestTheOperatorHearsARealNodeWithTokensTLSAndAClientCA: what the operator takes
// from Secrets is what a node lets in, also after the certificate was replaced.
func TestTheOperatorHearsARealNodeWithTokensTLSAndAClientCA(t *testing.T) {
	t.Parallel()
	s := startSecured(t, "tls: {certFile: FILES/tls.crt, keyFile: FILES/tls.key, clientCAFile: FILES/tls.crt}\n")
	client := nodeclient.New()
	t.Cleanup(client.Close)
	heard := func() nodeclient.Target {
		read := func(name string) string {
			text, err := os.ReadFile(filepath.Join(s.files, name))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		return nodeclient.Target{Address: strings.TrimPrefix(s.url, "https://"), Access: nodeclient.Access{
			Token: readerToken, Roots: read("tls.crt"), Names: "shop.prod.svc,127.0.0.1", Cert: read("tls.crt"), Key: read("tls.key")}}
	}
	for what, change := range map[string]func(*nodeclient.Access){
		"without a token":              func(a *nodeclient.Access) { a.Token = "" },
		"without a client certificate": func(a *nodeclient.Access) { a.Cert, a.Key = "", "" },
		"under another name":           func(a *nodeclient.Access) { a.Names = "shop.prod.svc" },
	} {
		target := heard()
		change(&target.Access)
		if status, err := client.Status(t.Context(), target); err == nil {
			t.Errorf("%s it is told %+v", what, status)
		}
	}
	if status, err := client.Status(t.Context(), heard()); err != nil || status.Branch != "0A" {
		t.Fatalf("status %+v, error %v", status, err)
	}
	s.certificate(t, 2)
	eventually(t, func() string {
		if _, err := client.Status(t.Context(), heard()); err != nil {
			return err.Error()
		}
		return ""
	})
}
