package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodestatus"
)

// patience bounds every wait for something that takes seconds when all is well.
const patience = 3 * time.Minute

// world is one namespace with a broker "mq" and a cluster "shop" in it.
type world struct {
	t         *testing.T
	namespace string
}

func manifest(replicas int) string {
	return fmt.Sprintf(`
apiVersion: vesperdb.io/v1alpha1
kind: VesperBroker
metadata: {name: mq}
spec:
  activemq:
    storage: {size: 1Gi}
---
apiVersion: vesperdb.io/v1alpha1
kind: VesperCluster
metadata: {name: shop}
spec:
  brokerRef: {name: mq}
  storage: {size: 256Mi}
  groups:
  - {name: core, replicas: %d}
`, replicas)
}

// newWorld makes an empty namespace that goes away after the test.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, namespace: fmt.Sprintf("e2e-%x", time.Now().UnixNano())}
	w.kubectl("create", "namespace", w.namespace)
	w.kubectl("label", "namespace", w.namespace, "pod-security.kubernetes.io/enforce=restricted")
	t.Cleanup(func() {
		ctx, cancel := cleanupContext()
		defer cancel()
		if t.Failed() {
			w.tellState(ctx)
		}
		if _, err := kube.Kubectl(ctx, "delete", "namespace", w.namespace, "--ignore-not-found", "--wait=false"); err != nil {
			t.Errorf("deleting the namespace: %v", err)
		}
	})
	return w
}

// cleanupContext is for what a test does when its own context has ended.
func cleanupContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

// newCluster makes a world and waits until its cluster is Ready.
func newCluster(t *testing.T, replicas int) *world {
	t.Helper()
	w := newWorld(t)
	w.apply(manifest(replicas))
	w.waitReady(replicas)
	return w
}

func (w *world) tellState(ctx context.Context) {
	for _, args := range [][]string{
		{"get", "vesper,pods,pvc,sts", "-o", "wide"}, {"describe", "vesper"}, {"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "-l", "app.kubernetes.io/managed-by=vesper-operator", "--tail=60", "--prefix", "--all-containers"},
	} {
		out, err := kube.Kubectl(ctx, append(args, "-n", w.namespace)...)
		w.t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (w *world) kubectl(args ...string) string {
	w.t.Helper()
	out, err := kube.Kubectl(w.t.Context(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// in runs kubectl in the world's namespace.
func (w *world) in(args ...string) string {
	w.t.Helper()
	return w.kubectl(append(args, "-n", w.namespace)...)
}

func (w *world) apply(manifests string) {
	w.t.Helper()
	if err := kube.Apply(w.t.Context(), w.namespace, manifests); err != nil {
		w.t.Fatal(err)
	}
}

// scale sets the replicas of the only group.
func (w *world) scale(replicas int) {
	w.t.Helper()
	w.apply(manifest(replicas))
	w.waitReady(replicas)
}

// waitReady waits for the cluster's Ready condition and for that many nodes.
func (w *world) waitReady(replicas int) {
	w.t.Helper()
	w.eventually("the cluster to be Ready with all its nodes", func() error {
		var cluster v1alpha1.VesperCluster
		if err := w.read("vesperclusters/shop", &cluster); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.Status != metav1.ConditionTrue || cluster.Status.ObservedGeneration != cluster.Generation {
			return fmt.Errorf("generation %d of %d was seen, and Ready is %+v", cluster.Status.ObservedGeneration, cluster.Generation, ready)
		}
		if nodes := w.nodes(); len(nodes) != replicas {
			return fmt.Errorf("%d nodes, want %d: %v", len(nodes), replicas, nodes)
		}
		return nil
	})
}

// nodes returns the names of the VesperNodes, ascending by branch id.
func (w *world) nodes() []string {
	w.t.Helper()
	var list v1alpha1.VesperNodeList
	if err := w.read("vespernodes", &list); err != nil {
		w.t.Fatal(err)
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names
}

// read reads objects of this project in the world's namespace.
func (w *world) read(path string, into any) error {
	return kube.Get(w.t.Context(), "/apis/"+v1alpha1.GroupVersion.String()+"/namespaces/"+w.namespace+"/"+path, into)
}

func (w *world) branchOf(node string) branch.ID {
	w.t.Helper()
	return branch.ID(w.in("get", "vespernode", node, "-o", "jsonpath={.spec.branchID}"))
}

// pod is the name of the one pod of a node.
func pod(node string) string { return node + "-0" }

func (w *world) put(node, id string, v map[string]any) {
	w.t.Helper()
	if _, err := kube.Node(w.t.Context(), w.namespace, pod(node), http.MethodPut, objectPath(id), v); err != nil {
		w.t.Fatal(err)
	}
}

func objectPath(id string) string { return "/v1/objects/" + url.PathEscape(id) }

// object returns what a node says of an object.
func (w *world) object(node, id string) (map[string]any, error) {
	data, err := kube.Node(w.t.Context(), w.namespace, pod(node), http.MethodGet, objectPath(id), nil)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	return v, json.Unmarshal(data, &v)
}

// shows waits until a node has an object with a property of that value.
func (w *world) shows(node, id, property string, want any) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s to show %s with %s=%v", node, id, property, want), func() error {
		v, err := w.object(node, id)
		if err == nil && v[property] != want {
			err = fmt.Errorf("it shows %v", v)
		}
		return err
	})
}

func (w *world) status(node string) (nodestatus.Status, error) {
	var s nodestatus.Status
	data, err := kube.Node(w.t.Context(), w.namespace, pod(node), http.MethodGet, "/v1/status", nil)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

// converged waits until all nodes have one revision and one digest.
func (w *world) converged() {
	w.t.Helper()
	nodes := w.nodes()
	w.eventually("equal revisions and digests on all nodes", func() error {
		var states []string
		for _, node := range nodes {
			s, err := w.status(node)
			if err != nil {
				return err
			}
			states = append(states, s.Revision.String()+" "+s.Digest)
		}
		if len(slices.Compact(slices.Clone(states))) != 1 {
			return fmt.Errorf("nodes %v are at %v", nodes, states)
		}
		return nil
	})
}

func (w *world) eventually(what string, ok func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("waited %v for %s: %v", patience, what, err)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// pvcs returns the claims in the namespace with the volumes they are bound to.
func (w *world) pvcs() map[string]string {
	w.t.Helper()
	out := w.in("get", "pvc", "-o", `jsonpath={range .items[*]}{.metadata.name}={.spec.volumeName}{"\n"}{end}`)
	claims := map[string]string{}
	for line := range strings.Lines(out) {
		if name, volume, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			claims[name] = volume
		}
	}
	return claims
}

// versions returns the resource version of everything in the namespace that
// belongs to the project.
func (w *world) versions() string {
	w.t.Helper()
	return w.in("get", "vesper,statefulsets,services,configmaps,secrets,pvc", "-o",
		`jsonpath={range .items[*]}{.kind}/{.metadata.name}={.metadata.resourceVersion} {end}`)
}
