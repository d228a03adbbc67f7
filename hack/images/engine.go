package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// engine builds an image and writes it to a docker-archive.
type engine interface {
	name() string
	build(ctx context.Context, reference string, p parts, file string) error
}

// chooseEngine returns the wanted engine, or the first that works here.
func chooseEngine(ctx context.Context, wanted string) (engine, error) {
	switch wanted {
	case "docker":
		return docker{}, nil
	case "buildah":
		return buildah{}, nil
	case "":
	default:
		return nil, fmt.Errorf("there is no engine %q: use docker or buildah", wanted)
	}
	if dockerAnswers(ctx) {
		return docker{}, nil
	}
	if _, err := exec.LookPath("buildah"); err == nil {
		return buildah{}, nil
	}
	return nil, errors.New("neither a Docker daemon nor buildah: start Docker, or apt-get install --no-install-recommends buildah")
}

// dockerAnswers reports whether there is a client and a daemon behind it.
func dockerAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").Run() == nil
}

// arguments are those that both engines' build commands understand.
func arguments(reference string, p parts) []string {
	args := []string{"--quiet", "--file", p.dockerfile, "--tag", reference}
	if p.target != "" {
		args = append(args, "--target", p.target)
	}
	var pairs []string
	for key, value := range p.args {
		pairs = append(pairs, "--build-arg="+key+"="+value)
	}
	slices.Sort(pairs)
	return append(append(args, pairs...), p.context)
}

type docker struct{}

func (docker) name() string { return "docker" }

func (docker) build(ctx context.Context, reference string, p parts, file string) error {
	if _, err := output(ctx, "", "docker", append([]string{"build"}, arguments(reference, p)...)...); err != nil {
		return err
	}
	_, err := output(ctx, "", "docker", "save", "--output", file, reference)
	return err
}

// buildah needs no daemon. It runs nothing in a build from scratch; should a base need it, a chroot is isolation enough.
type buildah struct{}

func (buildah) name() string { return "buildah" }

func (buildah) build(ctx context.Context, reference string, p parts, file string) error {
	full := "docker.io/" + reference // else it adds a second name, on localhost
	args := append([]string{"build", "--isolation", "chroot", "--pull=false"}, arguments(full, p)...)
	if _, err := output(ctx, "", "buildah", args...); err != nil {
		return err
	}
	_, err := output(ctx, "", "buildah", "push", "--quiet", full, "docker-archive:"+file+":"+reference)
	return err
}
