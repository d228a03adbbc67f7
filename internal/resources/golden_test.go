package resources

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

func toYAML(t *testing.T, object any) string {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatalf("encoding a %T: %v", object, err)
	}
	return string(text)
}

// golden compares objects with testdata/<name>.yaml, which `go test -update` writes.
func golden(t *testing.T, name string, objects ...any) {
	t.Helper()
	var parts []string
	for _, object := range objects {
		parts = append(parts, toYAML(t, object))
	}
	got, file := strings.Join(parts, "---\n"), filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("reading the golden file (go test -update writes it): %v", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func fromYAML(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatalf("decoding a %T: %v", into, err)
	}
}

func mustSet(t *testing.T, n Node) *appsv1ac.StatefulSetApplyConfiguration {
	t.Helper()
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
