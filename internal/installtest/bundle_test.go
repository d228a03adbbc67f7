package installtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// bundle are the manifests of the bundle for the Operator Lifecycle Manager.
func bundle(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "bundle", "manifests", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, decode(t, string(text))...)
	}
	return objects
}

func at(t *testing.T, object map[string]any, path ...string) any {
	t.Helper()
	value, found, err := unstructured.NestedFieldNoCopy(object, path...)
	if err != nil || !found {
		t.Fatalf("there is no %s: %v", strings.Join(path, "."), err)
	}
	return value
}

// TestTheBundleInstallsWhatThePlainFileDoes: the same Deployment, but for the
// namespaces, which the Operator Lifecycle Manager says; the same rules and CRDs.
func TestTheBundleInstallsWhatThePlainFileDoes(t *testing.T) {
	objects, ours := bundle(t), readPlain(t)
	csv := named(t, objects, "ClusterServiceVersion", "vesper-operator.v0.1.0").Object
	deployments := at(t, csv, "spec", "install", "spec", "deployments").([]any)
	spec := deployments[0].(map[string]any)["spec"].(map[string]any)
	manager := at(t, spec, "template", "spec", "containers").([]any)[0].(map[string]any)
	args := manager["args"].([]any)
	if last := args[len(args)-1]; last != "--namespaces=$(WATCH_NAMESPACES)" || len(deployments) != 1 {
		t.Errorf("the last argument is %v", last)
	}
	manager["args"] = args[:len(args)-1]
	env := manager["env"].([]any)
	manager["env"] = env[:len(env)-1] // WATCH_NAMESPACES comes last
	if diff := cmp.Diff(at(t, named(t, ours, "Deployment", "vesper-operator").Object, "spec"), any(spec)); diff != "" {
		t.Errorf("Deployment of config/install.yaml (-) and the bundle (+):\n%s", diff)
	}
	for field, want := range map[string]any{
		"clusterPermissions": named(t, ours, "ClusterRole", "vesper-operator").Object["rules"],
		"permissions":        named(t, ours, "Role", "vesper-operator-leader-election").Object["rules"],
	} {
		given := at(t, csv, "spec", "install", "spec", field).([]any)[0].(map[string]any)
		if diff := cmp.Diff(want, given["rules"]); diff != "" || given["serviceAccountName"] != "vesper-operator" {
			t.Errorf("%s of %v (-want +got):\n%s", field, given["serviceAccountName"], diff)
		}
	}
	for _, kind := range []string{"CustomResourceDefinition", "ClusterRole"} {
		for _, object := range objects {
			if object.GetKind() != kind {
				continue
			}
			if kind == "CustomResourceDefinition" {
				if diff := cmp.Diff(named(t, ours, kind, object.GetName()).Object["spec"], object.Object["spec"]); diff != "" {
					t.Errorf("%s %s differs", kind, object.GetName())
				}
			} else if !strings.HasPrefix(object.GetName(), "vesper-operator-") {
				t.Errorf("the bundle has the ClusterRole %s", object.GetName())
			}
		}
	}
}

// TestTheBundleOwnsEveryKindAndShowsOneOfEach.
func TestTheBundleOwnsEveryKindAndShowsOneOfEach(t *testing.T) {
	objects := bundle(t)
	crds := ofKind(objects, "CustomResourceDefinition")
	csv := named(t, objects, "ClusterServiceVersion", "vesper-operator.v0.1.0")
	var owned, kinds, shown []string
	for _, item := range at(t, csv.Object, "spec", "customresourcedefinitions", "owned").([]any) {
		crd := item.(map[string]any)
		owned, kinds = append(owned, crd["name"].(string)), append(kinds, crd["kind"].(string))
		if len(crd["description"].(string)) < 20 || strings.Contains(crd["description"].(string), "\n") {
			t.Errorf("%s is described as %q", crd["name"], crd["description"])
		}
	}
	if !slices.Equal(owned, crds) || len(owned) < 3 {
		t.Errorf("owned are %v, and there are %v", owned, crds)
	}
	var examples []map[string]any
	if err := json.Unmarshal([]byte(csv.GetAnnotations()["alm-examples"]), &examples); err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		shown = append(shown, example["kind"].(string))
	}
	if !slices.Equal(shown, kinds) {
		t.Errorf("examples are of %v, want one of each of %v", shown, kinds)
	}
}
