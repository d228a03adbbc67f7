package cluster

import (
	"fmt"

	"vesperdb.io/vesper/hack/localkube/internal/proc"
)

// component is one daemon of the cluster.
type component struct {
	proc.Daemon
	// ports it listens on, which must be free before it starts.
	ports []int
	// polite says that it is asked to stop (SIGTERM) before it is killed. A polite API server waits a minute for its etcd.
	polite bool
}

// components are the daemons in the order in which they start; they stop in the reverse order. self is the path of the
// localkube program, which is the volume provisioner as well.
func (c *Cluster) components(self string) []component {
	return []component{
		c.daemon("containerd", nil, false, c.Tools.Containerd, "-c", c.path("conf/containerd.toml")),
		c.daemon("etcd", []int{etcdPort, etcdPeerPort}, false, c.bin("etcd"), c.etcdArgs()...),
		c.daemon("kube-apiserver", []int{apiPort}, false, c.bin("kube-apiserver"), c.apiServerArgs()...),
		c.daemon("kube-controller-manager", nil, true, c.bin("kube-controller-manager"), c.controllerManagerArgs()...),
		c.daemon("kube-scheduler", nil, true, c.bin("kube-scheduler"), c.clientArgs("scheduler", "--leader-elect=false")...),
		c.daemon("kubelet", []int{kubeletPort}, true, c.bin("kubelet"), c.kubeletArgs()...),
		c.daemon("kube-proxy", nil, true, c.bin("kube-proxy"), "--config="+c.path("conf/proxy.yaml")),
		c.daemon("provisioner", nil, true, self, "provisioner", "--kubeconfig="+c.Kubeconfig(), "--directory="+c.path("volumes"), "--node="+nodeName),
	}
}

// daemon puts a component together. containerd finds runc and the plugins' programs in PATH, which may lack sbin.
func (c *Cluster) daemon(name string, ports []int, polite bool, program string, args ...string) component {
	d := proc.Daemon{Name: name, Args: append([]string{program}, args...), Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}
	return component{Daemon: d, ports: ports, polite: polite}
}

func (c *Cluster) etcdArgs() []string {
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", etcdPort), fmt.Sprintf("http://127.0.0.1:%d", etcdPeerPort)
	return []string{
		"--data-dir=" + c.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client, "--listen-peer-urls=" + peer,
	}
}

func (c *Cluster) apiServerArgs() []string {
	pki := func(name string) string { return c.path("pki", name) }
	return []string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", etcdPort),
		"--advertise-address=" + nodeAddress, fmt.Sprintf("--secure-port=%d", apiPort),
		"--service-cluster-ip-range=" + serviceRange, "--allow-privileged=true",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--cert-dir=" + c.path("pki"), "--client-ca-file=" + pki("ca.crt"),
		"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + pki("sa.pub"), "--service-account-signing-key-file=" + pki("sa.key"),
		"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group", "--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pki("front-proxy-client.crt"), "--proxy-client-key-file=" + pki("front-proxy-client.key"),
	}
}

// clientArgs are what a daemon that talks to the API server with its own kubeconfig needs.
func (c *Cluster) clientArgs(name string, more ...string) []string {
	conf := c.path("conf", name+".conf")
	return append([]string{
		"--kubeconfig=" + conf, "--authentication-kubeconfig=" + conf, "--authorization-kubeconfig=" + conf, "--cert-dir=" + c.path("run"),
	}, more...)
}

func (c *Cluster) controllerManagerArgs() []string {
	ca := c.path("pki/ca.crt")
	return c.clientArgs("controller-manager",
		"--allocate-node-cidrs=false", // the one node's pods have a fixed range
		"--service-cluster-ip-range="+serviceRange,
		"--root-ca-file="+ca, "--cluster-signing-cert-file="+ca, "--cluster-signing-key-file="+c.path("pki/ca.key"),
		"--service-account-private-key-file="+c.path("pki/sa.key"), "--use-service-account-credentials=true", "--leader-elect=false",
	)
}

func (c *Cluster) kubeletArgs() []string {
	return []string{
		"--config=" + c.path("conf/kubelet.yaml"), "--kubeconfig=" + c.path("conf/kubelet.conf"),
		"--root-dir=" + c.path("kubelet"), "--cert-dir=" + c.path("kubelet/pki"), "--node-ip=" + nodeAddress, "--hostname-override=" + nodeName,
	}
}
