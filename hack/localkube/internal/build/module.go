package build

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// pauseSource is the program of the sandbox image: it holds a pod's namespaces and waits for a signal.
const pauseSource = `package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	<-c
}
`

// prepare returns a directory in which `go build` finds t.Package: a module of its own that requires t.Module.
func (b Builder) prepare(ctx context.Context, t Target) (string, error) {
	dir := filepath.Join(b.Cache.Dir, "src", moduleDir(t))
	if t.Module == "" {
		return dir, writeModule(dir, t.Name, map[string]string{"main.go": pauseSource})
	}
	done := filepath.Join(dir, ".complete")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clean %s: %w", dir, err)
	}
	if err := writeModule(dir, "localkube/"+moduleDir(t), nil); err != nil {
		return "", err
	}
	if err := b.require(ctx, dir, t); err != nil {
		return "", err
	}
	return dir, os.WriteFile(done, nil, 0o644)
}

// moduleDir is the name of the directory of t's module: programs of one module share it.
func moduleDir(t Target) string {
	if t.Module == "" {
		return t.Name
	}
	return strings.ReplaceAll(t.Module, "/", "_")
}

// writeModule makes a module with some files in dir.
func writeModule(dir, name string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the module %s: %w", name, err)
	}
	all := map[string]string{"go.mod": fmt.Sprintf("module %s\n\ngo %s\n", name, oldestGo)}
	maps.Copy(all, files)
	for file, text := range all {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return fmt.Errorf("make the module %s: %w", name, err)
		}
	}
	return nil
}

// require adds t's module and all programs that localkube builds from it to the module in dir.
func (b Builder) require(ctx context.Context, dir string, t Target) error {
	if t.Module == "k8s.io/kubernetes" {
		if err := replaceStaging(ctx, dir, t); err != nil {
			return err
		}
	}
	args := []string{"get", "-tool"}
	for _, other := range Targets() {
		if other.Module == t.Module {
			args = append(args, other.Package+"@"+other.Version)
		}
	}
	if _, err := goRun(ctx, dir, args...); err != nil {
		return fmt.Errorf("%w\n(a first build needs a Go module proxy: see `go env GOPROXY`)", err)
	}
	return nil
}

// replaceStaging points the module in dir at the published staging modules of Kubernetes: its own go.mod replaces them
// with directories of its repository, and replacements of a dependency do not count.
func replaceStaging(ctx context.Context, dir string, t Target) error {
	version, err := stagingVersion(strings.TrimPrefix(t.Version, "v"))
	if err != nil {
		return err
	}
	out, err := goRun(ctx, dir, "mod", "download", "-json", t.Module+"@"+t.Version)
	if err != nil {
		return fmt.Errorf("%w\n(a first build needs a Go module proxy: see `go env GOPROXY`)", err)
	}
	var info struct{ GoMod string }
	if err := json.Unmarshal(out, &info); err != nil {
		return fmt.Errorf("read the answer of go mod download: %w", err)
	}
	gomod, err := os.ReadFile(info.GoMod)
	if err != nil {
		return fmt.Errorf("read go.mod of %s: %w", t.Module, err)
	}
	staging := stagingModules(gomod)
	if len(staging) == 0 {
		return errors.New("go.mod of " + t.Module + " names no staging modules")
	}
	args := []string{"mod", "edit", "-require=" + t.Module + "@" + t.Version}
	for _, m := range staging {
		args = append(args, "-replace="+m+"="+m+"@"+version)
	}
	_, err = goRun(ctx, dir, args...)
	return err
}

var stagingLine = regexp.MustCompile(`^\s*(?:replace\s+)?(\S+)\s+=>\s+\./staging/`)

// stagingModules returns the modules that a go.mod of Kubernetes replaces with directories below ./staging.
func stagingModules(gomod []byte) []string {
	var found []string
	for lines := bufio.NewScanner(bytes.NewReader(gomod)); lines.Scan(); {
		if m := stagingLine.FindStringSubmatch(lines.Text()); m != nil {
			found = append(found, m[1])
		}
	}
	return found
}
