package devcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// OperatorNamespace is where InstallOperator puts the operator.
	OperatorNamespace = "vesper-system"
	// release is the name of the Helm release.
	release = "vesper-operator"

	managerImage  = "vesper/manager:dev"
	nodeImage     = "vesper/node:dev"
	activemqImage = "vesper/activemq-classic:5.17.2"
)

// LoadImages builds the images of this tree and brings them into the cluster.
// A cluster of the user's own is given none: there the images must be pulled.
func (c *Cluster) LoadImages(ctx context.Context) error {
	if c.Choice == Current {
		return nil
	}
	build := []string{"run", "./hack/images"}
	if c.Choice == Kind {
		build = append(build, "node", "manager") // it pulls the broker's image itself
	}
	out, err := c.run(ctx, nil, "go", build...)
	if err != nil {
		return err
	}
	var archives []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasSuffix(line, ".tar") {
			archives = append(archives, line)
		}
	}
	if len(archives) == 0 {
		return fmt.Errorf("building images: no archive was named in %q", out)
	}
	if c.Choice == Kind {
		for _, archive := range archives {
			if _, err := c.run(ctx, nil, "kind", "load", "image-archive", archive, "--name", kindName); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = c.localkube(ctx, append([]string{"load"}, archives...)...)
	return err
}

// helmArgs is the environment variable with further arguments of helm for a
// cluster of the user's own, such as where its images are.
const helmArgs = "DEMO_HELM_ARGS"

// InstallOperator installs the operator, or upgrades it, from this tree's
// chart, and waits until it is ready.
func (c *Cluster) InstallOperator(ctx context.Context) error {
	args := []string{
		"upgrade", "--install", release, filepath.Join(c.root, "charts", "vesper-operator"),
		"--namespace", OperatorNamespace, "--create-namespace", "--wait", "--timeout", "3m",
	}
	if c.Choice == Current {
		args = append(args, strings.Fields(os.Getenv(helmArgs))...)
	} else {
		args = append(args, imageValues()...)
	}
	if c.Choice == Localkube {
		args = append(args, "--set", "activemqImage="+activemqImage)
	}
	_, err := c.Helm(ctx, args...)
	return err
}

func imageValues() []string {
	repository, tag, _ := strings.Cut(managerImage, ":")
	return []string{
		"--set", "image.repository=" + repository, "--set", "image.tag=" + tag,
		"--set", "nodeImage=" + nodeImage,
	}
}

// UninstallOperator removes the operator; the chart keeps the CRDs, and with
// them all clusters.
func (c *Cluster) UninstallOperator(ctx context.Context) error {
	_, err := c.Helm(ctx, "uninstall", release, "--namespace", OperatorNamespace, "--wait", "--ignore-not-found")
	return err
}
