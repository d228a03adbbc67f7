package archive

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The files that say what an archive holds, and the annotation of an OCI index that carries a name.
const (
	dockerManifestFile = "manifest.json"
	ociIndexFile       = "index.json"
	ociRefName         = "org.opencontainers.image.ref.name"
	containerdName     = "io.containerd.image.name"
	// largestManifest bounds what is read of either file, in bytes.
	largestManifest = 4 << 20
)

type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type ociIndex struct {
	Manifests []struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"manifests"`
}

// Names returns the names of the images in an archive as it spells them; Normalize spells them out. A file that is no
// archive of named images is an error that says what is wrong with it.
func Names(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open the image archive: %w", err)
	}
	defer func() { _ = f.Close() }()
	names, err := namesIn(f)
	if err != nil {
		return nil, fmt.Errorf("read the image archive %s: %w", file, err)
	}
	return names, nil
}

func namesIn(r io.Reader) ([]string, error) {
	var oci []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("not a tar of a docker-archive or an OCI layout: %w", err)
		}
		switch strings.TrimPrefix(h.Name, "./") {
		case dockerManifestFile:
			return dockerNames(tr)
		case ociIndexFile:
			if oci, err = ociNames(tr); err != nil {
				return nil, err
			}
		}
	}
	if len(oci) == 0 {
		return nil, errors.New("it names no image: save it with a name and a tag (docker save NAME:TAG, buildah push NAME:TAG docker-archive:FILE:NAME:TAG)")
	}
	return oci, nil
}

func dockerNames(r io.Reader) ([]string, error) {
	var manifests []dockerManifest
	if err := json.NewDecoder(io.LimitReader(r, largestManifest)).Decode(&manifests); err != nil {
		return nil, fmt.Errorf("parse %s: %w", dockerManifestFile, err)
	}
	var names []string
	for _, m := range manifests {
		names = append(names, m.RepoTags...)
	}
	if len(names) == 0 {
		return nil, errors.New("it names no image: save it by name and tag, not by id")
	}
	return names, nil
}

func ociNames(r io.Reader) ([]string, error) {
	var index ociIndex
	if err := json.NewDecoder(io.LimitReader(r, largestManifest)).Decode(&index); err != nil {
		return nil, fmt.Errorf("parse %s: %w", ociIndexFile, err)
	}
	var names []string
	for _, m := range index.Manifests {
		name := m.Annotations[containerdName]
		if name == "" {
			name = m.Annotations[ociRefName]
		}
		if name == "" {
			continue
		}
		if !strings.ContainsAny(name, "/:@") {
			return nil, fmt.Errorf("its image has only the tag %q: save it with its whole name (oci-archive:FILE:NAME:TAG)", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// Normalize spells an image's name out as Kubernetes' runtimes do: "a" is docker.io/library/a:latest.
func Normalize(name string) string {
	first, rest, slash := strings.Cut(name, "/")
	switch {
	case !slash:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		name = "docker.io/" + name
	case first == "docker.io" && !strings.Contains(rest, "/"):
		name = "docker.io/library/" + rest
	}
	last := name[strings.LastIndex(name, "/"):]
	if !strings.ContainsAny(last, ":@") {
		name += ":latest"
	}
	return name
}
