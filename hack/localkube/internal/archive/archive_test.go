package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNormalizeSpellsNamesOutAsTheKubeletDoes(t *testing.T) {
	for in, want := range map[string]string{
		"busybox":                       "docker.io/library/busybox:latest",
		"busybox:1":                     "docker.io/library/busybox:1",
		"vesper/node:dev":               "docker.io/vesper/node:dev",
		"vesper/node":                   "docker.io/vesper/node:latest",
		"docker.io/busybox:1":           "docker.io/library/busybox:1",
		"docker.io/vesper/node:dev":     "docker.io/vesper/node:dev",
		"registry.k8s.io/pause:3.10":    "registry.k8s.io/pause:3.10",
		"localhost/app:1":               "localhost/app:1",
		"localhost:5000/app":            "localhost:5000/app:latest",
		"registry.example/a/b@sha256:0": "registry.example/a/b@sha256:0",
	} {
		if got := Normalize(in); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", in, got, want)
		}
		if again := Normalize(want); again != want {
			t.Errorf("Normalize(%q) = %q: not stable", want, again)
		}
	}
}

func TestWriteProgramMakesAnArchiveThatNamesItsImage(t *testing.T) {
	dir := t.TempDir()
	program, file := filepath.Join(dir, "prog"), filepath.Join(dir, "image.tar")
	if err := os.WriteFile(program, []byte("machine code"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteProgram(file, "vesper/prog:1", program); err != nil {
		t.Fatal(err)
	}
	if names, err := Names(file); err != nil || !slices.Equal(names, []string{"vesper/prog:1"}) {
		t.Errorf("Names = %v, %v", names, err)
	}
	files := untar(t, file)
	var manifests []dockerManifest
	if err := json.Unmarshal(files["manifest.json"], &manifests); err != nil {
		t.Fatal(err)
	}
	layer := files[manifests[0].Layers[0]]
	var config struct {
		Config struct{ Entrypoint []string } `json:"config"`
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(files[manifests[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	if want := "sha256:" + hexSum(layer); !slices.Equal(config.Rootfs.DiffIDs, []string{want}) {
		t.Errorf("diff ids %v, want %s", config.Rootfs.DiffIDs, want)
	}
	if !slices.Equal(config.Config.Entrypoint, []string{"/prog"}) {
		t.Errorf("entrypoint %v", config.Config.Entrypoint)
	}
	inner := entries(t, bytes.NewReader(layer))
	if string(inner["prog"]) != "machine code" {
		t.Errorf("the layer holds %v", inner)
	}
}

func TestNamesReadsBothKindsOfArchives(t *testing.T) {
	index := func(annotations map[string]string) []byte {
		data, err := json.Marshal(map[string]any{"manifests": []any{map[string]any{"annotations": annotations}}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		files []entryFile
		want  []string
		err   string
	}{
		"docker": {files: []entryFile{{"manifest.json", 0o644, []byte(`[{"RepoTags":["a/b:1","c:2"]}]`)}}, want: []string{"a/b:1", "c:2"}},
		"docker beside an OCI index": {
			files: []entryFile{{"index.json", 0o644, index(nil)}, {"manifest.json", 0o644, []byte(`[{"RepoTags":["a/b:1"]}]`)}},
			want:  []string{"a/b:1"},
		},
		"OCI by buildah":    {files: []entryFile{{"./index.json", 0o644, index(map[string]string{ociRefName: "a/b:1"})}}, want: []string{"a/b:1"}},
		"OCI by containerd": {files: []entryFile{{"index.json", 0o644, index(map[string]string{ociRefName: "1", containerdName: "docker.io/a/b:1"})}}, want: []string{"docker.io/a/b:1"}},
		"OCI with a tag only": {
			files: []entryFile{{"index.json", 0o644, index(map[string]string{ociRefName: "latest"})}}, err: "only the tag",
		},
		"OCI without a name":    {files: []entryFile{{"index.json", 0o644, index(nil)}}, err: "names no image"},
		"docker without a name": {files: []entryFile{{"manifest.json", 0o644, []byte(`[{"RepoTags":null}]`)}}, err: "names no image"},
		"another tar":           {files: []entryFile{{"readme", 0o644, []byte("x")}}, err: "names no image"},
		"broken manifest":       {files: []entryFile{{"manifest.json", 0o644, []byte(`{`)}}, err: "parse manifest.json"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := tarOf(c.files)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := Names(file)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), file) {
					t.Errorf("error = %v; want one with %q and the file", err, c.err)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("Names = %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestNamesRefusesWhatIsNoArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, bytes.Repeat([]byte("no tar "), 200), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Names(file); err == nil || !strings.Contains(err.Error(), "not a tar") {
		t.Errorf("error = %v", err)
	}
	if _, err := Names(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file gave no error")
	}
}

func untar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return entries(t, f)
}

func entries(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}
