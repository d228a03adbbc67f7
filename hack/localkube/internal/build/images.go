package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vesperdb.io/vesper/hack/localkube/internal/archive"
)

// PauseImage and CoreDNSImage are the names under which a cluster knows its own images. They are never pulled.
const (
	PauseImage   = "registry.k8s.io/pause:" + PauseVersion
	CoreDNSImage = "localkube/coredns:" + CoreDNSVersion
)

// images writes the archives of the cluster's own images next to the programs they are made of, where these are newer.
func (b Builder) images() error {
	for _, im := range []struct{ program, name string }{{"pause", PauseImage}, {"coredns", CoreDNSImage}} {
		from, to := filepath.Join(b.Cache.Bin(), im.program), filepath.Join(b.Cache.Images(), im.program+".tar")
		stale, err := older(to, from)
		if err != nil {
			return err
		}
		if !stale {
			continue
		}
		if err := os.MkdirAll(b.Cache.Images(), 0o755); err != nil {
			return fmt.Errorf("make the directory of images: %w", err)
		}
		if err := archive.WriteProgram(to, im.name, from); err != nil {
			return err
		}
	}
	return nil
}

// older reports whether file is missing or older than its source. Without a source there is nothing to make.
func older(file, source string) (bool, error) {
	src, err := os.Stat(source)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", source, err)
	}
	dst, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", file, err)
	}
	return dst.ModTime().Before(src.ModTime()), nil
}
