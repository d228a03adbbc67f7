// Package devcluster gives the demo and the end-to-end tests the same thing: a
// Kubernetes with this tree's images in it and the operator installed from the
// chart, and ways to talk to what runs there.
package devcluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Choice says which Kubernetes to use.
type Choice string

const (
	// Auto takes kind if it is installed, else Localkube.
	Auto Choice = ""
	// Current takes the cluster of KUBECONFIG as it is. Images must reach it
	// by a registry or be there already.
	Current Choice = "current"
	// Kind makes a cluster with kind.
	Kind Choice = "kind"
	// Localkube starts hack/localkube.
	Localkube Choice = "localkube"
)

// kindName is the name of the cluster that Kind makes.
const kindName = "vesper"

func (c Choice) resolve() Choice {
	if c != Auto {
		return c
	}
	if _, err := exec.LookPath("kind"); err == nil {
		return Kind
	}
	return Localkube
}

// Cluster is a Kubernetes that is up. Its methods are safe for concurrent use.
type Cluster struct {
	// Choice is what was taken, never Auto.
	Choice Choice
	// Kubeconfig is the file to reach it with.
	Kubeconfig string

	root    string // of this source tree
	kubectl string
	helm    string
	proxy   *apiProxy
}

// Up makes the chosen Kubernetes run, or finds it running. It takes seconds
// when the binaries are built, minutes when they are not.
func Up(ctx context.Context, choice Choice) (*Cluster, error) {
	root, err := treeRoot()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Choice: choice.resolve(), root: root}
	switch c.Choice {
	case Current:
		err = c.useCurrent()
	case Kind:
		err = c.upKind(ctx)
	case Localkube:
		err = c.upLocalkube(ctx)
	default:
		err = fmt.Errorf("cluster %q is not known: use current, kind or localkube", choice)
	}
	if err != nil {
		return nil, err
	}
	c.proxy, err = newAPIProxy(c.Kubeconfig)
	return c, err
}

// Down removes the chosen Kubernetes and all that runs in it. The cluster of
// KUBECONFIG is not ours: it is left alone.
func Down(ctx context.Context, choice Choice) error {
	root, err := treeRoot()
	if err != nil {
		return err
	}
	c := &Cluster{Choice: choice.resolve(), root: root}
	switch c.Choice {
	case Current:
		return nil
	case Kind:
		_, err := c.run(ctx, nil, "kind", "delete", "cluster", "--name", kindName)
		return err
	default:
		_, err = c.localkube(ctx, "down")
		return err
	}
}

func treeRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("finding the source tree: no go.mod in this folder or above it: run this inside the checkout")
		}
	}
}

func (c *Cluster) useCurrent() error {
	c.Kubeconfig = os.Getenv("KUBECONFIG")
	if c.Kubeconfig == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("finding the kubeconfig: %w", err)
		}
		c.Kubeconfig = filepath.Join(home, ".kube", "config")
	}
	if _, err := os.Stat(c.Kubeconfig); err != nil {
		return fmt.Errorf("the current cluster was asked for, but its kubeconfig cannot be read (set KUBECONFIG): %w", err)
	}
	return c.findTools()
}

func (c *Cluster) findTools() (err error) {
	if c.kubectl, err = exec.LookPath("kubectl"); err != nil {
		return fmt.Errorf("kubectl is needed to use this cluster: install it and put it on the PATH: %w", err)
	}
	if c.helm, err = exec.LookPath("helm"); err != nil {
		return fmt.Errorf("helm is needed to install the operator: install it and put it on the PATH: %w", err)
	}
	return nil
}

func (c *Cluster) upKind(ctx context.Context) error {
	if err := c.findTools(); err != nil {
		return err
	}
	names, err := c.run(ctx, nil, "kind", "get", "clusters")
	if err != nil {
		return err
	}
	if !strings.Contains("\n"+names, "\n"+kindName+"\n") {
		if _, err := c.run(ctx, nil, "kind", "create", "cluster", "--name", kindName, "--wait", "2m"); err != nil {
			return err
		}
	}
	config, err := c.run(ctx, nil, "kind", "get", "kubeconfig", "--name", kindName)
	if err != nil {
		return err
	}
	c.Kubeconfig = filepath.Join(os.TempDir(), "vesper-kind.kubeconfig")
	if err := os.WriteFile(c.Kubeconfig, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig of kind: %w", err)
	}
	return nil
}

func (c *Cluster) upLocalkube(ctx context.Context) error {
	for _, step := range []string{"build", "up"} {
		if _, err := c.localkube(ctx, step); err != nil {
			return err
		}
	}
	config, err := c.localkube(ctx, "kubeconfig")
	if err != nil {
		return err
	}
	tools, err := c.localkube(ctx, "assets")
	if err != nil {
		return err
	}
	c.Kubeconfig = strings.TrimSpace(config)
	c.kubectl = filepath.Join(strings.TrimSpace(tools), "kubectl")
	c.helm = filepath.Join(strings.TrimSpace(tools), "helm")
	return nil
}

func (c *Cluster) localkube(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, nil, "go", append([]string{"run", "./hack/localkube"}, args...)...)
}

// ToolsDir is the folder of the kubectl that fits the cluster.
func (c *Cluster) ToolsDir() string { return filepath.Dir(c.kubectl) }

// Helm runs helm against the cluster and returns what it prints.
func (c *Cluster) Helm(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, nil, c.helm, args...)
}

// Kubectl runs kubectl against the cluster and returns what it prints.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, nil, c.kubectl, args...)
}

// Apply applies manifests given as text.
func (c *Cluster) Apply(ctx context.Context, namespace, manifests string) error {
	_, err := c.run(ctx, []byte(manifests), c.kubectl, "apply", "-n", namespace, "-f", "-")
	return err
}

// CommandError is a command that failed, with what it said.
type CommandError struct {
	Command string
	Output  string
	Err     error
}

// Error says which command failed and ends with its own last words.
func (e *CommandError) Error() string {
	return fmt.Sprintf("running %s: %v: %s", e.Command, e.Err, strings.TrimSpace(e.Output))
}

// Unwrap returns why the command failed.
func (e *CommandError) Unwrap() error { return e.Err }

func (c *Cluster) run(ctx context.Context, stdin []byte, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the commands are this package's own
	cmd.Dir = c.root
	cmd.Env = os.Environ()
	if c.Kubeconfig != "" {
		cmd.Env = append(cmd.Env, "KUBECONFIG="+c.Kubeconfig)
	}
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), &CommandError{
			Command: strings.Join(append([]string{filepath.Base(name)}, args...), " "),
			Output:  stdout.String() + stderr.String(), Err: err,
		}
	}
	return stdout.String(), nil
}
