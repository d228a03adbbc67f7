//go:build lives

package controllers

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodestatus"
)

// walker does to a cluster what people and machines do, at any time and in any order.
type walker struct {
	*stage
	witness *witness
	said    []string
}

// walkLength is how many steps each walk has, VESPER_WALK_STEPS for another number.
func walkLength(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("VESPER_WALK_STEPS")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("VESPER_WALK_STEPS is %q, want a number", text)
	}
	return n
}

// fewWalks has rapid make so many walks, unless -rapid.checks says how many, and
// leave no files.
func fewWalks(t *testing.T, usual int) {
	t.Helper()
	named := false
	flag.Visit(func(f *flag.Flag) { named = named || f.Name == "rapid.checks" })
	settings := map[string]string{"rapid.nofailfile": "true"}
	if !named {
		settings["rapid.checks"] = strconv.Itoa(usual)
	}
	for name, value := range settings {
		before := flag.Lookup(name).Value.String()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, before) })
	}
}

// TestNoWalkThroughLifeBreaksAPromise: sequences of edits of the spec, deletions of
// children, losses of pods and volumes, breaks of the link and new operators, all in
// the midst of one another, with informers that are late; a witness looks at every
// write, and in the end all is Ready and nothing is written any more.
func TestNoWalkThroughLifeBreaksAPromise(t *testing.T) {
	length, walks, steps := walkLength(t, 30), 0, 0
	typeConverters()
	fewWalks(t, 3)
	rapid.Check(t, func(r *rapid.T) {
		walks++
		readsOwnWrites := rapid.Bool().Draw(r, "reads its own writes")
		lag := map[string]int{"": rapid.IntRange(0, 4).Draw(r, "lag")}
		moves := rapid.SliceOfN(rapid.IntRange(0, len(walkMoves)-1), length, length).Draw(r, "moves")
		numbers := rapid.SliceOfN(rapid.IntRange(0, 99), length, length).Draw(r, "numbers")
		passes := rapid.SliceOfN(rapid.IntRange(0, 6), length, length).Draw(r, "passes")
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			w := &walker{stage: newStage(t)}
			defer func() {
				if t.Failed() {
					t.Logf("after these steps:\n%s\nthe story:\n%s", strings.Join(w.said, "\n"), w.tale())
				}
			}()
			w.witness, w.kubelet.broken = w.watch(), "vesper/node:typo"
			w.makeStageCluster(2)
			w.cache.lag, w.cache.readsOwnWrites = lag, readsOwnWrites
			for i, move := range moves {
				w.said = append(w.said, fmt.Sprintf("%s %d, %d passes", walkMoves[move].name, numbers[i], passes[i]))
				walkMoves[move].do(w, numbers[i])
				for range passes[i] {
					w.pass()
				}
				steps++
			}
			w.end()
			if len(w.witness.wrong) > 0 {
				wrong = append(w.witness.wrong, w.said...)
			}
		})
		if len(wrong) > 0 {
			r.Fatalf("%s", strings.Join(wrong, "\n"))
		}
	})
	t.Logf("%d walks of %d steps", walks, steps)
}

// walkMove is a kind of step. number says which, or how many.
type walkMove struct {
	name string
	do   func(w *walker, number int)
}

