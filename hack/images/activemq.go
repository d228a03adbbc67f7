package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The ActiveMQ of the test image: Debian's, in the layout of the official image.
const (
	activemqVersion = "5.17.2"
	debianSuite     = "bookworm"
)

// activemqPackages are installed with what they depend on. The last two serve advisories and the statistics plugin.
var activemqPackages = []string{"activemq", "openjdk-17-jre-headless", "bash", "libxstream-java", "libjettison-java"}

// unneeded are paths that the packages' files are left out of.
var unneeded = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/maven-repo/*", "/usr/lib/jvm/*/lib/ct.sym"}

// activemq makes the parts of the ActiveMQ image. Its file tree is kept, as it takes most of a minute.
func activemq(ctx context.Context, b *builder, work string) (parts, error) {
	source := filepath.Join(b.tree, "hack", "images", "activemq")
	layout := filepath.Join(source, "layout.sh")
	inputs, err := filesBelow(source)
	if err != nil {
		return parts{}, err
	}
	digest, err := sumFiles(inputs...)
	if err != nil {
		return parts{}, err
	}
	script, err := sumFiles(layout)
	if err != nil {
		return parts{}, err
	}
	root := filepath.Join(b.cache, "activemq-rootfs.tar")
	want := sum(append(rootfsArguments("layout.sh"), script)...) // without its path: other clones share the cache
	if !stamped(root, want) {
		fmt.Fprintf(b.out, "installing %s into a file tree (about a minute)\n", strings.Join(activemqPackages, ", "))
		if err := makeRootfs(ctx, rootfsArguments(layout), root, work); err != nil {
			return parts{}, err
		}
		if err := os.WriteFile(root+stampSuffix, []byte(want+"\n"), 0o644); err != nil {
			return parts{}, fmt.Errorf("remember the file tree: %w", err)
		}
	}
	return parts{dockerfile: filepath.Join(source, "Dockerfile"), context: work, digest: sum(want, digest)}, fillContext(source, root, work)
}

// rootfsArguments are mmdebstrap's, but for the file it writes.
func rootfsArguments(layout string) []string {
	args := []string{"--variant=essential", "--include=" + strings.Join(activemqPackages, ",")}
	for _, path := range unneeded {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	return append(args,
		`--setup-hook=mkdir -p "$1/usr/share/man/man1"`, // a package's script insists on it
		`--customize-hook='`+layout+`' "$1"`, debianSuite)
}

func makeRootfs(ctx context.Context, args []string, file, work string) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return errors.New("mmdebstrap is not in PATH: apt-get install --no-install-recommends mmdebstrap (or use the official image apache/activemq-classic)")
	}
	tmp := filepath.Join(work, "new-rootfs.tar")
	if err := os.Remove(file + stampSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the old file tree: %w", err)
	}
	if err := runCommand(exec.CommandContext(ctx, "mmdebstrap", append(args, tmp)...)); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// fillContext puts the files that the Dockerfile names into the working directory.
func fillContext(source, root, work string) error {
	if err := os.Link(root, filepath.Join(work, "rootfs.tar")); err != nil {
		return fmt.Errorf("fill the build's directory: %w", err)
	}
	for _, dir := range []string{"bin", "conf"} {
		if err := os.CopyFS(filepath.Join(work, dir), os.DirFS(filepath.Join(source, dir))); err != nil {
			return fmt.Errorf("fill the build's directory: %w", err)
		}
	}
	return nil
}

func filesBelow(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the inputs: %w", err)
	}
	return files, nil
}
