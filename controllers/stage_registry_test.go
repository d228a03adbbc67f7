package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"vesperdb.io/vesper/internal/resources"
)

// writer is who writes to the stage.
type writer string

const (
	byHand     writer = ""
	byOperator writer = "the operator"
	byKubelet  writer = "the kubelet"
)

// objectKey names an object of the stage.
type objectKey struct{ kind, name string }

// change is one write: an object as it was, nil for one that is new, and as it is,
// nil for one that is gone.
type change struct {
	objectKey
	by            writer
	before, after client.Object
}

// as has somebody else write for a while.
func (s *stage) as(who writer, f func() error) error {
	before := s.api.by
	s.api.by = who
	defer func() { s.api.by = before }()
	return f()
}

func (r *registry) keyOf(object client.Object) (objectKey, error) {
	gvk, err := apiutil.GVKForObject(object, r.Scheme())
	return objectKey{gvk.Kind, object.GetName()}, err
}

// changed notes what has become of an object.
func (r *registry) changed(ctx context.Context, object client.Object) error {
	key, err := r.keyOf(object)
	if err != nil {
		return err
	}
	gvk, err := apiutil.GVKForObject(object, r.Scheme())
	if err != nil {
		return err
	}
	empty, err := r.Scheme().New(gvk)
	if err != nil {
		return err
	}
	after := empty.(client.Object)
	c := change{objectKey: key, by: r.by, before: r.objects[key], after: after}
	err = r.WithWatch.Get(ctx, client.ObjectKeyFromObject(object), after)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	r.mu.Lock()
	if r.objects[key] = after; err != nil {
		c.after = nil
		delete(r.objects, key)
	}
	r.mu.Unlock()
	if c.before == nil && c.after == nil || c.before != nil && c.after != nil && c.before.GetResourceVersion() == c.after.GetResourceVersion() {
		return nil
	}
	r.log = append(r.log, c)
	for _, tell := range r.onChange {
		tell(c)
	}
	return nil
}

// Get implements client.Client: what there is, without the detour of the fake.
func (r *registry) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	gvk, err := apiutil.GVKForObject(object, r.Scheme())
	if err != nil {
		return err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	found := r.objects[objectKey{gvk.Kind, key.Name}]
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.Name)
	}
	fill(object, found)
	return nil
}

// fill makes an object a copy of another.
func fill(object, found client.Object) {
	reflect.ValueOf(object).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
}

// List implements client.Client, in the order of names.
func (r *registry) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, r.Scheme())
	if err != nil {
		return err
	}
	options := client.ListOptions{}
	options.ApplyOptions(opts)
	r.mu.RLock()
	defer r.mu.RUnlock()
	var names []string
	for key, object := range r.objects {
		if key.kind+"List" == gvk.Kind && (options.LabelSelector == nil || options.LabelSelector.Matches(labels.Set(object.GetLabels()))) {
			names = append(names, key.name)
		}
	}
	slices.Sort(names)
	var found []runtime.Object
	for _, name := range names {
		found = append(found, r.objects[objectKey{strings.TrimSuffix(gvk.Kind, "List"), name}].DeepCopyObject())
	}
	return meta.SetList(list, found)
}

// Delete implements client.Client, with the precondition that the fake does not know.
func (r *registry) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	options := client.DeleteOptions{}
	options.ApplyOptions(opts)
	key, err := r.keyOf(object)
	if err != nil {
		return err
	}
	if want := options.Preconditions; want != nil && want.UID != nil && r.objects[key] != nil && r.objects[key].GetUID() != *want.UID {
		return apierrors.NewConflict(schema.GroupResource{Resource: key.kind}, key.name, errors.New("the UID in the precondition is another"))
	}
	if err := r.WithWatch.Delete(ctx, object, opts...); err != nil {
		return err
	}
	r.stage.written["deletion"]++
	return r.changed(ctx, object)
}

