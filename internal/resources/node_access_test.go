package resources

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/topology"
)

// guardedSpec sets all of spec.access and spec.tls.
func guardedSpec(access **v1alpha1.Access, tls **v1alpha1.NodeTLS) {
	*access = &v1alpha1.Access{Anonymous: v1alpha1.AccessRead, Metrics: v1alpha1.MetricsOpen, Tokens: []v1alpha1.AccessToken{
		{Name: "shop", Role: v1alpha1.AccessWrite, SecretKeyRef: v1alpha1.SecretKeyReference{Name: "shop-token", Key: "token"}},
		{Name: "report", Role: v1alpha1.AccessRead, SecretKeyRef: v1alpha1.SecretKeyReference{Name: "others", Key: "report"}},
	}}
	*tls = &v1alpha1.NodeTLS{SecretRef: v1alpha1.LocalReference{Name: "shop-tls"}, ServerName: "shop.example.org",
		ClientSecretRef: &v1alpha1.LocalReference{Name: "shop-clients"}}
}

func guardedNode() Node {
	return testNode(func(n *Node) { guardedSpec(&n.Object.Spec.Access, &n.Object.Spec.TLS) })
}

// TestGuardedNodeChildren shows what access and TLS change of a node's children.
func TestGuardedNodeChildren(t *testing.T) {
	n := guardedNode()
	config, err := NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	set, err := NodeStatefulSet(n)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "node-guarded", config, NodeService(n), set)
}

// filesOf are the files that a pod's volume mounts, by path, and where each comes from.
func filesOf(t *testing.T, pod *corev1ac.PodSpecApplyConfiguration) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, mount := range pod.Containers[0].VolumeMounts {
		for _, volume := range pod.Volumes {
			if *volume.Name != *mount.Name || volume.Projected == nil {
				continue
			}
			for _, source := range volume.Projected.Sources {
				for _, item := range source.Secret.Items {
					files[*mount.MountPath+"/"+*item.Path] = *source.Secret.Name + "/" + *item.Key
				}
			}
		}
	}
	return files
}

func TestEveryFileThatAGuardedNodeReadsIsMounted(t *testing.T) {
	n := guardedNode()
	config, err := NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	got, err := nodeconfig.Parse("node.yaml", []byte(config.Data[nodeConfigFile]))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{got.TLS.CertFile: "shop-tls/tls.crt", got.TLS.KeyFile: "shop-tls/tls.key", got.TLS.ClientCAFile: "shop-clients/ca.crt"}
	from := map[string]string{"shop": "shop-token/token", "report": "others/report", "vesper-operator": "shop-core-0b-operator/token"}
	roles := map[string]string{"shop": "write", "report": "read", "vesper-operator": "admin"}
	for _, token := range got.Access.Tokens {
		want[token.File] = from[token.Name]
		if token.Role != roles[token.Name] {
			t.Errorf("token %s has the role %s", token.Name, token.Role)
		}
	}
	files := filesOf(t, nodePod(n))
	if len(got.Access.Tokens) != 3 || len(files) != 6 || got.Access.Anonymous != "read" || !got.Access.OpenMetrics {
		t.Errorf("access %+v, files %v", got.Access, files)
	}
	for path, source := range want {
		if files[path] != source {
			t.Errorf("%s is from %q, want %s", path, files[path], source)
		}
	}
	for _, source := range files {
		if source == "shop-clients/tls.key" || source == "shop-clients/tls.crt" {
			t.Error("the node gets the operator's client certificate")
		}
	}
}

// TestProbesOfANodeWithTLSSpeakIt: the kubelet checks no certificate, and the paths
// of the probes take neither token nor client certificate.
func TestProbesOfANodeWithTLSSpeakIt(t *testing.T) {
	for scheme, n := range map[corev1.URIScheme]Node{corev1.URISchemeHTTPS: guardedNode(), "": testNode()} {
		container := nodePod(n).Containers[0]
		for _, probe := range []*corev1ac.ProbeApplyConfiguration{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
			has := corev1.URIScheme("")
			if probe.HTTPGet.Scheme != nil {
				has = *probe.HTTPGet.Scheme
			}
			if has != scheme || !slices.Contains([]string{"/healthz", "/readyz"}, *probe.HTTPGet.Path) {
				t.Errorf("the probe of %s has the scheme %q, want %q", *probe.HTTPGet.Path, has, scheme)
			}
		}
	}
}

// TestRotationRestartsNothing: what Secrets hold is no part of the pod's template,
// and the operator's token is in its Secret alone.
func TestRotationRestartsNothing(t *testing.T) {
	n := guardedNode()
	before := toYAML(t, mustSet(t, n).Spec.Template)
	token := OperatorToken(nil)
	secret := NodeOperatorSecret(n, token)
	if string(secret.Data["token"]) != token || len(token) != 32 || OperatorToken(nil) == token {
		t.Fatalf("a token of %d characters", len(token))
	}
	if OperatorToken(map[string][]byte{"token": []byte(token)}) != token {
		t.Error("a token that exists is not kept")
	}
	if OperatorToken(map[string][]byte{"token": []byte("short")}) == "short" {
		t.Error("a token that no node takes is kept")
	}
	config, err := NodeConfigMap(n)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"ConfigMap": toYAML(t, config), "StatefulSet": toYAML(t, mustSet(t, n))} {
		if strings.Contains(text, token) {
			t.Errorf("the token is in the %s", what)
		}
	}
	if after := toYAML(t, mustSet(t, n).Spec.Template); after != before {
		t.Error("the template changed")
	}
}

func TestAClustersNodesGetItsAccess(t *testing.T) {
	cluster := &v1alpha1.VesperCluster{}
	cluster.Name, cluster.Namespace = "shop", "prod"
	guardedSpec(&cluster.Spec.Access, &cluster.Spec.TLS)
	node := ClusterNode(cluster, topology.Member{Name: "shop-core-0a", Group: "core", ID: "0A", Trunk: "0A"}, "i", hashes(""))
	got := v1alpha1.VesperNode{}
	fromYAML(t, toYAML(t, node), &got)
	if toYAML(t, got.Spec.Access) != toYAML(t, cluster.Spec.Access) || toYAML(t, got.Spec.TLS) != toYAML(t, cluster.Spec.TLS) {
		t.Errorf("the node gets %s", toYAML(t, got.Spec))
	}
	plain := ClusterNode(&v1alpha1.VesperCluster{}, topology.Member{Name: "a", ID: "0A", Trunk: "0A"}, "i", hashes(""))
	if text := toYAML(t, plain); strings.Contains(text, "access") || strings.Contains(text, "tls") {
		t.Errorf("a node of a cluster without access gets %s", text)
	}
	for protocol, service := range map[string]*corev1ac.ServiceApplyConfiguration{"https": ClusterService(cluster), "http": ClusterService(&v1alpha1.VesperCluster{})} {
		if got := *service.Spec.Ports[0].AppProtocol; got != protocol {
			t.Errorf("the Service says %s, want %s", got, protocol)
		}
	}
}
