package resources

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"

	"vesperdb.io/vesper/api/v1alpha1"
	v1alpha1ac "vesperdb.io/vesper/api/v1alpha1/applyconfiguration/api/v1alpha1"
)

// NodeRestarts reports whether a node that has a spec is restarted when it is given
// the desired one. Whether it takes writes, runs at all, or may be changed, what
// becomes of its volume and how large that is, are done without a restart.
func NodeRestarts(has v1alpha1.VesperNodeSpec, desired *v1alpha1ac.VesperNodeSpecApplyConfiguration) (bool, error) {
	raw, err := json.Marshal(desired)
	if err != nil {
		return false, fmt.Errorf("encoding the spec of a VesperNode: %w", err)
	}
	var wanted v1alpha1.VesperNodeSpec
	if err := json.Unmarshal(raw, &wanted); err != nil {
		return false, fmt.Errorf("decoding the spec of a VesperNode: %w", err)
	}
	for _, spec := range []*v1alpha1.VesperNodeSpec{&has, &wanted} {
		spec.Draining, spec.Suspended, spec.Paused = false, false, false
		spec.DeletionPolicy, spec.Storage, spec.Parent = "", v1alpha1.Storage{}, ""
	}
	return !equality.Semantic.DeepEqual(has, wanted), nil
}
