package v1alpha1

// Types of conditions. Ready is always there once the operator has seen the
// object; Reconciling and Stalled are there while they hold and removed
// otherwise, as kstatus, Flux and Argo CD expect. The others say more.
const (
	// ConditionReady is True when the object does all that its spec asks for.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator works towards the spec or
	// waits for something that will come without a person's help.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when a person has to act; the message says how.
	ConditionStalled = "Stalled"

	// ConditionValid (cluster): the spec can be carried out. While it cannot,
	// nothing that runs is changed; the message says what to write instead.
	ConditionValid = "Valid"
	// ConditionBrokerReady (cluster, node): the brokers that the spec names exist
	// and are Ready, but for those of intermittent groups.
	ConditionBrokerReady = "BrokerReady"
	// ConditionBranchIDsAssigned (cluster, node): every node that the spec asks
	// for has a branch id that nobody else can hold.
	ConditionBranchIDsAssigned = "BranchIDsAssigned"
	// ConditionNodesReady (cluster): as many nodes as the spec asks for are Ready.
	ConditionNodesReady = "NodesReady"
	// ConditionConfigApplied (node): configuration, services and StatefulSet are
	// what the spec asks for.
	ConditionConfigApplied = "ConfigApplied"
	// ConditionStorageReady (node, managed broker): the volume claim exists, is the
	// one that the branch id belongs to, and is bound. Its reason says also what
	// makes nothing unready: that it grows, cannot grow, or is of another class.
	// Of a cluster: the same of all its nodes.
	ConditionStorageReady = "StorageReady"
	// ConditionPodRunning (node, managed broker): the pod runs and its
	// container is started.
	ConditionPodRunning = "PodRunning"
	// ConditionReplicating (node): the node itself says that it is connected,
	// subscribed and caught up.
	ConditionReplicating = "Replicating"
	// ConditionDiverged (cluster, node) is there, and True, while a node and a peer
	// hold other states at one revision, which must never be; the message names the
	// peer and the objects. The nodes stay ready.
	ConditionDiverged = "Diverged"
	// ConditionForked (cluster, node) is there, and True, while two changesets of one
	// name are known: nothing more of that branch is applied until somebody decides.
	ConditionForked = "Forked"
	// ConditionRetentionHeldBack (cluster, node) is there, and True, while nothing
	// leaves the log although the retention is over, since a member has not been
	// heard or is far behind; the message names it.
	ConditionRetentionHeldBack = "RetentionHeldBack"
	// ConditionVolumeNearlyFull (cluster, node) is there, and True, while 90 % of a
	// node's volume are used, until less than 85 % are.
	ConditionVolumeNearlyFull = "VolumeNearlyFull"
	// ConditionAccessReady (node) is there while spec.access or spec.tls is: the
	// Secrets that they name exist and hold what is needed.
	ConditionAccessReady = "AccessReady"
	// ConditionDrained is there while a node is on its way out. Of a node: True when
	// it takes no writes any more and its peers have all that it wrote; the message
	// says what is waited for. Of a cluster: False while some node is not so far.
	ConditionDrained = "Drained"
	// ConditionPaused (all kinds) is there, and True, while spec.paused keeps the
	// operator from changing anything.
	ConditionPaused = "Paused"
	// ConditionCredentialsReady (broker): the Secret with the credentials exists
	// and has the keys that are needed.
	ConditionCredentialsReady = "CredentialsReady"
	// ConditionReachable (broker): the operator's own STOMP CONNECT was answered.
	ConditionReachable = "Reachable"
)

// Reasons of conditions on every kind.
const (
	// ReasonReady: all is as the spec asks.
	ReasonReady = "Ready"
	// ReasonPending: the operator has not looked at this yet, or waits for what
	// another condition names.
	ReasonPending = "Pending"
	// ReasonApplied: every child object is what it should be.
	ReasonApplied = "Applied"
	// ReasonApplyFailed: the API server refused or failed a write; the message
	// has its answer. The operator tries again.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonNameTaken: a child's name is in use by an object that belongs to
	// something else; the message names it.
	ReasonNameTaken = "NameTaken"
)

