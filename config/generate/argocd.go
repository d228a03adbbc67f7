package main

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// crd is what is copied of a CustomResourceDefinition.
type crd struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Versions []struct {
			Name   string `json:"name"`
			Schema struct {
				Root struct {
					Description string `json:"description"`
				} `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
	text []byte
	file string
}

// readCRDs reads the CRDs of config/crd/bases.
func readCRDs(root string) ([]crd, error) {
	paths, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing config/crd/bases: %w", err)
	}
	var all []crd
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a CRD: %w", err)
		}
		c := crd{text: text, file: filepath.Base(path)}
		if err := yaml.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// argoCD puts the health script into a ConfigMap under the keys by which Argo CD
// finds it, one a kind.
func argoCD(root string) (map[string][]byte, error) {
	script, err := os.ReadFile(filepath.Join(root, "config/argocd/health.lua"))
	if err != nil {
		return nil, fmt.Errorf("reading the health script: %w", err)
	}
	crds, err := readCRDs(root)
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for _, c := range crds {
		data["resource.customizations.health."+c.Spec.Group+"_"+c.Spec.Names.Kind] = string(script)
	}
	text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": data,
		"metadata": map[string]any{"name": "argocd-cm", "namespace": "argocd", "labels": map[string]string{
			"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}}})
	if err != nil {
		return nil, fmt.Errorf("writing the ConfigMap of Argo CD: %w", err)
	}
	how := "# kubectl apply --server-side -f config/argocd/argocd-cm.yaml: server-side, so that the rest of the ConfigMap stays.\n"
	return map[string][]byte{"config/argocd/argocd-cm.yaml": append([]byte(header+how), text...)}, nil
}
