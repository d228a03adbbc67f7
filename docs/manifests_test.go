package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeconfig"
)

// kinds makes the type of each kind and of its spec.
var kinds = map[string]struct{ whole, spec func() any }{
	"VesperBroker":  {func() any { return &v1alpha1.VesperBroker{} }, func() any { return &v1alpha1.VesperBrokerSpec{} }},
	"VesperCluster": {func() any { return &v1alpha1.VesperCluster{} }, func() any { return &v1alpha1.VesperClusterSpec{} }},
	"VesperNode":    {func() any { return &v1alpha1.VesperNode{} }, func() any { return &v1alpha1.VesperNodeSpec{} }},
}

var documentEndRE = regexp.MustCompile(`(?m)^---\s*$`)

// checkManifests parses the manifests of a block, or the part of a spec that it
// says it is; a field that does not exist is an error.
func checkManifests(f fence) error {
	if f.name != "" {
		kind, ok := kinds[f.name]
		if !ok {
			return fmt.Errorf("%q is neither a kind nor a file NAME.yaml", f.name)
		}
		return yaml.UnmarshalStrict([]byte(f.body), kind.spec())
	}
	for _, text := range documentEndRE.Split(f.body, -1) {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			return err
		}
		kind, ok := kinds[head.Kind]
		if want := v1alpha1.GroupVersion.String(); !ok || head.APIVersion != want {
			return fmt.Errorf("apiVersion %q, kind %q: want one of ours in %s", head.APIVersion, head.Kind, want)
		}
		if err := yaml.UnmarshalStrict([]byte(text), kind.whole()); err != nil {
			return fmt.Errorf("%s: %w", head.Kind, err)
		}
	}
	return nil
}

func TestManifestsAndConfigurationFilesLoad(t *testing.T) {
	manifests, files := 0, 0
	for _, doc := range documents(t) {
		for _, f := range fencesOf(t, doc) {
			switch {
			case f.kind != "yaml":
			case strings.HasSuffix(f.name, ".yaml"):
				files++
				path := filepath.Join(t.TempDir(), f.name)
				if err := os.WriteFile(path, []byte(f.body), 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := nodeconfig.Load(path); err != nil {
					t.Errorf("%s: %v", f.place(), err)
				}
			default:
				manifests++
				if err := checkManifests(f); err != nil {
					t.Errorf("%s: %v", f.place(), err)
				}
			}
		}
	}
	if manifests < 4 || files < 2 {
		t.Errorf("found %d manifests and %d configuration files, expected at least 4 and 2", manifests, files)
	}
}

func TestAManifestWithAnUnknownFieldIsRefused(t *testing.T) {
	good := "apiVersion: vesperdb.io/v1alpha1\nkind: VesperCluster\nmetadata: {name: a}\nspec:\n  brokerRef: {name: mq}\n"
	for _, c := range []struct {
		f     fence
		wrong string
	}{
		{fence{body: good}, ""},
		{fence{body: good + "---\n" + good + "  replica: 3\n"}, "replica"},
		{fence{body: strings.Replace(good, "Cluster", "Custer", 1)}, "VesperCuster"},
		{fence{body: strings.Replace(good, "v1alpha1", "v1", 1)}, "vesperdb.io/v1"},
		{fence{name: "VesperCluster", body: "branchIDs: {from: 1A}\n"}, ""},
		{fence{name: "VesperCluster", body: "branchIDs: {form: 1A}\n"}, "form"},
		{fence{name: "Other", body: "a: b\n"}, "Other"},
	} {
		err := checkManifests(c.f)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%+v: got %v, want an error that names %q", c.f, err, c.wrong)
		}
	}
}

func TestEveryKindIsShown(t *testing.T) {
	var shown []string
	for _, doc := range documents(t) {
		for _, f := range fencesOf(t, doc) {
			if f.kind == "yaml" {
				shown = append(shown, f.body)
			}
		}
	}
	for kind := range kinds {
		if !slices.ContainsFunc(shown, func(body string) bool { return strings.Contains(body, "kind: "+kind+"\n") }) {
			t.Errorf("no document shows a %s", kind)
		}
	}
}
