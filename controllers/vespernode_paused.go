package controllers

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/internal/apply"
)

// applyUnless applies a child, or, while that is paused, notes in waiting that it
// would be changed. live is filled with the child as it is.
func applyUnless(ctx context.Context, paused bool, waiting *[]string, applier apply.Applier, desired runtime.ApplyConfiguration, live client.Object) error {
	if !paused {
		_, err := applier.Apply(ctx, desired, live)
		return err
	}
	differs, err := applier.Differs(ctx, desired, live)
	if err == nil && differs {
		*waiting = append(*waiting, childName(desired, live))
	}
	return err
}

// childName is a child's kind and name.
func childName(desired runtime.ApplyConfiguration, live client.Object) string {
	name := reflect.TypeOf(live).Elem().Name()
	if named, ok := desired.(interface{ GetName() *string }); ok && named.GetName() != nil {
		name += " " + *named.GetName()
	}
	return name
}
