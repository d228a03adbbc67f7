package resources

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

// TestWhichChangeOfItsSpecRestartsANode: what is reloaded in place restarts nothing.
func TestWhichChangeOfItsSpecRestartsANode(t *testing.T) {
	large := resource.MustParse("20Gi")
	for name, test := range map[string]struct {
		change func(*v1alpha1.VesperCluster, *topology.Member)
		want   bool
	}{
		"nothing":         {func(*v1alpha1.VesperCluster, *topology.Member) {}, false},
		"draining":        {func(_ *v1alpha1.VesperCluster, m *topology.Member) { m.Draining = true }, false},
		"a larger volume": {func(c *v1alpha1.VesperCluster, _ *topology.Member) { c.Spec.Storage.Size = &large }, false},
		"deletionPolicy":  {func(c *v1alpha1.VesperCluster, _ *topology.Member) { c.Spec.DeletionPolicy = v1alpha1.DeletionDelete }, false},
		"retention":       {func(c *v1alpha1.VesperCluster, _ *topology.Member) { c.Spec.Retention = "720h" }, true},
		"the broker":      {func(_ *v1alpha1.VesperCluster, m *topology.Member) { m.Channel.Broker = "other" }, true},
		"imagePullPolicy": {func(c *v1alpha1.VesperCluster, _ *topology.Member) { c.Spec.ImagePullPolicy = corev1.PullAlways }, true},
		"imagePullSecrets": {func(c *v1alpha1.VesperCluster, _ *topology.Member) {
			c.Spec.ImagePullSecrets = []v1alpha1.LocalReference{{Name: "s"}}
		}, true},
		"limits of the pod": {func(c *v1alpha1.VesperCluster, _ *topology.Member) { c.Spec.Resources = &corev1.ResourceRequirements{} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := &v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
			c.Spec.BrokerRef.Name, c.Spec.Channel, c.Spec.DeletionPolicy = "mq", v1alpha1.DefaultChannel, v1alpha1.DeletionRetain
			m := topology.Member{Name: "shop-core-0a", ID: "0A", Trunk: "0A", Group: "core", Channel: topology.Channel{Broker: "mq", Name: v1alpha1.DefaultChannel}}
			has := v1alpha1.VesperNodeSpec{BranchID: "0A", TrunkID: "0A", BrokerRef: c.Spec.BrokerRef, BrokerHash: "abc", Channel: c.Spec.Channel, Group: "core", Image: "i:1",
				DeletionPolicy: v1alpha1.DeletionRetain, Paused: true}
			test.change(c, &m)
			got, err := NodeRestarts(has, ClusterNode(c, m, "i:1", hashes("abc")).Spec)
			if err != nil || got != test.want {
				t.Errorf("restarts %v, %v; want %v", got, err, test.want)
			}
		})
	}
}
