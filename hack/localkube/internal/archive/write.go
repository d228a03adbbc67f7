// Package archive writes and reads archives of container images (docker-archive and OCI layout) without any container tool.
package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
)

// WriteProgram writes a docker-archive to file: an image called name whose only content is the program, which is its
// entrypoint at /NAME-OF-PROGRAM. The archive appears whole or not at all.
func WriteProgram(file, name, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("make the image %s: %w", name, err)
	}
	entry := "/" + filepath.Base(program)
	layer, err := tarOf([]entryFile{{path.Base(entry), 0o755, data}})
	if err != nil {
		return fmt.Errorf("make the image %s: %w", name, err)
	}
	all, err := dockerArchive(name, entry, layer)
	if err != nil {
		return fmt.Errorf("make the image %s: %w", name, err)
	}
	tmp := file + ".new"
	if err := os.WriteFile(tmp, all, 0o644); err != nil {
		return fmt.Errorf("make the image %s: %w", name, err)
	}
	return os.Rename(tmp, file)
}

type entryFile struct {
	name string
	mode int64
	data []byte
}

// dockerArchive wraps one layer into an image with an entrypoint.
func dockerArchive(name, entry string, layer []byte) ([]byte, error) {
	diff := hexSum(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{entry}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + diff}},
	})
	if err != nil {
		return nil, err
	}
	configName := hexSum(config) + ".json"
	manifest, err := json.Marshal([]dockerManifest{{Config: configName, RepoTags: []string{name}, Layers: []string{diff + "/layer.tar"}}})
	if err != nil {
		return nil, err
	}
	return tarOf([]entryFile{{configName, 0o644, config}, {diff + "/layer.tar", 0o644, layer}, {"manifest.json", 0o644, manifest}})
}

func tarOf(files []entryFile) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, bytes.NewReader(f.data)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
