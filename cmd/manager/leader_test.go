package main

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// TestAContainerThatIsRestartedLeadsOnAtOnce: the Lease that the container before it left behind is
// valid for an hour, and has the pod's name on it.
func TestAContainerThatIsRestartedLeadsOnAtOnce(t *testing.T) {
	cfg, c := startAPIServer(t)
	install(t, c, "role.yaml", &rbacv1.ClusterRole{})
	install(t, c, "role_binding.yaml", &rbacv1.ClusterRoleBinding{})
	install(t, c, "leader_election.yaml", &rbacv1.Role{}, &rbacv1.RoleBinding{})
	holder, hour, now := "4cf0f3a1-pod", int32(3600), metav1.NowMicro()
	create(t, c, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName, Namespace: home},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &hour, AcquireTime: &now, RenewTime: &now}})
	create(t, c, &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: "mq", Namespace: "shop"},
		Spec: v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{}}})
	sets := func() int {
		var list appsv1.StatefulSetList
		if err := c.List(t.Context(), &list, client.InNamespace("shop")); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}

	t.Run("another pod waits", func(t *testing.T) {
		op := startOperator(t, cfg, "--leader-election-identity=another", "--leader-election-lease-duration=1h", "--leader-election-retry-period=100ms")
		eventually(t, "it to be ready", func() error { return op.ready(t.Context()) })
		time.Sleep(time.Second) // ten tries to lead
		if n := sets(); n != 0 {
			t.Errorf("it made %d StatefulSets while another pod leads", n)
		}
	})
	startOperator(t, cfg, "--leader-election-identity="+holder, "--leader-election-lease-duration=1h")
	eventually(t, "the restarted container to work", func() error {
		if sets() == 0 {
			return errors.New("there is no StatefulSet")
		}
		return nil
	})
}
