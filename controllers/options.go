// Package controllers holds the reconcilers of brokers, clusters and nodes. Each
// fills a state from the API server, asks pure packages what should be, does it,
// and writes the status once.
package controllers

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// CacheOptions makes the operator remember only its own Secrets, ConfigMaps,
// Pods, claims, Services and StatefulSets, so that other people's do not fill
// its memory, and only those of the given namespaces; none means all. Who wrote
// which field is left out: it is half of an object, and needed of claims alone.
func CacheOptions(namespaces []string) cache.Options {
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})}
	whole := own
	whole.Transform = func(object any) (any, error) { return object, nil }
	options := cache.Options{DefaultTransform: cache.TransformStripManagedFields(), ByObject: map[client.Object]cache.ByObject{
		&corev1.Secret{}:                own,
		&corev1.ConfigMap{}:             own,
		&corev1.Pod{}:                   own,
		&corev1.PersistentVolumeClaim{}: whole,
		&corev1.Service{}:               own,
		&appsv1.StatefulSet{}:           own,
		&networkingv1.NetworkPolicy{}:   own,
		&policyv1.PodDisruptionBudget{}: own,
	}}
	if len(namespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range namespaces {
			options.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return options
}

// ClientOptions makes reads wait until the caches have seen the operator's own
// earlier writes. It spares writes that would change nothing; nothing relies on
// it. controller-runtime cannot do it for caches of several namespaces.
func ClientOptions(namespaces []string) client.Options {
	readYourWrites := len(namespaces) <= 1
	return client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: &readYourWrites}}
}
