package stomp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Credentials are what a broker with authentication asks for. They format as "[redacted]"
// with every verb and in every slog handler.
type Credentials struct {
	Login    string
	Passcode string
}

const redacted = "[redacted]"

// String hides both parts.
func (Credentials) String() string { return redacted }

// GoString hides both parts from %#v.
func (Credentials) GoString() string { return redacted }

// Format hides both parts from every other verb.
func (Credentials) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// LogValue hides both parts from slog.
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides both parts from encoders.
func (Credentials) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// CredentialSource is asked at every connect, so that a rotated secret is used as soon as the
// connection is made again. It must honor ctx.
type CredentialSource func(ctx context.Context) (Credentials, error)

// StaticCredentials always answers with the same pair.
func StaticCredentials(login, passcode string) CredentialSource {
	return func(context.Context) (Credentials, error) {
		return Credentials{Login: login, Passcode: passcode}, nil
	}
}

// CredentialFiles reads the login and the passcode from two files, as Kubernetes mounts them;
// one line end at a file's end does not count. The error names the file that could not be read.
func CredentialFiles(loginFile, passcodeFile string) CredentialSource {
	return func(context.Context) (Credentials, error) {
		login, err := readSecret(loginFile)
		if err != nil {
			return Credentials{}, fmt.Errorf("reading the broker's login: %w", err)
		}
		passcode, err := readSecret(passcodeFile)
		if err != nil {
			return Credentials{}, fmt.Errorf("reading the broker's passcode: %w", err)
		}
		return Credentials{Login: login, Passcode: passcode}, nil
	}
}

func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// TLSSource is asked at every connect, so that rotated certificates are used without a restart.
// When the answer has no ServerName, the host of the dialed address is used.
type TLSSource func(ctx context.Context) (*tls.Config, error)

// StaticTLS always answers with the same configuration.
func StaticTLS(c *tls.Config) TLSSource {
	return func(context.Context) (*tls.Config, error) { return c, nil }
}

// TLSFiles names PEM files to build a TLS configuration from. Every field may be empty: no
// CAFile means the system's roots, no CertFile and KeyFile means no client certificate.
type TLSFiles struct {
	CAFile     string
	CertFile   string
	KeyFile    string
	ServerName string
}

// Source returns a TLSSource that reads the files at every connect and requires TLS 1.2 or later.
func (f TLSFiles) Source() TLSSource {
	return func(context.Context) (*tls.Config, error) { return f.load() }
}

func (f TLSFiles) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the broker's CA certificates: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading the broker's CA certificates: %s holds no PEM certificate", f.CAFile)
		}
	}
	if f.CertFile != "" || f.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate for the broker: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
