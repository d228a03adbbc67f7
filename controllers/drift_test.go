package controllers

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// TestChildrenWhoseLabelsWereEditedAreStillTheNodes takes the labels off children, by
// which the operator finds them: it knows them by their owner, and a volume by its UID
// in the ledger. Nobody loses a branch id or, under deletionPolicy Delete, a volume.
func TestChildrenWhoseLabelsWereEditedAreStillTheNodes(t *testing.T) {
	t.Parallel()
	for name, patch := range map[string]string{
		"all labels taken off":   `{"metadata":{"labels":null}}`,
		"another manager":        `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"}}}`,
		"another group":          `{"metadata":{"labels":{"vesperdb.io/group":"edge"}}}`,
		"another cluster":        `{"metadata":{"labels":{"vesperdb.io/cluster":"shoe"}}}`,
		"labels and annotations": `{"metadata":{"labels":null,"annotations":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.operate(t, newKubelet(t, c))
			c.readyBroker(t, "mq")
			c.makeCluster(t, "shop", 2, func(cl *v1alpha1.VesperCluster) { cl.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
			children := map[string]client.Object{
				"data-shop-core-0b": &corev1.PersistentVolumeClaim{}, "shop-core-0b": &appsv1.StatefulSet{}, "shop-core-0b-config": &corev1.ConfigMap{},
				"shop-core-0b-headless": &corev1.Service{},
			}
			uids, labels := map[string]types.UID{}, map[string]string{}
			for name, child := range children {
				mustGet(t, c, name, child)
				uids[name], labels[name] = child.GetUID(), fmt.Sprint(child.GetLabels())
			}
			for _, child := range children {
				if err := c.Patch(t.Context(), child, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
					t.Fatal(err)
				}
			}
			for name, child := range children {
				eventually(t, func() error {
					mustGet(t, c, name, child)
					if now := fmt.Sprint(child.GetLabels()); now != labels[name] {
						return fmt.Errorf("the labels of %s were %s, are %s", name, labels[name], now)
					}
					return nil
				})
				if child.GetUID() != uids[name] || child.GetDeletionTimestamp() != nil {
					t.Errorf("%s is another one, or on its way out", name)
				}
			}
			c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
		})
	}
}

// TestThePortOfAServiceIsWhatItWasAfterAnEdit: to server-side apply a port with another
// number is another port, which stays, and may not have the name of the right one.
func TestThePortOfAServiceIsWhatItWasAfterAnEdit(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.operate(t, newKubelet(t, c))
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	for _, name := range []string{"shop", "shop-core-0a"} {
		service := &corev1.Service{}
		mustGet(t, c, name, service)
		if err := c.Patch(t.Context(), service, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ports":[{"name":"http","port":80,"targetPort":"http"}]}}`))); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			mustGet(t, c, name, service)
			if ports := service.Spec.Ports; len(ports) != 1 || ports[0].Port != 8000 {
				return fmt.Errorf("the ports of %s are %v", name, ports)
			}
			return nil
		})
	}
	c.clusterReady(t, "shop", "shop-core-0a")
}

// TestAVolumeIsKnownByItsUIDWhateverItsLabelsSay: a volume that the ledger knows, and
// that is taken for gone, costs a node its branch id and, under deletionPolicy Delete,
// its data.
func TestAVolumeIsKnownByItsUIDWhateverItsLabelsSay(t *testing.T) {
	t.Parallel()
	s := &clusterScope{cluster: &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
	s.cluster.Status.Ledger.Assigned = []v1alpha1.BranchAssignment{{ID: "0B", Group: "core", VolumeUID: "u"}}
	for name, edit := range map[string]func(*corev1.PersistentVolumeClaim){
		"as it was made":    func(*corev1.PersistentVolumeClaim) {},
		"no labels":         func(c *corev1.PersistentVolumeClaim) { c.Labels = nil },
		"no annotations":    func(c *corev1.PersistentVolumeClaim) { c.Annotations = nil },
		"neither":           func(c *corev1.PersistentVolumeClaim) { c.Labels, c.Annotations = nil, nil },
		"another group":     func(c *corev1.PersistentVolumeClaim) { c.Labels[v1alpha1.LabelGroup] = "edge" },
		"another branch id": func(c *corev1.PersistentVolumeClaim) { c.Annotations[v1alpha1.AnnotationBranchID] = "0C" },
	} {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data-shop-core-0b", UID: "u",
			Labels:      map[string]string{v1alpha1.LabelCluster: "shop", v1alpha1.LabelGroup: "core"},
			Annotations: map[string]string{v1alpha1.AnnotationBranchID: "0B"}}}
		edit(claim)
		if volume, own := s.ownVolume(claim); !own || volume.ID != "0B" || volume.Group != "core" {
			t.Errorf("%s: it is taken for %+v, its own: %v", name, volume, own)
		}
	}
}
