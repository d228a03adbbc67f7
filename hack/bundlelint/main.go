// Command bundlelint checks an OLM bundle as catalogs do before they take it up,
// with the validators of operator-framework/api: bundlelint bundle, from the root
// of the tree. It is a module of its own, so that the programs depend on none of it.
package main

import (
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "bundlelint: give the folder of a bundle")
		os.Exit(2)
	}
	wrong, err := check(os.Args[1])
	for _, line := range wrong {
		fmt.Fprintln(os.Stderr, line)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bundlelint:", err)
	}
	if err != nil || len(wrong) > 0 {
		os.Exit(1)
	}
}

// validators are those that judge what is in the bundle: no images, for which they
// would run docker.
var validators = interfaces.Validators{
	validation.ClusterServiceVersionValidator,
	validation.CustomResourceDefinitionValidator,
	validation.BundleValidator,
	validation.StandardCapabilitiesValidator,
	validation.StandardCategoriesValidator,
	validation.ObjectValidator,
	validation.GoodPracticesValidator,
}

// hub are the rules of OperatorHub. Its warnings are left out: it takes a rule about
// events.k8s.io or policy, of whatever version, for one about a version that is gone.
var hub = interfaces.Validators{validation.OperatorHubV2Validator}

// check returns what is wrong with the bundle in a folder: errors, and warnings too.
func check(folder string) (wrong []string, err error) {
	bundle, err := manifests.GetBundleFromDir(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle in %s: %w", folder, err)
	}
	for _, result := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, e := range append(result.Errors, result.Warnings...) {
			wrong = append(wrong, e.Error())
		}
	}
	for _, result := range hub.Validate(bundle.ObjectsToValidate()...) {
		for _, e := range result.Errors {
			wrong = append(wrong, e.Error())
		}
	}
	return wrong, nil
}
