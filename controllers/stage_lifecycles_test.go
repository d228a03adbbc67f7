//go:build lives

package controllers

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
)

// lifecycle is something that a person does to a cluster, one act after another; all
// comes to rest before and after each.
type lifecycle struct {
	name   string
	before func(*stage)
	acts   []func(*stage)
	// anyEnd: how far an act was carried out when the next came is not told, and so
	// neither is the end.
	anyEnd bool
}

// lifecycles are all that an operator has to live through.
func lifecycles() []lifecycle {
	return slices.Concat(scalingLives(), changingLives(), storageLives(), endingLives())
}

func opened(replicas int32, change ...func(*v1alpha1.VesperCluster)) func(*stage) {
	return func(s *stage) { s.open(replicas, change...) }
}

func withPolicy(policy v1alpha1.DeletionPolicy) func(*v1alpha1.VesperCluster) {
	return func(c *v1alpha1.VesperCluster) { c.Spec.DeletionPolicy = policy }
}

func patched(patch string) func(*stage) { return func(s *stage) { s.patchCluster(patch) } }

func scaled(replicas int) func(*stage) { return func(s *stage) { s.scale(s.t, "shop", replicas) } }

func scalingLives() []lifecycle {
	return []lifecycle{
		{name: "create", acts: []func(*stage){func(s *stage) { s.makeStageCluster(2) }}},
		{name: "create with tokens and a limited retention", acts: []func(*stage){func(s *stage) {
			s.writeSecret(s.t, "shop-token", map[string][]byte{"token": []byte("0123456789abcdef")})
			s.makeStageCluster(2, withPolicy(v1alpha1.DeletionDelete), func(c *v1alpha1.VesperCluster) { c.Spec.Access, c.Spec.Retention = shopAccess(), "720h" })
		}}},
		{name: "scale up", before: opened(1), acts: []func(*stage){scaled(2)}},
		{name: "scale down", before: opened(2), acts: []func(*stage){scaled(1)}},
		{name: "scale down under deletionPolicy Delete", before: opened(2, withPolicy(v1alpha1.DeletionDelete)), acts: []func(*stage){scaled(1)}},
		{name: "scale down, taken back", before: opened(2), acts: []func(*stage){
			func(s *stage) { s.wrote("shop-core-0b", "0B", "0B", 99); s.scale(s.t, "shop", 1) }, scaled(2)}},
		{name: "scale down and up again", before: opened(2), acts: []func(*stage){scaled(1), scaled(2)}},
		{name: "scale to zero and back", before: opened(1), acts: []func(*stage){scaled(0), scaled(1)}},
		{name: "replace a named node", before: opened(2), acts: []func(*stage){patched(`{"spec":{"groups":[{"name":"core","replicas":2,"remove":["0A"]}]}}`)}},
		{name: "remove a group", before: opened(1, func(c *v1alpha1.VesperCluster) {
			one := int32(1)
			c.Spec.Groups = append(c.Spec.Groups, v1alpha1.NodeGroup{Name: "edge", Replicas: &one})
		}), acts: []func(*stage){scaled(1)}},
	}
}

