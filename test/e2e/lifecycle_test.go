package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"vesperdb.io/vesper/hack/devcluster"
)

func TestSamplesBecomeReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.in("apply", "-k", "config/samples")
	w.in("wait", "--for=condition=Ready", "vesperbroker", "--all", "--timeout=5m")
	w.in("wait", "--for=condition=Ready", "vespercluster", "--all", "--timeout=5m")
	w.in("wait", "--for=condition=Ready", "vespernode", "--all", "--timeout=1m")
	if nodes := w.nodes(); len(nodes) != 3 {
		t.Errorf("the samples made nodes %v, want three", nodes)
	}
	for line := range strings.Lines(strings.TrimSpace(w.in("get", "vesper", "--no-headers"))) {
		if !strings.Contains(line, "True") {
			t.Errorf("kubectl get vesper shows a resource that is not ready: %s", line)
		}
	}
	w.kubectl("delete", "namespace", w.namespace, "--wait", "--timeout=2m") // nothing holds that up
}

func TestAWriteOnAnyNodeAppearsOnAll(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 3)
	for _, writer := range w.nodes() {
		w.put(writer, "by/"+writer, map[string]any{"writer": writer})
		for _, reader := range w.nodes() {
			w.shows(reader, "by/"+writer, "writer", writer)
		}
	}
	w.converged()
}

func TestAKilledPodComesBackWithItsBranchIDAndData(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 2)
	node := w.nodes()[0]
	w.put(node, "kept", map[string]any{"n": "before"})
	before, err := w.status(node)
	if err != nil {
		t.Fatal(err)
	}
	w.in("delete", "pod", pod(node), "--grace-period=0", "--force")
	w.shows(node, "kept", "n", "before")
	w.waitReady(2)
	after, err := w.status(node)
	if err != nil {
		t.Fatal(err)
	}
	if after.Branch != before.Branch || after.Incarnation != before.Incarnation {
		t.Errorf("came back as %s/%s, was %s/%s", after.Branch, after.Incarnation, before.Branch, before.Incarnation)
	}
	w.put(node, "kept", map[string]any{"n": "after"})
	w.shows(w.nodes()[1], "kept", "n", "after")
	w.converged()
}

func TestWritesWhileTheBrokerIsDownAreKeptAndReplicateWhenItIsBack(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 2)
	a, b := w.nodes()[0], w.nodes()[1]
	broker := w.in("get", "statefulset", "-l", "app.kubernetes.io/name=activemq", "-o", "jsonpath={.items[0].metadata.name}")
	w.in("patch", "vesperbroker", "mq", "--type=merge", "-p", `{"spec":{"activemq":{"replicas":0}}}`)
	w.in("wait", "--for=delete", "pod/"+broker+"-0", "--timeout=2m")
	w.in("wait", "--for=condition=Ready=false", "vespercluster/shop", "--timeout=3m")

	for i := range 20 {
		w.put(a, fmt.Sprintf("a/%d", i), map[string]any{"i": float64(i)})
		w.put(b, fmt.Sprintf("b/%d", i), map[string]any{"i": float64(i)})
	}
	w.in("delete", "pod", pod(a), "--grace-period=0", "--force")
	w.shows(a, "a/19", "i", float64(19)) // a node restarts and serves without its broker
	if _, err := w.object(b, "a/19"); !isNotFound(err) {
		t.Fatalf("%s shows a write of %s though no broker runs: %v", b, a, err)
	}

	w.in("patch", "vesperbroker", "mq", "--type=merge", "-p", `{"spec":{"activemq":{"replicas":1}}}`)
	w.waitReady(2)
	for i := range 20 {
		w.shows(b, fmt.Sprintf("a/%d", i), "i", float64(i))
		w.shows(a, fmt.Sprintf("b/%d", i), "i", float64(i))
	}
	w.converged()
}

func isNotFound(err error) bool {
	var httpErr *devcluster.HTTPError
	return errors.As(err, &httpErr) && httpErr.Status == http.StatusNotFound
}

func TestAFourthReplicaGetsAFreshIDAndAllTheData(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 3)
	first := w.nodes()
	for i := range 50 {
		w.put(first[i%3], fmt.Sprintf("o/%d", i), map[string]any{"i": float64(i)})
	}
	w.scale(4)
	nodes := w.nodes()
	added := nodes[3]
	if !slices.Equal(nodes[:3], first) {
		t.Fatalf("nodes %v became %v", first, nodes)
	}
	if got := w.branchOf(added); got != "0D" {
		t.Errorf("the fourth node has branch id %s, want 0D", got)
	}
	w.converged()
	for i := range 50 {
		w.shows(added, fmt.Sprintf("o/%d", i), "i", float64(i))
	}
	w.put(added, "from/fourth", map[string]any{"here": true})
	w.shows(first[0], "from/fourth", "here", true)
}

