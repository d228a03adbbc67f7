package installtest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestThePlainFileInstallsWhatKustomizeDoes(t *testing.T) {
	if diff := cmp.Diff(stripped(renderKustomize(t)), stripped(readPlain(t))); diff != "" {
		t.Errorf("config/default (-) and config/install.yaml (+) differ; run make generate:\n%s", diff)
	}
}

// TestThePlainFileAppliesInItsOwnOrder: kubectl applies a file from the top, and
// what is in a namespace, or of a kind, that does not exist yet is refused.
func TestThePlainFileAppliesInItsOwnOrder(t *testing.T) {
	namespaces := map[string]bool{}
	objects := readPlain(t)
	if len(objects) < 12 {
		t.Fatalf("it has only %d objects", len(objects))
	}
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			namespaces[object.GetName()] = true
		}
		if ns := object.GetNamespace(); ns != "" && !namespaces[ns] {
			t.Errorf("%s %s comes before its namespace %s", object.GetKind(), object.GetName(), ns)
		}
	}
}

// TestNoObjectIsTooLongForPlainApply: kubectl apply keeps what it applied in an
// annotation of at most 262144 bytes (complaint 11 of the day-one list).
func TestNoObjectIsTooLongForPlainApply(t *testing.T) {
	for _, object := range readPlain(t) {
		text, err := json.Marshal(object.Object)
		if err != nil || len(text) >= 262144 {
			t.Errorf("%s %s has %d bytes of JSON (%v), want less than 262144", object.GetKind(), object.GetName(), len(text), err)
		}
	}
}

// clusterRole returns a ClusterRole of the plain file.
func clusterRole(t *testing.T, name string) rbacv1.ClusterRole {
	t.Helper()
	var role rbacv1.ClusterRole
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(named(t, readPlain(t), "ClusterRole", name).Object, &role); err != nil {
		t.Fatal(err)
	}
	return role
}

// ourKinds are the resources of the CRDs.
func ourKinds(t *testing.T) []string {
	t.Helper()
	var kinds []string
	for _, object := range readPlain(t) {
		if object.GetKind() == "CustomResourceDefinition" {
			plural, _, _ := unstructured.NestedString(object.Object, "spec", "names", "plural")
			kinds = append(kinds, plural)
		}
	}
	return kinds
}

// TestWhoMayViewEditOrAdministerANamespaceMayDoSoWithEveryKind: the roles
// aggregate to those of Kubernetes, and reach nothing but the operator's own kinds.
func TestWhoMayViewEditOrAdministerANamespaceMayDoSoWithEveryKind(t *testing.T) {
	reads, writes := []string{"get", "list", "watch"}, []string{"create", "update", "patch", "delete", "deletecollection"}
	for _, c := range []struct {
		role  string
		to    []string
		verbs []string
		never []string
	}{
		{"vesper-operator-view", []string{"view", "edit", "admin"}, reads, writes},
		{"vesper-operator-edit", []string{"edit", "admin"}, writes, nil},
	} {
		t.Run(c.role, func(t *testing.T) {
			role := clusterRole(t, c.role)
			for _, to := range []string{"view", "edit", "admin"} {
				if got, want := role.Labels["rbac.authorization.k8s.io/aggregate-to-"+to] == "true", slices.Contains(c.to, to); got != want {
					t.Errorf("aggregates to %s: %v, want %v", to, got, want)
				}
			}
			may := map[string]bool{}
			for _, rule := range role.Rules {
				if !slices.Equal(rule.APIGroups, []string{"vesperdb.io"}) {
					t.Errorf("a rule is about the groups %v", rule.APIGroups)
				}
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						may[verb+" "+resource] = true
					}
				}
			}
			for _, kind := range ourKinds(t) {
				for _, verb := range c.verbs {
					if !may[verb+" "+kind] {
						t.Errorf("may not %s %s", verb, kind)
					}
				}
				for _, verb := range c.never {
					if may[verb+" "+kind] {
						t.Errorf("may %s %s", verb, kind)
					}
				}
			}
			for what := range may {
				if strings.HasSuffix(what, "/status") && !strings.HasPrefix(what, "get ") {
					t.Errorf("may %s: the status is the operator's word", what)
				}
			}
		})
	}
}
