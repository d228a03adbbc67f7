// Command apilint holds the API's types to the conventions of Kubernetes with
// the analyzers of kube-api-linter: apilint -test=false ./api/v1alpha1, from the
// root of the tree. It is a module of its own, so that the programs depend on
// none of it.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/multichecker"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/kube-api-linter/pkg/analysis/registry"
	"sigs.k8s.io/kube-api-linter/pkg/config"
	_ "sigs.k8s.io/kube-api-linter/pkg/registration" // the analyzers
	"sigs.k8s.io/kube-api-linter/pkg/validation"
	"sigs.k8s.io/yaml"
)

//go:embed settings.yaml
var settings []byte

func main() {
	chosen, err := analyzers(settings)
	if err != nil {
		fmt.Fprintln(os.Stderr, "apilint:", err)
		os.Exit(2)
	}
	multichecker.Main(chosen...)
}

// analyzers are those that the settings choose, with their configuration.
func analyzers(text []byte) ([]*analysis.Analyzer, error) {
	file := struct {
		Linters struct{ Enable, Disable []string } `json:"linters"`
		Config  map[string]any                     `json:"lintersConfig"`
	}{}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		return nil, fmt.Errorf("reading settings.yaml: %w", err)
	}
	linters := config.Linters{Enable: file.Linters.Enable, Disable: file.Linters.Disable}
	wrong := validation.ValidateGolangCIConfig(config.GolangCIConfig{Linters: linters, LintersConfig: file.Config}, field.NewPath("settings.yaml"))
	chosen, err := registry.DefaultRegistry().InitializeLinters(linters, file.Config)
	if err := errors.Join(wrong, err); err != nil {
		return nil, fmt.Errorf("settings.yaml: %w", err)
	}
	return chosen, nil
}