// Reasons that a broker gives, and that clusters and nodes repeat in BrokerReady.
const (
	// ReasonBrokerReady: the broker answered a STOMP CONNECT.
	ReasonBrokerReady = "BrokerReady"
	// ReasonBrokerMissing: no VesperBroker has the name in spec.brokerRef.
	ReasonBrokerMissing = "BrokerMissing"
	// ReasonBrokerStarting: a managed broker's pod does not answer yet.
	ReasonBrokerStarting = "BrokerStarting"
	// ReasonBrokerUnreachable: no host answered a STOMP CONNECT; the message
	// says which host and why. A node gives the same reason.
	ReasonBrokerUnreachable = "BrokerUnreachable"
	// ReasonBrokerRefused: a host answered, and refused the login.
	ReasonBrokerRefused = "BrokerRefused"
	// ReasonCredentialsMissing: the Secret or one of its keys does not exist.
	ReasonCredentialsMissing = "CredentialsMissing"
	// ReasonScaledToZero: the managed broker has replicas: 0.
	ReasonScaledToZero = "ScaledToZero"
)

// Reasons of Valid.
const (
	// ReasonSpecValid: the spec can be carried out.
	ReasonSpecValid = "SpecValid"
	// ReasonSpecInvalid: it cannot; the message says what to write instead.
	ReasonSpecInvalid = "SpecInvalid"
)

// Reasons of BranchIDsAssigned.
const (
	// ReasonAssigned: every node has its id, and the ledger has it too.
	ReasonAssigned = "Assigned"
	// ReasonChannelShared: another cluster or a hand-made node uses the same
	// broker and channel, and their ranges of ids meet. Nothing new is started.
	ReasonChannelShared = "ChannelShared"
	// ReasonExhausted: the range of ids is used up. Nothing new is started.
	ReasonExhausted = "BranchIDsExhausted"
	// ReasonTrunkConflict: nodes or volumes that exist have another trunk id.
	ReasonTrunkConflict = "TrunkConflict"
	// ReasonRecording: ids are being recorded.
	ReasonRecording = "Recording"
)

// Reasons of StorageReady, and of Stalled where a person has to act.
const (
	// ReasonVolumeBound: the claim is bound.
	ReasonVolumeBound = "VolumeBound"
	// ReasonVolumeLarger: the claim is bound and larger than the spec now asks
	// for. It is kept as it is: volumes never shrink.
	ReasonVolumeLarger = "VolumeLarger"
	// ReasonVolumeExpanding: the claim is bound and grows while it is used; the
	// message says how far that is.
	ReasonVolumeExpanding = "VolumeExpanding"
	// ReasonVolumeExpansionRefused: the API server does not take the larger size,
	// such as of a storage class that does not allow it. What runs is not changed.
	ReasonVolumeExpansionRefused = "VolumeExpansionRefused"
	// ReasonVolumeExpansionFailed: the storage driver says that it cannot make the
	// volume that large. It is used as it is; a smaller size may be tried.
	ReasonVolumeExpansionFailed = "VolumeExpansionFailed"
	// ReasonVolumeOtherClass: the claim is bound and of another storage class than
	// the spec asks for. The nodes of a cluster are replaced one after another.
	ReasonVolumeOtherClass = "VolumeOtherClass"
	// ReasonVolumePending: the claim is not bound yet.
	ReasonVolumePending = "VolumePending"
	// ReasonVolumeLost: the claim that held this branch's data is gone or was
	// replaced. The id cannot write again: delete the VesperNode.
	ReasonVolumeLost = "VolumeLost"
	// ReasonVolumeTerminating: the claim is marked for deletion and goes when
	// the pod ends.
	ReasonVolumeTerminating = "VolumeTerminating"
	// ReasonBranchMismatch: the claim's data belongs to another branch id.
	ReasonBranchMismatch = "BranchMismatch"
	// ReasonVolumeNotOwn: the claim was there before the node, and is a copy or
	// does not say whose data it has.
	ReasonVolumeNotOwn = "VolumeNotOwn"
	// ReasonVolumeRetired: the claim's branch id was retired.
	ReasonVolumeRetired = "VolumeRetired"
)

