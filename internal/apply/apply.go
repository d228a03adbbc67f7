// Package apply writes child objects with server-side apply under one field
// owner, and only when something differs: a pass over objects that are as they
// should be writes nothing.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// Owner is the operator's field owner in every object it writes.
const Owner = v1alpha1.ManagedBy

// Outcome is what Apply did.
type Outcome string

const (
	// Unchanged says that the object was as it should be; nothing was written.
	Unchanged Outcome = "Unchanged"
	// Created says that there was no such object.
	Created Outcome = "Created"
	// Updated says that a field differed, or one that is no longer wanted was given up.
	Updated Outcome = "Updated"
)

// ForeignError is returned instead of taking over an object that the operator
// did not make for the same owner.
type ForeignError struct {
	// Kind, Namespace and Name are those of the object in the way.
	Kind, Namespace, Name string
	// Why says what shows that the object is not ours.
	Why string
}

// Error names the object, what shows that it belongs to someone else, and the remedy.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s %s/%s belongs to someone else (%s): rename or delete it, or choose another name for this resource",
		e.Kind, e.Namespace, e.Name, e.Why)
}

// identity are the labels which, when a desired object has them, an object
// found under its name must have with the same values to count as ours.
var identity = []string{v1alpha1.LabelManagedBy, v1alpha1.LabelName, v1alpha1.LabelInstance}

// Applier applies objects. Client reads from a cache that may hold only
// labeled objects; Live reads from the API server, and is asked before an
// object that the cache does not know is made.
type Applier struct {
	Client client.Client
	Live   client.Reader
	// For is the UID of the object whose children are written. A child that it
	// controls is its own, also where desired gives up the control.
	For types.UID
	// Known are UIDs that records show to be the owner's: such an object is its own
	// whatever its labels say, which anybody may have edited.
	Known []string
	// Seen, when not empty, is the resource version of the object that desired
	// was made from. A write then fails with a conflict if the object changed
	// since, instead of undoing that change with what was read before it.
	Seen string
}

// Apply makes the object of desired be as desired says, and fills live (an
// empty object of the same kind) with it as it then is. Fields that desired
// does not name are left to whoever set them.
func (a Applier) Apply(ctx context.Context, desired runtime.ApplyConfiguration, live client.Object) (Outcome, error) {
	want, err := decode(desired)
	if err != nil {
		return Unchanged, err
	}
	found, err := a.read(ctx, want, live)
	if err != nil {
		return Unchanged, err
	}
	if found {
		if err := a.ours(want, live); err != nil {
			return Unchanged, err
		}
	}
	same, err := asDesired(want, live)
	if err != nil || found && same {
		return Unchanged, err
	}
	return a.write(ctx, want, live, found)
}

// Differs reports whether Apply would write the object of desired, and fills
// live with it as it is. Whose it is makes no difference here.
func (a Applier) Differs(ctx context.Context, desired runtime.ApplyConfiguration, live client.Object) (bool, error) {
	want, err := decode(desired)
	if err != nil {
		return false, err
	}
	found, err := a.read(ctx, want, live)
	if err != nil || !found {
		return !found, err
	}
	same, err := asDesired(want, live)
	return !same, err
}

// read fills live from the cache or, when that does not know the object, from
// the API server, and reports whether there is one.
func (a Applier) read(ctx context.Context, want *unstructured.Unstructured, live client.Object) (bool, error) {
	key := client.ObjectKeyFromObject(want)
	err := a.Client.Get(ctx, key, live)
	if apierrors.IsNotFound(err) {
		err = a.Live.Get(ctx, key, live)
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s %s: %w", want.GetKind(), key, err)
	}
	return true, nil
}

func (a Applier) write(ctx context.Context, want *unstructured.Unstructured, live client.Object, found bool) (Outcome, error) {
	if a.Seen != "" {
		want.SetResourceVersion(a.Seen)
	}
	written := &configuration{object: want.DeepCopy()}
	err := a.Client.Apply(ctx, written, client.FieldOwner(Owner), client.ForceOwnership)
	if service, ok := live.(*corev1.Service); ok && found && apierrors.IsInvalid(err) {
		if a.replacePorts(ctx, want, service) == nil {
			written.object = want.DeepCopy()
			err = a.Client.Apply(ctx, written, client.FieldOwner(Owner), client.ForceOwnership)
		}
	}
	if err != nil {
		return Unchanged, fmt.Errorf("applying %s %s/%s: %w", want.GetKind(), want.GetNamespace(), want.GetName(), err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(written.object.Object, live); err != nil {
		return Unchanged, fmt.Errorf("reading the API server's answer for %s %s/%s: %w",
			want.GetKind(), want.GetNamespace(), want.GetName(), err)
	}
	if found {
		return Updated, nil
	}
	return Created, nil
}

// replacePorts gives a Service the ports that are wanted and no others. A port whose
// number somebody has edited is another one to server-side apply, which would keep
// it; and the two cannot have the same name.
func (a Applier) replacePorts(ctx context.Context, want *unstructured.Unstructured, live *corev1.Service) error {
	ports, _, err := unstructured.NestedSlice(want.Object, "spec", "ports")
	if err != nil {
		return fmt.Errorf("reading the ports of Service %s/%s: %w", live.Namespace, live.Name, err)
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"ports": ports}})
	if err != nil {
		return fmt.Errorf("encoding the ports of Service %s/%s: %w", live.Namespace, live.Name, err)
	}
	if err := a.Client.Patch(ctx, live.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner(Owner)); err != nil {
		return fmt.Errorf("giving Service %s/%s its ports: %w", live.Namespace, live.Name, err)
	}
	return nil
}

// decode turns an apply configuration into a plain object that carries its own hash.
func decode(desired runtime.ApplyConfiguration) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(desired)
	if err != nil {
		return nil, fmt.Errorf("encoding an apply configuration: %w", err)
	}
	object := map[string]any{}
	if err := utiljson.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("decoding an apply configuration: %w", err)
	}
	want := &unstructured.Unstructured{Object: object}
	if want.GetKind() == "" || want.GetName() == "" {
		return nil, fmt.Errorf("an apply configuration needs a kind and a name, has %q and %q", want.GetKind(), want.GetName())
	}
	sum := sha256.Sum256(raw)
	annotations := want.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	// A field that is no longer wanted changes the hash, and so is noticed and given up.
	annotations[v1alpha1.AnnotationAppliedHash] = hex.EncodeToString(sum[:12])
	want.SetAnnotations(annotations)
	return want, nil
}

// ours returns a ForeignError unless live was made by the operator for the owner that want names.
func (a Applier) ours(want *unstructured.Unstructured, live client.Object) error {
	foreign := func(format string, args ...any) error {
		return &ForeignError{Kind: want.GetKind(), Namespace: want.GetNamespace(), Name: want.GetName(), Why: fmt.Sprintf(format, args...)}
	}
	owner, wanted := metav1.GetControllerOf(live), metav1.GetControllerOf(want)
	controlled := owner != nil && (owner.UID == a.For || wanted != nil && owner.UID == wanted.UID)
	if controlled || owner == nil && slices.Contains(a.Known, string(live.GetUID())) {
		return nil
	}
	for _, key := range identity {
		wanted, named := want.GetLabels()[key]
		if has := live.GetLabels()[key]; named && has != wanted {
			return foreign("its label %s is %q, not %q", key, has, wanted)
		}
	}
	if owner != nil {
		return foreign("it is controlled by %s %s", owner.Kind, owner.Name)
	}
	return nil
}
