package main

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAnInterruptedTransferSaysSoAndGoesOnWhereItWas: Ctrl-C is no success, and
// what is done by then is neither lost nor done again.
func TestAnInterruptedTransferSaysSoAndGoesOnWhereItWas(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var imports, exports atomic.Int32
	s, address := transferNode(t, "0A", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/import" && imports.Add(1) == 3 {
				interrupt() // with two parts done
				return
			}
			if r.URL.Path == "/v1/export" && exports.Add(1) == 1 {
				w = &interrupting{ResponseWriter: w, left: 600_000, interrupt: interrupt}
				r.Header.Del("Accept-Encoding")
			}
			next.ServeHTTP(w, r)
		})
	})
	want := someLines(4 * dumpStep)
	file := writeFile(t, "in.ndjson", want)
	var out, errs bytes.Buffer
	if code := execute(ctx, []string{"load", "--node", address, file}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "interrupted after line 4000") || out.Len() > 0 {
		t.Fatalf("the interrupted load: %d %s %s", code, out.String(), errs.String())
	}
	before := imports.Load()
	if code, out, errs := run(t, "load", "--node", address, file); code != exitOK || !strings.Contains(errs, "going on after line 4000") || !strings.Contains(out, "loaded 20000 lines") {
		t.Fatalf("the load that goes on: %d %s %s", code, out, errs)
	}
	if parts := imports.Load() - before; parts != 8 || s.Stats().Objects != 4*dumpStep {
		t.Errorf("%d parts of %d lines were sent again, and there are %d objects", parts, loadLines, s.Stats().Objects)
	}

	ctx, interrupt = context.WithCancel(t.Context())
	defer interrupt()
	path := filepath.Join(t.TempDir(), "out.ndjson.gz")
	out.Reset()
	errs.Reset()
	if code := execute(ctx, []string{"dump", "--node", address, "--out", path}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "interrupted after ") || out.Len() > 0 {
		t.Fatalf("the interrupted dump: %d %s %s", code, out.String(), errs.String())
	}
	if code, _, errs := run(t, "dump", "--node", address, "--out", path); code != exitOK || exports.Load() != 2 {
		t.Fatalf("the dump that goes on: %d %s", code, errs)
	}
	if got := content(t, path); got != want {
		t.Errorf("it holds %d bytes of %d", len(got), len(want))
	}
}

// interrupting ends the command once so many bytes were sent to it.
type interrupting struct {
	http.ResponseWriter
	left      int
	interrupt func()
}

func (i *interrupting) Write(p []byte) (int, error) {
	n, err := i.ResponseWriter.Write(p)
	if i.left -= n; i.left < 0 {
		_ = http.NewResponseController(i.ResponseWriter).Flush()
		i.interrupt()
	}
	return n, err
}

// TestAnInterruptedCommandThatHasAResultFails, whereas a node that is told to stop does not.
func TestAnInterruptedCommandThatHasAResultFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, address := transferNode(t, "0A", nil)
	var out, errs bytes.Buffer
	for _, args := range [][]string{{"snapshot", "--node", address, "--out", filepath.Join(t.TempDir(), "x.snapshot")}, {"accept", "--node", address}} {
		if code := execute(ctx, args, &out, &errs); code != exitFailed {
			t.Errorf("%q: %d %s", args, code, errs.String())
		}
	}
	if code := execute(ctx, []string{"dev", "--nodes", "1", "--http-port", "0"}, &out, &errs); code != exitOK {
		t.Errorf("dev: %d %s", code, errs.String())
	}
}
