package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// builder holds what all images share.
type builder struct {
	tree, cache        string
	version, base, tag string
	engine             engine
	out                io.Writer
}

// prepare finds the source tree, the cache, the version and the engine.
func (b *builder) prepare(ctx context.Context, wanted string) error {
	tree, err := output(ctx, b.tree, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return fmt.Errorf("find the source tree: %w", err)
	}
	b.tree = tree
	if b.cache, err = cacheDir(); err != nil {
		return err
	}
	if b.version == "" {
		if b.version, err = output(ctx, b.tree, "git", "describe", "--tags", "--always", "--dirty"); err != nil {
			b.version = "dev" // a tree without its history
		}
	}
	b.engine, err = chooseEngine(ctx, wanted)
	return err
}

func cacheDir() (string, error) {
	dir := os.Getenv("VESPER_IMAGE_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache directory: %w: set VESPER_IMAGE_CACHE", err)
		}
		dir = filepath.Join(user, "vesper-images")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	return dir, sweepOld(dir, time.Now().Add(-24*time.Hour))
}

const workPrefix = ".work-"

// sweepOld removes working directories that a killed build left behind before the given time.
func sweepOld(dir string, before time.Time) error {
	old, err := filepath.Glob(filepath.Join(dir, workPrefix+"*"))
	if err != nil {
		return fmt.Errorf("clean the cache: %w", err)
	}
	for _, work := range old {
		if info, err := os.Stat(work); err == nil && info.ModTime().Before(before) {
			if err := os.RemoveAll(work); err != nil {
				return fmt.Errorf("clean the cache: %w", err)
			}
		}
	}
	return nil
}

// program returns the maker of the image of a Go program: a static binary and a Dockerfile. The version is an input of
// the binary, so that the binary's digest is enough.
func program(name, pkg, dockerfile string) func(context.Context, *builder, string) (parts, error) {
	return func(ctx context.Context, b *builder, work string) (parts, error) {
		binary := filepath.Join(work, name)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X vesperdb.io/vesper/internal/version.Version="+b.version, "-o", binary, pkg)
		cmd.Dir, cmd.Env = b.tree, append(os.Environ(), "CGO_ENABLED=0")
		if err := runCommand(cmd); err != nil {
			return parts{}, err
		}
		file := filepath.Join(b.tree, dockerfile)
		digest, err := sumFiles(binary, file)
		return parts{
			dockerfile: file, context: work, target: "prebuilt", digest: digest,
			args: map[string]string{"BASE": b.base, "VERSION": b.version},
		}, err
	}
}

const stampSuffix = ".inputs"

// stamped reports whether file is there and was made from the inputs that want stands for.
func stamped(file, want string) bool {
	if _, err := os.Stat(file); err != nil {
		return false
	}
	data, err := os.ReadFile(file + stampSuffix)
	return err == nil && strings.TrimSpace(string(data)) == want
}

func sum(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:%s", len(t), t) // no two lists give the same bytes
	}
	return hex.EncodeToString(h.Sum(nil))
}

// sumFiles returns one digest of the files' contents, names and modes.
func sumFiles(files ...string) (string, error) {
	texts := make([]string, 0, 3*len(files))
	for _, file := range slices.Sorted(slices.Values(files)) {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read an input: %w", err)
		}
		info, err := os.Stat(file)
		if err != nil {
			return "", fmt.Errorf("read an input: %w", err)
		}
		texts = append(texts, filepath.Base(file), info.Mode().Perm().String(), string(data))
	}
	return sum(texts...), nil
}

// output runs a command and returns what it prints, without the last line's end.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	err := runCommand(cmd)
	return strings.TrimSpace(stdout.String()), err
}

// runCommand runs a command; an error carries the end of what it said.
func runCommand(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stderr = &said
	if cmd.Stdout == nil {
		cmd.Stdout = &said
	}
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s is not in PATH", cmd.Args[0])
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return nil
}
