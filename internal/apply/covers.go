package apply

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mergeKeys are the fields by which Kubernetes tells the members of a list of
// objects apart, the most telling first. A list whose members have none of
// them is one value.
var mergeKeys = [][]string{
	{"containerPort", "protocol"}, {"containerPort"}, {"port", "protocol"}, {"port"},
	{"mountPath"}, {"devicePath"}, {"topologyKey"}, {"uid"}, {"name"}, {"type"}, {"ip"},
}

// asDesired reports whether live holds every field of want with want's value.
func asDesired(want *unstructured.Unstructured, live client.Object) (bool, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return false, fmt.Errorf("reading %s %s/%s: %w", want.GetKind(), want.GetNamespace(), want.GetName(), err)
	}
	// Objects from a typed cache do not carry their kind.
	object["apiVersion"], object["kind"] = want.Object["apiVersion"], want.Object["kind"]
	return covers(object, want.Object), nil
}

// covers reports whether has holds everything that want names. What has beyond
// that is someone else's or a default of the API server.
func covers(has, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		has, ok := has.(map[string]any)
		return ok && coversMap(has, want) || !ok && len(want) == 0
	case []any:
		has, ok := has.([]any)
		return ok && coversList(has, want) || !ok && len(want) == 0
	default:
		return reflect.DeepEqual(has, want)
	}
}

func coversMap(has, want map[string]any) bool {
	for key, value := range want {
		if !covers(has[key], value) {
			return false
		}
	}
	return true
}

func coversList(has, want []any) bool {
	key := mergeKey(want)
	if key == nil {
		return sameLength(has, want)
	}
	for _, item := range want {
		if !covers(member(has, item.(map[string]any), key), item) {
			return false
		}
	}
	return true
}

// sameLength compares lists that are one value, member by member. Members that
// are objects may have been given defaults by the API server.
func sameLength(has, want []any) bool {
	if len(has) != len(want) {
		return false
	}
	for i := range want {
		if !covers(has[i], want[i]) {
			return false
		}
	}
	return true
}

// mergeKey returns the first of mergeKeys that every member of the list has, nil if there is none.
func mergeKey(list []any) []string {
	for _, keys := range mergeKeys {
		if allHave(list, keys) {
			return keys
		}
	}
	return nil
}

func allHave(list []any, keys []string) bool {
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return false
		}
		for _, key := range keys {
			if _, ok := object[key]; !ok {
				return false
			}
		}
	}
	return len(list) > 0
}

// member finds in list the object that has the same values under keys as like.
func member(list []any, like map[string]any, keys []string) any {
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			continue
		}
		equal := true
		for _, key := range keys {
			equal = equal && reflect.DeepEqual(object[key], like[key])
		}
		if equal {
			return item
		}
	}
	return nil
}
