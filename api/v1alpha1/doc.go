// Package v1alpha1 holds the custom resources of the group vesperdb.io:
// VesperBroker, VesperCluster and VesperNode. It has types, their names and
// constants, and nothing that does I/O.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=vesperdb.io
package v1alpha1
