package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// VesperNodeSpec describes one node. A cluster makes it; made by hand, it pins
// a branch id.
// +kubebuilder:validation:XValidation:rule="has(self.trunkID) == has(oldSelf.trunkID)",message="trunkID cannot be added or removed later: it is part of every changeset"
// +kubebuilder:validation:XValidation:rule="!has(self.trunkID) || self.trunkID.size() == self.branchID.size()",message="trunkID must have as many characters as branchID"
// +kubebuilder:validation:XValidation:rule="!has(self.trunkID) || self.trunkID <= self.branchID",message="trunkID must not be higher than branchID: the trunk is the lowest id of the system"
// +kubebuilder:validation:XValidation:rule="has(self.wire) == has(oldSelf.wire)",message="wire cannot be added or removed later: make a new VesperNode on another channel"
// +kubebuilder:validation:XValidation:rule="!has(self.retention) || self.retention == 'forever' || has(self.membersRef)",message="retention needs membersRef: a changeset may leave the log only when every member has it"
// +kubebuilder:validation:XValidation:rule="!has(self.modelURI) || has(self.wire) && self.wire == 'vesper'",message="modelURI needs wire vesper: only messages of the original carry it"
// +kubebuilder:validation:XValidation:rule="has(self.modelURI) == has(oldSelf.modelURI)",message="modelURI cannot be added or removed later: make a new VesperNode on another channel"
// +kubebuilder:validation:XValidation:rule="!has(self.wire) || self.wire != 'vesper' || !has(self.retention) || self.retention == 'forever'",message="retention must be forever with wire vesper: nodes of the original do not say what they have, so nothing may leave the log"
// +kubebuilder:validation:XValidation:rule="!has(self.links) || !has(self.wire) || self.wire != 'vesper'",message="links need wire packed: a node with wire vesper has one link only"
// +kubebuilder:validation:XValidation:rule="!has(self.links) || self.links.all(l, l.brokerRef.name != self.brokerRef.name || l.channel != self.channel)",message="a link must lead to another channel or broker than brokerRef and channel of the node: correct it, or remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.links) || self.links.all(l, self.links.exists_one(m, m.brokerRef.name == l.brokerRef.name && m.channel == l.channel))",message="two links lead to the same channel of the same broker: remove one of them"
type VesperNodeSpec struct {
	// branchID names the node's changesets for ever. No other node, now or
	// later, may have the same on this channel. Cannot change.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9A-Z]{1,5}[A-Z]$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="branchID cannot change: make a new VesperNode with a fresh id, which learns all data from its peers"
	BranchID string `json:"branchID,omitempty"`

	// trunkID is the lowest branch id of the whole system. Default: the lowest
	// id of branchID's width (0A). Cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9A-Z]{1,5}[A-Z]$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="trunkID cannot change: it is part of every changeset"
	TrunkID string `json:"trunkID,omitempty"`

	// brokerRef names the VesperBroker, in this namespace, over which the node
	// replicates. A change restarts the node.
	// +required
	BrokerRef LocalReference `json:"brokerRef,omitzero"`

	// brokerHash is the hash of the hosts, make and credentials of the broker
	// that the node may be configured with. Its cluster sets it, so that a change
	// of the broker restarts the nodes of the cluster one after another. Default:
	// none, and the node follows its broker at once.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]*$`
	BrokerHash string `json:"brokerHash,omitempty"`

	// channel is the topic that changesets are broadcast on. Default:
	// VESPER_DATA. Cannot change.
	// +optional
	// +kubebuilder:default:=VESPER_DATA
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.beacon') && !(self + '.').contains('.sync.')",message="a channel must not be called NAME.beacon or have .sync in its name: the nodes of another channel use these among themselves; choose another name"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="channel cannot change: its changesets would never reach nodes on the old one; make a new VesperNode"
	Channel string `json:"channel,omitempty"`

	// links are further channels that the node joins: it is then a relay, which
	// passes on what is new to it from each to the others. Its cluster sets them.
	// Default: none. A change restarts the node.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Links []NodeLink `json:"links,omitempty"`

	// parent is the group of the cluster that the node's group hangs from. Its
	// cluster sets it, for people to see. A change restarts nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$`
	Parent string `json:"parent,omitempty"`

	// intermittent says that the node may be cut off for days: that it is away is
	// no alarm, and its pod is not evicted when Kubernetes does not hear of its
	// machine. Default: false. A change restarts the node.
	// +optional
	Intermittent bool `json:"intermittent,omitempty"`

	// wire is the form of changesets on the channel, the same on all its nodes:
	// packed or vesper. Default: packed. Cannot change.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="wire cannot change: make a new VesperNode on another channel"
	Wire Wire `json:"wire,omitempty"`

	// modelURI is, with wire vesper, what the nodes of the original on the channel
	// have under model_uri: 1 to 256 characters of ASCII without blanks and
	// semicolons. Default: http://vesperdb.io/. Cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[!-:<-~]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="modelURI cannot change: make a new VesperNode on another channel"
	ModelURI string `json:"modelURI,omitempty"`

	// conflictPolicy says which of several values written at the same time is
	// read, the same on all nodes of the channel: latest, earliest or keepBoth.
	// Default: latest. A change restarts the node, which replicates only with
	// nodes that have the same.
	// +optional
	ConflictPolicy ConflictPolicy `json:"conflictPolicy,omitempty"`

	// retention is how long changesets stay in the log at least: forever, or
	// whole hours such as 720h, which needs membersRef. Default: forever. A
	// change restarts the node.
	// +optional
	Retention Retention `json:"retention,omitempty"`

	// membersRef names a ConfigMap, in this namespace, whose key members lists the
	// branch ids of all nodes of the channel, one a line. The node reads changes
	// without a restart. Its cluster sets it. Default: none.
	// +optional
	MembersRef *LocalReference `json:"membersRef,omitempty"`

	// group of the cluster that the node belongs to. Empty for a node made by hand.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$`
	Group string `json:"group,omitempty"`

	// image of the node. Default: the operator's own (its flag
	// --default-node-image) at the time the node was made; a newer operator
	// does not change it. A change restarts the node.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[^\\s]+$')`,message="image must not contain blanks: write it as vesper/node:v1.2.3"
	Image string `json:"image,omitempty"`

	// imagePullPolicy of the image. Default: IfNotPresent. A change restarts the node.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are Secrets in this namespace to pull the image with. A
	// change restarts the node.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`

	// storage of the node.
	// +optional
	// +kubebuilder:default:={}
	Storage Storage `json:"storage,omitzero"`

	// resources of the node's container. Default: requests of 50m and 64Mi, a
	// memory limit of 512Mi. A change restarts the node.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// access says who may do what at the node's HTTP interface. Default: whoever
	// reaches it may do everything. Setting or removing it restarts the node.
	// +optional
	Access *Access `json:"access,omitempty"`

	// tls turns on TLS at the node's HTTP interface. Default: plain HTTP. Setting
	// or removing it restarts the node.
	// +optional
	TLS *NodeTLS `json:"tls,omitempty"`

	// draining says that the node is to leave: it takes no more writes and goes on
	// replicating, and the condition Drained says when its peers have all that it
	// wrote. Its cluster sets it. Default: false. A change restarts nothing.
	// +optional
	Draining bool `json:"draining,omitempty"`

	// suspended stops the node: its pod ends; branch id and volume are kept. Default:
	// false, unless its cluster or group is suspended. A change takes effect at once.
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// paused keeps the operator from changing anything of the node; its status is
	// told all the same. Default: false, unless its cluster is paused.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// podTemplate is merged into the template of the node's pod, as kubectl patch does
	// with strategic merge: metadata and spec of a pod, in which lists of objects
	// go by their keys, such as the name of a container (the node's is vesper-node),
	// and $patch: delete takes a member out. It may add scheduling rules, sidecars,
	// labels and more; what makes a pod that of its node cannot be changed. A change
	// restarts the node.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	PodTemplate *runtime.RawExtension `json:"podTemplate,omitempty"`

	// deletionPolicy of the node's volume when this object is deleted. Default:
	// Retain. A change applies at once.
	// +optional
	// +kubebuilder:default:=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// NodeLink is a channel that a node joins beside its own.
type NodeLink struct {
	// name is unique in the node and not main, which is the link of brokerRef and
	// channel. The node remembers under it what it published.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self != 'main'",message="a link cannot be called main: that is the link of the node's own brokerRef and channel; choose another name"
	Name string `json:"name,omitempty"`

	// brokerRef names the VesperBroker, in this namespace.
	// +required
	BrokerRef LocalReference `json:"brokerRef,omitzero"`

	// brokerHash is for this link what spec.brokerHash is for the node's own.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]*$`
	BrokerHash string `json:"brokerHash,omitempty"`

	// channel is the topic that changesets are broadcast on. Default: VESPER_DATA.
	// +optional
	// +kubebuilder:default:=VESPER_DATA
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.beacon') && !(self + '.').contains('.sync.')",message="a channel must not be called NAME.beacon or have .sync in its name: the nodes of another channel use these among themselves; choose another name"
	Channel string `json:"channel,omitempty"`
}

// NodeRole is what a node does between channels.
// +kubebuilder:validation:Enum=Member;Relay
type NodeRole string

const (
	// RoleMember is that of a node with one link.
	RoleMember NodeRole = "Member"
	// RoleRelay is that of a node with several links, which passes on what is new to
	// it from each to the others.
	RoleRelay NodeRole = "Relay"
)

// VesperNodeStatus is what the operator saw, and what the node said of itself.
// The figures are written at most once a minute and only when they changed.
type VesperNodeStatus struct {
	// observedGeneration is the metadata.generation that this status is of; -1
	// until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready always; Reconciling and Stalled while they hold; and
	// BranchIDsAssigned, BrokerReady, StorageReady, ConfigApplied, PodRunning,
	// Replicating; AccessReady where access or tls is set; and, only while
	// something is wrong, Diverged, Forked, RetentionHeldBack and VolumeNearlyFull.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// role is Relay for a node with several links, else Member.
	// +optional
	Role NodeRole `json:"role,omitempty"`

	// volumeUID is the UID of the volume claim that holds this branch's data.
	// Another claim cannot take its place.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	VolumeUID string `json:"volumeUID,omitempty"`

	// image is what the node runs.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// version is the release that the node says it is.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// incarnation is random, new at the first start of the node's store.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Incarnation string `json:"incarnation,omitempty"`

	// revision is what the node has applied, such as 0A00003,0B00002.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	Revision string `json:"revision,omitempty"`

	// objects is the number of objects that a query can see.
	// +optional
	Objects *int64 `json:"objects,omitempty"`

	// lag is how many changesets, which its peers have, the node lacks.
	// +optional
	Lag *int64 `json:"lag,omitempty"`

	// lagSeconds is for how long it has lacked some, rounded down to 1, 2, 5, 10, 20,
	// 30 seconds, as many minutes, hours or days: a node that stays behind is not
	// written of all the time.
	// +optional
	LagSeconds *int64 `json:"lagSeconds,omitempty"`

	// outbox is how many changesets the node wrote that the broker has not confirmed.
	// +optional
	Outbox *int64 `json:"outbox,omitempty"`

	// conflicts is the number of properties that hold concurrent values.
	// +optional
	Conflicts *int64 `json:"conflicts,omitempty"`

	// peers is the number of other nodes that this one has heard of.
	// +optional
	Peers *int32 `json:"peers,omitempty"`

	// storageBytes is the size of the node's store.
	// +optional
	StorageBytes *int64 `json:"storageBytes,omitempty"`

	// volumeBytes is how large the file system of the node's volume is.
	// +optional
	VolumeBytes *int64 `json:"volumeBytes,omitempty"`

	// volumeUsedPercent is how much of it is used, by the store or anything else,
	// within one percent. From 90 on, until it is below 85, the condition
	// VolumeNearlyFull is there.
	// +optional
	VolumeUsedPercent *int32 `json:"volumeUsedPercent,omitempty"`

	// figuresTime is when the figures above were last written.
	// +optional
	FiguresTime *metav1.Time `json:"figuresTime,omitempty"`
}

// VesperNode is one member of a system of nodes: one writer, one branch id, one volume.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=vn,categories=vesper
// +kubebuilder:printcolumn:name="Branch",type=string,JSONPath=`.spec.branchID`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Parent",type=string,JSONPath=`.spec.parent`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.status.role`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="Objects",type=integer,JSONPath=`.status.objects`
// +kubebuilder:printcolumn:name="Lag",type=integer,JSONPath=`.status.lag`
// +kubebuilder:printcolumn:name="Outbox",type=integer,priority=1,JSONPath=`.status.outbox`
// +kubebuilder:printcolumn:name="Lag-Seconds",type=integer,priority=1,JSONPath=`.status.lagSeconds`
// +kubebuilder:printcolumn:name="Peers",type=integer,priority=1,JSONPath=`.status.peers`
// +kubebuilder:printcolumn:name="Volume%",type=integer,priority=1,JSONPath=`.status.volumeUsedPercent`
// +kubebuilder:printcolumn:name="Conflicts",type=integer,priority=1,JSONPath=`.status.conflicts`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.metadata.labels.vesperdb\.io/cluster`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 52",message="the name of a VesperNode becomes the name of a StatefulSet and a Service: at most 52 characters of a-z, 0-9 and -, beginning with a letter"
type VesperNode struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is that of every object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the node should be.
	// +required
	Spec VesperNodeSpec `json:"spec,omitzero"`

	// status is what the operator saw.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status VesperNodeStatus `json:"status,omitzero"`
}

// VesperNodeList is a list of VesperNodes.
//
// +kubebuilder:object:root=true
type VesperNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VesperNode `json:"items"`
}
