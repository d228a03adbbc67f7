package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/hack/localkube/internal/archive"
)

// Load imports archives of images (docker-archive or OCI layout) into the running cluster. An archive that was loaded
// before and has not changed since is skipped.
func (c *Cluster) Load(ctx context.Context, archives []string, out io.Writer) error {
	if err := checkRoot(os.Geteuid()); err != nil {
		return err
	}
	if _, ok := c.place().Running("containerd"); !ok {
		return errors.New("the cluster does not run: start it with `localkube up`")
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return c.importAll(ctx, archives, out)
}

// loaded remembers what was imported from one archive.
type loaded struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Names    []string  `json:"names"`
}

func (c *Cluster) importAll(ctx context.Context, archives []string, out io.Writer) error {
	records := c.readLoaded()
	present, err := c.imageNames(ctx)
	if err != nil {
		return err
	}
	for _, file := range archives {
		file, err := filepath.Abs(file)
		if err != nil {
			return fmt.Errorf("load an image: %w", err)
		}
		now, err := describe(file)
		if err != nil {
			return err
		}
		if same(records[file], now) && containsAll(present, now.fullNames()) {
			fmt.Fprintf(out, "%s: already loaded\n", strings.Join(now.Names, ", "))
			continue
		}
		start := time.Now()
		if err := c.importOne(ctx, file, now.Names); err != nil {
			return err
		}
		records[file] = now
		if err := c.writeLoaded(records); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: loaded in %.1f s\n", strings.Join(now.Names, ", "), time.Since(start).Seconds())
	}
	return nil
}

// importOne imports one archive and makes sure that its images are there under the names that pods will use: containerd
// takes the names in an OCI layout as they are, where the kubelet asks for them spelled out.
func (c *Cluster) importOne(ctx context.Context, file string, names []string) error {
	if _, err := c.ctr(ctx, "images", "import", file); err != nil {
		return fmt.Errorf("load %s: %w", file, err)
	}
	present, err := c.imageNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		full := archive.Normalize(name)
		if name != full && slices.Contains(present, name) {
			if err := c.rename(ctx, name, full); err != nil {
				return fmt.Errorf("load %s: %w", file, err)
			}
			continue
		}
		if !slices.Contains(present, full) {
			return fmt.Errorf("load %s: containerd took the archive, but knows no image %s afterwards", file, full)
		}
	}
	return nil
}

// rename gives an image another name.
func (c *Cluster) rename(ctx context.Context, from, to string) error {
	if _, err := c.ctr(ctx, "images", "tag", "--force", from, to); err != nil {
		return err
	}
	_, err := c.ctr(ctx, "images", "rm", from)
	return err
}

func (c *Cluster) imageNames(ctx context.Context) ([]string, error) {
	out, err := c.ctr(ctx, "images", "ls", "-q")
	if err != nil {
		return nil, fmt.Errorf("list the cluster's images: %w", err)
	}
	return strings.Fields(out), nil
}

func describe(file string) (loaded, error) {
	info, err := os.Stat(file)
	if err != nil {
		return loaded{}, fmt.Errorf("load an image: %w", err)
	}
	names, err := archive.Names(file)
	if err != nil {
		return loaded{}, err
	}
	return loaded{Size: info.Size(), Modified: info.ModTime().UTC(), Names: names}, nil
}

// fullNames are the names by which the kubelet asks for the archive's images.
func (l loaded) fullNames() []string {
	full := make([]string, len(l.Names))
	for i, name := range l.Names {
		full[i] = archive.Normalize(name)
	}
	return full
}

func same(a, b loaded) bool {
	return a.Size == b.Size && a.Modified.Equal(b.Modified) && slices.Equal(a.Names, b.Names)
}

func containsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}

func (c *Cluster) loadedFile() string { return c.path("run", "loaded.json") }

// readLoaded returns the records; unreadable ones only cost a second import.
func (c *Cluster) readLoaded() map[string]loaded {
	records := map[string]loaded{}
	data, err := os.ReadFile(c.loadedFile())
	if err != nil || json.Unmarshal(data, &records) != nil {
		return map[string]loaded{}
	}
	return records
}

func (c *Cluster) writeLoaded(records map[string]loaded) error {
	data, err := json.MarshalIndent(records, "", "  ")
	if err != nil {
		return fmt.Errorf("remember the loaded images: %w", err)
	}
	return os.WriteFile(c.loadedFile(), data, 0o644)
}
