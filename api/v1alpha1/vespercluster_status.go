package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// VesperClusterStatus is what the operator saw and decided.
type VesperClusterStatus struct {
	// observedGeneration is the metadata.generation that this status is of; -1
	// until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready always; Reconciling and Stalled while they hold; and
	// Valid, BrokerReady, BranchIDsAssigned, NodesReady, StorageReady; Drained while
	// nodes leave; and, only while a node says it, Diverged, Forked,
	// RetentionHeldBack and VolumeNearlyFull.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ledger of branch ids. It is written before any node that could use an id
	// exists, and restored from nodes and volumes when it is lost.
	// +optional
	Ledger BranchLedger `json:"ledger,omitzero"`

	// replicas is the number of nodes that the spec asks for.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// readyReplicas is the number of nodes that are Ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// subscriptions are those that nodes which are gone have left at their brokers,
	// and that could not be dropped yet: the brokers keep every message for them.
	// They are dropped when the broker answers.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Subscriptions []LeftSubscription `json:"subscriptions,omitempty"`

	// nodes is readyReplicas/replicas, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Nodes string `json:"nodes,omitempty"`

	// groups says of each group how many of its nodes are there, in the order of
	// the spec.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Groups []GroupStatus `json:"groups,omitempty"`
}

// GroupStatus is what the operator saw of one group.
type GroupStatus struct {
	// name of the group.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Name string `json:"name,omitempty"`

	// parent is the group that it hangs from.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Parent string `json:"parent,omitempty"`

	// replicas is the number of nodes that the spec asks for.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// readyReplicas is the number of nodes that are Ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// relays are the nodes that join the parent's channel too.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=63
	Relays []string `json:"relays,omitempty"`

	// away is the number of nodes of an intermittent group that are cut off or
	// come back just now.
	// +optional
	Away int32 `json:"away,omitempty"`
}

// LeftSubscription is the durable subscription of a node that is gone.
type LeftSubscription struct {
	// branchID was the node's, and is its client id at the broker, with link behind it
	// if there is one.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	BranchID string `json:"branchID,omitempty"`

	// broker names the VesperBroker.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Broker string `json:"broker,omitempty"`

	// channel that was subscribed to; branchID-channel is the name of the subscription.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Channel string `json:"channel,omitempty"`

	// link is that of a relay over which it joined the channel of its group's parent;
	// none for the channel of the node's own group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Link string `json:"link,omitempty"`

	// since is when the node's branch id was retired.
	// +required
	Since *metav1.Time `json:"since,omitempty"`

	// problem is why it could not be dropped in time; empty while it is being tried.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Problem string `json:"problem,omitempty"`
}

// BranchLedger records which branch ids were given out.
type BranchLedger struct {
	// trunkID of the system.
	// +optional
	// +kubebuilder:validation:MaxLength=6
	TrunkID string `json:"trunkID,omitempty"`

	// firstBranchID is the lowest id that was ever given out or seen in use. Nobody
	// else in the system may use one from there to lastBranchID.
	// +optional
	// +kubebuilder:validation:MaxLength=6
	FirstBranchID string `json:"firstBranchID,omitempty"`

	// lastBranchID is the highest id that was ever given out or seen in use. No
	// id up to it is given out again.
	// +optional
	// +kubebuilder:validation:MaxLength=6
	LastBranchID string `json:"lastBranchID,omitempty"`

	// retired counts ids that were given out and are not in use any more.
	// +optional
	Retired int64 `json:"retired,omitempty"`

	// assigned lists the ids in use, in the order they were given out.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=8192
	Assigned []BranchAssignment `json:"assigned,omitempty"`
}

// BranchAssignment is one id in use.
type BranchAssignment struct {
	// id is the branch id.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=6
	ID string `json:"id,omitempty"`

	// group that the node belongs to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	Group string `json:"group,omitempty"`

	// started is true once the VesperNode was seen. Only then does it get a
	// volume and a pod; from then on the id stands and falls with the volume.
	// +optional
	Started bool `json:"started,omitempty"`

	// volumeUID is the UID of the volume claim that holds the branch's data.
	// The id cannot be used with another one.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	VolumeUID string `json:"volumeUID,omitempty"`

	// replaces is the id of a node on a volume of another storage class, which leaves
	// when the node of this id has all data. Until then that one counts.
	// +optional
	// +kubebuilder:validation:MaxLength=6
	Replaces string `json:"replaces,omitempty"`
}
