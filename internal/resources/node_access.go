package resources

import (
	"crypto/rand"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	v1alpha1ac "vesperdb.io/vesper/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/nodeconfig"
)

const (
	nodeAccessDir = "/etc/vesper/access"
	nodeTLSDir    = "/etc/vesper/tls"
	// clientCAFile is the name of the file of client CAs, beside the node's own certificate.
	clientCAFile = "clients.crt"

	// NodeAccessVolume is the volume that a pod has whose node asks for tokens.
	NodeAccessVolume = "access"
	// NodeTLSVolume is the volume that a pod has whose node serves TLS.
	NodeTLSVolume = "tls"

	// operatorTokenKey is the key of the operator's token in its Secret.
	operatorTokenKey = "token"
	// operatorRole is what the operator may do at a node: draining it takes this role.
	operatorRole = v1alpha1.AccessAdmin
)

// NodeOperatorSecretName is the name of the Secret with the operator's token for a node.
func NodeOperatorSecretName(node string) string { return node + "-operator" }

// OperatorToken returns the token that a node's Secret holds. Only when there is
// none, or an unusable one, does it make a new one: 32 characters from the
// system's random source.
func OperatorToken(secret map[string][]byte) string {
	have := secret[operatorTokenKey]
	if access.CheckTokens(map[string][]byte{v1alpha1.OperatorToken: have}) == nil {
		return string(have)
	}
	return rand.Text() + rand.Text()[:6]
}

// NodeOperatorSecret holds the operator's token for a node.
func NodeOperatorSecret(n Node, token string) *corev1ac.SecretApplyConfiguration {
	return corev1ac.Secret(NodeOperatorSecretName(n.Object.Name), n.Object.Namespace).
		WithLabels(NodeLabels(n.Object)).
		WithOwnerReferences(nodeOwner(n.Object)).
		WithData(map[string][]byte{operatorTokenKey: []byte(token)})
}

// guard sets who may do what at the node. Tokens and certificates are files that
// Kubernetes mounts and the node reads again when they change.
func guard(config *nodeconfig.Config, spec v1alpha1.VesperNodeSpec) {
	if spec.Access != nil {
		config.Access.Anonymous = string(spec.Access.Anonymous)
		config.Access.OpenMetrics = spec.Access.Metrics == v1alpha1.MetricsOpen
		for _, token := range spec.Access.Tokens {
			config.Access.Tokens = append(config.Access.Tokens, nodeToken(token.Name, token.Role))
		}
		config.Access.Tokens = append(config.Access.Tokens, nodeToken(v1alpha1.OperatorToken, operatorRole))
	}
	if spec.TLS != nil {
		config.TLS = &nodeconfig.ServerTLS{CertFile: nodeTLSDir + "/" + v1alpha1.TLSCertKey, KeyFile: nodeTLSDir + "/" + v1alpha1.TLSKeyKey}
		if spec.TLS.ClientSecretRef != nil {
			config.TLS.ClientCAFile = nodeTLSDir + "/" + clientCAFile
		}
	}
}

func nodeToken(name string, role v1alpha1.AccessRole) nodeconfig.Token {
	return nodeconfig.Token{Name: name, Role: string(role), File: nodeAccessDir + "/" + name}
}

// guardVolumes are what guard reads, each Secret's keys beside each other.
func guardVolumes(n Node) (volumes []*corev1ac.VolumeApplyConfiguration) {
	if a := n.Object.Spec.Access; a != nil {
		sources := []*corev1ac.VolumeProjectionApplyConfiguration{
			project(NodeOperatorSecretName(n.Object.Name), operatorTokenKey, v1alpha1.OperatorToken)}
		for _, token := range a.Tokens {
			sources = append(sources, project(token.SecretKeyRef.Name, token.SecretKeyRef.Key, token.Name))
		}
		volumes = append(volumes, projected(NodeAccessVolume, sources))
	}
	if t := n.Object.Spec.TLS; t != nil {
		sources := []*corev1ac.VolumeProjectionApplyConfiguration{
			project(t.SecretRef.Name, v1alpha1.TLSCertKey, v1alpha1.TLSCertKey, v1alpha1.TLSKeyKey, v1alpha1.TLSKeyKey)}
		if ref := t.ClientSecretRef; ref != nil { // never its key: that is the operator's own
			sources = append(sources, project(ref.Name, v1alpha1.TLSCAKey, clientCAFile))
		}
		volumes = append(volumes, projected(NodeTLSVolume, sources))
	}
	return volumes
}

// guardMounts are where guardVolumes are.
func guardMounts(n Node) (mounts []*corev1ac.VolumeMountApplyConfiguration) {
	if n.Object.Spec.Access != nil {
		mounts = append(mounts, corev1ac.VolumeMount().WithName(NodeAccessVolume).WithMountPath(nodeAccessDir).WithReadOnly(true))
	}
	if n.Object.Spec.TLS != nil {
		mounts = append(mounts, corev1ac.VolumeMount().WithName(NodeTLSVolume).WithMountPath(nodeTLSDir).WithReadOnly(true))
	}
	return mounts
}

// project gives keys of a Secret as files: a key, its file's name, and so on.
func project(secret string, keysAndFiles ...string) *corev1ac.VolumeProjectionApplyConfiguration {
	projection := corev1ac.SecretProjection().WithName(secret)
	for i := 0; i+1 < len(keysAndFiles); i += 2 {
		projection.WithItems(corev1ac.KeyToPath().WithKey(keysAndFiles[i]).WithPath(keysAndFiles[i+1]))
	}
	return corev1ac.VolumeProjection().WithSecret(projection)
}

func projected(name string, sources []*corev1ac.VolumeProjectionApplyConfiguration) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(name).WithProjected(corev1ac.ProjectedVolumeSource().WithDefaultMode(0o440).WithSources(sources...))
}

// probeScheme is that of the probes: they check no certificate and need no token.
func probeScheme(spec v1alpha1.VesperNodeSpec) corev1.URIScheme {
	if spec.TLS != nil {
		return corev1.URISchemeHTTPS
	}
	return corev1.URISchemeHTTP
}

// appProtocol is what a Service says of its port.
func appProtocol(tls *v1alpha1.NodeTLS) string {
	if tls != nil {
		return "https"
	}
	return "http"
}

// applyAccess is a cluster's access as its nodes get it.
func applyAccess(a v1alpha1.Access) *v1alpha1ac.AccessApplyConfiguration {
	out := v1alpha1ac.Access()
	if a.Anonymous != "" {
		out.WithAnonymous(a.Anonymous)
	}
	if a.Metrics != "" {
		out.WithMetrics(a.Metrics)
	}
	for _, token := range a.Tokens {
		out.WithTokens(v1alpha1ac.AccessToken().WithName(token.Name).WithRole(token.Role).
			WithSecretKeyRef(v1alpha1ac.SecretKeyReference().WithName(token.SecretKeyRef.Name).WithKey(token.SecretKeyRef.Key)))
	}
	return out
}

// applyTLS is a cluster's TLS as its nodes get it.
func applyTLS(t v1alpha1.NodeTLS) *v1alpha1ac.NodeTLSApplyConfiguration {
	out := v1alpha1ac.NodeTLS().WithSecretRef(v1alpha1ac.LocalReference().WithName(t.SecretRef.Name))
	if t.ServerName != "" {
		out.WithServerName(t.ServerName)
	}
	if t.ClientSecretRef != nil {
		out.WithClientSecretRef(v1alpha1ac.LocalReference().WithName(t.ClientSecretRef.Name))
	}
	return out
}
