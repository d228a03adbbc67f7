package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vesperdb.io/vesper/hack/localkube/internal/netns"
)

// Up brings the cluster up and waits until a pod can be scheduled and names can be resolved. What runs already is left
// alone, what is missing is started: on a running cluster it only reports. Out receives a line for each step.
func (c *Cluster) Up(ctx context.Context, out io.Writer) error {
	if err := c.preflight(); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.claim(); err != nil {
		return err
	}
	if err := c.mark(); err != nil {
		return err
	}
	if err := c.sameBinaries(); err != nil {
		return err
	}
	if len(c.stopped()) == 0 && c.nodeReady(ctx) == nil {
		fmt.Fprintf(out, "already running: KUBECONFIG=%s\n", c.Kubeconfig())
		return nil
	}
	start := time.Now()
	for _, s := range c.steps() {
		began := time.Now()
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w\n  (`localkube down` cleans up)", s.name, err)
		}
		fmt.Fprintf(out, "%-28s %5.1f s\n", s.name, time.Since(began).Seconds())
	}
	fmt.Fprintf(out, "up in %.1f s: KUBECONFIG=%s (API server https://%s:%d)\n", time.Since(start).Seconds(), c.Kubeconfig(), nodeAddress, apiPort)
	return nil
}

// step is one part of Up that is worth a line.
type step struct {
	name string
	do   func(context.Context) error
}

// steps may all be done again on a cluster that is partly there.
func (c *Cluster) steps() []step {
	return []step{
		{"cgroups and network", c.ground},
		{"certificates", c.certificates},
		{"containerd and images", c.runtime},
		{"etcd and the API server", c.control},
		{"controllers and node", c.workers},
		{"node ready", func(ctx context.Context) error {
			return c.waitFor(ctx, "a ready node", 90*time.Second, []string{"kubelet", "kube-apiserver", "etcd", "containerd"}, c.nodeReady)
		}},
		{"cluster DNS", func(ctx context.Context) error {
			return c.waitFor(ctx, "the cluster's DNS", 90*time.Second, []string{"kubelet", "kube-scheduler", "kube-controller-manager", "kube-proxy", "provisioner"}, c.dnsReady)
		}},
	}
}

func (c *Cluster) ground(ctx context.Context) error {
	if err := c.writeConfigs(); err != nil {
		return err
	}
	if err := errors.Join(c.keepBinaries(), c.noteTraces()); err != nil {
		return err
	}
	if err := c.Cgroup.Create(); err != nil {
		return err
	}
	return c.ensureNetwork(ctx)
}

// certificates makes the keys, certificates and kubeconfigs with kubeadm, which needs no running cluster for it.
func (c *Cluster) certificates(ctx context.Context) error {
	if fileExists(c.Kubeconfig()) {
		return nil
	}
	return netns.Do(Name, func() error {
		config := "--config=" + c.path("conf/kubeadm.yaml")
		if _, err := run(ctx, c.bin("kubeadm"), "init", "phase", "certs", "all", config); err != nil {
			return err
		}
		if _, err := run(ctx, c.bin("kubeadm"), "init", "phase", "kubeconfig", "all", config, "--kubeconfig-dir="+c.path("conf")); err != nil {
			return err
		}
		return c.writeKubeconfig()
	})
}

// writeKubeconfig gives the administrator's kubeconfig a context with the cluster's name. It is written last: its
// presence says that the certificates are complete.
func (c *Cluster) writeKubeconfig() error {
	data, err := os.ReadFile(c.path("conf/super-admin.conf"))
	if err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	text := strings.ReplaceAll(string(data), "kubernetes-super-admin@"+Name, Name)
	tmp := c.Kubeconfig() + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return os.Rename(tmp, c.Kubeconfig())
}

func (c *Cluster) runtime(ctx context.Context) error {
	if err := c.start(ctx, "containerd"); err != nil {
		return err
	}
	err := c.waitFor(ctx, "containerd", 30*time.Second, []string{"containerd"}, func(ctx context.Context) error {
		_, err := c.ctr(ctx, "version")
		return err
	})
	if err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(c.Cache.Images(), "*.tar"))
	if err != nil || len(archives) == 0 {
		return errors.Join(err, fmt.Errorf("no images in %s: run `localkube build`", c.Cache.Images()))
	}
	return c.importAll(ctx, archives, io.Discard)
}

func (c *Cluster) control(ctx context.Context) error {
	if err := c.start(ctx, "etcd", "kube-apiserver"); err != nil {
		return err
	}
	return c.waitFor(ctx, "the API server", 90*time.Second, []string{"etcd", "kube-apiserver"}, func(ctx context.Context) error {
		_, err := c.kubectl(ctx, "get", "--raw", "/readyz")
		return err
	})
}

func (c *Cluster) workers(ctx context.Context) error {
	if err := c.start(ctx, "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "provisioner"); err != nil {
		return err
	}
	return c.waitFor(ctx, "the cluster's own resources", 30*time.Second, []string{"kube-apiserver"}, func(ctx context.Context) error {
		_, err := c.kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-f", c.path("conf/addons.yaml"))
		return err
	})
}

// start starts the named components that do not run.
func (c *Cluster) start(ctx context.Context, names ...string) error {
	for _, name := range names {
		for _, part := range c.components(c.self()) {
			if part.Name != name {
				continue
			}
			if err := c.startOne(ctx, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) startOne(ctx context.Context, part component) error {
	if _, ok := c.place().Running(part.Name); ok {
		return nil
	}
	for _, port := range part.ports {
		if err := checkPort(ctx, Name, port); err != nil {
			return fmt.Errorf("start %s: %w", part.Name, err)
		}
	}
	_, _, err := c.place().Start(part.Daemon)
	return err
}

func (c *Cluster) nodeReady(ctx context.Context) error {
	out, err := c.kubectl(ctx, "get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	if err != nil {
		return err
	}
	if out != "True" {
		return errors.New("the node's condition Ready is not True yet")
	}
	return nil
}

func (c *Cluster) dnsReady(ctx context.Context) error {
	out, err := c.kubectl(ctx, "-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.status.readyReplicas}")
	if err != nil {
		return err
	}
	if out == "" || out == "0" {
		return errors.New("no pod of coredns is ready yet")
	}
	return nil
}

// self is the copy of this program that the provisioner runs from: the original may be a temporary file of `go run`.
func (c *Cluster) self() string { return c.path("bin/localkube") }
