package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Stamp says from what a binary was built. A binary is built again when its stamp differs from the one wanted or when
// the file is not the one the stamp was written for.
type Stamp struct {
	Package string   `json:"package"`
	Version string   `json:"version"`
	Flags   []string `json:"flags"`
	// Go is the compiler's version, as `go env GOVERSION` says it.
	Go string `json:"go"`
	// Source is the digest of a source that is part of localkube.
	Source string `json:"source,omitempty"`
	// Size of the binary in bytes: a build that was cut off leaves another one.
	Size int64 `json:"size"`
}

// stampOf is what t's stamp must say when compiled by the Go release goVersion; its Size is left to compare with the file.
func stampOf(t Target, goVersion string) Stamp {
	s := Stamp{Package: t.Package, Version: t.Version, Flags: t.Flags, Go: goVersion}
	if t.Module == "" {
		s.Source = digest([]byte(pauseSource))
	}
	return s
}

// Equal reports whether two stamps say the same.
func (s Stamp) Equal(o Stamp) bool {
	return s.Package == o.Package && s.Version == o.Version && s.Go == o.Go && s.Source == o.Source && s.Size == o.Size && slices.Equal(s.Flags, o.Flags)
}

func stampPath(dir, name string) string { return filepath.Join(dir, ".stamps", name+".json") }

// fresh reports whether dir/name is the binary that want describes.
func fresh(dir, name string, want Stamp) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return false
	}
	data, err := os.ReadFile(stampPath(dir, name))
	if err != nil {
		return false
	}
	var have Stamp
	if json.Unmarshal(data, &have) != nil {
		return false
	}
	want.Size = info.Size()
	return have.Equal(want)
}

// writeStamp records that dir/name was built as s says.
func writeStamp(dir, name string, s Stamp) error {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("stamp %s: %w", name, err)
	}
	s.Size = info.Size()
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("stamp %s: %w", name, err)
	}
	path := stampPath(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("stamp %s: %w", name, err)
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// dropStamp forgets a binary before it is built again, so that an interrupted build is never taken for a finished one.
func dropStamp(dir, name string) error {
	if err := os.Remove(stampPath(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget the stamp of %s: %w", name, err)
	}
	return nil
}
