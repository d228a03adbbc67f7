package e2e

import (
	"fmt"
	"strings"
	"testing"

	"vesperdb.io/vesper/hack/devcluster"
)

// These tests exchange the operator, so they run alone, before those that run in parallel.

// TestHelmWaitsForWhatItInstalls installs with Helm as a user may, with --wait: the
// operator for one namespace, which is restricted, with no rights elsewhere, and then
// a chart with a broker and a cluster. When Helm returns, all of it is ready.
func TestHelmWaitsForWhatItInstalls(t *testing.T) {
	w := newWorld(t)
	if err := kube.UninstallOperator(t.Context()); err != nil {
		t.Fatal(err)
	}
	operator := devcluster.Install{Namespace: w.namespace, Values: []string{
		"watchNamespaces={" + w.namespace + "}", "crds.install=false", // those of the release for all are kept
	}}
	everywhere(t, w.namespace)
	if err := kube.Install(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	if got := w.in("get", "deployment", "vesper-operator", "-o", "jsonpath={.status.readyReplicas}/{.status.updatedReplicas}"); got != "1/1" {
		t.Errorf("Helm returned when %s pods of the operator were ready, updated", got)
	}
	w.seesOnlyItsNamespace()

	w.helm("upgrade", "--install", "shop", "test/e2e/testdata/shop", "--wait", "--timeout", "3m")
	w.allReadyNow(2)
	w.helm("upgrade", "shop", "test/e2e/testdata/shop", "--set", "replicas=3", "--wait", "--timeout", "3m")
	w.allReadyNow(3)
	if _, err := kube.Helm(t.Context(), "upgrade", "shop", "test/e2e/testdata/shop", "--set", "broker=nosuch", "--wait", "--timeout", "10s", "-n", w.namespace); err == nil {
		t.Error("Helm said that a cluster is ready whose broker does not exist")
	}
}

// everywhere has the operator for all namespaces back after the test.
func everywhere(t *testing.T, namespace string) {
	t.Cleanup(func() {
		ctx, cancel := cleanupContext()
		defer cancel()
		if err := kube.Uninstall(ctx, namespace); err != nil {
			t.Errorf("uninstalling the operator of %s: %v", namespace, err)
		}
		if err := kube.InstallOperator(ctx); err != nil {
			t.Errorf("installing the operator again: %v", err)
		}
	})
}

func (w *world) helm(args ...string) {
	w.t.Helper()
	if _, err := kube.Helm(w.t.Context(), append(args, "-n", w.namespace)...); err != nil {
		w.t.Fatal(err)
	}
}

// allReadyNow checks, without waiting, that the broker, the cluster and its nodes are Ready.
func (w *world) allReadyNow(nodes int) {
	w.t.Helper()
	lines := strings.Split(w.in("get", "vesper", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`), "\n")
	lines = lines[:len(lines)-1]
	for _, line := range lines {
		if !strings.HasSuffix(line, " True") {
			w.t.Errorf("Helm returned before all was ready: %s", line)
		}
	}
	if len(lines) != nodes+2 {
		w.t.Errorf("there are %q; want a broker, a cluster and %d nodes", lines, nodes)
	}
}

// seesOnlyItsNamespace asks the API server what the operator in the world's namespace may.
func (w *world) seesOnlyItsNamespace() {
	w.t.Helper()
	as := "system:serviceaccount:" + w.namespace + ":vesper-operator"
	for namespace, want := range map[string]string{w.namespace: "yes", "default": "no", "kube-system": "no"} {
		for _, verb := range []string{"get secrets", "list vesperclusters.vesperdb.io", "patch statefulsets.apps"} {
			args := append([]string{"auth", "can-i"}, strings.Fields(verb)...)
			out, err := kube.Kubectl(w.t.Context(), append(args, "-n", namespace, "--as", as)...)
			if got := strings.TrimSpace(out); got != want {
				w.t.Errorf("may the operator %s in %s? %s, want %s (%v)", verb, namespace, got, want, err)
			}
		}
	}
}

// TestAnUpgradeFromThePreviousReleaseRestartsNothing upgrades what the previous
// release's chart installed, under writes: the pods and what they are made from stay,
// and the new operator goes on with what the old one wrote down.
func TestAnUpgradeFromThePreviousReleaseRestartsNothing(t *testing.T) {
	if kube.Choice == devcluster.Current {
		t.Skip("a cluster of your own is given no images of the previous release")
	}
	old := previousRelease(t)
	if err := kube.LoadVersion(t.Context(), old.version); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := cleanupContext()
		defer cancel()
		if err := kube.InstallOperator(ctx); err != nil {
			t.Errorf("installing the operator again: %v", err)
		}
	})
	if err := kube.Install(t.Context(), devcluster.Install{Chart: old.chart, Tag: old.version.Tag}); err != nil {
		t.Fatal(err)
	}
	w := newCluster(t, 2)
	l := startLoad(w, seedFromEnv(t))
	before := w.running()

	if err := kube.InstallOperator(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.in("explain", "vespercluster.spec.paused") // the CRDs are those of this tree
	w.eventually("what only this release makes", func() error {
		_, err := kube.Kubectl(t.Context(), "get", "networkpolicy", "shop", "-n", w.namespace)
		return err
	})
	w.waitReady(2)
	w.stays(before)
	w.scale(3)
	w.stays(before)
	if got := w.branchOf(w.nodes()[2]); got != "0C" {
		t.Errorf("the new operator gave out branch id %s, want 0C", got)
	}
	w.keptAll(l)
	w.stays(before)
}

// running is what must not change when the operator does: the pods, how often their
// containers were started, and the StatefulSets' specs.
func (w *world) running() []string {
	w.t.Helper()
	pods := w.in("get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} started {.status.containerStatuses[*].restartCount} times again{"\n"}{end}`)
	sets := w.in("get", "statefulsets", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.uid} in generation {.metadata.generation} with {.spec.template.spec.containers[*].image}{"\n"}{end}`)
	return strings.Split(strings.TrimSpace(pods+sets), "\n")
}

// stays checks that what was running still is, as it was.
func (w *world) stays(before []string) {
	w.t.Helper()
	now := w.running()
	for _, line := range before {
		if !strings.Contains("\n"+strings.Join(now, "\n")+"\n", "\n"+line+"\n") {
			w.t.Errorf("%q is not so any more: %s", line, fmt.Sprintf("%q", now))
		}
	}
}
