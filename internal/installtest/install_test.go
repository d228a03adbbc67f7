package installtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// helmsOwn are the labels and annotations that only a Helm release has.
var helmsOwn = []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/resource-policy"}

// stripped returns the objects by kind and name without what only Helm adds.
// The namespace is left out: helm --create-namespace makes it.
func stripped(objects []*unstructured.Unstructured) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			continue
		}
		for _, field := range []string{"labels", "annotations"} {
			values, found, _ := unstructured.NestedMap(object.Object, "metadata", field)
			for _, key := range helmsOwn {
				delete(values, key)
			}
			if found {
				_ = unstructured.SetNestedMap(object.Object, values, "metadata", field)
			}
		}
		out[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = object.Object
	}
	return out
}

func TestChartAndKustomizeInstallTheSame(t *testing.T) {
	fromChart, fromKustomize := stripped(renderChart(t)), stripped(renderKustomize(t))
	if len(fromChart) < 12 {
		t.Fatalf("the chart renders only %d objects", len(fromChart))
	}
	if diff := cmp.Diff(fromKustomize, fromChart); diff != "" {
		t.Errorf("config/default (-) and the chart (+) differ:\n%s", diff)
	}
}

func TestTheChartPassesHelmsLinter(t *testing.T) {
	if out, err := helm(t, "lint", "--strict", chart); err != nil {
		t.Errorf("helm lint: %v\n%s", err, out)
	}
}

func TestCRDsOutliveTheReleaseUnlessAskedNotTo(t *testing.T) {
	crds := func(args ...string) (kept, total int) {
		for _, object := range renderChart(t, args...) {
			if object.GetKind() == "CustomResourceDefinition" {
				total++
				if object.GetAnnotations()["helm.sh/resource-policy"] == "keep" {
					kept++
				}
			}
		}
		return kept, total
	}
	if kept, total := crds(); total != 3 || kept != 3 {
		t.Errorf("by default %d of %d CRDs are kept, want 3 of 3", kept, total)
	}
	if kept, total := crds("--set", "crds.keep=false"); total != 3 || kept != 0 {
		t.Errorf("with crds.keep=false %d of %d CRDs are kept, want 0 of 3", kept, total)
	}
	if _, total := crds("--set", "crds.install=false"); total != 0 {
		t.Errorf("with crds.install=false %d CRDs are installed", total)
	}
}

func TestANamespacedInstallHasTheSameRulesAndNoClusterRole(t *testing.T) {
	everywhere := named(t, renderChart(t), "ClusterRole", "vesper-operator")
	objects := renderChart(t, "--set", "watchNamespaces={shop,lab}")
	if roles := slices.Concat(ofKind(objects, "ClusterRole"), ofKind(objects, "ClusterRoleBinding")); len(roles) > 0 {
		t.Errorf("a namespaced install has %v", roles)
	}
	want := []string{"shop/vesper-operator", "lab/vesper-operator", "vesper-system/vesper-operator-leader-election"}
	for _, kind := range []string{"Role", "RoleBinding"} {
		if got := ofKind(objects, kind); !slices.Equal(got, want) {
			t.Errorf("%ss %v, want %v", kind, got, want)
		}
	}
	if diff := cmp.Diff(everywhere.Object["rules"], named(t, objects, "Role", "vesper-operator").Object["rules"]); diff != "" {
		t.Errorf("the rules of ClusterRole (-) and Role (+) differ:\n%s", diff)
	}
	if args := managerArgs(t, objects); !slices.Contains(args, "--namespaces=shop,lab") {
		t.Errorf("args %v, want the namespaces", args)
	}
}

// managerArgs are the arguments of the operator's only container.
func managerArgs(t *testing.T, objects []*unstructured.Unstructured) []string {
	t.Helper()
	containers, _, _ := unstructured.NestedSlice(named(t, objects, "Deployment", "vesper-operator").Object, "spec", "template", "spec", "containers")
	args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	if err != nil || len(containers) != 1 {
		t.Fatalf("the Deployment has %d containers (%v)", len(containers), err)
	}
	return args
}

