package v1alpha1

// ManagedBy is the value of LabelManagedBy on every object that the operator
// makes, and the field owner of its server-side applies. The operator's caches
// hold only Secrets, ConfigMaps, Pods and PersistentVolumeClaims that carry it.
const ManagedBy = "vesper-operator"

// Labels on the operator's objects. The app.kubernetes.io ones are those that
// Kubernetes recommends.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelInstance  = "app.kubernetes.io/instance"
	LabelComponent = "app.kubernetes.io/component"
	LabelPartOf    = "app.kubernetes.io/part-of"
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// LabelCluster names the VesperCluster that an object belongs to.
	LabelCluster = "vesperdb.io/cluster"
	// LabelGroup names the group of nodes within the cluster.
	LabelGroup = "vesperdb.io/group"
	// LabelNode names the VesperNode that an object belongs to.
	LabelNode = "vesperdb.io/node"
	// LabelBroker names the VesperBroker that an object belongs to.
	LabelBroker = "vesperdb.io/broker"
)

// Values of LabelComponent and LabelName.
const (
	ComponentNode   = "node"
	ComponentBroker = "broker"
	AppNode         = "vesper-node"
	AppBroker       = "activemq"
	PartOfVesper    = "vesper"
)

// Annotations on the operator's objects.
const (
	// AnnotationBranchID is the branch id that a PersistentVolumeClaim's data
	// belongs to, for ever. It is the third copy of the branch ledger.
	AnnotationBranchID = "vesperdb.io/branch-id"
	// AnnotationTrunkID is the trunk id of the system that the data belongs to.
	AnnotationTrunkID = "vesperdb.io/trunk-id"
	// AnnotationRetired is "true" on a kept claim whose branch id must not
	// write any more: its node was scaled away or replaced.
	AnnotationRetired = "vesperdb.io/retired"
	// AnnotationVolumeUID, on a StatefulSet, is the UID of the claim that its
	// pod was made for. A claim of the same name with another UID is not it.
	AnnotationVolumeUID = "vesperdb.io/volume-uid"
	// AnnotationBroker, on a StatefulSet, names the VesperBroker that its node
	// was admitted to, and after a comma the broker/channel of each further link.
	AnnotationBroker = "vesperdb.io/broker"
	// AnnotationConfigHash, on a pod template, is the hash of the configuration
	// that its pods must have read at their start.
	AnnotationConfigHash = "vesperdb.io/config-hash"
	// AnnotationAppliedHash is the hash of the apply configuration that the
	// operator last applied to an object: equal hashes need no write.
	AnnotationAppliedHash = "vesperdb.io/applied-hash"
)