var walkMoves = []walkMove{
	{"scale", func(w *walker, n int) {
		w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Groups[0].Replicas = new(int32(n % 4)) })
	}},
	{"image", func(w *walker, n int) {
		w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Image = fmt.Sprintf("vesper/node:v%d", n%3) })
	}},
	{"broken image", func(w *walker, _ int) { w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Image = "vesper/node:typo" }) }},
	{"retention", func(w *walker, n int) {
		w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Retention = []v1alpha1.Retention{"forever", "720h"}[n%2] })
	}},
	{"suspend", func(w *walker, n int) { w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Suspended = n%2 == 0 }) }},
	{"pause", func(w *walker, n int) { w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Paused = n%2 == 0 }) }},
	{"hold", func(w *walker, n int) {
		w.edit(func(c *v1alpha1.VesperCluster) { c.Spec.Rollout = &v1alpha1.Rollout{Held: n%2 == 0} })
	}},
	{"size", func(w *walker, n int) { w.patchCluster(fmt.Sprintf(`{"spec":{"storage":{"size":"%dGi"}}}`, 10+n%3)) }},
	{"storage class", func(w *walker, n int) {
		w.patchCluster(fmt.Sprintf(`{"spec":{"storage":{"storageClassName":"class-%d"}}}`, n%2))
	}},
	{"deletionPolicy", func(w *walker, n int) {
		w.edit(func(c *v1alpha1.VesperCluster) {
			c.Spec.DeletionPolicy = []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionRetain, v1alpha1.DeletionDelete}[n%3]
		})
	}},
	{"remove by name", func(w *walker, n int) {
		if names := w.nodeNames(); len(names) > 0 {
			id := strings.ToUpper(strings.TrimPrefix(names[n%len(names)], "shop-core-"))
			w.edit(func(c *v1alpha1.VesperCluster) {
				if !slices.Contains(c.Spec.Groups[0].Remove, id) {
					c.Spec.Groups[0].Remove = append(c.Spec.Groups[0].Remove, id)
				}
			})
		}
	}},
	{"delete a child", func(w *walker, n int) {
		w.deleteOne(n, "StatefulSet", "ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy")
	}},
	{"delete a pod", func(w *walker, n int) { w.deleteOne(n, "Pod") }},
	{"delete a node", func(w *walker, n int) { w.deleteOne(n, v1alpha1.KindNode) }},
	{"lose a volume", func(w *walker, n int) {
		if names := w.nodeNames(); len(names) > 0 {
			w.loseVolume(w.t, names[n%len(names)])
		}
	}},
	{"lose the ledger", func(w *walker, _ int) {
		if w.highestIsSeen() {
			w.loseLedger()
		}
	}},
	{"a node is silent", func(w *walker, n int) {
		if names := w.nodeNames(); len(names) > 0 {
			w.kubelet.answer(names[n%len(names)], func() (nodestatus.Status, error) { return nodestatus.Status{}, errors.New("connection refused") })
		}
	}},
	{"all answer", func(w *walker, _ int) { w.allAnswer() }},
	{"the broker moves", func(w *walker, n int) {
		b := &v1alpha1.VesperBroker{}
		mustGet(w.t, w.cluster, "mq", b)
		b.Status.Hosts = []string{fmt.Sprintf("mq%d.example.org:61613", n%2)}
		if err := w.Status().Update(w.t.Context(), b); err != nil {
			w.t.Fatal(err)
		}
	}},
	{"another operator", func(w *walker, _ int) { w.restart() }},
	{"the link breaks", func(w *walker, n int) {
		at := w.breakages.attempts + 1 + n%8
		w.breakages.at = func(attempt int) (breaking, bool) { return ways[n%len(ways)], attempt == at }
	}},
	{"all comes to rest", func(w *walker, n int) {
		if n%2 == 0 {
			w.settleFor(calmPasses)
			w.witness.rest()
		}
	}},
	{"delete the cluster, and make it again", func(w *walker, n int) {
		if n%3 == 0 {
			w.drop(&v1alpha1.VesperCluster{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
			for range 4 + n%5 {
				w.pass()
			}
			w.makeShop(2)
		}
	}},
}

// edit changes the cluster as a person does.
func (w *walker) edit(change func(*v1alpha1.VesperCluster)) {
	w.t.Helper()
	cl := &v1alpha1.VesperCluster{}
	mustGet(w.t, w.cluster, "shop", cl)
	change(cl)
	if err := w.Update(w.t.Context(), cl); err != nil {
		w.t.Fatal(err)
	}
}

func (w *walker) nodeNames() []string { return strings.Fields(w.names()) }

// deleteOne deletes one of the objects of some kinds.
func (w *walker) deleteOne(n int, kinds ...string) {
	var keys []objectKey
	for key := range w.api.objects {
		if slices.Contains(kinds, key.kind) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return
	}
	slices.SortFunc(keys, func(a, b objectKey) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	object := map[string]client.Object{"StatefulSet": &appsv1.StatefulSet{}, "ConfigMap": &corev1.ConfigMap{}, "Service": &corev1.Service{}, "Pod": &corev1.Pod{},
		"PodDisruptionBudget": &policyv1.PodDisruptionBudget{}, "NetworkPolicy": &networkingv1.NetworkPolicy{}, v1alpha1.KindNode: &v1alpha1.VesperNode{}}[keys[n%len(keys)].kind]
	object.SetName(keys[n%len(keys)].name)
	w.drop(object)
}

// highestIsSeen reports whether the highest id that was given out has a node or a
// volume: of ledger, node and volume any two may be lost, and not all three.
func (w *walker) highestIsSeen() bool {
	for key, object := range w.api.objects {
		if key.kind == "PersistentVolumeClaim" && object.GetAnnotations()[v1alpha1.AnnotationBranchID] == w.witness.highest {
			return true
		}
	}
	return slices.Contains(w.nodeNames(), "shop-core-"+strings.ToLower(w.witness.highest))
}

func (w *walker) allAnswer() {
	for _, name := range w.nodeNames() {
		w.kubelet.answer(name, nil)
	}
}

// end lets all be well: what only a person can put right is put right, and then the
// cluster is Ready, and nothing is written any more.
func (w *walker) end() {
	w.t.Helper()
	w.breakages.at = nil
	w.allAnswer()
	w.edit(func(c *v1alpha1.VesperCluster) {
		c.Spec.Suspended, c.Spec.Paused, c.Spec.Rollout, c.Spec.Image, c.Spec.DeletionPolicy = false, false, nil, "vesper/node:v2", v1alpha1.DeletionRetain
		c.Spec.Groups[0].Replicas = new(int32(2))
	})
	w.settleFor(calmPasses)
	for range 8 { // nodes whose volumes are lost stand until a person lets them go
		if strings.HasPrefix(w.says(v1alpha1.ConditionReady, "shop"), "Ready: ") {
			break
		}
		for _, name := range w.nodeNames() {
			node := &v1alpha1.VesperNode{}
			mustGet(w.t, w.cluster, name, node)
			if needsAPerson(node) {
				w.drop(node)
			}
		}
		w.settleFor(calmPasses)
	}
	if got := w.says(v1alpha1.ConditionReady, "shop"); !strings.HasPrefix(got, "Ready: 2 of 2") {
		w.witness.fail("in the end the cluster says %q", got)
	}
	w.wantRest(w.witness)
}

// needsAPerson reports whether a node says that it should be deleted: its volume is
// lost, or it cannot hand over what it has.
func needsAPerson(node *v1alpha1.VesperNode) bool {
	return node.Spec.Draining || slices.ContainsFunc(node.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue
	})
}
