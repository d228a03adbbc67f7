package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportCountsEachEndOnce(t *testing.T) {
	cases := map[string]struct {
		events string
		want   counts
		says   string
	}{
		"a passed test": {
			events: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"pass","Package":"p","Elapsed":0.2}`,
			want: counts{Passed: 1}, says: "ok   p (200ms, 1 passed)",
		},
		"a failed test shows its output": {
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"a_test.go:3: two is not three\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			want: counts{Failed: 1}, says: "two is not three",
		},
		"a skipped test shows its reason": {
			events: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: needs root: run it with sudo\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			want: counts{Skipped: 1}, says: "SKIP p TestA: needs root: run it with sudo",
		},
		"a package that dies outside its tests counts as one failure": {
			events: `{"Action":"output","Package":"p","Output":"found unexpected goroutines\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`,
			want: counts{Passed: 1, Failed: 1}, says: "found unexpected goroutines",
		},
		"a build failure counts once and shows the compiler's words": {
			events: `{"ImportPath":"p","Action":"build-output","Output":"p.go:3:1: undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"fail","Package":"p","Elapsed":0,"FailedBuild":"p"}`,
			want: counts{Failed: 1}, says: "undefined: x",
		},
		"a line that is no event is passed on": {events: "go: warning\n", says: "go: warning"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(&out)
			if err := r.read(strings.NewReader(c.events)); err != nil {
				t.Fatal(err)
			}
			if r.counts != c.want {
				t.Errorf("counts = %+v, want %+v", r.counts, c.want)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("output %q does not say %q", out.String(), c.says)
			}
		})
	}
}

func TestTotalAddsRunsAndFailsWhenATestFailed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "counts")
	events := `printf '{"Action":"pass","Package":"p","Test":"TestA"}\n'`
	for range 2 {
		var out bytes.Buffer
		if err := run(context.Background(), []string{"--counts", file, "--", "sh", "-c", events}, &out); err != nil {
			t.Fatal(err)
		}
	}
	if got := total(t, file); got != "2 passed, 0 failed, 0 skipped\n" {
		t.Errorf("total = %q", got)
	}
	var out bytes.Buffer
	if err := run(context.Background(), []string{"--counts", file, "--", "sh", "-c", "exit 3"}, &out); err == nil {
		t.Error("a command that failed was reported as passed")
	}
	if err := run(context.Background(), []string{"--counts", file, "--total"}, &out); err == nil {
		t.Error("a total with a failure in it was reported as passed")
	}
}

func TestTotalOfNoTestsIsAnError(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), []string{"--counts", filepath.Join(t.TempDir(), "none"), "--total"}, &out); err == nil {
		t.Error("no test at all was reported as passed")
	}
}

func total(t *testing.T, file string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(context.Background(), []string{"--counts", file, "--total"}, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
