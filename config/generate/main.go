// Command generate copies what kustomize installs and other ways must install as
// well, CRDs, RBAC rules and the Deployment, from config/ into the Helm chart and
// the bundle for the Operator Lifecycle Manager, and the health script of Argo CD
// into its ConfigMap, so that there is one source of each. It runs at the root of
// the tree, late in `make generate`.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	chart     = "charts/vesper-operator"
	rulesFile = chart + "/files/rules.yaml"
	crdFolder = chart + "/templates/crds"
	header    = "# Made by `make generate` from config/; do not edit.\n"
)

func main() {
	if err := write(".", render, argoCD, olmBundle); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// renderer returns files by their path below root.
type renderer func(root string) (map[string][]byte, error)

// write writes what the renderers make in the tree at root.
func write(root string, renderers ...renderer) error {
	files := map[string][]byte{}
	for _, render := range renderers {
		more, err := render(root)
		if err != nil {
			return err
		}
		maps.Copy(files, more)
	}
	if err := removeOthers(root, files); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making the folder of %s: %w", name, err)
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// removeOthers deletes copies of CRDs that are no more.
func removeOthers(root string, files map[string][]byte) error {
	found, err := filepath.Glob(filepath.Join(root, crdFolder, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", crdFolder, err)
	}
	for _, path := range found {
		if _, wanted := files[filepath.ToSlash(filepath.Join(crdFolder, filepath.Base(path)))]; wanted {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing what is no longer generated: %w", err)
		}
	}
	return nil
}

// render returns the chart's copies by their path below root.
func render(root string) (map[string][]byte, error) {
	rules, err := renderRules(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{rulesFile: rules}
	bases, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil || len(bases) == 0 {
		return nil, errors.Join(errors.New("there are no CRDs in config/crd/bases"), err)
	}
	for _, path := range bases {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a CRD: %w", err)
		}
		template, err := crdTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("making a template of %s: %w", path, err)
		}
		files[filepath.ToSlash(filepath.Join(crdFolder, filepath.Base(path)))] = template
	}
	return files, nil
}

// role is what is copied of a Role or ClusterRole.
type role struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Rules []any `json:"rules"`
}

// renderRules is gatherRules as a file.
func renderRules(root string) ([]byte, error) {
	rules, err := gatherRules(root)
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(rules)
	if err != nil {
		return nil, fmt.Errorf("writing rules: %w", err)
	}
	return append([]byte(header), text...), nil
}

// gatherRules gathers the rules of every role in config/rbac by its name.
func gatherRules(root string) (map[string][]any, error) {
	paths, err := filepath.Glob(filepath.Join(root, "config/rbac/*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing config/rbac: %w", err)
	}
	rules := map[string][]any{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a role: %w", err)
		}
		for document := range strings.SplitSeq("\n"+string(text), "\n---\n") {
			var r role
			if err := yaml.Unmarshal([]byte(document), &r); err != nil {
				return nil, fmt.Errorf("reading %s: %w", path, err)
			}
			if r.Kind == "Role" || r.Kind == "ClusterRole" {
				rules[r.Metadata.Name] = r.Rules
			}
		}
	}
	return rules, nil
}

// Marks in a CRD as controller-gen writes it, where the template's parts go.
var (
	beforeAnnotations = []byte("metadata:\n  annotations:\n")
	templateMetadata  = []byte("metadata:\n  labels:\n    {{- include \"vesper-operator.labels\" . | nindent 4 }}\n" +
		"  annotations:\n    {{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n")
)

// crdTemplate wraps a CRD so that values say whether it is installed, and
// whether it, and with it every cluster, outlives the release.
func crdTemplate(text []byte) ([]byte, error) {
	if bytes.Contains(text, []byte("{{")) {
		return nil, fmt.Errorf("a description contains {{, which a template would read: write it in another way")
	}
	if bytes.Count(text, beforeAnnotations) != 1 {
		return nil, fmt.Errorf("its metadata does not begin with annotations, as controller-gen writes it")
	}
	body := bytes.Replace(bytes.TrimPrefix(text, []byte("---\n")), beforeAnnotations, templateMetadata, 1)
	return slices.Concat([]byte(header+"{{- if .Values.crds.install }}\n"), body, []byte("{{- end }}\n")), nil
}
