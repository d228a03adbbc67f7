package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

func TestTheChartsCopiesAreCurrent(t *testing.T) {
	files, err := render(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Errorf("%v: run make generate", err)
		} else if diff := cmp.Diff(string(want), string(have)); diff != "" {
			t.Errorf("%s is out of date, run make generate (-want +have):\n%s", name, diff)
		}
	}
	copies, err := filepath.Glob(filepath.Join(root, crdFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(copies) != len(files)-1 {
		t.Errorf("the chart has the CRDs %v, want %d", copies, len(files)-1)
	}
}

// tree makes a tree with one CRD and the given roles.
func tree(t *testing.T, crd, roles string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"config/crd/bases/a.yaml": crd, "config/rbac/role.yaml": roles} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	someCRD   = "---\nkind: CustomResourceDefinition\nmetadata:\n  annotations:\n    a: b\n  name: x\nspec: {}\n"
	someRoles = "---\nkind: ClusterRole\nmetadata:\n  name: one\nrules:\n- verbs: [get]\n---\nkind: Role\nmetadata:\n  name: two\nrules: []\n---\nkind: RoleBinding\nmetadata:\n  name: three\n"
)

func TestACRDBecomesATemplateThatKeepsItsText(t *testing.T) {
	dir := tree(t, someCRD, someRoles)
	if err := write(dir, render); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, crdFolder, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"{{- if .Values.crds.install }}\n", "helm.sh/resource-policy: keep", "    a: b\n  name: x\nspec: {}\n{{- end }}\n"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the template lacks %q:\n%s", part, text)
		}
	}
}

func TestRulesAreGatheredByTheRolesName(t *testing.T) {
	files, err := render(tree(t, someCRD, someRoles))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(files[rulesFile]), header+"one:\n- verbs:\n  - get\ntwo: []\n"; got != want {
		t.Errorf("rules are\n%s\nwant\n%s", got, want)
	}
}

func TestACopyOfACRDThatIsNoMoreIsRemoved(t *testing.T) {
	dir := tree(t, someCRD, someRoles)
	if err := write(dir, render); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "config/crd/bases/a.yaml"), filepath.Join(dir, "config/crd/bases/b.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, render); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, crdFolder, "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "b.yaml" {
		t.Errorf("copies are %v (%v), want b.yaml alone", left, err)
	}
}

func TestWhatCannotBeCopiedIsRefused(t *testing.T) {
	cases := map[string]struct{ crd, roles, says string }{
		"braces in a description": {strings.Replace(someCRD, "spec: {}", "spec: '{{ x }}'", 1), someRoles, "write it in another way"},
		"no annotations":          {"metadata:\n  name: x\n", someRoles, "does not begin with annotations"},
		"a role that is not YAML": {someCRD, "kind: [", "role.yaml"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.crd, c.roles)
			if err := write(dir, render); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("write = %v, want an error that says %q", err, c.says)
			}
			if _, err := os.Stat(filepath.Join(dir, chart)); err == nil {
				t.Error("something was written all the same")
			}
		})
	}
	if err := write(t.TempDir(), render); err == nil || !strings.Contains(err.Error(), "no CRDs") {
		t.Errorf("write in an empty tree = %v, want an error that says what is missing", err)
	}
}
