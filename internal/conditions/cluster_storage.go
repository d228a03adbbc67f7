package conditions

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// storageReasons are what nodes say of volumes that is repeated of the cluster, the
// gravest first; what is not listed is graver than all.
var storageReasons = []string{v1alpha1.ReasonVolumePending, v1alpha1.ReasonPending,
	v1alpha1.ReasonVolumeExpansionRefused, v1alpha1.ReasonVolumeExpansionFailed, v1alpha1.ReasonVolumeExpanding,
	v1alpha1.ReasonVolumeOtherClass, v1alpha1.ReasonVolumeLarger, v1alpha1.ReasonVolumeBound}

// clusterStorage says whether all nodes have their volumes, and what is the gravest
// that one of them says of its own.
func clusterStorage(c Cluster) judgement {
	worst, at := judgement{}, len(storageReasons)-1
	var names []string
	for _, node := range c.Members {
		if node != nil && Away(node) {
			continue
		}
		name, said := memberStorage(node)
		grave := slices.Index(storageReasons, said.reason)
		switch {
		case grave < at:
			worst, at, names = said, grave, []string{name}
		case grave == at && worst.reason != "":
			names = append(names, name)
		}
	}
	switch worst.reason {
	case "":
		return yes(v1alpha1.ReasonVolumeBound, "all nodes have their volumes")
	case v1alpha1.ReasonPending:
		return no(worst.reason, "not all nodes have their volumes yet")
	}
	return judgement{worst.status, worst.reason, list(names) + ": " + worst.message}
}

// memberStorage is a node's name, and what it says of its volume.
func memberStorage(node *v1alpha1.VesperNode) (string, judgement) {
	if node == nil {
		return "", no(v1alpha1.ReasonPending, "")
	}
	condition := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionStorageReady)
	if condition == nil {
		return node.Name, no(v1alpha1.ReasonPending, "")
	}
	return node.Name, judgement{condition.Status, condition.Reason, condition.Message}
}

// storageBehind reports whether a volume is not as the spec asks, which makes no node
// unready.
func storageBehind(storage judgement) bool {
	return storage.status == metav1.ConditionTrue && slices.Contains([]string{v1alpha1.ReasonVolumeExpanding, v1alpha1.ReasonVolumeExpansionRefused,
		v1alpha1.ReasonVolumeExpansionFailed, v1alpha1.ReasonVolumeOtherClass}, storage.reason)
}
