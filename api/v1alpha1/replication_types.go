package v1alpha1

import "time"

// Wire is the form of changesets on a channel.
// +kubebuilder:validation:Enum=packed;vesper
type Wire string

// The wires. WireVesper is for channels that nodes of the original Vesper share.
const (
	WirePacked Wire = "packed"
	WireVesper Wire = "vesper"
)

// ConflictPolicy says which of several values written at the same time is read.
// +kubebuilder:validation:Enum=latest;earliest;keepBoth
type ConflictPolicy string

// The policies.
const (
	ConflictLatest   ConflictPolicy = "latest"
	ConflictEarliest ConflictPolicy = "earliest"
	ConflictKeepBoth ConflictPolicy = "keepBoth"
)

// Retention is how long changesets stay in the log of a node: forever, or whole
// hours such as 720h.
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=8
// +kubebuilder:validation:Pattern=`^(forever|[1-9][0-9]{0,5}h)$`
type Retention string

// RetainForever keeps every changeset: the whole history stays readable.
const RetainForever Retention = "forever"

// Limited reports whether anything ever leaves the log.
func (r Retention) Limited() bool { return r != "" && r != RetainForever }

// Duration is how long changesets stay in the log at least; 0 is for ever.
func (r Retention) Duration() time.Duration {
	if !r.Limited() {
		return 0
	}
	d, err := time.ParseDuration(string(r))
	if err != nil {
		return 0 // the API server takes only whole hours
	}
	return d
}
