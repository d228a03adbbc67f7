package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"vesperdb.io/vesper/hack/localkube/internal/build"
	"vesperdb.io/vesper/hack/localkube/internal/provision"
)

//go:embed templates
var templateFiles embed.FS

// settings are what the configuration files are made of.
type settings struct {
	Name, Dir, Socket, CNIBin, Version                        string
	NodeName, NodeAddress, NodePods, PodNetwork, ServiceRange string
	DNSAddress, PauseImage, CoreDNSImage, Provisioner         string
	APIPort                                                   int
}

func (c *Cluster) settings() settings {
	return settings{
		Name: Name, Dir: c.Dir, Socket: c.socket(), CNIBin: c.Tools.CNI, Version: build.KubernetesVersion,
		NodeName: nodeName, NodeAddress: nodeAddress, NodePods: nodePods, PodNetwork: podNetwork, ServiceRange: serviceRange,
		DNSAddress: dnsAddress, PauseImage: build.PauseImage, CoreDNSImage: build.CoreDNSImage, Provisioner: provision.Name,
		APIPort: apiPort,
	}
}

// configs says which template becomes which file of the cluster's directory.
var configs = map[string]string{
	"kubeadm.yaml":    "conf/kubeadm.yaml",
	"containerd.toml": "conf/containerd.toml",
	"cni.conflist":    "cni/conf/10-bridge.conflist",
	"kubelet.yaml":    "conf/kubelet.yaml",
	"proxy.yaml":      "conf/proxy.yaml",
	"addons.yaml":     "conf/addons.yaml",
}

// render fills one template.
func render(name string, s settings) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(templateFiles, "templates/"+name)
	if err != nil {
		return nil, fmt.Errorf("parse the template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("fill the template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// writeConfigs writes every configuration file. The pods' resolv.conf names no server of the machine: the cluster's DNS
// has none to forward to.
func (c *Cluster) writeConfigs() error {
	for _, dir := range c.directories() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make the cluster's directory: %w", err)
		}
	}
	files := map[string][]byte{"conf/resolv.conf": []byte("# nothing is resolved outside of the cluster\n")}
	for name, file := range configs {
		data, err := render(name, c.settings())
		if err != nil {
			return err
		}
		files[file] = data
	}
	for file, data := range files {
		if err := os.WriteFile(filepath.Join(c.Dir, file), data, 0o644); err != nil {
			return fmt.Errorf("write the configuration: %w", err)
		}
	}
	return nil
}
