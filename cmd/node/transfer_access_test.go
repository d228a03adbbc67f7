package main

import (
	"encoding/pem"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/server"
	"vesperdb.io/vesper/internal/store"
)

// TestDumpAndLoadShowATokenToANodeWithTLS, and say what is missing without one.
func TestDumpAndLoadShowATokenToANodeWithTLS(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: "0A", Trunk: "0A", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	config := nodeconfig.Default()
	config.BranchID, config.TrunkID, config.StoragePath = "0A", "0A", t.TempDir()
	tokens := nodeconfig.Access{}
	files := map[string]string{}
	for _, role := range []string{"read", "write"} {
		files[role] = writeFile(t, role, "the-token-to-"+role+"-0123456789\n")
		tokens.Tokens = append(tokens.Tokens, nodeconfig.Token{Name: role, Role: role, File: files[role]})
	}
	guard, err := access.NewGuard(tokens, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Deps{Store: s, Config: config, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(srv.Handler())
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := writeFile(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})))
	want := someLines(20)
	in := writeFile(t, "in.ndjson", want)
	out := filepath.Join(t.TempDir(), "out.ndjson")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"load", in}, exitFailed, "certificate"},
		{[]string{"load", in, "--ca-file", ca}, exitFailed, "401"},
		{[]string{"load", in, "--ca-file", ca, "--token-file", files["read"]}, exitFailed, "403"},
		{[]string{"load", in, "--ca-file", ca, "--token-file", files["write"]}, exitOK, "loaded 20 lines"},
		{[]string{"dump", "--out", out, "--ca-file", ca}, exitFailed, "401"},
		{[]string{"dump", "--out", out, "--token-file", files["read"]}, exitFailed, "certificate"},
		{[]string{"dump", "--out", out, "--ca-file", ca, "--token-file", files["read"]}, exitOK, "holds 20 objects"},
	} {
		code, stdout, stderr := run(t, append(c.args, "--node", web.URL)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.says) || strings.Contains(stdout+stderr, "the-token-to") {
			t.Errorf("%q: exit code %d, %s %s; want %d and %q", c.args, code, stdout, stderr, c.code, c.says)
		}
	}
	if got := content(t, out); got != want {
		t.Errorf("%d bytes were dumped of %d", len(got), len(want))
	}
}
