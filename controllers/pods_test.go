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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// enforceRestricted makes the API server refuse pods in the test's namespace that
// do not keep to the Pod Security Standard restricted.
func (c *cluster) enforceRestricted(t *testing.T) {
	t.Helper()
	plain, err := client.New(c.cfg, client.Options{Scheme: testScheme()})
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
	if err := plain.Patch(t.Context(), ns, patch); err != nil {
		t.Fatalf("labeling namespace %s: %v", c.Namespace, err)
	}
}

// tryPod asks the API server whether it would take a pod made from a template.
func (c *cluster) tryPod(t *testing.T, template corev1.PodTemplateSpec) error {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-", Namespace: c.Namespace, Labels: template.Labels}, Spec: template.Spec}
	return c.Create(t.Context(), pod, client.DryRunAll)
}

// TestPodsKeepToTheRestrictedPodSecurityStandard, those of nodes with everything,
// and that of a broker.
func TestPodsKeepToTheRestrictedPodSecurityStandard(t *testing.T) {
	c := newCluster(t)
	c.enforceRestricted(t)
	kubelet := newKubelet(t, c)
	c.operate(t, kubelet)
	c.runBrokers(t, &VesperBrokerReconciler{})
	c.readyBroker(t, "mq")
	c.writeSecret(t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
	c.makeCluster(t, "shop", 1, func(cl *v1alpha1.VesperCluster) {
		cl.Spec.Access = shopAccess()
		cl.Spec.PodTemplate = &runtime.RawExtension{Raw: []byte(`{"spec":{"priorityClassName":"system-cluster-critical","tolerations":[{"operator":"Exists"}]}}`)}
	})
	set := &appsv1.StatefulSet{}
	eventually(t, func() error { return c.get("shop-core-0a", set) })
	set.Spec.Template.Spec.PriorityClassName = "" // only the scheduler's classes exist here
	if err := c.tryPod(t, set.Spec.Template); err != nil {
		t.Errorf("the pod of a node is refused: %v", err)
	}
	privileged, yes := set.Spec.Template.DeepCopy(), true
	privileged.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = &yes
	if err := c.tryPod(t, *privileged); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a pod that may gain privileges is not refused: %v", err)
	}
	c.mustCreate(t, &v1alpha1.VesperBroker{ObjectMeta: metav1.ObjectMeta{Name: "own", Namespace: c.Namespace}, Spec: v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{}}})
	eventually(t, func() error { return c.get("own-broker", set) })
	if err := c.tryPod(t, set.Spec.Template); err != nil {
		t.Errorf("the pod of a broker is refused: %v", err)
	}
}

// TestAPodTemplateThatCannotBeChangesNothingThatRuns: it is told, and its
// correction goes through.
func TestAPodTemplateThatCannotBeChangesNothingThatRuns(t *testing.T) {
	c := newCluster(t)
	kubelet := newKubelet(t, c)
	c.operate(t, kubelet)
	c.readyBroker(t, "mq")
	cl := c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	before := c.template(t, "shop-core-0a")
	c.patch(t, cl, `{"spec":{"podTemplate":{"spec":{"tolerationz":[]}}}}`)
	said := c.nodeSays(t, "shop-core-0a", v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonApplyFailed)
	if !strings.Contains(said.Message, "tolerationz") {
		t.Errorf("the message is %q", said.Message)
	}
	if c.template(t, "shop-core-0a") != before || kubelet.removals("shop-core-0a") != 0 {
		t.Error("the node was changed")
	}
	c.patch(t, cl, `{"spec":{"podTemplate":{"spec":{"tolerationz":null,"tolerations":[{"operator":"Exists"}]}}}}`)
	eventually(t, func() error {
		if c.template(t, "shop-core-0a") == before {
			return errors.New("the correction did not get through")
		}
		return nil
	})
	c.clusterReady(t, "shop", "shop-core-0a")
}

// TestABudgetIsThereOnlyWhereItHelps (complaint 16 of the day-one list), and the
// NetworkPolicy always is.
func TestABudgetIsThereOnlyWhereItHelps(t *testing.T) {
	c := newCluster(t)
	kubelet := newKubelet(t, c)
	c.operate(t, kubelet)
	c.readyBroker(t, "mq")
	c.makeCluster(t, "shop", 1)
	c.clusterReady(t, "shop", "shop-core-0a")
	budget := func() error { return c.get("shop", &policyv1.PodDisruptionBudget{}) }
	if err := budget(); !apierrors.IsNotFound(err) {
		t.Errorf("a cluster of one node has a budget: %v", err)
	}
	policy := &networkingv1.NetworkPolicy{}
	if err := c.get("shop", policy); err != nil || len(policy.Spec.Egress) != 1 {
		t.Errorf("the NetworkPolicy is %+v, %v; want everything out, as the broker may be anywhere", policy.Spec, err)
	}
	c.scale(t, "shop", 2)
	c.clusterReady(t, "shop", "shop-core-0a", "shop-core-0b")
	eventually(t, budget)
	c.scale(t, "shop", 1)
	eventually(t, func() error {
		if err := budget(); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the budget of a cluster of one node is there: %w", errors.Join(err, errors.New("found")))
		}
		return nil
	})
}
