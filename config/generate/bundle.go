package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// csvIn is what a person writes of the bundle; the rest is copied.
const csvIn = "config/olm/csv.yaml"

// metadataIn says in which channel and package the bundle is.
const metadataIn = "config/olm/annotations.yaml"

// olmBundle makes a bundle for the Operator Lifecycle Manager: the CRDs, the
// aggregated roles, and a ClusterServiceVersion with the Deployment and the rules
// that kustomize installs.
func olmBundle(root string) (map[string][]byte, error) {
	crds, err := readCRDs(root)
	if err != nil {
		return nil, err
	}
	csv, err := serviceVersion(root, crds)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"bundle/manifests/vesper-operator.clusterserviceversion.yaml": csv}
	for _, c := range crds { // without ---: the Operator Lifecycle Manager reads only the first document of a file
		files["bundle/manifests/"+c.file] = append([]byte(header), bytes.TrimPrefix(c.text, []byte("---\n"))...)
	}
	roles, err := documents(root, "config/rbac/aggregated.yaml")
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		text, err := yaml.Marshal(role)
		if err != nil {
			return nil, fmt.Errorf("writing an aggregated role: %w", err)
		}
		name := role["metadata"].(map[string]any)["name"].(string)
		files["bundle/manifests/"+name+".clusterrole.yaml"] = append([]byte(header), text...)
	}
	annotations, err := os.ReadFile(filepath.Join(root, metadataIn))
	if err != nil {
		return nil, fmt.Errorf("reading the bundle's annotations: %w", err)
	}
	files["bundle/metadata/annotations.yaml"] = append([]byte(header), annotations...)
	return files, nil
}

// serviceVersion fills in what config/ says elsewhere.
func serviceVersion(root string, crds []crd) ([]byte, error) {
	parts, err := documents(root, csvIn, "config/manager/deployment.yaml")
	if err != nil {
		return nil, err
	}
	csv, deployment := parts[0], parts[1]
	rules, err := gatherRules(root)
	if err != nil {
		return nil, err
	}
	spec := csv["spec"].(map[string]any)
	spec["customresourcedefinitions"] = map[string]any{"owned": owned(crds)}
	account := "vesper-operator"
	spec["install"] = map[string]any{"strategy": "deployment", "spec": map[string]any{
		"clusterPermissions": []any{map[string]any{"serviceAccountName": account, "rules": rules[account]}},
		"permissions":        []any{map[string]any{"serviceAccountName": account, "rules": rules[account+"-leader-election"]}},
		"deployments":        []any{map[string]any{"name": account, "spec": watching(deployment["spec"].(map[string]any))}},
	}}
	examples, err := samples(root)
	if err != nil {
		return nil, err
	}
	annotations := csv["metadata"].(map[string]any)["annotations"].(map[string]any)
	annotations["alm-examples"] = examples
	annotations["containerImage"] = container(deployment["spec"].(map[string]any))["image"]
	text, err := yaml.Marshal(csv)
	if err != nil {
		return nil, fmt.Errorf("writing the ClusterServiceVersion: %w", err)
	}
	return append([]byte(header), text...), nil
}

// owned describes the kinds for people, by the first sentence of each.
func owned(crds []crd) (all []any) {
	for _, c := range crds {
		first, _, _ := strings.Cut(c.Spec.Versions[0].Schema.Root.Description, "\n\n")
		all = append(all, map[string]any{"name": c.Metadata.Name, "kind": c.Spec.Names.Kind, "version": c.Spec.Versions[0].Name,
			"displayName": c.Spec.Names.Kind, "description": strings.Join(strings.Fields(first), " ")})
	}
	return all
}

func container(deployment map[string]any) map[string]any {
	pod := deployment["template"].(map[string]any)["spec"].(map[string]any)
	return pod["containers"].([]any)[0].(map[string]any)
}

// watching makes the operator look after the namespaces that OLM says, none of
// which is all of them.
func watching(deployment map[string]any) map[string]any {
	manager := container(deployment)
	manager["args"] = append(manager["args"].([]any), "--namespaces=$(WATCH_NAMESPACES)")
	manager["env"] = append(manager["env"].([]any), map[string]any{"name": "WATCH_NAMESPACES", "valueFrom": map[string]any{
		"fieldRef": map[string]any{"fieldPath": "metadata.annotations['olm.targetNamespaces']"}}})
	return deployment
}

// samples are config/samples as one JSON text.
func samples(root string) (string, error) {
	all, err := documents(root, "config/samples/broker.yaml", "config/samples/cluster.yaml", "config/olm/node.yaml")
	if err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing the samples: %w", err)
	}
	return string(text), nil
}

// documents reads the objects of YAML files.
func documents(root string, names ...string) (all []map[string]any, err error) {
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("reading a part of the bundle: %w", err)
		}
		for document := range strings.SplitSeq("\n"+string(text), "\n---\n") {
			object := map[string]any{}
			if err := yaml.Unmarshal([]byte(document), &object); err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
			if len(object) > 0 {
				all = append(all, object)
			}
		}
	}
	return all, nil
}
