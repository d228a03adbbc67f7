// Images builds the container images of the project as archives, in a cache outside of the source tree, and prints the
// archives' paths. An image whose inputs did not change is not built again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var b builder
	var engine string
	cmd := &cobra.Command{
		Use:   "images [" + strings.Join(imageNames(), "|") + "]...",
		Short: "Build container images as archives and print their paths (all, unless some are named)",
		Long: `Build container images as archives and print their paths (all, unless some are named).

Environment:
  VESPER_IMAGE_CACHE  where the archives are kept (default vesper-images in $XDG_CACHE_HOME or ~/.cache)`,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.prepare(cmd.Context(), engine); err != nil {
				return err
			}
			b.out = cmd.ErrOrStderr()
			chosen, err := choose(args)
			if err != nil {
				return err
			}
			for _, im := range chosen {
				im = im.tagged(b.tag)
				file, err := b.build(cmd.Context(), im)
				if err != nil {
					return fmt.Errorf("build %s: %w", im.reference(), err)
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), file); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&engine, "engine", "", "docker or buildah (default: docker if its daemon answers, else buildah)")
	cmd.Flags().StringVar(&b.version, "version", "", "version the programs report (default: git describe)")
	cmd.Flags().StringVar(&b.base, "base", "scratch", "base image of the programs' images")
	cmd.Flags().StringVar(&b.tree, "tree", "", "source tree of the programs (default: this one)")
	cmd.Flags().StringVar(&b.tag, "tag", devTag, "tag of the programs' images; each has archives of its own")
	return cmd
}

// devTag is the tag of the programs' images unless another one is asked for.
const devTag = "dev"

// image is one image that can be built.
type image struct {
	// key is what a user calls it, repository and tag are its name.
	key, repository, tag string
	// make puts its parts into a directory.
	make func(context.Context, *builder, string) (parts, error)
}

func (i image) reference() string { return i.repository + ":" + i.tag }

// tagged is the image under the tag that was asked for, with an archive of its own. That of the broker says which
// broker it is, and stays.
func (i image) tagged(tag string) image {
	if i.tag == devTag && tag != devTag {
		i.key, i.tag = i.key+"-"+tag, tag
	}
	return i
}

// parts are what an engine builds an image from.
type parts struct {
	dockerfile, context, target string
	args                        map[string]string
	// digest covers everything that goes into the image.
	digest string
}

func images() []image {
	return []image{
		{"node", "vesper/node", devTag, program("vesper-node", "./cmd/node", "Dockerfile.node")},
		{"manager", "vesper/manager", devTag, program("vesper-manager", "./cmd/manager", "Dockerfile.manager")},
		{"activemq", "vesper/activemq-classic", activemqVersion, activemq},
	}
}

func imageNames() []string {
	var keys []string
	for _, i := range images() {
		keys = append(keys, i.key)
	}
	return keys
}

// choose returns the images of the given names, all for none.
func choose(names []string) ([]image, error) {
	if len(names) == 0 {
		return images(), nil
	}
	var chosen []image
	for _, name := range names {
		at := slices.IndexFunc(images(), func(i image) bool { return i.key == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no image %q: use %s", name, strings.Join(imageNames(), ", "))
		}
		chosen = append(chosen, images()[at])
	}
	return chosen, nil
}

// build makes the archive of an image unless the one there is has the same inputs, and returns its path.
func (b *builder) build(ctx context.Context, im image) (string, error) {
	work, err := os.MkdirTemp(b.cache, workPrefix)
	if err != nil {
		return "", fmt.Errorf("make a working directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	start := time.Now()
	p, err := im.make(ctx, b, work)
	if err != nil {
		return "", err
	}
	file := filepath.Join(b.cache, im.key+".tar")
	want := sum(p.digest, im.reference(), b.engine.name(), b.base)
	if stamped(file, want) {
		fmt.Fprintf(b.out, "%s: up to date\n", im.reference())
		return file, nil
	}
	if err := os.Remove(file + stampSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("forget the old image: %w", err)
	}
	tmp := filepath.Join(work, "image.tar")
	if err := b.engine.build(ctx, im.reference(), p, tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, file); err != nil {
		return "", fmt.Errorf("put the image in place: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("look at the image: %w", err)
	}
	fmt.Fprintf(b.out, "%s: built in %.1f s, %.1f MB\n", im.reference(), time.Since(start).Seconds(), float64(info.Size())/1e6)
	return file, os.WriteFile(file+stampSuffix, []byte(want+"\n"), 0o644)
}
