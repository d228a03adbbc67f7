package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// everything lists all objects of the stage, by kind and name.
func (s *stage) everything(t *testing.T) map[string]client.Object {
	t.Helper()
	out := map[string]client.Object{}
	for _, list := range []client.ObjectList{&v1alpha1.VesperBrokerList{}, &v1alpha1.VesperClusterList{}, &v1alpha1.VesperNodeList{}, &appsv1.StatefulSetList{},
		&corev1.PodList{}, &corev1.PersistentVolumeClaimList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{}} {
		if err := s.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for _, object := range itemsOf(list) {
			out[fmt.Sprintf("%T %s", object, object.GetName())] = object
		}
	}
	return out
}

func itemsOf(list client.ObjectList) (out []client.Object) {
	switch list := list.(type) {
	case *v1alpha1.VesperBrokerList:
		return pointers(list.Items)
	case *v1alpha1.VesperClusterList:
		return pointers(list.Items)
	case *v1alpha1.VesperNodeList:
		return pointers(list.Items)
	case *appsv1.StatefulSetList:
		return pointers(list.Items)
	case *corev1.PodList:
		return pointers(list.Items)
	case *corev1.PersistentVolumeClaimList:
		return pointers(list.Items)
	case *corev1.ServiceList:
		return pointers(list.Items)
	case *corev1.ConfigMapList:
		return pointers(list.Items)
	}
	return nil
}

func pointers[T any, P interface {
	*T
	client.Object
}](items []T) (out []client.Object) {
	for i := range items {
		out = append(out, P(&items[i]))
	}
	return out
}

// wantNoFinalizers: what has none cannot hold up a deletion, with or without an
// operator. Day-one list, point 15: the time box is zero.
func (s *stage) wantNoFinalizers(t *testing.T) {
	t.Helper()
	for name, object := range s.everything(t) {
		if len(object.GetFinalizers()) > 0 {
			t.Errorf("%s has the finalizers %v", name, object.GetFinalizers())
		}
	}
}

// left names what is left but for volume claims.
func (s *stage) leftOver(t *testing.T) (names []string) {
	t.Helper()
	for name := range s.everything(t) {
		if !strings.HasPrefix(name, "*v1.PersistentVolumeClaim") && !strings.HasPrefix(name, "*v1alpha1.VesperBroker") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestADeletedClusterGoesAtOnceWhateverIsWrong: day-one list, points 8 and 15.
func TestADeletedClusterGoesAtOnceWhateverIsWrong(t *testing.T) {
	for name, before := range map[string]func(*stage){
		"all is well":              func(*stage) {},
		"the broker is gone":       func(s *stage) { s.drop(&v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: "mq"}}) },
		"a node is draining":       func(s *stage) { s.wrote("shop-core-0b", "0B", "0B", 99); s.scale(s.t, "shop", 1); s.settle() },
		"it is paused":             func(s *stage) { s.patchCluster(`{"spec":{"paused":true}}`); s.settle() },
		"it is suspended":          func(s *stage) { s.patchCluster(`{"spec":{"suspended":true}}`); s.settle() },
		"a change is in its midst": func(s *stage) { s.kubelet.broken = "bad"; s.patchCluster(`{"spec":{"image":"bad"}}`); s.settle() },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.open(2)
				claims := s.claims()
				before(s)
				s.wantNoFinalizers(t)
				s.drop(&v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
				for range 8 { // a cluster, its nodes, what they own, their pods
					s.pass()
				}
				if left := s.leftOver(t); len(left) > 0 {
					t.Errorf("still there are %v\n%s", left, s.tale())
				}
				if got := s.claims(); got != claims {
					t.Errorf("claims are %s, want them kept: %s", got, claims)
				}
			})
		})
	}
}

