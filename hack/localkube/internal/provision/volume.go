// Package provision makes `local` persistent volumes out of directories of the node: the kubelet applies fsGroup to
// them, and the deletion of a claim removes its directory.
package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Name is the provisioner's name in storage classes.
const Name = "localkube.vesperdb.io/local"

// The annotations and the finalizer through which the control plane and an outside provisioner talk, as
// kubernetes-sigs/sig-storage-lib-external-provisioner defines them.
const (
	selectedNode  = "volume.kubernetes.io/selected-node"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	finalizer     = "external-provisioner.volume.kubernetes.io/finalizer"
)

// wanted says whether the claim waits for a volume of ours on this node. The reason is for the log when it does not.
func wanted(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, node string) (ok bool, reason string) {
	switch {
	case claim.DeletionTimestamp != nil:
		return false, "it is being deleted"
	case claim.Spec.VolumeName != "":
		return false, "it has a volume"
	case class == nil || class.Provisioner != Name:
		return false, "its class is not ours"
	case claim.Annotations[selectedNode] == "" && !immediate(class):
		return false, "no pod uses it yet"
	case claim.Annotations[selectedNode] != "" && claim.Annotations[selectedNode] != node:
		return false, "its pod goes to another node"
	}
	return true, ""
}

func immediate(class *storagev1.StorageClass) bool {
	return class.VolumeBindingMode == nil || *class.VolumeBindingMode == storagev1.VolumeBindingImmediate
}

// refusal says why a claim can never be served, or "".
func refusal(claim *corev1.PersistentVolumeClaim) string {
	switch {
	case claim.Spec.Selector != nil:
		return "a selector cannot be served: volumes are made for the claim"
	case claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock:
		return "volumeMode Block cannot be served: volumes are directories"
	case claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil:
		return "a data source cannot be served: there are no snapshots and no clones"
	}
	return ""
}

// volumeName is the name of the volume made for a claim: the same for ever, so that a second try finds the first.
func volumeName(claim *corev1.PersistentVolumeClaim) string { return "pvc-" + string(claim.UID) }

// volumeFor is the volume for a claim: bound to it, in directory, usable on node only.
func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, directory, node string) *corev1.PersistentVolume {
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	mode := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        volumeName(claim),
			Annotations: map[string]string{provisionedBy: Name},
			Finalizers:  []string{finalizer},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              class.Name,
			MountOptions:                  class.MountOptions,
			VolumeMode:                    &mode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: directory}},
			NodeAffinity:           onNode(node),
		},
	}
}

func onNode(node string) *corev1.VolumeNodeAffinity {
	return &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
	}}}}
}

// ours says whether a volume was made by this provisioner.
func ours(volume *corev1.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == Name && volume.Spec.Local != nil
}

// fate says what becomes of a volume: erase, its directory is removed and then the volume itself; release, the volume
// may go but its directory stays (reclaim policy Retain). Neither as long as its claim lives.
func fate(volume *corev1.PersistentVolume, claimLives bool) (erase, release bool) {
	if !ours(volume) || claimLives {
		return false, false
	}
	deleted := volume.DeletionTimestamp != nil
	if volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return false, deleted
	}
	return volume.Status.Phase == corev1.VolumeReleased || deleted, false
}

// makeDirectory makes the directory of a volume below root and returns its path.
func makeDirectory(root, name string) (string, error) {
	path, err := inside(root, name)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make the volume's directory: %w", err)
	}
	return path, nil
}

// removeDirectory removes a volume's directory with all it holds. A path that is not right below root is refused.
func removeDirectory(root, path string) error {
	if inner, err := inside(root, filepath.Base(path)); err != nil || inner != filepath.Clean(path) {
		return fmt.Errorf("the volume's directory %s is not in %s: it is left alone", path, root)
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove the volume's directory: %w", err)
	}
	return nil
}

func inside(root, name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("%q is no name of a volume's directory", name)
	}
	return filepath.Join(root, name), nil
}

func withoutFinalizer(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return f == finalizer })
}
