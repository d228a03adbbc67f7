package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"vesperdb.io/vesper/internal/nodeconfig"
)

// ServerTLS is the node's certificate and, if it asks for client certificates,
// what it trusts. Follow of the Guard reads both again when their files change;
// connections that stand keep what they were made with.
type ServerTLS struct {
	source   *source[*tls.Config]
	clientCA bool
}

// NewServerTLS reads the files.
func NewServerTLS(c nodeconfig.ServerTLS) (*ServerTLS, error) {
	files := []string{c.CertFile, c.KeyFile}
	if c.ClientCAFile != "" {
		files = append(files, c.ClientCAFile)
	}
	src, err := newSource("the TLS certificate", files, func(contents [][]byte) (*tls.Config, error) {
		return serverConfig(files, contents)
	})
	if err != nil {
		return nil, err
	}
	return &ServerTLS{source: src, clientCA: c.ClientCAFile != ""}, nil
}

func serverConfig(files []string, contents [][]byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", files[0], files[1], err)
	}
	// HTTP/1.1 only: the bounds on slow clients are those of connections.
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if len(contents) > 2 {
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", files[2])
		}
		// Given, not required: the probes of Kubernetes have none. The Guard asks
		// for one wherever a role is needed.
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return c, nil
}

// Listener makes l one of TLS. Each connection gets the certificate in force.
func (s *ServerTLS) Listener(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := s.source.get()
			if c == nil {
				return nil, errors.New("there is no certificate")
			}
			return c, nil
		},
	})
}
