package build

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStagingVersionFollowsKubernetesMinorAndPatch(t *testing.T) {
	for _, c := range []struct {
		in, want string
		bad      bool
	}{
		{"1.37.2", "v0.37.2", false},
		{"1.38.0", "v0.38.0", false},
		{"1.37", "", true},
		{"2.0.0", "", true},
		{"", "", true},
	} {
		got, err := stagingVersion(c.in)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("stagingVersion(%q) = %q, %v; want %q, error %v", c.in, got, err, c.want, c.bad)
		}
	}
}

func TestStagingModulesAreThoseReplacedByDirectories(t *testing.T) {
	gomod := `module k8s.io/kubernetes

require k8s.io/api v0.0.0

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/client-go => ./staging/src/k8s.io/client-go
	example.com/fork => example.com/other v1.2.3
)

replace k8s.io/kubelet => ./staging/src/k8s.io/kubelet
`
	want := []string{"k8s.io/api", "k8s.io/client-go", "k8s.io/kubelet"}
	if got := stagingModules([]byte(gomod)); !slices.Equal(got, want) {
		t.Errorf("stagingModules = %v, want %v", got, want)
	}
}

func TestVersionsHashIsTwelveHexDigits(t *testing.T) {
	if h := VersionsHash(); len(h) != 12 || strings.Trim(h, "0123456789abcdef") != "" {
		t.Errorf("VersionsHash() = %q", h)
	}
}

func TestSelectTakesSetsAndNamesAndRefusesOthers(t *testing.T) {
	for _, c := range []struct {
		only []string
		want []string
		err  string
	}{
		{nil, names(Targets()), ""},
		{[]string{"envtest"}, []string{"kube-apiserver", "kubectl", "etcd"}, ""},
		{[]string{"helm", "etcd"}, []string{"etcd", "helm"}, ""},
		{[]string{"envtest", "etcd"}, []string{"kube-apiserver", "kubectl", "etcd"}, ""},
		{[]string{"etcdd"}, nil, `"etcdd"`},
	} {
		got, err := Select(c.only)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "kube-apiserver") {
				t.Errorf("Select(%v) error = %v; want one that names %s and the choices", c.only, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(names(got), c.want) {
			t.Errorf("Select(%v) = %v, %v; want %v", c.only, names(got), err, c.want)
		}
	}
}

func TestEveryTargetNamesItsVersion(t *testing.T) {
	for _, target := range Targets() {
		if target.Module != "" && !strings.HasPrefix(target.Version, "v") {
			t.Errorf("%s has version %q", target.Name, target.Version)
		}
		if target.Module == "k8s.io/kubernetes" && !strings.Contains(strings.Join(target.Flags, " "), "gitVersion=v"+KubernetesVersion) {
			t.Errorf("%s does not know its version: %v", target.Name, target.Flags)
		}
	}
}

func TestStampMakesABinaryStale(t *testing.T) {
	target := Target{Name: "prog", Module: "example.com/m", Version: "v1.0.0", Package: "example.com/m/prog", Flags: []string{"-trimpath"}}
	base := stampOf(target, "go1.26.0")
	change := func(f func(*Target)) Stamp {
		other := target
		f(&other)
		return stampOf(other, "go1.26.0")
	}
	for name, c := range map[string]struct {
		want  Stamp
		spoil func(dir string) error
		fresh bool
	}{
		"nothing changed": {want: base, fresh: true},
		"another version": {want: change(func(o *Target) { o.Version = "v1.0.1" })},
		"other flags":     {want: change(func(o *Target) { o.Flags = nil })},
		"another package": {want: change(func(o *Target) { o.Package = "example.com/m/other" })},
		"another Go":      {want: stampOf(target, "go1.26.1")},
		"another size":    {want: base, spoil: func(dir string) error { return os.WriteFile(filepath.Join(dir, "prog"), []byte("cut"), 0o755) }},
		"no binary":       {want: base, spoil: func(dir string) error { return os.Remove(filepath.Join(dir, "prog")) }},
		"no stamp":        {want: base, spoil: func(dir string) error { return dropStamp(dir, "prog") }},
		"broken stamp":    {want: base, spoil: func(dir string) error { return os.WriteFile(stampPath(dir, "prog"), []byte("{"), 0o644) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "prog"), "binary")
			if err := writeStamp(dir, "prog", base); err != nil {
				t.Fatal(err)
			}
			if c.spoil != nil {
				if err := c.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			if got := fresh(dir, "prog", c.want); got != c.fresh {
				t.Errorf("fresh = %v, want %v", got, c.fresh)
			}
		})
	}
}