func changingLives() []lifecycle {
	return []lifecycle{
		{name: "roll an image", before: opened(2), acts: []func(*stage){patched(`{"spec":{"image":"vesper/node:v2"}}`)}},
		{name: "roll a configuration", before: opened(2), acts: []func(*stage){patched(`{"spec":{"retention":"720h"}}`)}},
		{name: "roll a bad image, and the fix", before: opened(2), acts: []func(*stage){
			func(s *stage) {
				s.kubelet.broken = "vesper/node:typo"
				s.patchCluster(`{"spec":{"image":"vesper/node:typo"}}`)
			},
			patched(`{"spec":{"image":"vesper/node:v2"}}`)}},
		{name: "roll to another address of the broker", before: opened(2), acts: []func(*stage){moveBroker}},
		{name: "lose a volume, and replace its node", before: opened(2), acts: []func(*stage){
			func(s *stage) { s.loseVolume(s.t, "shop-core-0b") },
			func(s *stage) { s.drop(&v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0b"}}) }}},
		{name: "suspend and resume", before: opened(2), acts: []func(*stage){patched(`{"spec":{"suspended":true}}`), patched(`{"spec":{"suspended":null}}`)}},
		{name: "pause, change, and go on", before: opened(2), acts: []func(*stage){
			patched(`{"spec":{"paused":true}}`), patched(`{"spec":{"image":"vesper/node:v2","groups":[{"name":"core","replicas":3}]}}`), patched(`{"spec":{"paused":null}}`)}},
		{name: "change the deletionPolicy there and back", before: opened(2), acts: []func(*stage){
			patched(`{"spec":{"deletionPolicy":"Delete"}}`), patched(`{"spec":{"deletionPolicy":"Retain"}}`)}},
		{name: "lose all children", before: opened(2), acts: []func(*stage){loseChildren}},
		{name: "lose the ledger and a node", before: opened(2), acts: []func(*stage){func(s *stage) {
			s.loseLedger()
			s.drop(&v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "shop-core-0a"}})
		}}},
		{name: "a node made by hand", before: opened(1, func(c *v1alpha1.VesperCluster) { c.Spec.BranchIDs.To = "0M" }), acts: []func(*stage){
			func(s *stage) {
				mustCreate(s.t, s.cluster, &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "pin", Namespace: s.Namespace}, Spec: v1alpha1.VesperNodeSpec{
					BranchID: "7X", BrokerRef: v1alpha1.LocalReference{Name: "mq"}, Channel: v1alpha1.DefaultChannel, DeletionPolicy: v1alpha1.DeletionRetain}})
			},
			func(s *stage) { s.patchNode("pin", `{"spec":{"image":"vesper/node:v2"}}`) },
			func(s *stage) { s.drop(&v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: "pin"}}) }}},
	}
}

func sized(size string) func(*stage) { return patched(`{"spec":{"storage":{"size":"` + size + `"}}}`) }

func classed(class string) func(*stage) {
	return patched(`{"spec":{"storage":{"storageClassName":"` + class + `"}}}`)
}

// storageLives are those of volumes that grow, cannot grow, and are replaced.
func storageLives() []lifecycle {
	slowly := func(act func(*stage)) func(*stage) { // the successor takes its time
		return func(s *stage) { s.behind("shop-core-0c", "0C"); act(s) }
	}
	return []lifecycle{
		{name: "expand volumes", before: opened(2), acts: []func(*stage){sized("20Gi")}},
		{name: "expand volumes, and want less again", before: opened(2), acts: []func(*stage){sized("20Gi"), sized("15Gi")}},
		{name: "expand volumes, which fails, and try with less", before: opened(2), acts: []func(*stage){
			func(s *stage) { s.kubelet.driver("16Gi", false); sized("20Gi")(s) }, sized("15Gi")}},
		{name: "expand volumes of a class that cannot, and take it back", before: opened(2, ofClass("rigid")), acts: []func(*stage){
			func(s *stage) { s.api.rigid = map[string]bool{"rigid": true}; sized("20Gi")(s) }, sized("10Gi")}},
		{name: "another storage class", before: opened(2, ofClass("slow")), acts: []func(*stage){classed("fast")}},
		{name: "another storage class for one node", before: opened(1, ofClass("slow")), acts: []func(*stage){classed("fast")}},
		{name: "another storage class and size under deletionPolicy Delete", before: opened(2, ofClass("slow"), withPolicy(v1alpha1.DeletionDelete)), acts: []func(*stage){
			patched(`{"spec":{"storage":{"storageClassName":"fast","size":"20Gi"}}}`)}},
		{name: "another storage class, taken back", before: opened(2, ofClass("slow")), acts: []func(*stage){slowly(classed("fast")), classed("slow")}},
		{name: "another storage class, and a third before that is done", before: opened(2, ofClass("slow")), acts: []func(*stage){
			slowly(classed("fast")), func(s *stage) { s.kubelet.answer("shop-core-0c", nil); classed("faster")(s) }}},
		{name: "another storage class, and fewer nodes before that is done", before: opened(2, ofClass("slow")), acts: []func(*stage){
			slowly(classed("fast")), func(s *stage) { s.kubelet.answer("shop-core-0c", nil); s.scale(s.t, "shop", 1) }}},
		{name: "a wrong storage class, and the right one", acts: []func(*stage){func(s *stage) { s.makeStageCluster(2, ofClass(missingClass)) }, classed("fast")}},
	}
}

