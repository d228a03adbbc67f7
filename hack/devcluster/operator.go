package devcluster

import (
	"cmp"
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

	// devTag is the tag of the images of this tree.
	devTag            = "dev"
	managerRepository = "vesper/manager"
	activemqImage     = "vesper/activemq-classic:5.17.2"
)

// LoadImages builds the images of this tree and brings them into the cluster.
// A cluster of the user's own is given none: there the images must be pulled.
func (c *Cluster) LoadImages(ctx context.Context) error {
	if c.Choice == Kind {
		return c.load(ctx, "node", "manager") // it pulls the broker's image itself
	}
	return c.load(ctx)
}

// Version is the programs as another version than this tree's, in images with a
// tag of their own.
type Version struct {
	// Tag of the images, and what the programs say that they are.
	Tag string
	// Tree is the source tree, "" for this one.
	Tree string
	// Programs are node and manager, or one of them.
	Programs []string
}

// LoadVersion builds the images of another version and brings them into the
// cluster, unless it is the user's own.
func (c *Cluster) LoadVersion(ctx context.Context, v Version) error {
	args := []string{"--tag", v.Tag, "--version", v.Tag}
	if v.Tree != "" {
		args = append(args, "--tree", v.Tree)
	}
	return c.load(ctx, append(args, v.Programs...)...)
}

// load builds images, with these arguments of hack/images, and brings them into the cluster.
func (c *Cluster) load(ctx context.Context, args ...string) error {
	if c.Choice == Current {
		return nil
	}
	out, err := c.run(ctx, nil, "go", append([]string{"run", "./hack/images"}, args...)...)
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

// Install is a release of the operator's chart. Its zero value is this tree's,
// for all namespaces.
type Install struct {
	// Chart is the folder of the chart, "" for this tree's.
	Chart string
	// Namespace to install into, "" for OperatorNamespace.
	Namespace string
	// Tag of the images of the operator and its nodes, "" for this tree's.
	Tag string
	// Values are further values, KEY=VALUE.
	Values []string
}

// InstallOperator installs the operator, or upgrades it, from this tree's
// chart, and waits until it is ready.
func (c *Cluster) InstallOperator(ctx context.Context) error { return c.Install(ctx, Install{}) }

// Install installs or upgrades a release of the operator's chart, and returns
// when Helm says that it is ready.
func (c *Cluster) Install(ctx context.Context, i Install) error {
	args := []string{
		"upgrade", "--install", release, cmp.Or(i.Chart, filepath.Join(c.root, "charts", "vesper-operator")),
		"--namespace", cmp.Or(i.Namespace, OperatorNamespace), "--create-namespace", "--wait", "--timeout", "3m",
	}
	if c.Choice == Current {
		args = append(args, strings.Fields(os.Getenv(helmArgs))...)
	} else {
		args = append(args, imageValues(cmp.Or(i.Tag, devTag))...)
	}
	if c.Choice == Localkube {
		args = append(args, "--set", "activemqImage="+activemqImage)
	}
	for _, value := range i.Values {
		args = append(args, "--set", value)
	}
	_, err := c.Helm(ctx, args...)
	return err
}

func imageValues(tag string) []string {
	return []string{
		"--set", "image.repository=" + managerRepository, "--set", "image.tag=" + tag,
		"--set", "nodeImage=" + NodeImage(tag),
	}
}

// NodeImage is the image of a version of the node.
func NodeImage(tag string) string { return "vesper/node:" + tag }

// UninstallOperator removes the operator; the chart keeps the CRDs, and with
// them all clusters.
func (c *Cluster) UninstallOperator(ctx context.Context) error {
	return c.Uninstall(ctx, OperatorNamespace)
}

// Uninstall removes the release of the operator in a namespace.
func (c *Cluster) Uninstall(ctx context.Context, namespace string) error {
	_, err := c.Helm(ctx, "uninstall", release, "--namespace", namespace, "--wait", "--ignore-not-found")
	return err
}
