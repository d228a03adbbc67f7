package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

type clientKey struct{}

// addCredentials gives a command that asks a running node the flags --token-file
// and --ca-file. They are files: arguments can be read by everybody on a machine.
func addCredentials(cmd *cobra.Command) {
	var token, ca string
	cmd.Flags().StringVar(&token, "token-file", "", "with --node: the `FILE` whose first line is the token to show")
	cmd.Flags().StringVar(&ca, "ca-file", "", "with --node https://…: the `FILE` of the CA to trust, in PEM (default: the system's)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		client, err := newClient(token, ca)
		if err != nil {
			return usageError{err}
		}
		cmd.SetContext(context.WithValue(cmd.Context(), clientKey{}, client))
		return nil
	}
}

// clientOf returns the client of the command that runs.
func clientOf(ctx context.Context) *http.Client {
	if c, ok := ctx.Value(clientKey{}).(*http.Client); ok {
		return c
	}
	return http.DefaultClient
}

func newClient(tokenFile, caFile string) (*http.Client, error) {
	if tokenFile == "" && caFile == "" {
		return http.DefaultClient, nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck,forcetypeassert // what net/http documents
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("reading --ca-file: %s holds no certificate in PEM", caFile)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	c := &http.Client{Transport: transport}
	if tokenFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading --token-file: %w", err)
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return nil, fmt.Errorf("reading --token-file: %s is empty", tokenFile)
	}
	c.Transport = authorized{transport, string(line)}
	// Another host must not get the token.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("the node answered with a redirect") }
	return c, nil
}

// authorized shows a token with every request.
type authorized struct {
	next  http.RoundTripper
	token string
}

// RoundTrip implements http.RoundTripper.
func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.next.RoundTrip(r)
}
