package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every type in this package.
var GroupVersion = schema.GroupVersion{Group: "vesperdb.io", Version: "v1alpha1"}

// SchemeGroupVersion is GroupVersion under the name that generated code expects.
var SchemeGroupVersion = GroupVersion

// AddToScheme registers the kinds of this package and their lists.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&VesperBroker{}, &VesperBrokerList{},
		&VesperCluster{}, &VesperClusterList{},
		&VesperNode{}, &VesperNodeList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// Names of the kinds, for owner references and events.
const (
	KindBroker  = "VesperBroker"
	KindCluster = "VesperCluster"
	KindNode    = "VesperNode"
)
