//go:build lives

package controllers

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/conditions"
)

// witness holds every single write of a stage against what must never be: it keeps
// books of its own, and knows nothing of how the operator decides.
type witness struct {
	objects map[objectKey]client.Object
	// volumes are the claims that branches were ever written on.
	volumes map[string]types.UID
	// assigned and retired are ids of the ledgers, highest the highest of each width.
	assigned, retired map[string]bool
	highest           string
	// turns are nodes that the operator restarts, until they are ready again.
	turns map[string]bool
	// wiped means that a person has taken the ledger away.
	wiped bool
	// policy was in force when the cluster was deleted; asked means that somebody
	// asked for the deletion of volumes since all was at rest.
	policy v1alpha1.DeletionPolicy
	asked  bool
	wrong  []string
}

// watch has a witness look at all that happens from now on.
func (s *stage) watch() *witness {
	w := &witness{objects: s.api.objects, volumes: map[string]types.UID{}, assigned: map[string]bool{}, retired: map[string]bool{}, turns: map[string]bool{}}
	for _, c := range s.api.log {
		w.see(c)
	}
	s.api.onChange = append(s.api.onChange, w.see)
	return w
}

func (w *witness) see(c change) {
	switch object := present(c).(type) {
	case *v1alpha1.VesperCluster:
		w.seeCluster(c, object)
	case *v1alpha1.VesperNode:
		w.seeNode(c, object)
	case *corev1.Pod:
		w.seePod(c, object)
	case *corev1.PersistentVolumeClaim:
		w.seeClaim(c, object)
	case *appsv1.StatefulSet:
		if c.by == byHand {
			delete(w.turns, object.Name)
		}
	}
}

// present is the object as it is, or as it was last.
func present(c change) client.Object {
	if c.after != nil {
		return c.after
	}
	return c.before
}

// leaves reports whether an object has just begun to go, or has gone at once.
func leaves(c change) bool {
	return c.before != nil && c.before.GetDeletionTimestamp() == nil && (c.after == nil || c.after.GetDeletionTimestamp() != nil)
}

