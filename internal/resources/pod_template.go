package resources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// patchTemplate merges spec.podTemplate of a node into its pod's template, as
// kubectl patch does: lists of objects by their keys, and `$patch: delete` takes a
// member out. What makes the pod that of this node cannot be changed. The error is
// one that the API server could have given: a person has to correct the spec.
func patchTemplate(node *v1alpha1.VesperNode, template *corev1ac.PodTemplateSpecApplyConfiguration) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	patch := node.Spec.PodTemplate
	if patch == nil || len(bytes.TrimSpace(patch.Raw)) == 0 {
		return template, nil
	}
	plain, err := json.Marshal(template)
	if err != nil {
		return nil, fmt.Errorf("encoding the pod template of VesperNode %s: %w", node.Name, err)
	}
	merged, err := strategicpatch.StrategicMergePatch(plain, patch.Raw, corev1.PodTemplateSpec{})
	if err != nil {
		return nil, badTemplate(node, fmt.Sprintf("it cannot be merged: %s", err))
	}
	var before, after corev1.PodTemplateSpec
	if err := strictly(plain, &before); err != nil {
		return nil, fmt.Errorf("decoding the pod template of VesperNode %s: %w", node.Name, err)
	}
	if err := strictly(merged, &after); err != nil {
		return nil, badTemplate(node, fmt.Sprintf("it is no pod template: %s", err))
	}
	if what := taken(before, after); what != "" {
		return nil, badTemplate(node, what)
	}
	out := &corev1ac.PodTemplateSpecApplyConfiguration{}
	if err := strictly(merged, out); err != nil {
		return nil, badTemplate(node, fmt.Sprintf("it is no pod template: %s", err))
	}
	return out, nil
}

// badTemplate is the error for a podTemplate that is not usable.
func badTemplate(node *v1alpha1.VesperNode, detail string) error {
	return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind(v1alpha1.KindNode).GroupKind(), node.Name,
		field.ErrorList{field.Invalid(field.NewPath("spec", "podTemplate"), "(see spec)", detail)})
}

// strictly decodes JSON and refuses fields that there are not.
func strictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// taken says what of a template was changed that makes the pod that of its node,
// "" when nothing was.
func taken(before, after corev1.PodTemplateSpec) string {
	for key, value := range before.Labels {
		if after.Labels[key] != value {
			return fmt.Sprintf("the label %s belongs to the operator", key)
		}
	}
	for key, value := range before.Annotations {
		if after.Annotations[key] != value {
			return fmt.Sprintf("the annotation %s belongs to the operator", key)
		}
	}
	own, changed := nodeOf(before), nodeOf(after)
	switch {
	case changed == nil:
		return "the container " + NodeContainer + " is the node itself and must stay"
	case changed.Image != own.Image:
		return "the image of the node is set by spec.image, not by podTemplate"
	case !slices.Equal(changed.Args, own.Args) || len(changed.Command) > 0:
		return "command and args of the container " + NodeContainer + " belong to the operator: the node reads its configuration from there"
	}
	for _, volume := range before.Spec.Volumes {
		if i := slices.IndexFunc(after.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume.Name }); i < 0 || volume.Name != "tmp" && !equality.Semantic.DeepEqual(after.Spec.Volumes[i], volume) {
			return fmt.Sprintf("the volume %s belongs to the operator: what it holds is the node's", volume.Name)
		}
	}
	for _, mount := range own.VolumeMounts {
		if !slices.ContainsFunc(changed.VolumeMounts, func(m corev1.VolumeMount) bool { return equality.Semantic.DeepEqual(m, mount) }) {
			return fmt.Sprintf("the mount at %s belongs to the operator", mount.MountPath)
		}
	}
	return ""
}

// nodeOf is the container of a template that runs the node.
func nodeOf(template corev1.PodTemplateSpec) *corev1.Container {
	for i := range template.Spec.Containers {
		if template.Spec.Containers[i].Name == NodeContainer {
			return &template.Spec.Containers[i]
		}
	}
	return nil
}
