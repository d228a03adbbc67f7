package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChooseTakesAllOrTheNamed(t *testing.T) {
	keys := func(list []image) (out []string) {
		for _, i := range list {
			out = append(out, i.key)
		}
		return out
	}
	if got, err := choose(nil); err != nil || !slices.Equal(keys(got), imageNames()) {
		t.Errorf("all: %v, %v", keys(got), err)
	}
	if got, err := choose([]string{"activemq", "node"}); err != nil || !slices.Equal(keys(got), []string{"activemq", "node"}) {
		t.Errorf("named: %v, %v", keys(got), err)
	}
	if _, err := choose([]string{"nod"}); err == nil || !strings.Contains(err.Error(), "manager") {
		t.Errorf("a wrong name: %v; want the right ones", err)
	}
}

func TestATagGivesTheProgramsImagesArchivesOfTheirOwn(t *testing.T) {
	var before, after []string
	for _, i := range images() {
		before = append(before, i.key+" "+i.tagged(devTag).reference())
		i = i.tagged("next")
		after = append(after, i.key+" "+i.reference())
	}
	if want := []string{"node vesper/node:dev", "manager vesper/manager:dev", "activemq vesper/activemq-classic:" + activemqVersion}; !slices.Equal(before, want) {
		t.Errorf("without a tag: %q", before)
	}
	if want := []string{"node-next vesper/node:next", "manager-next vesper/manager:next", "activemq vesper/activemq-classic:" + activemqVersion}; !slices.Equal(after, want) {
		t.Errorf("with the tag next: %q", after)
	}
}

func TestSumTellsListsApart(t *testing.T) {
	seen := map[string][]string{}
	for _, list := range [][]string{{}, {""}, {"a", "b"}, {"ab"}, {"a", "", "b"}, {"b", "a"}, {"1:a"}} {
		s := sum(list...)
		if other, ok := seen[s]; ok {
			t.Errorf("%q and %q give the same sum", list, other)
		}
		seen[s] = list
	}
}

func TestSumFilesFollowsContentNameAndMode(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	measure := func() string {
		t.Helper()
		s, err := sumFiles(file)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	writeFile(t, file, "one")
	first := measure()
	if measure() != first {
		t.Error("the same file gives two sums")
	}
	writeFile(t, file, "two")
	if measure() == first {
		t.Error("another content goes unnoticed")
	}
	writeFile(t, file, "one")
	if err := os.Chmod(file, 0o755); err != nil {
		t.Fatal(err)
	}
	if measure() == first {
		t.Error("another mode goes unnoticed")
	}
	if _, err := sumFiles(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing input gave no error")
	}
}

func TestArgumentsAreInAFixedOrder(t *testing.T) {
	p := parts{dockerfile: "D", context: "C", target: "T", args: map[string]string{"B": "2", "A": "1"}}
	want := "--quiet --file D --tag r:t --target T --build-arg=A=1 --build-arg=B=2 C"
	for range 10 {
		if got := strings.Join(arguments("r:t", p), " "); got != want {
			t.Fatalf("arguments %q, want %q", got, want)
		}
	}
}

func TestEngineOfAnUnknownNameIsRefused(t *testing.T) {
	if _, err := chooseEngine(t.Context(), "podman"); err == nil || !strings.Contains(err.Error(), "docker or buildah") {
		t.Errorf("error = %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := chooseEngine(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("error = %v; want the remedy", err)
	}
}

// recorder is an engine that only counts.
type recorder struct {
	builds int
	fails  bool
}

func (r *recorder) name() string { return "recorder" }

func (r *recorder) build(_ context.Context, _ string, _ parts, file string) error {
	r.builds++
	if r.fails {
		return errors.New("no space")
	}
	return os.WriteFile(file, []byte("image"), 0o644)
}

func TestImageIsBuiltAgainOnlyWhenItsInputsChange(t *testing.T) {
	engine := &recorder{}
	b := &builder{cache: t.TempDir(), engine: engine, out: io.Discard}
	digest := "1"
	im := image{key: "x", repository: "r", tag: "t", make: func(context.Context, *builder, string) (parts, error) { return parts{digest: digest}, nil }}
	check := func(builds int, when string) {
		t.Helper()
		if _, err := b.build(t.Context(), im); err != nil {
			t.Fatal(err)
		}
		if engine.builds != builds {
			t.Errorf("%s: %d builds, want %d", when, engine.builds, builds)
		}
	}
	check(1, "first")
	check(1, "nothing changed")
	digest = "2"
	check(2, "inputs changed")
	b.base = "other"
	check(3, "base changed")
	if err := os.Remove(filepath.Join(b.cache, "x.tar")); err != nil {
		t.Fatal(err)
	}
	check(4, "archive gone")
	engine.fails, digest = true, "3"
	if _, err := b.build(t.Context(), im); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a failed build: %v", err)
	}
	engine.fails, digest = false, "2"
	check(6, "after a failure the old archive is not trusted")
	if left, err := filepath.Glob(filepath.Join(b.cache, workPrefix+"*")); err != nil || len(left) != 0 {
		t.Errorf("working directories left: %v, %v", left, err)
	}
}

func TestOnlyOldWorkingDirectoriesAreSwept(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, workPrefix+"old"), filepath.Join(dir, workPrefix+"new")
	for _, d := range []string{old, fresh} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-48 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	if err := sweepOld(dir, time.Now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error("the old one is left")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("the new one is gone: a build may be using it")
	}
}

func TestFileTreeOfActiveMQDoesNotDependOnTheClone(t *testing.T) {
	a, b := rootfsArguments("/a/layout.sh"), rootfsArguments("/b/layout.sh")
	differ := 0
	for i := range a {
		if a[i] != b[i] {
			differ++
		}
	}
	if differ != 1 {
		t.Errorf("%d arguments differ by the clone's path, want the hook alone", differ)
	}
	if last := a[len(a)-1]; last != debianSuite {
		t.Errorf("the last argument before the file is %q, want the suite", last)
	}
}

func TestRunCommandShowsWhatTheCommandSaid(t *testing.T) {
	if _, err := output(t.Context(), "", "sh", "-c", "echo no good >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "no good") {
		t.Errorf("error = %v", err)
	}
	if _, err := output(t.Context(), "", "no-such-command-here"); err == nil || !strings.Contains(err.Error(), "not in PATH") {
		t.Errorf("error = %v", err)
	}
	if got, err := output(t.Context(), "", "echo", "yes"); err != nil || got != "yes" {
		t.Errorf("output = %q, %v", got, err)
	}
}

func TestDockerfilesBuildOfflineAndAsNobody(t *testing.T) {
	for _, name := range []string{"Dockerfile.node", "Dockerfile.manager"} {
		data, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		prebuilt := bytes.Index(data, []byte("AS prebuilt"))
		build := bytes.Index(data, []byte("AS build"))
		if prebuilt < 0 || build < 0 || prebuilt > build {
			t.Errorf("%s: the stage prebuilt must come before any stage that needs a base image", name)
		}
		for _, want := range []string{"ARG BASE=scratch", "USER 65532:65532", "CGO_ENABLED=0", "-trimpath", "internal/version.Version=${VERSION}"} {
			if !bytes.Contains(data, []byte(want)) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
