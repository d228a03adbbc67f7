package resources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// setsOf are the StatefulSets in a file of objects.
func setsOf(t *testing.T, path string) (sets []appsv1.StatefulSet) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq("\n"+string(text), "\n---\n") {
		var set appsv1.StatefulSet
		if err := yaml.Unmarshal([]byte(document), &set); err != nil {
			t.Fatalf("reading %s: %v", path, err)
		}
		if set.Kind == "StatefulSet" {
			sets = append(sets, set)
		}
	}
	return sets
}

// TestAnUpgradeFromTheLastReleaseRestartsNoPod (complaint 4 of the day-one list):
// what that release made of these specs is kept in testdata/v0.1.0, which -update
// never writes. What this one makes of the same specs, as the other tests of this
// package show, has the same pods, down to the last field, and the same selector.
func TestAnUpgradeFromTheLastReleaseRestartsNoPod(t *testing.T) {
	before, err := filepath.Glob(filepath.Join("testdata", "v0.1.0", "*.yaml"))
	if err != nil || len(before) != 4 {
		t.Fatalf("the last release has the files %v (%v), want 4", before, err)
	}
	for _, path := range before {
		old, now := setsOf(t, path), setsOf(t, filepath.Join("testdata", filepath.Base(path)))
		if len(old) != 1 || len(now) != 1 {
			t.Fatalf("%s: %d StatefulSets then, %d now; want one", path, len(old), len(now))
		}
		if diff := cmp.Diff(old[0].Spec, now[0].Spec); diff != "" {
			t.Errorf("%s: the upgrade would restart it (-then +now):\n%s", filepath.Base(path), diff)
		}
	}
}
