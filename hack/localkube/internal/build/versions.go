package build

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The versions of everything localkube builds. This is the one place that names them.
const (
	// KubernetesVersion is the version of the control plane, the kubelet, kube-proxy, kubeadm and kubectl.
	KubernetesVersion = "1.37.2"
	// EtcdVersion is the version of etcd's server.
	EtcdVersion = "3.7.3"
	// CoreDNSVersion is the version of the cluster's DNS server.
	CoreDNSVersion = "1.15.0"
	// HelmVersion is the version of the helm client, for tests of charts.
	HelmVersion = "4.3.1"
	// PauseVersion is the tag of the sandbox image; its program is our own (see pauseSource).
	PauseVersion = "3.10"
)

// oldestGo is the first Go release that compiles all of the above.
const oldestGo = "1.26"

// VersionsHash names the set of versions in twelve hexadecimal digits: binaries of different sets never share a directory.
func VersionsHash() string {
	all := strings.Join([]string{KubernetesVersion, EtcdVersion, CoreDNSVersion, HelmVersion, PauseVersion}, " ")
	sum := sha256.Sum256([]byte(all))
	return hex.EncodeToString(sum[:6])
}

// stagingVersion is the version under which Kubernetes publishes its staging modules (k8s.io/api and the rest): v0.MINOR.PATCH.
func stagingVersion(kubernetes string) (string, error) {
	parts := strings.Split(kubernetes, ".")
	if len(parts) != 3 || parts[0] != "1" {
		return "", fmt.Errorf("kubernetes version %q is not of the form 1.MINOR.PATCH", kubernetes)
	}
	return "v0." + parts[1] + "." + parts[2], nil
}