// TestVolumesOfNodesThatAreLeftAsTheyAreFollowTheDeletionPolicy: whoever changes it
// to Retain may delete the cluster next, also one whose nodes are not being worked on.
func TestVolumesOfNodesThatAreLeftAsTheyAreFollowTheDeletionPolicy(t *testing.T) {
	for why, leave := range map[string]func(*stage){
		"it is suspended":    func(s *stage) { s.patchCluster(`{"spec":{"suspended":true}}`) },
		"the broker is gone": func(s *stage) { s.drop(&v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: "mq"}}) },
	} {
		t.Run(why, func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.open(2, func(c *v1alpha1.VesperCluster) { c.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
				claims := s.claims()
				leave(s)
				s.settle()
				s.patchCluster(`{"spec":{"deletionPolicy":"Retain"}}`)
				s.settle()
				s.drop(&v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
				s.settle()
				if got := s.claims(); got != claims {
					t.Errorf("claims are %q, want them kept: %s", got, claims)
				}
			})
		})
	}
}

// TestAClusterDeletedInTheForegroundMakesNothingAnew: its object stays until what it
// owns is gone, and the operator must not make that again.
func TestAClusterDeletedInTheForegroundMakesNothingAnew(t *testing.T) {
	onStage(t, func(s *stage) {
		cl := s.open(2)
		mustGet(t, s.cluster, "shop", cl)
		cl.Finalizers = []string{metav1.FinalizerDeleteDependents} // as the API server sets it
		if err := s.Update(t.Context(), cl); err != nil {
			t.Fatal(err)
		}
		s.drop(cl)
		nodes := &v1alpha1.VesperNodeList{}
		if err := s.List(t.Context(), nodes); err != nil {
			t.Fatal(err)
		}
		for i := range nodes.Items {
			s.drop(&nodes.Items[i])
		}
		for range 8 {
			s.pass()
		}
		if got := s.names(); got != "" {
			t.Errorf("nodes were made anew: %s", got)
		}
		mustGet(t, s.cluster, "shop", cl)
		cl.Finalizers = nil // as the collector does when nothing is left
		if err := s.Update(t.Context(), cl); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			s.pass()
		}
		if left := s.leftOver(t); len(left) > 0 {
			t.Errorf("still there are %v", left)
		}
	})
}

// TestNothingBlocksTheDeletionOfANamespace: its content is deleted in any order and
// nothing new is taken; with the operator or without it, nothing is left.
func TestNothingBlocksTheDeletionOfANamespace(t *testing.T) {
	kinds := []client.Object{&v1alpha1.VesperBroker{}, &v1alpha1.VesperCluster{}, &v1alpha1.VesperNode{}, &appsv1.StatefulSet{}, &corev1.Pod{},
		&corev1.ConfigMap{}, &corev1.Service{}, &corev1.PersistentVolumeClaim{}}
	for start := range kinds {
		t.Run(fmt.Sprintf("%T first", kinds[start]), func(t *testing.T) {
			onStage(t, func(s *stage) {
				s.open(2)
				s.wantNoFinalizers(t)
				s.api.terminating = true
				for i := range kinds {
					if err := s.DeleteAllOf(t.Context(), kinds[(start+i)%len(kinds)], client.InNamespace(s.Namespace)); err != nil {
						t.Fatal(err)
					}
					s.operatorOnly()
				}
				if left := s.everything(t); len(left) > 0 {
					t.Errorf("still there are %v", left)
				}
			})
		})
	}
}

// operatorOnly lets the operator have a turn without a kubelet. What the API server
// refuses meanwhile is tried again, and finds nothing in the end.
func (s *stage) operatorOnly() {
	for _, object := range s.everything(s.t) {
		switch object.(type) {
		case *v1alpha1.VesperNode:
			_, _ = s.nodes.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)})
		case *v1alpha1.VesperCluster:
			_, _ = s.clusters.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)})
		}
	}
}

// drop deletes an object in the background.
func (s *stage) drop(object client.Object) {
	s.t.Helper()
	object.SetNamespace(s.Namespace)
	if err := client.IgnoreNotFound(s.Delete(context.Background(), object)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) patchCluster(patch string) {
	s.t.Helper()
	s.patch(s.t, &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: s.Namespace}}, patch)
}
