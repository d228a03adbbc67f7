package controllers

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestOnlyClaimsAreRememberedWithWhoWroteWhichField(t *testing.T) {
	// The builders of claims ask who set the storage class; nobody else asks, and it is half of an object.
	options := CacheOptions(nil)
	transforms := map[string]func(any) (any, error){"StatefulSet": options.DefaultTransform}
	for object, by := range options.ByObject {
		switch object.(type) {
		case *corev1.PersistentVolumeClaim:
			transforms["claim"] = by.Transform
		case *appsv1.StatefulSet:
			if by.Transform != nil {
				t.Error("StatefulSets are remembered in a way of their own")
			}
		}
	}
	for kind, want := range map[string]int{"claim": 1, "StatefulSet": 0} {
		var object client.Object = &appsv1.StatefulSet{}
		if kind == "claim" {
			object = &corev1.PersistentVolumeClaim{}
		}
		object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "someone"}})
		kept, err := transforms[kind](object)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(kept.(client.Object).GetManagedFields()); got != want {
			t.Errorf("a %s is remembered with %d entries of managedFields, want %d", kind, got, want)
		}
	}
}