// DeleteAllOf implements client.Client.
func (r *registry) DeleteAllOf(ctx context.Context, object client.Object, opts ...client.DeleteAllOfOption) error {
	if err := r.WithWatch.DeleteAllOf(ctx, object, opts...); err != nil {
		return err
	}
	key, err := r.keyOf(object)
	if err != nil {
		return err
	}
	for other, existing := range r.objects {
		if other.kind == key.kind {
			if err := r.changed(ctx, existing); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameObject refuses a patch that names the UID of another object.
func (r *registry) sameObject(ctx context.Context, object client.Object, patch client.Patch) error {
	raw, err := patch.Data(object)
	if err != nil || patch.Type() != types.MergePatchType {
		return err
	}
	named := struct {
		Metadata struct {
			UID types.UID `json:"uid"`
		} `json:"metadata"`
	}{}
	if err := json.Unmarshal(raw, &named); err != nil || named.Metadata.UID == "" {
		return err
	}
	key, err := r.keyOf(object)
	if err != nil {
		return err
	}
	if existing := r.objects[key]; existing != nil && existing.GetUID() != named.Metadata.UID {
		return apierrors.NewConflict(schema.GroupResource{Resource: key.kind}, key.name, errors.New("metadata.uid is another"))
	}
	return nil
}

// Status implements client.Client, and counts what is written.
func (r *registry) Status() client.SubResourceWriter { return r.SubResource("status") }

// SubResource implements client.Client.
func (r *registry) SubResource(name string) client.SubResourceClient {
	return counted{r.WithWatch.SubResource(name), r}
}

type counted struct {
	client.SubResourceClient
	registry *registry
}

// Patch implements client.SubResourceWriter.
func (c counted) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	c.registry.stage.written["status"]++
	if err := c.SubResourceClient.Patch(ctx, object, patch, opts...); err != nil {
		return err
	}
	return c.registry.changed(ctx, object)
}

// Update implements client.SubResourceWriter.
func (c counted) Update(ctx context.Context, object client.Object, opts ...client.SubResourceUpdateOption) error {
	if err := c.SubResourceClient.Update(ctx, object, opts...); err != nil {
		return err
	}
	return c.registry.changed(ctx, object)
}

// String names who did what to what.
func (c change) String() string {
	what := "wrote"
	switch {
	case c.before == nil:
		what = "made"
	case c.after == nil:
		what = "removed"
	case c.after.GetDeletionTimestamp() != nil && c.before.GetDeletionTimestamp() == nil:
		what = "marked for deletion"
	}
	who := string(c.by)
	if who == "" {
		who = "a person"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", who, what, c.kind, c.name))
}

// refusesSize does as an API server with a size of a volume claim that cannot be.
func (r *registry) refusesSize(desired *unstructured.Unstructured) error {
	found, _ := r.objects[objectKey{desired.GetKind(), desired.GetName()}].(*corev1.PersistentVolumeClaim)
	if found == nil {
		return nil
	}
	text, _, err := unstructured.NestedString(desired.Object, "spec", "resources", "requests", "storage")
	if err != nil || text == "" {
		return err
	}
	size, asks, has := resource.MustParse(text), resources.ClaimSize(found), found.Status.Capacity[corev1.ResourceStorage]
	switch grows := size.Cmp(asks); {
	case grows != 0 && found.Status.Phase != corev1.ClaimBound:
		return apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumeclaims"}, found.Name, errors.New("only bound persistent volume claims can be expanded"))
	case grows > 0 && found.Spec.StorageClassName != nil && r.rigid[*found.Spec.StorageClassName]:
		return apierrors.NewForbidden(schema.GroupResource{Resource: "persistentvolumeclaims"}, found.Name,
			errors.New("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"))
	case grows < 0 && size.Cmp(has) <= 0:
		return apierrors.NewInvalid(schema.GroupKind{Kind: "PersistentVolumeClaim"}, found.Name, field.ErrorList{
			field.Forbidden(field.NewPath("spec", "resources", "requests", "storage"), "field can not be less than status.capacity")})
	}
	return nil
}
