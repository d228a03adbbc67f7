package nodeclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Access is what it takes to be heard by a node. Its zero value is plain HTTP
// without a token. Two of the same content are equal.
type Access struct {
	// Token is sent with every request, "" for none.
	Token string
	// Roots are the certificates to trust, in PEM. When they are given, the node
	// is spoken to over TLS, and must have a certificate that one of them signed.
	Roots string
	// Names are those of which the node's certificate must have one, separated by
	// commas. The first is asked for.
	Names string
	// Cert and Key are the client's own certificate and its key, in PEM; both or none.
	Cert, Key string
}

// Secure reports whether the node is spoken to over TLS.
func (a Access) Secure() bool { return a.Roots != "" }

// String says how a node is reached, and none of the secrets.
func (a Access) String() string {
	if a.Secure() {
		return "access over TLS"
	}
	return "access over plain HTTP"
}

// GoString is String: no %#v shows a secret.
func (a Access) GoString() string { return a.String() }

// LogValue is String: no log shows a secret.
func (a Access) LogValue() slog.Value { return slog.StringValue(a.String()) }

// names are those that a certificate may have.
func (a Access) names() []string { return strings.Split(a.Names, ",") }

// config checks the node's certificate against a's roots and names.
func (a Access) config() (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(a.Roots)) {
		return nil, errors.New("there is no certificate to trust: none of them is PEM")
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: a.names()[0],
		InsecureSkipVerify: true, // of the one name that it knows; VerifyConnection checks all that it would
		VerifyConnection:   func(state tls.ConnectionState) error { return a.verify(state, roots) },
	}
	if a.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(a.Cert), []byte(a.Key))
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// verify is what crypto/tls does, but for one of several names.
func (a Access) verify(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("it showed no certificate")
	}
	leaf, between := state.PeerCertificates[0], x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		between.AddCert(certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return fmt.Errorf("its certificate cannot be trusted: %w", err)
	}
	return HasName(leaf, a.names())
}

// HasName returns an error unless the certificate is valid for one of the names.
func HasName(leaf *x509.Certificate, names []string) error {
	for _, name := range names {
		if leaf.VerifyHostname(name) == nil {
			return nil
		}
	}
	return fmt.Errorf("its certificate is for %s and not for %s", list(leaf.DNSNames), list(names))
}

func list(names []string) string {
	if len(names) == 0 {
		return "no name"
	}
	return strings.Join(names, " or ")
}
