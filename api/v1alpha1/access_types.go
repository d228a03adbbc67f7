package v1alpha1

import networkingv1 "k8s.io/api/networking/v1"

// AccessRole is what somebody may do at the HTTP interface of nodes, each role all
// that the one before it may: nothing, read, write, or administer.
// +kubebuilder:validation:Enum=none;read;write;admin
type AccessRole string

// Roles of requests without a token, and of tokens.
const (
	AccessNone  AccessRole = "none"
	AccessRead  AccessRole = "read"
	AccessWrite AccessRole = "write"
	AccessAdmin AccessRole = "admin"
)

// MetricsAccess says who may read the metrics of nodes.
// +kubebuilder:validation:Enum=Protected;Open
type MetricsAccess string

// MetricsProtected asks for the role read, MetricsOpen for nothing.
const (
	MetricsProtected MetricsAccess = "Protected"
	MetricsOpen      MetricsAccess = "Open"
)

// OperatorToken is the name that the operator's own token has at nodes with
// spec.access. It is nobody else's.
const OperatorToken = "vesper-operator"

// Access says who may do what at the HTTP interface of nodes. Where it is given,
// the operator makes a token of its own for each node, to ask it for its status
// and to drain it.
// +kubebuilder:validation:MinProperties=1
type Access struct {
	// anonymous is the role of requests without a token. Default: none. A change
	// restarts the nodes.
	// +optional
	Anonymous AccessRole `json:"anonymous,omitempty"`

	// metrics says whether /metrics takes the role read (Protected) or nothing
	// (Open). Default: Protected. A change restarts the nodes.
	// +optional
	Metrics MetricsAccess `json:"metrics,omitempty"`

	// tokens are those that may ask. Another list restarts the nodes; what the
	// Secrets hold is read again without a restart.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Tokens []AccessToken `json:"tokens,omitempty"`
}

// AccessToken is one who may ask, by a secret word.
// +kubebuilder:validation:XValidation:rule="self.role != 'none'",message="the role of a token must be read, write or admin; take a token away by removing it from the list"
type AccessToken struct {
	// name becomes the author of what it writes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9_.@-]*$`
	// +kubebuilder:validation:XValidation:rule="self != 'vesper-operator'",message="vesper-operator is the name of the operator's own token: choose another one"
	Name string `json:"name,omitempty"`

	// role is read, write or admin.
	// +required
	Role AccessRole `json:"role,omitempty"`

	// secretKeyRef names the Secret, in this namespace, and the key in it that
	// holds the token of 16 to 512 characters, or several, one a line.
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// SecretKeyReference names a key of a Secret in the same namespace.
type SecretKeyReference struct {
	// name of the Secret, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key of the Secret. Default: token.
	// +optional
	// +kubebuilder:default:=token
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// NodeTLS turns on TLS at the HTTP interface of nodes.
type NodeTLS struct {
	// secretRef names a Secret, in this namespace, with the keys tls.crt and tls.key,
	// as cert-manager makes them. The certificate must be valid for the name of the
	// node's Service or its cluster's, such as shop.prod.svc, or for serverName. The
	// key ca.crt, where it is there, holds the CAs by which the operator knows the
	// certificate; else the certificates of tls.crt are trusted themselves. New
	// certificates are served without a restart.
	// +required
	SecretRef LocalReference `json:"secretRef,omitzero"`

	// serverName is the name that the operator checks the certificate against.
	// Default: the names of the Services.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$`
	ServerName string `json:"serverName,omitempty"`

	// clientSecretRef makes clients need a certificate, beside the token. It names a
	// Secret, in this namespace, whose key ca.crt holds the CAs of which one must
	// have signed it, and whose keys tls.crt and tls.key hold the operator's own
	// client certificate. Only ca.crt reaches the nodes. Default: no client needs
	// one. Setting or removing it restarts the nodes.
	// +optional
	ClientSecretRef *LocalReference `json:"clientSecretRef,omitempty"`
}

// Keys of the Secrets of spec.tls.
const (
	TLSCertKey = "tls.crt"
	TLSKeyKey  = "tls.key"
	TLSCAKey   = "ca.crt"
)

// NetworkMode says how a cluster's NetworkPolicy is made.
// +kubebuilder:validation:Enum=Restricted;Open
type NetworkMode string

// NetworkRestricted lets in clients to the HTTP port only, and nodes out to their
// brokers only. NetworkOpen restricts nothing.
const (
	NetworkRestricted NetworkMode = "Restricted"
	NetworkOpen       NetworkMode = "Open"
)

// NodeNetwork says who reaches the nodes of a cluster over the network, and whom
// they reach. Other NetworkPolicies of the namespace add to it.
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.clients) || !has(self.mode) || self.mode != 'Open'",message="clients says who reaches the nodes, and mode Open lets in everybody: give one of them"
type NodeNetwork struct {
	// mode is Restricted, or Open for no restriction at all. Default: Restricted.
	// +optional
	Mode NetworkMode `json:"mode,omitempty"`

	// clients are those that reach the nodes' HTTP port, beside the operator and
	// the nodes of the cluster: pods, namespaces or addresses, as in a
	// NetworkPolicy. What scrapes the metrics is a client too. Default: everybody.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Clients []networkingv1.NetworkPolicyPeer `json:"clients,omitempty"`
}
