package resources

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/topology"
)

func withTemplate(t *testing.T, text string) Node {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return testNode(func(n *Node) { n.Object.Spec.PodTemplate = &runtime.RawExtension{Raw: raw} })
}

func templateOf(t *testing.T, n Node) corev1.PodTemplateSpec {
	t.Helper()
	var template corev1.PodTemplateSpec
	fromYAML(t, toYAML(t, mustSet(t, n).Spec.Template), &template)
	return template
}

// TestAPodTemplateAddsChangesAndRemoves (complaint 17 of the day-one list).
func TestAPodTemplateAddsChangesAndRemoves(t *testing.T) {
	n := withTemplate(t, `
metadata:
  labels: {team: shop}
  annotations: {backup.example.org/skip: "true"}
spec:
  priorityClassName: databases
  nodeSelector: {disk: fast}
  tolerations: [{key: dedicated, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: Exists}]}]}}}
  topologySpreadConstraints:
  - {topologyKey: kubernetes.io/hostname, $patch: delete}
  - {topologyKey: topology.kubernetes.io/zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {vesperdb.io/cluster: shop}}}
  containers:
  - name: vesper-node
    env: [{name: GOMEMLIMIT, $patch: delete}, {name: GODEBUG, value: gctrace=1}]
    startupProbe: {failureThreshold: 3600}
    livenessProbe: null
  - {name: logs, image: example.org/logs:1}
  volumes: [{name: tmp, emptyDir: {sizeLimit: 1Gi}}, {name: more, emptyDir: {}}]
`)
	before, after := templateOf(t, testNode()), templateOf(t, n)
	if after.Labels["team"] != "shop" || after.Labels["vesperdb.io/node"] != "shop-core-0b" || after.Annotations["backup.example.org/skip"] != "true" {
		t.Errorf("labels %v, annotations %v", after.Labels, after.Annotations)
	}
	spec := after.Spec
	if spec.PriorityClassName != "databases" || spec.NodeSelector["disk"] != "fast" || len(spec.Tolerations) != 1 || spec.Affinity == nil {
		t.Errorf("scheduling is %+v", spec)
	}
	if s := spec.TopologySpreadConstraints; len(before.Spec.TopologySpreadConstraints) != 1 || len(s) != 1 || s[0].TopologyKey != "topology.kubernetes.io/zone" {
		t.Errorf("spread is %+v, want that of the template alone", s)
	}
	node := nodeOf(after)
	if len(spec.Containers) != 2 || len(node.Env) != 1 || node.Env[0].Name != "GODEBUG" || node.LivenessProbe != nil || node.StartupProbe.FailureThreshold != 3600 || node.StartupProbe.PeriodSeconds != 1 {
		t.Errorf("containers are %+v", spec.Containers)
	}
	if len(spec.Volumes) != len(before.Spec.Volumes)+1 || node.Image != "vesper/node:v1" || !*spec.SecurityContext.RunAsNonRoot {
		t.Errorf("what the template does not name changed: %+v", spec)
	}
}

// TestWhatMakesAPodThatOfItsNodeStays: each is refused with words that name it, as
// the API server would refuse, so that nothing is changed and a person is told.
func TestWhatMakesAPodThatOfItsNodeStays(t *testing.T) {
	for name, c := range map[string]struct{ template, says string }{
		"a label of the selector":  {"metadata: {labels: {vesperdb.io/node: other}}", "label vesperdb.io/node"},
		"a label taken away":       {"metadata: {labels: {vesperdb.io/cluster: null}}", "label vesperdb.io/cluster"},
		"the hash":                 {"metadata: {annotations: {vesperdb.io/config-hash: x}}", "annotation vesperdb.io/config-hash"},
		"the node's container":     {"spec: {containers: [{name: vesper-node, $patch: delete}]}", "must stay"},
		"all containers":           {"spec: {containers: [{$patch: replace}, {name: a, image: b}]}", "must stay"},
		"the image":                {"spec: {containers: [{name: vesper-node, image: other}]}", "spec.image"},
		"the arguments":            {"spec: {containers: [{name: vesper-node, args: [--help]}]}", "command and args"},
		"the command":              {"spec: {containers: [{name: vesper-node, command: [sh]}]}", "command and args"},
		"the data":                 {"spec: {volumes: [{name: data, persistentVolumeClaim: {claimName: other}}]}", "volume data"},
		"the configuration":        {"spec: {volumes: [{name: config, $patch: delete}]}", "volume config"},
		"where the data is":        {"spec: {containers: [{name: vesper-node, volumeMounts: [{mountPath: /var/lib/vesper, $patch: delete}]}]}", "mount at /var/lib/vesper"},
		"a mistyped field":         {"spec: {tolerationz: []}", "tolerationz"},
		"a mistyped field, nested": {"spec: {containers: [{name: vesper-node, imagePullPolice: Never}]}", "imagePullPolice"},
		"a pod, not its template":  {"kind: Pod", "kind"},
		"text for a number":        {"spec: {terminationGracePeriodSeconds: long}", "terminationGracePeriodSeconds"},
		"a container without name": {"spec: {containers: [{image: x}]}", "merge key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NodeStatefulSet(withTemplate(t, c.template))
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "spec.podTemplate") {
				t.Errorf("error is %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestATemplateThatSaysNothingChangesNothing(t *testing.T) {
	plain := toYAML(t, mustSet(t, testNode()))
	for _, text := range []string{"{}", "spec: {}", "metadata: {labels: {}}"} {
		if got := toYAML(t, mustSet(t, withTemplate(t, text))); got != plain {
			t.Errorf("podTemplate %s changes the StatefulSet", text)
		}
	}
}

func TestAClustersNodesGetItsPodTemplate(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Spec.PodTemplate = &runtime.RawExtension{Raw: []byte(`{"spec":{"priorityClassName":"databases"}}`)}
	text := toYAML(t, ClusterNode(cluster, topology.Member{Name: "a", ID: "0A", Trunk: "0A"}, "i", func(string) string { return "" }))
	if !strings.Contains(text, "podTemplate:\n    spec:\n      priorityClassName: databases\n") {
		t.Errorf("the node is %s", text)
	}
}