func TestValuesBecomeFlagsAndFields(t *testing.T) {
	cases := map[string]struct {
		values []string
		args   []string // there
		not    []string // not there
	}{
		"defaults":            {nil, []string{"--leader-elect", "--default-node-image=vesper/node:v0.1.0", "--metrics-bind-address=:8080"}, []string{"--metrics-secure", "--default-broker-image"}},
		"images":              {[]string{"nodeImage=n:1", "activemqImage=a:2"}, []string{"--default-node-image=n:1", "--default-broker-image=a:2"}, nil},
		"no leader election":  {[]string{"leaderElection.enabled=false"}, nil, []string{"--leader-elect"}},
		"no metrics":          {[]string{"metrics.enabled=false"}, []string{"--metrics-bind-address=0"}, nil},
		"secure metrics":      {[]string{"metrics.secure=true", "metrics.port=9443"}, []string{"--metrics-secure", "--metrics-bind-address=:9443"}, nil},
		"logs":                {[]string{"log.level=debug", "log.format=text"}, []string{"--log-level=debug", "--log-format=text"}, nil},
		"concurrency":         {[]string{"concurrency=8"}, []string{"--concurrency=8"}, nil},
		"flags of no value":   {[]string{"extraArgs={--shutdown-timeout=30s}"}, []string{"--shutdown-timeout=30s"}, nil},
		"another image's tag": {[]string{"image.tag=dev"}, []string{"--default-node-image=vesper/node:v0.1.0"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var set []string
			for _, value := range c.values {
				set = append(set, "--set", value)
			}
			args := managerArgs(t, renderChart(t, set...))
			for _, want := range c.args {
				if !slices.Contains(args, want) {
					t.Errorf("args %v lack %s", args, want)
				}
			}
			for _, unwanted := range c.not {
				if slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, unwanted) }) {
					t.Errorf("args %v have %s", args, unwanted)
				}
			}
		})
	}
}

func TestSecureMetricsMayAskWhoAsks(t *testing.T) {
	if got := ofKind(renderChart(t, "--set", "metrics.secure=true"), "ClusterRoleBinding"); !slices.Contains(got, "vesper-operator-metrics-auth") {
		t.Errorf("ClusterRoleBindings %v, want one to check tokens", got)
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	cases := map[string]struct{ value, says string }{
		"a mistyped name":             {"imagePullSecret={a}", "imagePullSecret"},
		"a mistyped name inside":      {"crds.add=true", "add"},
		"text for a number":           {"replicas=two", "replicas"},
		"too many workers":            {"concurrency=1000", "concurrency"},
		"a word that is no level":     {"log.level=verbose", "log"},
		"a namespace with capitals":   {"watchNamespaces={Shop}", "watchNamespaces"},
		"a privileged metrics port":   {"metrics.port=80", "port"},
		"a flag without dashes":       {"extraArgs={debug}", "extraArgs"},
		"two without a leader":        {"leaderElection.enabled=false,replicas=2", "leaderElection.enabled"},
		"no account and no name":      {"serviceAccount.create=false", "serviceAccount.name"},
		"a pull policy of no meaning": {"image.pullPolicy=Sometimes", "pullPolicy"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := helm(t, "template", "vesper-operator", chart, "--set", c.value)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("helm template --set %s: %v, want an error that names %s", c.value, err, c.says)
			}
		})
	}
}

func TestAReleaseOfAnotherNameCollidesWithNothing(t *testing.T) {
	text, err := helm(t, "template", "blue", chart, "--namespace", "lab", "--set", "watchNamespaces={lab}")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range decode(t, text) {
		if object.GetKind() != "CustomResourceDefinition" && !strings.HasPrefix(object.GetName(), "blue-vesper-operator") {
			t.Errorf("%s %s does not carry the release's name", object.GetKind(), object.GetName())
		}
	}
}
