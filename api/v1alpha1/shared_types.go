package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// DeletionPolicy says what becomes of volumes when their node or broker goes.
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// DeletionRetain keeps volume claims for ever.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete deletes volume claims, and the data, with their node.
	DeletionDelete DeletionPolicy = "Delete"
)

// LocalReference names an object in the same namespace. References to other
// namespaces are not possible: they would leak credentials.
type LocalReference struct {
	// name of the object, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// Storage is what one node's or broker's volume is made from.
type Storage struct {
	// size of the volume in bytes, such as 10Gi. A larger size expands volumes
	// that exist while they are in use, where their storage class can. A smaller
	// one takes back an expansion that failed or is not done yet, as long as it is
	// more than the volume has; else it is for new volumes only: none ever
	// shrinks. A change restarts no node, and a broker once its volume has grown,
	// since the limits of its store follow it.
	// +optional
	// +kubebuilder:default:="10Gi"
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))",message="storage size must be a positive quantity such as 10Gi"
	Size *resource.Quantity `json:"size,omitempty"`

	// storageClassName of new volumes. Default: the default class of the
	// Kubernetes cluster. When it is changed, a VesperCluster replaces its nodes
	// whose volumes are of another class one after another: a node with a fresh
	// branch id learns all from the others, and then the old one leaves. A broker,
	// and a VesperNode made by hand, keep their volume and say so.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`
}
