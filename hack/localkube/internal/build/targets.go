package build

import (
	"fmt"
	"slices"
	"strings"
)

// Target is one program that localkube builds.
type Target struct {
	// Name is the file name of the binary.
	Name string
	// Module is the Go module it comes from and Version the module's version, with its "v". An empty Module means that
	// the program's source is part of localkube.
	Module, Version string
	// Package is the import path of its main package.
	Package string
	// Flags are the arguments of `go build` before the package.
	Flags []string
}

// kubernetesFlags puts the version into the binaries, which report it to each other.
func kubernetesFlags() []string {
	minor := strings.Split(KubernetesVersion, ".")[1]
	const v = "k8s.io/component-base/version"
	return []string{"-trimpath", "-ldflags", fmt.Sprintf("-s -w -X %s.gitVersion=v%s -X %s.gitMajor=1 -X %s.gitMinor=%s", v, KubernetesVersion, v, v, minor)}
}

// Targets lists every program, those first that the integration tests need.
func Targets() []Target {
	var all []Target
	for _, name := range []string{"kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubeadm"} {
		all = append(all, Target{Name: name, Module: "k8s.io/kubernetes", Version: "v" + KubernetesVersion, Package: "k8s.io/kubernetes/cmd/" + name, Flags: kubernetesFlags()})
	}
	small := []string{"-ldflags", "-s -w"}
	helm := []string{"-ldflags", "-s -w -X helm.sh/helm/v4/internal/version.version=v" + HelmVersion}
	all = slices.Insert(all, 2, Target{Name: "etcd", Module: "go.etcd.io/etcd/server/v3", Version: "v" + EtcdVersion, Package: "go.etcd.io/etcd/server/v3", Flags: small})
	return append(all,
		Target{Name: "coredns", Module: "github.com/coredns/coredns", Version: "v" + CoreDNSVersion, Package: "github.com/coredns/coredns", Flags: small},
		Target{Name: "pause", Package: "pause", Flags: small},
		Target{Name: "helm", Module: "helm.sh/helm/v4", Version: "v" + HelmVersion, Package: "helm.sh/helm/v4/cmd/helm", Flags: helm},
	)
}

// Sets names the groups of programs that `build --only` accepts.
var Sets = map[string][]string{
	"envtest": {"kube-apiserver", "kubectl", "etcd"},
}

// Select returns the targets that only names: set names or program names. No names means all.
func Select(only []string) ([]Target, error) {
	if len(only) == 0 {
		return Targets(), nil
	}
	var wanted []string
	for _, name := range only {
		if set, ok := Sets[name]; ok {
			wanted = append(wanted, set...)
			continue
		}
		wanted = append(wanted, name)
	}
	var chosen []Target
	for _, t := range Targets() {
		if slices.Contains(wanted, t.Name) {
			chosen = append(chosen, t)
			wanted = slices.DeleteFunc(wanted, func(n string) bool { return n == t.Name })
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("nothing is called %q: use envtest or %s", wanted[0], strings.Join(names(Targets()), ", "))
	}
	return chosen, nil
}

func names(targets []Target) []string {
	list := make([]string, len(targets))
	for i, t := range targets {
		list[i] = t.Name
	}
	return list
}