// Reasons of PodRunning.
const (
	// ReasonPodRunning: the container runs and has passed its startup probe.
	ReasonPodRunning = "PodRunning"
	// ReasonPodStarting: the pod exists and is not started yet.
	ReasonPodStarting = "PodStarting"
	// ReasonPodMissing: there is no pod yet.
	ReasonPodMissing = "PodMissing"
	// ReasonPodUnschedulable: no machine takes the pod; the message says why.
	ReasonPodUnschedulable = "PodUnschedulable"
	// ReasonImagePullFailed: the image cannot be pulled.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonCrashLooping: the container ends again and again.
	ReasonCrashLooping = "CrashLooping"
	// ReasonPodTerminating: the pod is being deleted.
	ReasonPodTerminating = "PodTerminating"
	// ReasonPodStuckTerminating: it should have ended a minute ago and has not.
	ReasonPodStuckTerminating = "PodStuckTerminating"
)

// Reasons of Replicating and Ready of a node, beside those that the node itself
// gives (internal/nodestatus): BrokerUnreachable, Subscribing, CatchingUp, ...
const (
	// ReasonStatusUnknown: the node did not answer GET /v1/status in time.
	ReasonStatusUnknown = "StatusUnknown"
	// ReasonWrongBranch: what answers at the node's address says that it is
	// another branch.
	ReasonWrongBranch = "WrongBranch"
)

// Reasons of Diverged, Forked, RetentionHeldBack and VolumeNearlyFull.
const (
	// ReasonSpaceRunsOut: the volume is nearly full; a full one takes no writes.
	ReasonSpaceRunsOut = "SpaceRunsOut"
	// ReasonPeersDiffer: peers hold another state at the same revision.
	ReasonPeersDiffer = "PeersDiffer"
	// ReasonBranchForked: two changesets of one name exist. A node gives the same
	// reason for its own branch.
	ReasonBranchForked = "BranchForked"
	// ReasonMemberNeverHeard: a member was not heard since the node started.
	ReasonMemberNeverHeard = "MemberNeverHeard"
	// ReasonMemberBehind: a member has lacked changesets for long.
	ReasonMemberBehind = "MemberBehind"
	// ReasonTrimFailed: the node says why it cannot trim its log.
	ReasonTrimFailed = "TrimFailed"
)

// Reasons of AccessReady.
const (
	// ReasonAccessReady: tokens and certificates are usable.
	ReasonAccessReady = "AccessReady"
	// ReasonSecretMissing: a Secret or one of its keys does not exist. What runs
	// goes on as it is.
	ReasonSecretMissing = "SecretMissing"
	// ReasonTokenUnusable: a key holds no token that a node takes.
	ReasonTokenUnusable = "TokenUnusable"
	// ReasonCertificateUnusable: certificate and key do not belong together, or are
	// for other names.
	ReasonCertificateUnusable = "CertificateUnusable"
)

// Reasons of Drained, of Paused, and of what is stopped on purpose.
const (
	// ReasonDraining: the node is to leave, and has not handed over all yet.
	ReasonDraining = "Draining"
	// ReasonDrained: it has, and goes.
	ReasonDrained = "Drained"
	// ReasonNobodyLeft: it holds data that would be lost with it.
	ReasonNobodyLeft = "NobodyLeft"
	// ReasonPaused: spec.paused is set here or on the cluster.
	ReasonPaused = "Paused"
	// ReasonSuspended: spec.suspended is set here, on the group or on the cluster.
	ReasonSuspended = "Suspended"
)

// Reasons of NodesReady and Ready of a cluster.
const (
	// ReasonNodesReady: every node that the spec asks for is Ready.
	ReasonNodesReady = "NodesReady"
	// ReasonNodesNotReady: some are not; the message names them and why.
	ReasonNodesNotReady = "NodesNotReady"
	// ReasonNodesStalled: some need a person; the message names them and why.
	ReasonNodesStalled = "NodesStalled"
	// ReasonRolling: a change goes through the nodes one after another.
	ReasonRolling = "Rolling"
	// ReasonVolumesMoving: nodes on volumes of another storage class than the spec asks
	// for are replaced one after another.
	ReasonVolumesMoving = "VolumesMoving"
	// ReasonScaling: nodes are being made or removed.
	ReasonScaling = "Scaling"
)
