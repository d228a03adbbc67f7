package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Flavor is the make of a STOMP broker.
// +kubebuilder:validation:Enum=auto;activemq;artemis;rabbitmq;coilmq;morbidq;generic
type Flavor string

// Flavors. FlavorAuto tells the make from the broker's first answer.
const (
	FlavorAuto     Flavor = "auto"
	FlavorActiveMQ Flavor = "activemq"
	FlavorArtemis  Flavor = "artemis"
	FlavorRabbitMQ Flavor = "rabbitmq"
	FlavorCoilMQ   Flavor = "coilmq"
	FlavorMorbidQ  Flavor = "morbidq"
	FlavorGeneric  Flavor = "generic"
)

// Keys of a Secret with credentials for a broker: the Secret of
// spec.external.credentialsSecretRef, and the one that status.credentialsSecret
// names.
const (
	CredentialsUsernameKey = "username"
	CredentialsPasswordKey = "password"
)

// DefaultStompPort is where STOMP brokers listen.
const DefaultStompPort = 61613

// VesperBrokerSpec describes exactly one of a managed or an external broker.
// +kubebuilder:validation:XValidation:rule="has(self.activemq) != has(self.external)",message="give exactly one of activemq (a broker that the operator runs) and external (one that exists)"
// +kubebuilder:validation:XValidation:rule="has(self.activemq) == has(oldSelf.activemq)",message="a broker cannot change between activemq and external: make a new VesperBroker and name it in the cluster's brokerRef"
// +kubebuilder:validation:MinProperties=1
type VesperBrokerSpec struct {
	// activemq makes the operator run an ActiveMQ Classic.
	// +optional
	ActiveMQ *ActiveMQSpec `json:"activemq,omitempty"`

	// external names a STOMP broker that exists.
	// +optional
	External *ExternalBrokerSpec `json:"external,omitempty"`

	// paused keeps the operator from changing anything of the broker; its status is
	// told all the same. Default: false.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// ActiveMQSpec describes a managed ActiveMQ Classic.
type ActiveMQSpec struct {
	// image of the broker, laid out as apache/activemq-classic. Default: the
	// operator's own (its flag --default-broker-image, apache/activemq-classic
	// of a fixed release) at the time the broker was made; a newer operator
	// does not change it. A change restarts the broker.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[^\\s]+$')`,message="image must not contain blanks: write it as apache/activemq-classic:6.1.7"
	Image string `json:"image,omitempty"`

	// imagePullPolicy of the image. Default: IfNotPresent. A change restarts the broker.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are Secrets in this namespace to pull the image with. A
	// change restarts the broker.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`

	// replicas is 1, or 0 to stop the broker and keep its volume. Default: 1.
	// Nodes go on without a broker and catch up when it is back.
	// +optional
	// +kubebuilder:default:=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1
	Replicas *int32 `json:"replicas,omitempty"`

	// storage of the broker's message store.
	// +optional
	// +kubebuilder:default:={}
	Storage Storage `json:"storage,omitzero"`

	// deletionPolicy of the volume when this object is deleted. Default: Retain.
	// +optional
	// +kubebuilder:default:=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// resources of the broker's container; the Java heap is a fixed part of the
	// memory limit. Default: requests of 100m and 512Mi, a memory limit of 1Gi.
	// A change restarts the broker.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
}

// ExternalBrokerSpec names a STOMP broker that the operator does not run.
type ExternalBrokerSpec struct {
	// hosts are host:port addresses of one broker, tried in this order. A
	// change restarts its nodes one after another.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=3
	// +kubebuilder:validation:items:MaxLength=261
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]]):[1-9][0-9]{0,4}$') && int(self.substring(self.lastIndexOf(':') + 1)) <= 65535",message="each host must be host:port with a port from 1 to 65535, such as mq.example.org:61613"
	Hosts []string `json:"hosts,omitempty"`

	// flavor is the make of the broker. Default: auto, told from its first answer.
	// +optional
	// +kubebuilder:default:=auto
	Flavor Flavor `json:"flavor,omitempty"`

	// virtualHost is the one to use on a broker that has several, such as a vhost of
	// RabbitMQ. Default: the broker's usual one. A change restarts its nodes one
	// after another.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[!-~]([ -~]*[!-~])?$`
	VirtualHost string `json:"virtualHost,omitempty"`

	// credentialsSecretRef names a Secret with the keys username and password.
	// Default: no login.
	// +optional
	CredentialsSecretRef *LocalReference `json:"credentialsSecretRef,omitempty"`
}

// VesperBrokerStatus is what the operator saw of a broker.
type VesperBrokerStatus struct {
	// observedGeneration is the metadata.generation that this status is of; -1
	// until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready always; Reconciling and Stalled while they hold; and
	// CredentialsReady, PodRunning, Reachable.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// type is Managed or External.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Type string `json:"type,omitempty"`

	// virtualHost is what nodes ask the broker for; empty is its usual one.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	VirtualHost string `json:"virtualHost,omitempty"`

	// hosts are the host:port addresses that nodes use, in this order. They are
	// known as soon as the spec is valid, before the broker answers.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=261
	Hosts []string `json:"hosts,omitempty"`

	// flavor is the make of the broker that nodes are told.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Flavor Flavor `json:"flavor,omitempty"`

	// credentialsSecret names the Secret in this namespace whose keys username
	// and password nodes log in with. Empty: no login.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CredentialsSecret string `json:"credentialsSecret,omitempty"`

	// server is what the broker calls itself, such as ActiveMQ/6.1.7.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Server string `json:"server,omitempty"`

	// image is what the managed broker runs.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`
}

// Values of VesperBrokerStatus.Type.
const (
	BrokerTypeManaged  = "Managed"
	BrokerTypeExternal = "External"
)

// VesperBroker is a STOMP message broker over which nodes replicate: one that
// the operator runs, or one that exists.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=vb,categories=vesper
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.type`
// +kubebuilder:printcolumn:name="Hosts",type=string,JSONPath=`.status.hosts[*]`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.status.server`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 40",message="the name of a VesperBroker becomes the name of a Service: at most 40 characters of a-z, 0-9 and -, beginning with a letter"
type VesperBroker struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is that of every object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which broker.
	// +required
	Spec VesperBrokerSpec `json:"spec,omitzero"`

	// status is what the operator saw.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status VesperBrokerStatus `json:"status,omitzero"`
}

// VesperBrokerList is a list of VesperBrokers.
//
// +kubebuilder:object:root=true
type VesperBrokerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VesperBroker `json:"items"`
}
