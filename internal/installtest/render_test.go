package installtest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

var (
	chart     = filepath.Join("..", "..", "charts", "vesper-operator")
	kustomize = filepath.Join("..", "..", "config", "default")
	plain     = filepath.Join("..", "..", "config", "install.yaml")
)

// tool finds a program by its variable, or in PATH, or skips the test.
func tool(t *testing.T, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s: put it in PATH or its path in %s (`go run ./hack/localkube assets` prints a folder that has it)", name, variable)
	}
	return path
}

// helm runs helm and returns its standard output, or an error with what it said.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return output(exec.CommandContext(t.Context(), tool(t, "HELM", "helm"), args...))
}

func output(command *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", errors.Join(err, errors.New(stderr.String()))
	}
	return stdout.String(), nil
}

// renderChart renders the chart as a release of its own name in vesper-system.
func renderChart(t *testing.T, args ...string) []*unstructured.Unstructured {
	t.Helper()
	text, err := helm(t, append([]string{"template", "vesper-operator", chart, "--namespace", "vesper-system"}, args...)...)
	if err != nil {
		t.Fatalf("rendering the chart: %v", err)
	}
	return decode(t, text)
}

// renderKustomize renders config/default.
func renderKustomize(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	text, err := output(exec.CommandContext(t.Context(), tool(t, "KUBECTL", "kubectl"), "kustomize", kustomize))
	if err != nil {
		t.Fatalf("rendering config/default: %v", err)
	}
	return decode(t, text)
}

// readPlain reads config/install.yaml.
func readPlain(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(text))
}

func decode(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("reading rendered YAML: %v", err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// named returns the only object of the kind and name.
func named(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("no %s %s was rendered", kind, name)
	return nil
}

// ofKind returns the names of the objects of a kind, as namespace/name.
func ofKind(objects []*unstructured.Unstructured, kind string) []string {
	var names []string
	for _, object := range objects {
		if object.GetKind() == kind {
			names = append(names, strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/"))
		}
	}
	return names
}
