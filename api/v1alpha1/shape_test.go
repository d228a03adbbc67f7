package v1alpha1

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// property is a field of a CRD's schema.
type property struct {
	Type        string              `json:"type"`
	Description string              `json:"description"`
	Enum        []any               `json:"enum"`
	MaxLength   *int64              `json:"maxLength"`
	MaxItems    *int64              `json:"maxItems"`
	Maximum     *float64            `json:"maximum"`
	ListType    string              `json:"x-kubernetes-list-type"`
	IntOrString bool                `json:"x-kubernetes-int-or-string"`
	Properties  map[string]property `json:"properties"`
	Items       *property           `json:"items"`
}

type crd struct {
	Spec struct {
		Names struct {
			Kind       string   `json:"kind"`
			ShortNames []string `json:"shortNames"`
			Categories []string `json:"categories"`
		} `json:"names"`
		Versions []struct {
			Columns []struct {
				Name string `json:"name"`
			} `json:"additionalPrinterColumns"`
			Schema struct {
				Root property `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

func crds(t *testing.T) map[string]crd {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "config", "crd", "bases", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]crd{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c crd
		if err := yaml.Unmarshal(text, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[c.Spec.Names.Kind] = c
	}
	if len(out) != 3 {
		t.Fatalf("found CRDs of %d kinds, want 3", len(out))
	}
	return out
}

// walk visits every field below p, but for those of Kubernetes' own types.
func walk(path string, p property, visit func(path, name string, p property)) {
	for name, field := range p.Properties {
		at := path + "." + name
		if name == "resources" || name == "conditions" || name == "clients" || name == "podTemplate" || path == "" && name != "spec" && name != "status" {
			continue
		}
		visit(at, name, field)
		walk(at, field, visit)
		if field.Items != nil {
			walk(at+"[]", *field.Items, visit)
		}
	}
}

func TestEveryFieldSaysWhatItIsAndHasItsBounds(t *testing.T) {
	for kind, c := range crds(t) {
		walk("", c.Spec.Versions[0].Schema.Root, func(path, name string, p property) {
			if !strings.HasPrefix(p.Description, name) {
				t.Errorf("%s%s: its description is %q, want it to begin with the name", kind, path, p.Description)
			}
			if !strings.HasPrefix(path, ".spec") {
				return
			}
			if problem := unbounded(p); problem != "" {
				t.Errorf("%s%s: %s", kind, path, problem)
			}
		})
	}
}

// unbounded says what keeps a field of a spec from being of limited size.
func unbounded(p property) string {
	switch {
	case p.Type == "string" && p.MaxLength == nil && len(p.Enum) == 0:
		return "a string without a maximal length"
	case p.Type == "integer" && p.Maximum == nil && !p.IntOrString:
		return "a number without a maximum"
	case p.Type == "array" && p.MaxItems == nil:
		return "a list without a maximal length"
	case p.Type == "array" && p.ListType == "":
		return "a list without a list type"
	case p.Type == "array" && p.Items.Type == "string" && p.Items.MaxLength == nil:
		return "a list of strings without a maximal length"
	}
	return ""
}

func TestKubectlGetAnswersWhatPeopleAskAtNight(t *testing.T) {
	for kind, want := range map[string]struct{ short, columns string }{
		KindBroker:  {"vb", "Ready Type Hosts Server Reason Message Age"},
		KindCluster: {"vc", "Ready Nodes Broker Channel Reason Message Last-ID Age"},
		KindNode:    {"vn", "Branch Ready Reason Parent Role Revision Objects Lag Outbox Lag-Seconds Peers Volume% Conflicts Message Cluster Age"},
	} {
		c := crds(t)[kind].Spec
		var columns []string
		for _, column := range c.Versions[0].Columns {
			columns = append(columns, column.Name)
		}
		if got := strings.Join(columns, " "); got != want.columns {
			t.Errorf("%s has columns %q, want %q", kind, got, want.columns)
		}
		if !slices.Equal(c.Names.ShortNames, []string{want.short}) || !slices.Equal(c.Names.Categories, []string{"vesper"}) {
			t.Errorf("%s has short names %v and categories %v", kind, c.Names.ShortNames, c.Names.Categories)
		}
	}
}

func TestEveryKindHasObservedGenerationAndConditions(t *testing.T) {
	for kind, c := range crds(t) {
		status := c.Spec.Versions[0].Schema.Root.Properties["status"]
		for _, name := range []string{"observedGeneration", "conditions"} {
			if _, ok := status.Properties[name]; !ok {
				t.Errorf("status of %s has no %s", kind, name)
			}
		}
		if got := fmt.Sprint(status.Properties["conditions"].ListType); got != "map" {
			t.Errorf("conditions of %s are a list of type %q, want map", kind, got)
		}
	}
}
