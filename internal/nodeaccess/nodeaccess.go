// Package nodeaccess works out, from what Secrets hold, whether a node can be
// given its spec.access and spec.tls, and how the operator is then heard by it.
// It is pure.
package nodeaccess

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/nodeclient"
)

// Secrets are the data of Secrets by their names. One that is not there does not exist.
type Secrets map[string]map[string][]byte

// Problem is why a node cannot be given its access: what runs stays as it is.
type Problem struct {
	// Reason is one of those of the condition AccessReady.
	Reason string
	// Message says what to do. It holds no secret.
	Message string
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

func problem(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Needed lists the Secrets that the spec of a node names, each once and in order.
func Needed(spec v1alpha1.VesperNodeSpec) []string {
	names := map[string]bool{}
	if spec.Access != nil {
		for _, token := range spec.Access.Tokens {
			names[token.SecretKeyRef.Name] = true
		}
	}
	if spec.TLS != nil {
		names[spec.TLS.SecretRef.Name] = true
		if ref := spec.TLS.ClientSecretRef; ref != nil {
			names[ref.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Names are those of which the certificate of a node must have one: what the spec
// says, or the node's Service or its cluster's ("" for none), short and in full.
func Names(node *v1alpha1.VesperNode, cluster string) []string {
	if node.Spec.TLS != nil && node.Spec.TLS.ServerName != "" {
		return []string{node.Spec.TLS.ServerName}
	}
	var names []string
	for _, service := range []string{node.Name, cluster} {
		if service != "" {
			short := service + "." + node.Namespace + ".svc"
			names = append(names, short, short+".cluster.local")
		}
	}
	return names
}

// For returns how the operator is heard by a node, whose cluster is "" for one
// made by hand, and to which the operator's token is given.
func For(node *v1alpha1.VesperNode, cluster, token string, secrets Secrets) (nodeclient.Access, *Problem) {
	var heard nodeclient.Access
	if node.Spec.Access != nil {
		heard.Token = token
		if p := checkTokens(node.Spec.Access.Tokens, token, secrets); p != nil {
			return nodeclient.Access{}, p
		}
	}
	if node.Spec.TLS == nil {
		return heard, nil
	}
	if p := trust(&heard, node, Names(node, cluster), secrets); p != nil {
		return nodeclient.Access{}, p
	}
	if ref := node.Spec.TLS.ClientSecretRef; ref != nil {
		if p := showCertificate(&heard, ref.Name, secrets); p != nil {
			return nodeclient.Access{}, p
		}
	}
	return heard, nil
}

// valueOf is what a Secret has under a key, which must be something.
func valueOf(secrets Secrets, name, key string) ([]byte, *Problem) {
	secret, exists := secrets[name]
	switch {
	case !exists:
		return nil, problem(v1alpha1.ReasonSecretMissing, "Secret %s does not exist in this namespace: make it with the key %s", name, key)
	case len(secret[key]) == 0:
		return nil, problem(v1alpha1.ReasonSecretMissing, "Secret %s has no key %s, or an empty one: add it", name, key)
	}
	return secret[key], nil
}

// checkTokens refuses what the node would not start with.
func checkTokens(tokens []v1alpha1.AccessToken, own string, secrets Secrets) *Problem {
	files := map[string][]byte{v1alpha1.OperatorToken: []byte(own)}
	for _, token := range tokens {
		text, p := valueOf(secrets, token.SecretKeyRef.Name, token.SecretKeyRef.Key)
		if p != nil {
			return p
		}
		files[token.Name] = text
	}
	if err := access.CheckTokens(files); err != nil {
		return problem(v1alpha1.ReasonTokenUnusable, "%s", err)
	}
	return nil
}

// trust finds what the node's certificate is known by, and refuses one that could
// never be.
func trust(heard *nodeclient.Access, node *v1alpha1.VesperNode, names []string, secrets Secrets) *Problem {
	name := node.Spec.TLS.SecretRef.Name
	cert, _, leaf, p := pairOf(secrets, name)
	if p != nil {
		return p
	}
	if err := nodeclient.HasName(leaf, names); err != nil {
		return problem(v1alpha1.ReasonCertificateUnusable,
			"Secret %s: %s, by one of which the operator knows the node: issue it for one of them too, or say in spec.tls.serverName which one it has", name, err)
	}
	heard.Roots, heard.Names = string(cert), strings.Join(names, ",")
	if ca := secrets[name][v1alpha1.TLSCAKey]; len(ca) > 0 {
		if !x509.NewCertPool().AppendCertsFromPEM(ca) {
			return problem(v1alpha1.ReasonCertificateUnusable, "Secret %s: its key %s holds no certificate in PEM", name, v1alpha1.TLSCAKey)
		}
		heard.Roots = string(ca)
	}
	return nil
}

// showCertificate finds what the operator shows to a node that asks its clients
// for a certificate.
func showCertificate(heard *nodeclient.Access, name string, secrets Secrets) *Problem {
	ca, p := valueOf(secrets, name, v1alpha1.TLSCAKey)
	if p != nil {
		return p
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return problem(v1alpha1.ReasonCertificateUnusable, "Secret %s: its key %s holds no certificate in PEM", name, v1alpha1.TLSCAKey)
	}
	cert, key, leaf, p := pairOf(secrets, name)
	if p != nil {
		return p
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM(cert)
	options := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: leaf.NotBefore}
	if _, err := leaf.Verify(options); err != nil {
		return problem(v1alpha1.ReasonCertificateUnusable, "Secret %s: the nodes would refuse the operator's client certificate: %s", name, err)
	}
	heard.Cert, heard.Key = string(cert), string(key)
	return nil
}

// pairOf reads a certificate and its key.
func pairOf(secrets Secrets, name string) (cert, key []byte, leaf *x509.Certificate, p *Problem) {
	if cert, p = valueOf(secrets, name, v1alpha1.TLSCertKey); p != nil {
		return nil, nil, nil, p
	}
	if key, p = valueOf(secrets, name, v1alpha1.TLSKeyKey); p != nil {
		return nil, nil, nil, p
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, nil, nil, problem(v1alpha1.ReasonCertificateUnusable, "Secret %s: %s and %s are no certificate and its key: %s", name, v1alpha1.TLSCertKey, v1alpha1.TLSKeyKey, err)
	}
	return cert, key, pair.Leaf, nil
}
