package v1alpha1

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// fieldsOf visits every field that a spec can have, with its path. What a pod template
// has is the pod's, which reaches nothing outside of its namespace.
func fieldsOf(path string, t reflect.Type, visit func(path, name string, t reflect.Type)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[runtime.RawExtension]() {
		return
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" && !field.Anonymous {
			continue // no field of the API
		}
		visit(path+"."+name, name, field.Type)
		fieldsOf(path+"."+name, field.Type, visit)
	}
}

// TestNoReferenceCrossesANamespace: day-one list, point 20. No field of a spec names a
// namespace, and every reference to an object has a name alone.
func TestNoReferenceCrossesANamespace(t *testing.T) {
	references := 0
	for kind, spec := range map[string]reflect.Type{KindBroker: reflect.TypeFor[VesperBrokerSpec](), KindCluster: reflect.TypeFor[VesperClusterSpec](), KindNode: reflect.TypeFor[VesperNodeSpec]()} {
		fieldsOf(kind, spec, func(path, name string, field reflect.Type) {
			for field.Kind() == reflect.Pointer || field.Kind() == reflect.Slice {
				field = field.Elem()
			}
			if strings.EqualFold(name, "namespace") || strings.EqualFold(name, "namespaces") {
				t.Errorf("%s names a namespace", path)
			}
			switch field {
			case reflect.TypeFor[corev1.ObjectReference](), reflect.TypeFor[corev1.SecretReference](), reflect.TypeFor[corev1.TypedObjectReference]():
				t.Errorf("%s is a %s, which has a namespace", path, field)
			case reflect.TypeFor[LocalReference](), reflect.TypeFor[SecretKeyReference]():
				references++
				return
			}
			if strings.HasSuffix(name, "Ref") || strings.HasSuffix(name, "Refs") || strings.HasSuffix(name, "Secrets") {
				t.Errorf("%s is a reference of type %s, want one that has a name alone", path, field)
			}
		})
	}
	if references < 10 {
		t.Errorf("only %d references were found: the test looks at the wrong types", references)
	}
}