func TestStampOfOwnSourceCarriesItsDigest(t *testing.T) {
	if s := stampOf(Target{Name: "pause"}, "go1.26.0"); s.Source != digest([]byte(pauseSource)) {
		t.Errorf("Source = %q", s.Source)
	}
}

func TestBuildCompilesOnceAndThenSkips(t *testing.T) {
	var out bytes.Buffer
	b := Builder{Cache: Cache{Dir: t.TempDir()}, Out: &out}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := b.Build(ctx, []string{"pause"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b.Cache.Images(), "pause.tar")); err != nil {
		t.Errorf("no image of pause: %v", err)
	}
	before, err := os.Stat(filepath.Join(b.Cache.Bin(), "pause"))
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := b.Build(ctx, []string{"pause"}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(b.Cache.Bin(), "pause"))
	if err != nil || !os.SameFile(before, after) || !strings.Contains(out.String(), "0 of 1 programs built") {
		t.Errorf("built again: %v, %q", err, out.String())
	}
}

func TestMissingNamesWhatIsNotBuilt(t *testing.T) {
	cache := Cache{Dir: t.TempDir()}
	write(t, filepath.Join(cache.Bin(), "etcd"), "x")
	if err := writeStamp(cache.Bin(), "etcd", Stamp{}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(cache.Bin(), "kubectl"), "x") // cut off before its stamp
	got, err := cache.Missing("envtest")
	if err != nil || !slices.Equal(got, []string{"kube-apiserver", "kubectl"}) {
		t.Errorf("Missing = %v, %v", got, err)
	}
}

func TestCacheIsOutsideOfTheTreeAndNamedByVersions(t *testing.T) {
	for _, c := range []struct{ own, xdg, want string }{
		{"/a", "/b", "/a/" + VersionsHash()},
		{"", "/b", "/b/localkube/" + VersionsHash()},
	} {
		t.Setenv("LOCALKUBE_CACHE", c.own)
		t.Setenv("XDG_CACHE_HOME", c.xdg)
		if got, err := DefaultCache(); err != nil || got.Dir != c.want {
			t.Errorf("LOCALKUBE_CACHE=%q XDG_CACHE_HOME=%q: %q, %v; want %q", c.own, c.xdg, got.Dir, err, c.want)
		}
	}
}

func TestMissingGoNamesTheRemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := goVersion(t.Context()); err == nil || !strings.Contains(err.Error(), "install Go "+oldestGo) {
		t.Errorf("error = %v", err)
	}
}

func TestFailedCommandShowsTheEndOfItsMessages(t *testing.T) {
	_, err := goRun(t.Context(), t.TempDir(), "build", "example.com/nothing/here")
	if err == nil || !strings.Contains(err.Error(), "example.com/nothing/here") {
		t.Errorf("error = %v", err)
	}
	if got := lastLines("a\nb\nc\n", 2); got != "b\nc" {
		t.Errorf("lastLines = %q", got)
	}
}

func TestOlderComparesWithTheSource(t *testing.T) {
	dir := t.TempDir()
	file, source := filepath.Join(dir, "file"), filepath.Join(dir, "source")
	check := func(want bool, when string) {
		t.Helper()
		if got, err := older(file, source); err != nil || got != want {
			t.Errorf("%s: older = %v, %v; want %v", when, got, err, want)
		}
	}
	check(false, "no source")
	write(t, source, "s")
	check(true, "no file")
	write(t, file, "f")
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(source, past, past); err != nil {
		t.Fatal(err)
	}
	check(false, "file is newer")
	if err := os.Chtimes(file, past.Add(-time.Hour), past.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	check(true, "file is older")
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
