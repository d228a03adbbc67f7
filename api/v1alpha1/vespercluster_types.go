package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// DefaultChannel is the channel of a cluster that names none.
const DefaultChannel = "VESPER_DATA"

// VesperClusterSpec describes nodes that replicate with each other over one
// channel of one broker.
// +kubebuilder:validation:XValidation:rule="has(self.trunkID) == has(oldSelf.trunkID)",message="trunkID cannot be added or removed later: it is part of every changeset"
// +kubebuilder:validation:XValidation:rule="!has(self.trunkID) || self.trunkID.size() == self.branchIDs.width",message="trunkID must have branchIDs.width characters"
// +kubebuilder:validation:XValidation:rule="!has(self.trunkID) || !has(self.branchIDs.from) || self.trunkID <= self.branchIDs.from",message="trunkID must not be higher than branchIDs.from: the trunk is the lowest id of the system"
// +kubebuilder:validation:XValidation:rule="!has(self.trunkID) || has(self.branchIDs.from) || self.trunkID.matches('^0+A$')",message="trunkID must be the lowest id (0A) unless branchIDs.from is given"
// +kubebuilder:validation:XValidation:rule="!has(self.wire) || self.wire != 'vesper' || !has(self.retention) || self.retention == 'forever'",message="retention must be forever with wire vesper: nodes of the original do not say what they have, so nothing may leave the log"
// +kubebuilder:validation:XValidation:rule="!has(self.modelURI) || has(self.wire) && self.wire == 'vesper'",message="modelURI needs wire vesper: only messages of the original carry it"
// +kubebuilder:validation:XValidation:rule="has(self.modelURI) == has(oldSelf.modelURI)",message="modelURI cannot be added or removed later: nodes with one would not understand what nodes with the other send; make a new cluster on another channel"
// +kubebuilder:validation:XValidation:rule="!has(self.wire) || self.wire != 'vesper' || self.groups.all(g, !has(g.parent))",message="parent needs wire packed: a node with wire vesper has one link only; leave out parent, or wire"
// +kubebuilder:validation:XValidation:rule="self.groups.all(g, !has(g.parent) || self.groups.exists(p, p.name == g.parent))",message="parent must be the name of another group of this cluster: correct it, or add that group"
// +kubebuilder:validation:XValidation:rule="self.groups.all(g, !has(g.parent) || !self.groups.exists(p, p.name == g.parent && p.name != g.name && has(p.parent) && p.parent == g.name))",message="two groups are each other's parent: leave out the parent of the one that is to be at the top"
// +kubebuilder:validation:XValidation:rule="self.groups.all(g, !has(g.parent) || !self.groups.exists(p, p.name == g.parent && p.name != g.name && (has(p.brokerRef) ? p.brokerRef.name : self.brokerRef.name) == (has(g.brokerRef) ? g.brokerRef.name : self.brokerRef.name) && (has(p.channel) ? p.channel : self.channel) == (has(g.channel) ? g.channel : self.channel)))",message="a group with a parent needs a brokerRef or a channel of its own: on the same channel as its parent there is nothing to relay; give it one, or leave out parent"
// +kubebuilder:validation:XValidation:rule="self.groups.all(g, oldSelf.groups.all(o, o.name != g.name || (has(o.channel) ? o.channel : oldSelf.channel) == (has(g.channel) ? g.channel : self.channel)))",message="the channel of a group cannot change: its changesets would never reach nodes on the old one; make a new group on the other channel, and remove this one when the new one has caught up"
type VesperClusterSpec struct {
	// brokerRef names the VesperBroker, in this namespace, over which the nodes
	// of all groups replicate that name none of their own. It may be made later
	// than the cluster. A change restarts these nodes one after another; what the
	// old broker held for them is repaired among themselves.
	// +required
	BrokerRef LocalReference `json:"brokerRef,omitzero"`

	// channel is the topic that changesets are broadcast on, of all groups that
	// name none of their own. Nodes on one channel of one broker are one system.
	// Default: VESPER_DATA. Cannot change.
	// +optional
	// +kubebuilder:default:=VESPER_DATA
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.beacon') && !(self + '.').contains('.sync.')",message="a channel must not be called NAME.beacon or have .sync in its name: the nodes of another channel use these among themselves; choose another name"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="channel cannot change: its changesets would never reach nodes on the old one; make a new cluster"
	Channel string `json:"channel,omitempty"`

	// wire is the form of changesets on the channel: packed, or vesper for a
	// channel that nodes of the original Vesper share. All nodes of a channel
	// must have the same. Default: packed. Cannot change.
	// +optional
	// +kubebuilder:default:=packed
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="wire cannot change: nodes with one could not read what nodes with the other send; make a new cluster on another channel"
	Wire Wire `json:"wire,omitempty"`

	// modelURI is, with wire vesper, what the nodes of the original on the channel
	// have under model_uri: 1 to 256 characters of ASCII without blanks and
	// semicolons. Default: http://vesperdb.io/. Cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[!-:<-~]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="modelURI cannot change: nodes with one would not understand what nodes with the other send; make a new cluster on another channel"
	ModelURI string `json:"modelURI,omitempty"`

	// conflictPolicy says which of several values written at the same time on
	// different nodes is read: the latest, the earliest, or both of them. All
	// nodes of a channel must have the same. Default: latest. Cannot change.
	// +optional
	// +kubebuilder:default:=latest
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="conflictPolicy cannot change: while some nodes had the new one, they would not replicate with the others; make a new cluster"
	ConflictPolicy ConflictPolicy `json:"conflictPolicy,omitempty"`

	// retention is how long changesets stay in the nodes' logs at least: forever,
	// or whole hours such as 720h. What is older leaves the log once every node
	// on the channel that this namespace knows has it; reading older history is
	// then answered with 410. Default: forever. A change restarts the nodes one
	// after another.
	// +optional
	// +kubebuilder:default:=forever
	Retention Retention `json:"retention,omitempty"`

	// trunkID is the lowest branch id of the whole system. Default: the lowest
	// there is (0A), whatever the range, so that clusters which share a channel
	// agree: they must all have the same. Cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9A-Z]{1,5}[A-Z]$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="trunkID cannot change: it is part of every changeset"
	TrunkID string `json:"trunkID,omitempty"`

	// branchIDs says which ids nodes of this cluster get.
	// +optional
	// +kubebuilder:default:={"width":2}
	BranchIDs BranchIDRange `json:"branchIDs,omitzero"`

	// groups of nodes, and how they hang together. Removing a group retires its nodes.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Groups []NodeGroup `json:"groups,omitempty"`

	// image of the nodes. Default: the operator's own (its flag
	// --default-node-image) at the time the first node was made; a newer
	// operator does not change it. A change restarts the nodes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[^\\s]+$')`,message="image must not contain blanks: write it as vesper/node:v1.2.3"
	Image string `json:"image,omitempty"`

	// imagePullPolicy of the image. Default: IfNotPresent. A change restarts the nodes.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are Secrets in this namespace to pull the image with. A
	// change restarts the nodes.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`

	// storage of each node.
	// +optional
	// +kubebuilder:default:={}
	Storage Storage `json:"storage,omitzero"`

	// resources of each node's container. Default: requests of 50m and 64Mi, a
	// memory limit of 512Mi. A change restarts the nodes.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// access says who may do what at the nodes' HTTP interface. Default: whoever
	// reaches it may do everything. Setting or removing it restarts the nodes one
	// after another.
	// +optional
	Access *Access `json:"access,omitempty"`

	// tls turns on TLS at the nodes' HTTP interface. Default: plain HTTP. Setting
	// or removing it restarts the nodes one after another.
	// +optional
	TLS *NodeTLS `json:"tls,omitempty"`

	// rollout says how a change that restarts nodes goes through them. Default: one
	// node at a time, the next as soon as the one before is well again.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`

	// suspended stops all nodes: their pods end; branch ids, volumes and VesperNodes
	// are kept, and all of it goes on when this is false again. Default: false. A
	// change takes effect on all nodes at once.
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// paused keeps the operator from changing anything of the cluster and its nodes;
	// their status is told all the same. Default: false.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// network says who reaches the nodes over the network, and whom they reach.
	// Default: everybody reaches their HTTP port, and they reach their brokers. A
	// change applies at once and restarts nothing.
	// +optional
	Network *NodeNetwork `json:"network,omitempty"`

	// podTemplate is merged into the template of the nodes' pods, as kubectl patch does
	// with strategic merge: metadata and spec of a pod, in which lists of objects
	// go by their keys, such as the name of a container (the node's is vesper-node),
	// and $patch: delete takes a member out. It may add scheduling rules, sidecars,
	// labels and more; what makes a pod that of its node cannot be changed. A change
	// restarts the nodes one after another.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	PodTemplate *runtime.RawExtension `json:"podTemplate,omitempty"`

	// deletionPolicy of the nodes' volumes when a node is scaled away or the
	// cluster is deleted. Default: Retain. A change applies to volumes that exist.
	// +optional
	// +kubebuilder:default:=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// BranchIDRange is the range of branch ids that a cluster may give out.
// +kubebuilder:validation:XValidation:rule="!has(self.from) || self.from.size() == self.width",message="branchIDs.from must have branchIDs.width characters"
// +kubebuilder:validation:XValidation:rule="!has(self.to) || self.to.size() == self.width",message="branchIDs.to must have branchIDs.width characters"
// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.to) || self.from <= self.to",message="branchIDs.from must not be higher than branchIDs.to"
type BranchIDRange struct {
	// width is the number of characters of every id: two characters make 936
	// ids, three 33 696. Default: 2. Cannot change.
	// +optional
	// +kubebuilder:default:=2
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=6
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="branchIDs.width cannot change: all ids of one system have the same width"
	Width int32 `json:"width,omitempty"`

	// from is the lowest id that may be given out. Default: the lowest there is
	// (0A). Clusters that share a channel need ranges that do not meet. Ids are
	// given out in ascending order, so raising it skips ids for ever.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9A-Z]{1,5}[A-Z]$`
	From string `json:"from,omitempty"`

	// to is the highest id that may be given out. Default: the highest there is
	// (ZZ). When it is used up, no new node is started until it is raised.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	// +kubebuilder:validation:Pattern=`^[0-9A-Z]{1,5}[A-Z]$`
	To string `json:"to,omitempty"`
}

// Rollout says how a change that restarts nodes goes through them. Nodes that are
// not ready get a change at once, so that a fix always gets through.
// +kubebuilder:validation:MinProperties=1
type Rollout struct {
	// maxUnavailable is how many nodes of the cluster may be away at the same time
	// for a change. Default: 1. A change restarts nothing.
	// +optional
	// +kubebuilder:default:=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxUnavailable *int32 `json:"maxUnavailable,omitempty"`

	// pauseSeconds is how long a node that was changed must have been ready before
	// the next one is. Default: 0. A change restarts nothing.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	PauseSeconds *int32 `json:"pauseSeconds,omitempty"`

	// held keeps every ready node as it is, also in the middle of a change. Default:
	// false.
	// +optional
	Held bool `json:"held,omitempty"`
}

// NodeGroup is a number of like nodes.
// +kubebuilder:validation:XValidation:rule="!has(self.parent) || self.parent != self.name",message="a group cannot be its own parent: name another group, or leave out parent"
// +kubebuilder:validation:XValidation:rule="!has(self.relays) || has(self.parent)",message="relays needs parent: name the group whose channel they join, or leave out relays"
// +kubebuilder:validation:XValidation:rule="!has(self.relays) || !has(self.replicas) || self.replicas == 0 || self.relays <= self.replicas",message="relays must not be more than replicas: relays are some of the group's nodes; raise replicas, or lower relays"
type NodeGroup struct {
	// name of the group, unique in the cluster; part of its nodes' names.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// replicas is the number of nodes. Default: 1. Raising it makes nodes with
	// fresh branch ids, which learn all data from the others; lowering it
	// removes the newest, unless remove names others: they take no more writes, and
	// go when the other nodes have all that they wrote; their ids are retired for ever.
	// +optional
	// +kubebuilder:default:=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// remove lists branch ids that must not be in the group: their nodes leave it.
	// While replicas stays as it is, each is replaced by a node with a fresh id
	// first. Ids of nodes that are gone may stay listed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=2
	// +kubebuilder:validation:items:MaxLength=6
	// +kubebuilder:validation:items:Pattern=`^[0-9A-Z]{1,5}[A-Z]$`
	Remove []string `json:"remove,omitempty"`

	// suspended stops the nodes of the group: their pods end; branch ids, volumes and
	// VesperNodes are kept. Default: false. A change takes effect on all of them at once.
	// +optional
	Suspended bool `json:"suspended,omitempty"`

	// brokerRef names the VesperBroker, in this namespace, over which the nodes
	// of this group replicate with each other, such as one at their site. It may
	// be made later. Default: the cluster's. A change restarts the group's nodes,
	// and the relays of the groups below it, one after another.
	// +optional
	BrokerRef *LocalReference `json:"brokerRef,omitempty"`

	// channel of the group. Default: the cluster's. Cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.beacon') && !(self + '.').contains('.sync.')",message="a channel must not be called NAME.beacon or have .sync in its name: the nodes of another channel use these among themselves; choose another name"
	Channel string `json:"channel,omitempty"`

	// parent names the group that this one hangs from: its relays join that
	// group's channel too, and pass everything on in both directions. The group
	// needs a brokerRef or a channel of its own. Default: none, and then the group
	// is at the top, on one channel with all others that are. A change restarts
	// the group's relays one after another.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Parent string `json:"parent,omitempty"`

	// relays is how many of the group's nodes join the parent's channel too: the
	// oldest ones. Two keep the group connected while one is away, and at most
	// double what goes between the channels. Default: 1 with a parent. A change
	// restarts the nodes that become relays, or cease to be, one after another.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=8
	Relays *int32 `json:"relays,omitempty"`

	// intermittent says that the group is a site that may be cut off for days.
	// That its nodes are away is then no alarm: the cluster stays Ready and says
	// in its status who is away; changes of other nodes do not wait for them, nor
	// does anything stay in the others' logs for them beyond the retention; and
	// their pods are not evicted when Kubernetes does not hear of their machines.
	// Default: false. A change restarts the group's nodes one after another.
	// +optional
	Intermittent bool `json:"intermittent,omitempty"`
}

// VesperCluster is a set of Vesper nodes that replicate with each other.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=vc,categories=vesper
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Nodes",type=string,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Broker",type=string,JSONPath=`.spec.brokerRef.name`
// +kubebuilder:printcolumn:name="Channel",type=string,JSONPath=`.spec.channel`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Last-ID",type=string,priority=1,JSONPath=`.status.ledger.lastBranchID`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 28",message="the name of a VesperCluster becomes part of its nodes' names: at most 28 characters of a-z, 0-9 and -, beginning with a letter"
type VesperCluster struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is that of every object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the cluster should be.
	// +required
	Spec VesperClusterSpec `json:"spec,omitzero"`

	// status is what the operator saw.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status VesperClusterStatus `json:"status,omitzero"`
}

// VesperClusterList is a list of VesperClusters.
//
// +kubebuilder:object:root=true
type VesperClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VesperCluster `json:"items"`
}
