// Package build makes the programs and images of localkube from their Go modules and keeps them outside the source tree.
package build

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
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Cache is the directory that holds what was built from one set of versions.
type Cache struct{ Dir string }

// DefaultCache is $LOCALKUBE_CACHE/HASH, else localkube/HASH in the user's cache directory ($XDG_CACHE_HOME or ~/.cache).
func DefaultCache() (Cache, error) {
	base := os.Getenv("LOCALKUBE_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return Cache{}, fmt.Errorf("find a cache directory: %w: set LOCALKUBE_CACHE", err)
		}
		base = filepath.Join(user, "localkube")
	}
	abs, err := filepath.Abs(base)
	if err != nil {
		return Cache{}, fmt.Errorf("find the cache directory %s: %w", base, err)
	}
	return Cache{Dir: filepath.Join(abs, VersionsHash())}, nil
}

// Bin is the directory of the programs; it serves as KUBEBUILDER_ASSETS.
func (c Cache) Bin() string { return filepath.Join(c.Dir, "bin") }

// Images is the directory of the archives of the images that every cluster needs.
func (c Cache) Images() string { return filepath.Join(c.Dir, "images") }

// Missing returns the names among only (see Select) that are not built.
func (c Cache) Missing(only ...string) ([]string, error) {
	targets, err := Select(only)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, t := range targets {
		if _, err := os.Stat(stampPath(c.Bin(), t.Name)); err != nil {
			missing = append(missing, t.Name)
			continue
		}
		if _, err := os.Stat(filepath.Join(c.Bin(), t.Name)); err != nil {
			missing = append(missing, t.Name)
		}
	}
	return missing, nil
}

// Builder builds targets into a cache. Its zero value is not usable: set Cache and Out.
type Builder struct {
	Cache Cache
	// Out receives one line for each program, with the time it took.
	Out io.Writer
}

// Build makes the programs that only names (all if none) and the images made of them. What is fresh is skipped; when all
// is, Build takes some tens of milliseconds. Only one Build works on a cache at a time; a second one waits.
func (b Builder) Build(ctx context.Context, only []string) error {
	targets, err := Select(only)
	if err != nil {
		return err
	}
	goVersion, err := goVersion(ctx)
	if err != nil {
		return err
	}
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	built := 0
	for i, t := range targets {
		done, err := b.one(ctx, t, goVersion, fmt.Sprintf("%d/%d", i+1, len(targets)))
		if err != nil {
			return err
		}
		if done {
			built++
		}
	}
	if err := b.images(); err != nil {
		return err
	}
	fmt.Fprintf(b.Out, "%d of %d programs built, the others were up to date: %s\n", built, len(targets), b.Cache.Bin())
	return nil
}

// lock holds the cache for this process; the returned function lets go of it.
func (b Builder) lock() (func(), error) {
	if err := os.MkdirAll(b.Cache.Bin(), 0o755); err != nil {
		return nil, fmt.Errorf("make the cache %s: %w", b.Cache.Dir, err)
	}
	f, err := os.OpenFile(filepath.Join(b.Cache.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		fmt.Fprintf(b.Out, "another build works on %s: waiting for it\n", b.Cache.Dir)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock the cache %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}

// one builds t unless it is fresh, and reports whether it did.
func (b Builder) one(ctx context.Context, t Target, goVersion, place string) (bool, error) {
	want := stampOf(t, goVersion)
	if fresh(b.Cache.Bin(), t.Name, want) {
		return false, nil
	}
	start := time.Now()
	fmt.Fprintf(b.Out, "building %s %s (%s) ... ", t.Name, t.Version, place)
	if err := dropStamp(b.Cache.Bin(), t.Name); err != nil {
		return false, err
	}
	if err := b.compile(ctx, t); err != nil {
		fmt.Fprintln(b.Out, "failed")
		return false, fmt.Errorf("build %s: %w", t.Name, err)
	}
	fmt.Fprintf(b.Out, "%s\n", time.Since(start).Round(100*time.Millisecond))
	return true, writeStamp(b.Cache.Bin(), t.Name, want)
}

// compile runs `go build` for t in its module's directory and puts the binary in place at once.
func (b Builder) compile(ctx context.Context, t Target) error {
	dir, err := b.prepare(ctx, t)
	if err != nil {
		return err
	}
	tmp := filepath.Join(b.Cache.Bin(), "."+t.Name+".new")
	args := append([]string{"build", "-o", tmp}, t.Flags...)
	if _, err := goRun(ctx, dir, append(args, t.Package)...); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(b.Cache.Bin(), t.Name))
}

// goVersion returns the compiler's version, or says how to get one.
func goVersion(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("the go command is not in PATH: install Go %s or later (https://go.dev/dl)", oldestGo)
	}
	out, err := goRun(ctx, os.TempDir(), "env", "GOVERSION")
	if err != nil {
		return "", fmt.Errorf("ask go for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// goRun runs the go command in dir, free of the caller's workspace and flags, and returns what it prints. An error
// carries the end of its messages.
func goRun(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GO111MODULE=on", "GOBIN=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, lastLines(stderr.String(), 20))
	}
	return stdout.Bytes(), nil
}

// lastLines returns at most n lines of the end of text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