func endingLives() []lifecycle {
	deleted := func(s *stage) { s.drop(&v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}) }
	return []lifecycle{
		{name: "delete in the background, and make it again over the kept volumes", before: opened(2), acts: []func(*stage){deleted, func(s *stage) { s.makeShop(2) }}},
		{name: "delete in the background under deletionPolicy Delete, and make it again", before: opened(2, withPolicy(v1alpha1.DeletionDelete)),
			acts: []func(*stage){deleted, func(s *stage) { s.makeShop(1) }}},
		{name: "keep the volumes of a suspended cluster after all, and delete it", before: opened(2, withPolicy(v1alpha1.DeletionDelete)), acts: []func(*stage){
			patched(`{"spec":{"suspended":true}}`), patched(`{"spec":{"deletionPolicy":"Retain"}}`), deleted, func(s *stage) { s.makeShop(2) }}},
		{name: "delete in the foreground", before: opened(2), acts: []func(*stage){deleteInForeground, endForeground, func(s *stage) { s.makeShop(2) }}},
		{name: "delete in the midst of a roll and a scale up", before: opened(2), acts: []func(*stage){func(s *stage) {
			s.patchCluster(`{"spec":{"image":"vesper/node:v2","groups":[{"name":"core","replicas":3}]}}`)
			s.pass()
			s.pass()
			deleted(s)
		}, func(s *stage) { s.makeShop(2) }}, anyEnd: true},
	}
}

func (s *stage) patchNode(name, patch string) {
	s.t.Helper()
	s.patch(s.t, &v1alpha1.VesperNode{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.Namespace}}, patch)
}

// moveBroker gives the broker another address.
func moveBroker(s *stage) {
	b := &v1alpha1.VesperBroker{}
	mustGet(s.t, s.cluster, "mq", b)
	b.Status.Hosts = []string{"mq2.example.org:61613"}
	if err := s.Status().Update(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
}

// loseChildren deletes all that the operator has made, but for volumes and nodes.
func loseChildren(s *stage) {
	for _, kind := range []client.Object{&appsv1.StatefulSet{}, &corev1.ConfigMap{}, &corev1.Service{}, &networkingv1.NetworkPolicy{}, &policyv1.PodDisruptionBudget{}} {
		if err := s.DeleteAllOf(s.t.Context(), kind, client.InNamespace(s.Namespace)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// loseLedger takes the status of the cluster away.
func (s *stage) loseLedger() {
	s.t.Helper()
	cl := &v1alpha1.VesperCluster{}
	mustGet(s.t, s.cluster, "shop", cl)
	cl.Status = v1alpha1.VesperClusterStatus{}
	if err := s.Status().Update(s.t.Context(), cl); err != nil {
		s.t.Fatal(err)
	}
}

// deleteInForeground does as the API server and its collector do: the cluster stays
// until what it owns is gone.
func deleteInForeground(s *stage) {
	cl, nodes := &v1alpha1.VesperCluster{}, &v1alpha1.VesperNodeList{}
	mustGet(s.t, s.cluster, "shop", cl)
	cl.Finalizers = []string{metav1.FinalizerDeleteDependents}
	if err := s.Update(s.t.Context(), cl); err != nil {
		s.t.Fatal(err)
	}
	s.drop(cl)
	if err := s.List(s.t.Context(), nodes); err != nil {
		s.t.Fatal(err)
	}
	for i := range nodes.Items {
		s.drop(&nodes.Items[i])
	}
}

// endForeground lets the cluster go when all that it owned is gone.
func endForeground(s *stage) {
	cl := &v1alpha1.VesperCluster{}
	mustGet(s.t, s.cluster, "shop", cl)
	if names := s.names(); names != "" {
		s.t.Fatalf("nodes are there: %s", names)
	}
	cl.Finalizers = nil
	if err := s.Update(s.t.Context(), cl); err != nil {
		s.t.Fatal(err)
	}
}
