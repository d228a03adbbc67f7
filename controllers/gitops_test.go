package controllers

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/apply"
	"vesperdb.io/vesper/internal/gitopstest"
)

// gitOps is the field owner of a tool that applies what a repository holds.
const gitOps = client.FieldOwner("gitops")

// applySample applies a file of config/samples as such a tool does, without force.
func (c *cluster) applySample(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "config", "samples", file))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &object.Object); err != nil {
		t.Fatal(err)
	}
	object.SetNamespace(c.Namespace)
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), gitOps); err != nil {
		t.Fatalf("applying %s: %v", file, err)
	}
	return object
}

// live reads an object as it is.
func (c *cluster) live(t *testing.T, like *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(like.GroupVersionKind())
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(like), object); err != nil {
		t.Fatal(err)
	}
	return object
}

// wantUntouched fails if the operator wrote anything of an object but its status,
// or if applying the same again changes it.
func (c *cluster) wantUntouched(t *testing.T, file string, applied *unstructured.Unstructured) {
	t.Helper()
	live := c.live(t, applied)
	if !reflect.DeepEqual(live.Object["spec"], applied.Object["spec"]) {
		t.Errorf("%s: the spec became %v, was %v", file, live.Object["spec"], applied.Object["spec"])
	}
	mine := false
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == apply.Owner {
			mine = true
			if entry.Subresource != "status" {
				t.Errorf("%s: the operator owns fields outside of the status: %s", file, entry.FieldsV1)
			}
		}
	}
	if !mine {
		t.Errorf("%s: the operator has not written a status: this test would prove nothing", file)
	}
	c.applySample(t, file)
	if again := c.live(t, applied); !reflect.DeepEqual(again.Object["spec"], live.Object["spec"]) || again.GetGeneration() != live.GetGeneration() {
		t.Errorf("%s: applying it again changed it: generation %d, was %d", file, again.GetGeneration(), live.GetGeneration())
	}
}

// TestApplyingTheSamplesAgainIsNoChangeAndNoConflict: the operator writes nothing
// but the status of what a person wrote, so GitOps tools never see a difference;
// and they see it come up.
func TestApplyingTheSamplesAgainIsNoChangeAndNoConflict(t *testing.T) {
	c := newCluster(t)
	kubelet := newKubelet(t, c)
	c.readyBroker(t, "mq")
	applied := c.applySample(t, "cluster.yaml")
	if health, _ := gitopstest.Argo(t, applied.Object); health != "Progressing" || gitopstest.Flux(t, applied.Object) != "InProgress" {
		t.Errorf("before the operator saw it, it is %s and %s", health, gitopstest.Flux(t, applied.Object))
	}
	c.operate(t, kubelet)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b", "shop-core-0c")
	c.wantUntouched(t, "cluster.yaml", applied)
	live := c.live(t, applied)
	if health, message := gitopstest.Argo(t, live.Object); health != "Healthy" || gitopstest.Flux(t, live.Object) != "Current" {
		t.Errorf("when it is ready, it is %s (%s) and %s", health, message, gitopstest.Flux(t, live.Object))
	}
	node := &v1alpha1.VesperNode{}
	mustGet(t, c, "shop-core-0a", node)
	node.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindNode))
	if health, message := gitopstest.Argo(t, node); health != "Healthy" || gitopstest.Flux(t, node) != "Current" {
		t.Errorf("its node is %s (%s) and %s", health, message, gitopstest.Flux(t, node))
	}
	c.patch(t, node, `{"spec":{"podTemplate":{"spec":{"mistyped":1}}}}`)
	eventually(t, func() error {
		mustGet(t, c, "shop-core-0a", node)
		node.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.KindNode))
		if health, message := gitopstest.Argo(t, node); health == "Healthy" {
			return fmt.Errorf("a node with a spec that it does not keep to is %s: %s", health, message)
		}
		return nil
	})
}

func TestApplyingTheSampleOfABrokerAgainIsNoChangeAndNoConflict(t *testing.T) {
	c := newCluster(t)
	applied := c.applySample(t, "broker.yaml")
	c.runBrokers(t, &VesperBrokerReconciler{})
	eventually(t, func() error { return c.get("mq-broker", &appsv1.StatefulSet{}) })
	c.wantBroker(t, v1alpha1.ConditionReady, "False", v1alpha1.ReasonBrokerStarting, "")
	c.wantUntouched(t, "broker.yaml", applied)
}