func (w *witness) fail(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// rest says that all is as the specs say.
func (w *witness) rest() {
	w.asked = false
	for key, object := range w.objects {
		if cl, ok := object.(*v1alpha1.VesperCluster); ok && key.kind == v1alpha1.KindCluster {
			w.asked = w.asked || cl.Spec.DeletionPolicy == v1alpha1.DeletionDelete
		}
	}
}

// seeCluster: an id is given out once, and a retired one never comes back.
func (w *witness) seeCluster(c change, cl *v1alpha1.VesperCluster) {
	if cl.Spec.DeletionPolicy == v1alpha1.DeletionDelete {
		w.asked = true
	}
	if leaves(c) {
		w.policy = cl.Spec.DeletionPolicy
	}
	if c.after == nil || c.by == byHand && c.before == nil {
		w.beginAnew()
		return
	}
	ledger, now := cl.Status.Ledger, map[string]bool{}
	if c.by == byHand && ledger.LastBranchID == "" {
		w.wiped = true
		return
	}
	fresh := w.wiped
	w.wiped = w.wiped && ledger.LastBranchID == ""
	for _, a := range ledger.Assigned {
		if now[a.ID] {
			w.fail("the ledger has %s twice", a.ID)
		}
		now[a.ID] = true
		switch {
		case fresh:
			delete(w.retired, a.ID) // the node or the volume that brings it back is the same
		case w.retired[a.ID]:
			w.fail("%s was retired, and is assigned again", a.ID)
		case !w.assigned[a.ID] && a.ID <= w.highest:
			w.fail("%s is given out after %s", a.ID, w.highest)
		}
		w.assigned[a.ID] = true
	}
	for id := range w.assigned {
		w.highest = max(w.highest, id)
		if !now[id] {
			w.retired[id] = true
		}
	}
	if !w.wiped && ledger.LastBranchID < w.highest {
		w.fail("the ledger ends with %s, and %s was given out", ledger.LastBranchID, w.highest)
	}
}

// beginAnew: a new cluster of the name knows of the volumes that were kept, and of
// nothing that was deleted with the one before.
func (w *witness) beginAnew() {
	w.wiped, w.highest = true, ""
	w.assigned, w.retired = map[string]bool{}, map[string]bool{}
	kept := map[string]types.UID{}
	for _, object := range w.objects {
		if claim, ok := object.(*corev1.PersistentVolumeClaim); ok {
			id := claim.Annotations[v1alpha1.AnnotationBranchID]
			kept[id], w.highest = w.volumes[id], max(w.highest, id)
		}
	}
	maps.DeleteFunc(kept, func(_ string, uid types.UID) bool { return uid == "" })
	w.volumes = kept
}

// seeNode: nodes are made of recorded ids, go when they have drained, and are
// restarted one after another.
func (w *witness) seeNode(c change, n *v1alpha1.VesperNode) {
	owner := metav1.GetControllerOf(n)
	if c.by == byHand || leaves(c) || n.Spec.Draining || n.Spec.Suspended || conditions.NodeReady(n) {
		delete(w.turns, n.Name)
	}
	if c.by != byOperator || owner == nil {
		return
	}
	cl, _ := w.objects[objectKey{v1alpha1.KindCluster, owner.Name}].(*v1alpha1.VesperCluster)
	switch {
	case c.before == nil:
		if cl == nil || assignmentOf(cl, "0A") == nil && len(cl.Status.Ledger.Assigned) == 0 || !w.assigned[n.Spec.BranchID] {
			w.fail("%s was made before its id was recorded", n.Name)
		}
		for _, other := range w.objects {
			if o, ok := other.(*v1alpha1.VesperNode); ok && o.Name != n.Name && o.Spec.BranchID == n.Spec.BranchID && o.Spec.Channel == n.Spec.Channel {
				w.fail("%s was made with the id of %s", n.Name, o.Name)
			}
		}
	case leaves(c):
		was := c.before.(*v1alpha1.VesperNode)
		if drained := was.Spec.Draining && meta.IsStatusConditionTrue(was.Status.Conditions, v1alpha1.ConditionDrained); !drained && !w.lost(was) {
			w.fail("%s was removed before it had drained", n.Name)
		}
	case c.after != nil && cl != nil:
		w.seeTurn(c.before.(*v1alpha1.VesperNode), n, cl)
		w.seeMove(c.before.(*v1alpha1.VesperNode), n, cl)
	}
}

// seeMove: who leaves for another storage class has a successor, unless it has nothing.
func (w *witness) seeMove(was, is *v1alpha1.VesperNode, cl *v1alpha1.VesperCluster) {
	claim, _ := w.objects[objectKey{"PersistentVolumeClaim", "data-" + is.Name}].(*corev1.PersistentVolumeClaim)
	if was.Spec.Draining || !is.Spec.Draining || claim == nil || claim.Status.Phase != corev1.ClaimBound || !conditions.OfOtherClass(claim, cl.Spec.Storage.StorageClassName) {
		return
	}
	for _, group := range cl.Spec.Groups {
		stay := 0
		for _, a := range cl.Status.Ledger.Assigned {
			node, _ := w.objects[objectKey{v1alpha1.KindNode, "shop-" + a.Group + "-" + strings.ToLower(a.ID)}].(*v1alpha1.VesperNode)
			if a.Group == group.Name && (node == nil || !node.Spec.Draining) {
				stay++
			}
		}
		if group.Name == is.Spec.Group && stay < replicasOf(group) && !slices.Contains(group.Remove, is.Spec.BranchID) {
			w.fail("%s was told to leave for another storage class, and %d of %d stay", is.Name, stay, replicasOf(group))
		}
	}
}

// lost reports whether a node has no volume that it could have written on.
func (w *witness) lost(n *v1alpha1.VesperNode) bool {
	claim := w.objects[objectKey{"PersistentVolumeClaim", "data-" + n.Name}]
	return claim == nil || claim.GetDeletionTimestamp() != nil || claim.GetUID() != w.volumes[n.Spec.BranchID]
}

// seeTurn: a ready node is given what restarts it while fewer than may be are away.
func (w *witness) seeTurn(was, is *v1alpha1.VesperNode, cl *v1alpha1.VesperCluster) {
	if !restartedBy(was, is) || !conditions.NodeReady(was) || is.Spec.Draining || is.Spec.Suspended {
		return
	}
	if away := w.away(is.Name, func(m *v1alpha1.VesperNode) bool { return !conditions.NodeReady(m) }); len(away) >= budgetOf(cl) {
		w.fail("%s is to be restarted while %v, restarted before, are not ready", is.Name, away)
	}
	w.turns[is.Name] = true
}

// away names the other nodes which are being restarted, and are away.
func (w *witness) away(but string, is func(*v1alpha1.VesperNode) bool) (names []string) {
	for name := range w.turns {
		node, _ := w.objects[objectKey{v1alpha1.KindNode, name}].(*v1alpha1.VesperNode)
		if name != but && node != nil && is(node) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func budgetOf(cl *v1alpha1.VesperCluster) int {
	if cl.Spec.Rollout != nil && cl.Spec.Rollout.MaxUnavailable != nil {
		return int(*cl.Spec.Rollout.MaxUnavailable)
	}
	return 1
}

func restartedBy(was, is *v1alpha1.VesperNode) bool {
	a, b := was.Spec.DeepCopy(), is.Spec.DeepCopy()
	for _, spec := range []*v1alpha1.VesperNodeSpec{a, b} {
		spec.Draining, spec.Suspended, spec.Paused, spec.DeletionPolicy, spec.Storage = false, false, false, "", v1alpha1.Storage{}
	}
	return !equality.Semantic.DeepEqual(a, b)
}

// seePod: a branch is written on one volume for ever, and by one pod at a time; and
// pods that are replaced by the operator go one after another.
func (w *witness) seePod(c change, pod *corev1.Pod) {
	node := strings.TrimSuffix(pod.Name, "-0")
	claim, _ := w.objects[objectKey{"PersistentVolumeClaim", "data-" + node}].(*corev1.PersistentVolumeClaim)
	if c.by == byHand {
		delete(w.turns, node)
	}
	if c.before == nil && claim != nil {
		id := claim.Annotations[v1alpha1.AnnotationBranchID]
		if before, known := w.volumes[id]; known && before != claim.UID {
			w.fail("branch %s was written on volume %s, and pod %s writes it on %s", id, before, pod.Name, claim.UID)
		}
		w.volumes[id] = claim.UID
		for key, other := range w.objects {
			mate, _ := w.objects[objectKey{"PersistentVolumeClaim", "data-" + strings.TrimSuffix(key.name, "-0")}].(*corev1.PersistentVolumeClaim)
			if key.kind == "Pod" && key.name != pod.Name && mate != nil && mate.Annotations[v1alpha1.AnnotationBranchID] == id {
				w.fail("pods %s and %s write branch %s", other.GetName(), pod.Name, id)
			}
		}
	}
	if c.after != nil || c.by != byKubelet || !w.turns[node] {
		return
	}
	for _, cl := range w.objects {
		if cl, ok := cl.(*v1alpha1.VesperCluster); ok {
			if away := w.away(node, w.podless); len(away) >= budgetOf(cl) {
				w.fail("pod %s was stopped for a restart while those of %v were gone for theirs", pod.Name, away)
			}
		}
	}
}

func (w *witness) podless(n *v1alpha1.VesperNode) bool {
	return w.objects[objectKey{"Pod", n.Name + "-0"}] == nil
}

// seeClaim: volumes are deleted only when that was asked for, and no claim asks for
// less than its volume has, once it asked for more.
func (w *witness) seeClaim(c change, claim *corev1.PersistentVolumeClaim) {
	if c.by == byHand {
		delete(w.turns, strings.TrimPrefix(claim.Name, "data-"))
	}
	if leaves(c) && c.by != byHand && w.policy != v1alpha1.DeletionDelete && !w.asked {
		w.fail("%s deleted volume claim %s, and nobody had asked for that", c.by, claim.Name)
	}
	if before, ok := c.before.(*corev1.PersistentVolumeClaim); ok && c.after != nil {
		was, is := before.Spec.Resources.Requests[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
		if has := before.Status.Capacity[corev1.ResourceStorage]; is.Cmp(was) < 0 && is.Cmp(has) <= 0 {
			w.fail("volume claim %s shrank from %s to %s", claim.Name, was.String(), is.String())
		}
	}
}

var uidPattern = regexp.MustCompile(`uid-\d+`)

// portrait is all that there is, but for what differs from one time to another: times,
// UIDs, which are replaced by whose they are, versions, and what follows from those.
func (s *stage) portrait() map[string]string {
	whose, incarnations := map[string]string{}, map[string]int{}
	for _, c := range s.api.log {
		if uid := string(present(c).GetUID()); whose[uid] == "" {
			name := c.kind + "/" + c.name
			incarnations[name]++
			whose[uid] = fmt.Sprintf("%s#%d", name, incarnations[name])
		}
	}
	out := map[string]string{}
	for key, object := range s.api.objects {
		raw, err := json.Marshal(object)
		if err != nil {
			s.t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(raw, &fields); err != nil {
			s.t.Fatal(err)
		}
		lasting(fields, object)
		raw, err = json.MarshalIndent(fields, "", " ")
		if err != nil {
			s.t.Fatal(err)
		}
		out[key.kind+" "+key.name] = uidPattern.ReplaceAllStringFunc(string(raw), func(uid string) string { return whose[uid] })
	}
	for node, n := range s.kubelet.removed {
		if !strings.HasSuffix(node, "-broker-0") {
			out["restarts of "+node] = fmt.Sprint(n)
		}
	}
	dropped := map[string]bool{}
	for one := range strings.SplitSeq(s.brokers.all(), "; ") {
		dropped[one] = true
	}
	out["subscriptions dropped"] = strings.Join(slices.Sorted(maps.Keys(dropped)), "; ")
	return out
}

// lasting takes out of an object what differs from one time to another.
func lasting(fields map[string]any, object client.Object) {
	generation := object.GetGeneration()
	metadata := fields["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		delete(metadata, field)
	}
	if annotations, ok := metadata["annotations"].(map[string]any); ok {
		delete(annotations, v1alpha1.AnnotationAppliedHash)
	}
	if labels, ok := metadata["labels"].(map[string]any); ok {
		delete(labels, appsv1.ControllerRevisionHashLabelKey)
	}
	status, _ := fields["status"].(map[string]any)
	switch object.(type) {
	case *corev1.Pod, *appsv1.StatefulSet:
		fields["status"] = nil
	case *corev1.Secret:
		fields["data"] = nil
	}
	timeless(status, generation)
	conditions, _ := status["conditions"].([]any)
	for _, condition := range conditions {
		timeless(condition.(map[string]any), generation)
	}
	subscriptions, _ := status["subscriptions"].([]any)
	for _, left := range subscriptions {
		timeless(left.(map[string]any), generation)
	}
}

func timeless(fields map[string]any, generation int64) {
	for _, field := range []string{"lastTransitionTime", "figuresTime", "since"} {
		delete(fields, field)
	}
	if observed, ok := fields["observedGeneration"].(float64); ok {
		fields["observedGeneration"] = int64(observed) == generation
	}
}