func TestScalingDownRetiresTheIDForEver(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 3)
	w.put(w.nodes()[2], "last/words", map[string]any{"of": "0C"})
	w.shows(w.nodes()[0], "last/words", "of", "0C")
	claims := w.pvcs()
	w.scale(2)
	w.scale(3)
	var ids []string
	for _, node := range w.nodes() {
		ids = append(ids, string(w.branchOf(node)))
	}
	if want := []string{"0A", "0B", "0D"}; !slices.Equal(ids, want) {
		t.Errorf("branch ids after scaling down and up are %v, want %v: 0C was used and must never be again", ids, want)
	}
	w.converged()
	w.shows(w.nodes()[2], "last/words", "of", "0C")
	for claim, volume := range claims {
		if w.pvcs()[claim] != volume {
			t.Errorf("claim %s had volume %s, has %q: volumes must be kept", claim, volume, w.pvcs()[claim])
		}
	}
}

func TestDeletingTheClusterKeepsTheVolumes(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 2)
	before := w.pvcs()
	w.in("delete", "vespercluster", "shop", "--timeout=2m")
	w.eventually("the nodes' pods to be gone", func() error {
		if pods := w.in("get", "pods", "-l", "app.kubernetes.io/name=vesper-node", "-o", "name"); pods != "" {
			return fmt.Errorf("still there: %s", pods)
		}
		return nil
	})
	w.in("delete", "vesperbroker", "mq", "--timeout=2m")
	if after := w.pvcs(); !maps.Equal(before, after) || len(after) < 3 {
		t.Errorf("claims were %v, are %v", before, after)
	}
}

func TestBadSpecsAreRefusedWithAMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cases := map[string]struct{ manifest, says string }{
		"a mistyped key": {
			`{apiVersion: vesperdb.io/v1alpha1, kind: VesperCluster, metadata: {name: x}, spec: {brokerRef: {name: mq}, chanel: A, groups: [{name: core, replicas: 1}]}}`,
			`unknown field "spec.chanel"`,
		},
		"a broker both managed and external": {
			`{apiVersion: vesperdb.io/v1alpha1, kind: VesperBroker, metadata: {name: x}, spec: {activemq: {}, external: {hosts: ["mq:61613"]}}}`,
			"exactly one of",
		},
		"a branch id of the wrong form": {
			`{apiVersion: vesperdb.io/v1alpha1, kind: VesperCluster, metadata: {name: x}, spec: {brokerRef: {name: mq}, trunkID: a1, groups: [{name: core, replicas: 1}]}}`,
			"trunkID",
		},
		"two groups of one name": {
			`{apiVersion: vesperdb.io/v1alpha1, kind: VesperCluster, metadata: {name: x}, spec: {brokerRef: {name: mq}, groups: [{name: core, replicas: 1}, {name: core, replicas: 2}]}}`,
			"Duplicate value",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := kube.Apply(t.Context(), w.namespace, c.manifest)
			if err == nil {
				t.Fatal("was accepted")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("was refused with %q, which does not say %q", err, c.says)
			}
		})
	}
}

func TestAnUnknownBrokerIsToldInTheConditions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.apply(`
apiVersion: vesperdb.io/v1alpha1
kind: VesperCluster
metadata: {name: shop}
spec:
  brokerRef: {name: nosuch}
  groups:
  - {name: core, replicas: 1}
`)
	w.eventually("a condition that names the missing broker", func() error {
		out := w.in("get", "vespercluster", "shop", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		if !strings.Contains(out, `"status":"False"`) || !strings.Contains(out, "nosuch") {
			return fmt.Errorf("Ready is %s", out)
		}
		return nil
	})
}

func TestASecondClusterOnTheSameChannelNeedsItsOwnIDs(t *testing.T) {
	t.Parallel()
	w := newCluster(t, 1)
	second := func(extra string) string {
		return `
apiVersion: vesperdb.io/v1alpha1
kind: VesperCluster
metadata: {name: second}
spec:
  brokerRef: {name: mq}
  storage: {size: 256Mi}
` + extra + `
  groups:
  - {name: core, replicas: 1}
`
	}
	w.apply(second(""))
	w.eventually("the second cluster to be refused", func() error {
		out := w.in("get", "vespercluster", "second", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")]}`)
		if !strings.Contains(out, `"status":"False"`) || !strings.Contains(out, "shop") || !strings.Contains(out, "branchIDs") {
			return fmt.Errorf("Ready is %s", out)
		}
		return nil
	})
	if nodes := w.nodes(); len(nodes) != 1 {
		t.Fatalf("nodes %v were made for a cluster that shares a channel without ids of its own", nodes)
	}
	w.waitReady(1) // the first is untouched
}

// A new operator must not restart what runs, and one that has nothing to do
// must not write: both are told by the resource versions staying as they are. It runs alone: where another test
// ends the operator, or starves the nodes, there is something to write.
func TestARestartedOperatorChangesNothing(t *testing.T) {
	w := newCluster(t, 2)
	w.converged()
	pods := w.in("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
	w.kubectl("rollout", "restart", "deployment", "-n", devcluster.OperatorNamespace)
	w.kubectl("rollout", "status", "deployment", "-n", devcluster.OperatorNamespace, "--timeout=2m")
	w.waitReady(2)
	time.Sleep(70 * time.Second) // the figures of a status may be written once a minute
	before := w.versions()
	time.Sleep(30 * time.Second)
	if after := w.versions(); after != before {
		t.Errorf("at rest, objects were written:\nbefore %s\nafter  %s", before, after)
	}
	if after := w.in("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"); after != pods {
		t.Errorf("pods were %s, are %s", pods, after)
	}
}
