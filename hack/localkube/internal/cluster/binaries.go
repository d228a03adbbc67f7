package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// keepBinaries remembers which set of programs the cluster runs and keeps a copy of this one for the provisioner.
func (c *Cluster) keepBinaries() error {
	if err := os.WriteFile(c.path("binaries"), []byte(c.Cache.Dir+"\n"), 0o644); err != nil {
		return fmt.Errorf("remember the programs: %w", err)
	}
	if _, ok := c.place().Running("provisioner"); ok {
		return nil
	}
	return copyProgram("/proc/self/exe", c.self())
}

// sameBinaries refuses to mix programs of two versions in one cluster.
func (c *Cluster) sameBinaries() error {
	data, err := os.ReadFile(c.path("binaries"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("see which programs the cluster runs: %w", err)
	}
	if was := strings.TrimSpace(string(data)); was != c.Cache.Dir {
		return fmt.Errorf("the cluster in %s was made with other programs (%s): run `localkube down` first", c.Dir, was)
	}
	return nil
}

// copyProgram copies an executable so that it appears whole or not at all.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy the program: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(to), ".new-*")
	if err != nil {
		return fmt.Errorf("copy the program: %w", err)
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o755), out.Close())
	if err != nil {
		return fmt.Errorf("copy the program: %w", errors.Join(err, os.Remove(out.Name())))
	}
	return os.Rename(out.Name(), to)
}
