package gitopstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/api/v1alpha1"
)

func condition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "words"}
}

// TestGitOpsToolsSeeWhatTheConditionsSay (complaint 2 of the day-one list): for
// each state that the operator writes, what Argo CD and kstatus make of it.
func TestGitOpsToolsSeeWhatTheConditionsSay(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason string, more ...metav1.Condition) []metav1.Condition {
		return append([]metav1.Condition{condition(v1alpha1.ConditionReady, status, reason)}, more...)
	}
	for _, c := range []struct {
		name       string
		observed   int64
		conditions []metav1.Condition
		argo, flux string
		says       string
	}{
		{"just made", -1, nil, "Progressing", "InProgress", "waiting for the operator"},
		{"ready", 3, ready("True", "Ready"), "Healthy", "Current", "Ready: words"},
		{"ready with an old spec", 2, ready("True", "Ready"), "Progressing", "InProgress", "to see the change"},
		{"broken with an old spec", 2, ready("False", "NameTaken", condition("Stalled", "True", "NameTaken")), "Progressing", "InProgress", "to see the change"},
		{"at work", 3, ready("False", "Scaling", condition("Reconciling", "True", "Scaling")), "Progressing", "InProgress", "Scaling: words"},
		{"a person has to act", 3, ready("False", "VolumeLost", condition("Stalled", "True", "VolumeLost")), "Degraded", "Failed", "VolumeLost: words"},
		{"ready, and a fork is known", 3, ready("True", "Ready", condition("Forked", "True", "BranchForked")), "Degraded", "Current", "BranchForked"},
		{"ready, and peers differ", 3, ready("True", "Ready", condition("Diverged", "True", "PeersDiffer")), "Degraded", "Current", "PeersDiffer"},
		{"ready, and the log is held back", 3, ready("True", "Ready", condition("RetentionHeldBack", "True", "MemberBehind")), "Healthy", "Current", "Ready"},
		{"ready, and its volume grows", 3, ready("True", "Ready", condition("Reconciling", "True", "VolumeExpanding")), "Progressing", "InProgress", "VolumeExpanding: words"},
		{"ready, and its volume cannot grow", 3, ready("True", "Ready", condition("Stalled", "True", "VolumeExpansionRefused")), "Degraded", "Failed", "VolumeExpansionRefused: words"},
		{"paused", 3, ready("True", "Ready", condition("Paused", "True", "Paused")), "Suspended", "Current", "Paused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, kind := range []string{v1alpha1.KindBroker, v1alpha1.KindCluster, v1alpha1.KindNode} {
				object := map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind,
					"metadata": map[string]any{"name": "shop", "generation": int64(3)}, "spec": map[string]any{},
					"status": map[string]any{"observedGeneration": c.observed, "conditions": c.conditions}}
				if health, message := Argo(t, object); health != c.argo || !strings.Contains(message, c.says) {
					t.Errorf("Argo CD shows a %s as %s (%s), want %s (%s)", kind, health, message, c.argo, c.says)
				}
				if got := Flux(t, object); got != c.flux {
					t.Errorf("kstatus of a %s is %s, want %s", kind, got, c.flux)
				}
			}
		})
	}
}

// TestTheConfigMapOfArgoCDHasTheScriptForEveryKind: what is shipped is what was tested.
func TestTheConfigMapOfArgoCDHasTheScriptForEveryKind(t *testing.T) {
	folder := filepath.Join("..", "..", "config", "argocd")
	script, err := os.ReadFile(filepath.Join(folder, "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "argocd-cm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	kinds := []string{v1alpha1.KindBroker, v1alpha1.KindCluster, v1alpha1.KindNode}
	if len(config.Data) != len(kinds) {
		t.Errorf("it has %d keys, want %d", len(config.Data), len(kinds))
	}
	for _, kind := range kinds {
		if config.Data["resource.customizations.health.vesperdb.io_"+kind] != string(script) {
			t.Errorf("the script of %s is another: run make generate", kind)
		}
	}
}
