package controllers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"vesperdb.io/vesper/api/v1alpha1"
)

// foreign is one object of each kind that the operator also makes, of somebody else.
// Its Secret has credentials that a broker uses.
func foreign() map[client.Object]client.ObjectList {
	named := metav1.ObjectMeta{Name: "foreign", Labels: map[string]string{"app": "theirs"}}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "theirs"}}
	pod := corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}
	one := intstr.FromInt32(1)
	return map[client.Object]client.ObjectList{
		&corev1.Secret{ObjectMeta: named, StringData: map[string]string{"username": "u", "password": "p"}}:   &corev1.SecretList{},
		&corev1.ConfigMap{ObjectMeta: named, Data: map[string]string{"large": strings.Repeat("x", 1<<16)}}:   &corev1.ConfigMapList{},
		&corev1.Pod{ObjectMeta: named, Spec: pod}:                                                            &corev1.PodList{},
		&corev1.Service{ObjectMeta: named, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}: &corev1.ServiceList{},
		&corev1.PersistentVolumeClaim{ObjectMeta: named, Spec: corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}: &corev1.PersistentVolumeClaimList{},
		&appsv1.StatefulSet{ObjectMeta: named, Spec: appsv1.StatefulSetSpec{Selector: selector,
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: selector.MatchLabels}, Spec: pod}}}: &appsv1.StatefulSetList{},
		&networkingv1.NetworkPolicy{ObjectMeta: named}: &networkingv1.NetworkPolicyList{},
		&policyv1.PodDisruptionBudget{ObjectMeta: named, Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector, MinAvailable: &one}}: &policyv1.PodDisruptionBudgetList{},
	}
}

// TestCachesHoldNothingOfOtherPeople: day-one list, point 1. Whatever else is in the
// namespace takes no memory of the operator, not even a Secret that it uses.
func TestCachesHoldNothingOfOtherPeople(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	others := foreign()
	for object := range others {
		c.mustCreate(t, object)
	}
	var held cache.Cache
	k := newKubelet(t, c)
	c.run(t, append(c.reconcilers(&VesperNodeReconciler{Status: k}), func(mgr manager.Manager) error {
		held = mgr.GetCache()
		return (&VesperBrokerReconciler{Prober: &fakeProber{}}).SetupWithManager(mgr)
	})...)
	c.mustCreate(t, externalBroker("foreign", "mq.example.org:61613"))
	c.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
	c.makeCluster(t, "shop", 2, func(cl *v1alpha1.VesperCluster) { cl.Spec.Access, cl.Spec.Retention = shopAccess(), "720h" })
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	for object, list := range others {
		kind := fmt.Sprintf("%T", object)
		eventually(t, func() error {
			if err := held.List(t.Context(), list, client.InNamespace(c.Namespace)); err != nil {
				return err
			}
			if meta.LenList(list) == 0 {
				return errors.New("the cache holds no " + kind + " of the operator's own")
			}
			return nil
		})
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object := item.(client.Object)
			if object.GetLabels()[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
				return fmt.Errorf("the cache holds %s %s, which is somebody else's", kind, object.GetName())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestSecretsAreReadInTheNamespaceOfTheirObjectAlone: day-one list, point 20. That a
// Secret of the name is in another namespace, where the operator runs too, is nothing
// to a broker or a node.
func TestSecretsAreReadInTheNamespaceOfTheirObjectAlone(t *testing.T) {
	t.Parallel()
	c, other := newCluster(t), newCluster(t)
	c.also = []string{other.Namespace}
	k := newKubelet(t, c)
	c.run(t, append(c.reconcilers(&VesperNodeReconciler{Status: k}), func(mgr manager.Manager) error {
		return (&VesperBrokerReconciler{Prober: &fakeProber{}}).SetupWithManager(mgr)
	})...)
	other.writeSecret(t, "login", map[string][]byte{"username": []byte("u"), "password": []byte("p")})
	other.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
	b := externalBroker("login", "mq.example.org:61613")
	c.mustCreate(t, b)
	c.wantBroker(t, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonCredentialsMissing, "Secret login does not exist")
	c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) { cl.Spec.Access = shopAccess() })
	c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionAccessReady, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing)
	c.writeSecret(t, "login", map[string][]byte{"username": []byte("u"), "password": []byte("p")})
	c.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
	c.clusterReady(t, "shop", "shop-core-0a")
}
