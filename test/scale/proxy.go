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
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// proxy stands between the operator and the API server and counts. It speaks
// HTTP/2 over TLS on both sides, as the two would without it.
type proxy struct {
	counter *counter
	decoder runtime.Decoder
	server  *http.Server
	address string
	token   string // who knows it is the operator
	ca      []byte
}

// startProxy forwards to the API server with the credentials of cfg.
func startProxy(cfg *rest.Config, scheme *runtime.Scheme, counter *counter) (*proxy, error) {
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("making a transport to the API server: %w", err)
	}
	target, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	certificate, ca, err := newCertificate()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return nil, fmt.Errorf("listening for the operator: %w", err)
	}
	p := &proxy{counter: counter, decoder: serializer.NewCodecFactory(scheme).UniversalDeserializer(), address: l.Addr().String(), token: rand.Text(), ca: ca}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Authorization")
		},
		Transport: transport, FlushInterval: -1, ModifyResponse: p.answered, ErrorLog: log.New(io.Discard, "", 0),
	}
	p.server = &http.Server{Handler: p.checked(forward), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	go func() { _ = p.server.ServeTLS(l, "", "") }()
	return p, nil
}

// close ends the proxy and all that goes through it.
func (p *proxy) close() error {
	if err := p.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("ending the proxy: %w", err)
	}
	return nil
}

// before is the key of the newest resource version when a request came.
type before struct{}

func (p *proxy) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if in.Header.Get("Authorization") != "Bearer "+p.token {
			http.Error(out, "this is the operator's way to the API server", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(out, in.WithContext(context.WithValue(in.Context(), before{}, p.counter.newest.Load())))
	})
}

// answered counts a request. The answer to a write is read: whether it changed
// anything shows in its resource version.
func (p *proxy) answered(answer *http.Response) error {
	r := requestOf(answer.Request)
	if !r.writes() {
		p.counter.count(r, changed)
		return nil
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	p.counter.count(r, p.judge(r, answer, body))
	return nil
}

func (p *proxy) judge(r request, answer *http.Response, body []byte) outcome {
	if answer.StatusCode >= http.StatusBadRequest {
		return refused
	}
	object, _, err := p.decoder.Decode(body, nil, nil)
	if err != nil {
		return changed // not an object: such as an answer to a deletion
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return changed
	}
	version, err := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	if err != nil {
		return changed
	}
	newest, _ := answer.Request.Context().Value(before{}).(uint64)
	p.counter.saw(version)
	if version <= newest && r.verb != "delete" {
		return noOp
	}
	return changed
}

// kubeconfig writes a file that leads the operator through the proxy.
func (p *proxy) kubeconfig(file string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["scale"] = &clientcmdapi.Cluster{Server: "https://" + p.address, CertificateAuthorityData: p.ca}
	config.AuthInfos["operator"] = &clientcmdapi.AuthInfo{Token: p.token}
	config.Contexts["scale"] = &clientcmdapi.Context{Cluster: "scale", AuthInfo: "operator"}
	config.CurrentContext = "scale"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("writing the operator's kubeconfig: %w", err)
	}
	return nil
}

// newCertificate makes a certificate for 127.0.0.1, and the PEM of it.
func newCertificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "scale"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(30 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
