package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/server"
	"vesperdb.io/vesper/internal/store"
)

// transferNode is a node alone, whose answers may be broken by the test.
func transferNode(t *testing.T, id branch.ID, wrap func(http.Handler) http.Handler) (*store.Store, string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Branch: id, Trunk: "0A", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	config := nodeconfig.Default()
	config.BranchID, config.TrunkID, config.StoragePath = id, "0A", t.TempDir()
	srv, err := server.New(server.Deps{Store: s, Config: config, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := srv.Handler()
	if wrap != nil {
		h = wrap(h)
	}
	web := httptest.NewServer(h)
	t.Cleanup(func() {
		web.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, web.URL
}

// someLines are objects as a file holds them.
func someLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"%06d\",\"text\":\"%s\"}\n", i, strings.Repeat("x", 50))
	}
	return b.String()
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWhatIsDumpedIsLoaded, as plain text and as gzip.
func TestWhatIsDumpedIsLoaded(t *testing.T) {
	_, from := transferNode(t, "0A", nil)
	want := someLines(2*dumpStep + 5)
	if code, out, errs := run(t, "load", "--node", from, writeFile(t, "in.ndjson", want)); code != exitOK || !strings.Contains(out, "loaded 10005 lines") {
		t.Fatalf("load: %d %s %s", code, out, errs)
	}
	for _, name := range []string{"out.ndjson", "out.ndjson.gz"} {
		path := filepath.Join(t.TempDir(), name)
		if code, out, errs := run(t, "dump", "--node", from, "--out", path); code != exitOK || !strings.Contains(out, "holds 10005 objects") {
			t.Fatalf("dump: %d %s %s", code, out, errs)
		}
		if got := content(t, path); got != want {
			t.Errorf("%s holds %d bytes of %d", name, len(got), len(want))
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
		s, to := transferNode(t, "0B", nil)
		if code, out, errs := run(t, "load", "--node", to, path); code != exitOK {
			t.Fatalf("load: %d %s %s", code, out, errs)
		}
		if got := s.Stats().Objects; got != 2*dumpStep+5 {
			t.Errorf("%d objects were loaded", got)
		}
		if code, _, errs := run(t, "dump", "--node", from, "--out", path); code != exitFailed || !strings.Contains(errs, "already") {
			t.Errorf("a second dump to the same file: %d %s", code, errs)
		}
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// breaking ends every answer after so many bytes, the first times.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

// TestADumpThatBreaksOffGoesOnAtItsRevision: no object twice, none missing, and
// nothing of what was written in between.
func TestADumpThatBreaksOffGoesOnAtItsRevision(t *testing.T) {
	for _, name := range []string{"out.ndjson", "out.ndjson.gz"} {
		var breaks atomic.Int32
		var address string
		_, address = transferNode(t, "0A", func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/export" && breaks.Add(1) <= 2 {
					w = &breaking{w, 600_000}
					r.Header.Del("Accept-Encoding")
				}
				next.ServeHTTP(w, r)
			})
		})
		want := someLines(3 * dumpStep)
		if code, _, errs := run(t, "load", "--node", address, writeFile(t, "in.ndjson", want)); code != exitOK {
			t.Fatal(errs)
		}
		path := filepath.Join(t.TempDir(), name)
		code, _, errs := run(t, "dump", "--node", address, "--out", path)
		if code != exitOK || !strings.Contains(errs, "broke off") || breaks.Load() != 3 {
			t.Fatalf("dump after %d tries: %d %s", breaks.Load(), code, errs)
		}
		if got := content(t, path); got != want {
			t.Errorf("%s holds %d bytes of %d", name, len(got), len(want))
		}
	}
}

// TestADumpTellsWhyTheNodeBrokeItOff, keeps what came, and says what to do.
func TestADumpTellsWhyTheNodeBrokeItOff(t *testing.T) {
	var tries atomic.Int32
	_, address := transferNode(t, "0A", func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/export" {
				next.ServeHTTP(w, r)
				return
			}
			tries.Add(1)
			w.Header().Set("Vesper-Revision", "0A00001")
			_, _ = io.WriteString(w, `{"id":"a","ID":"b","problem":"mine"}`+"\n"+`{"problem":{"status":410,"detail":"it has left the log"}}`+"\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	})
	path := filepath.Join(t.TempDir(), "out.ndjson")
	code, _, errs := run(t, "dump", "--node", address, "--out", path)
	if code != exitFailed || tries.Load() != 1 || !strings.Contains(errs, "410: it has left the log") || !strings.Contains(errs, "remove "+path+".part") {
		t.Errorf("after %d tries: %d %s", tries.Load(), code, errs)
	}
	if got := content(t, path+".part"); got != `{"id":"a","ID":"b","problem":"mine"}`+"\n" {
		t.Errorf("kept: %s", got)
	}
	if state := content(t, path+".part.json"); !strings.Contains(state, `"after":"a"`) || !strings.Contains(state, `"objects":1`) {
		t.Errorf("the state is %s", state)
	}
}

// TestALoadStopsAtABadLineAndGoesOnAfterItIsMended: its number in the file is told.
func TestALoadStopsAtABadLineAndGoesOnAfterItIsMended(t *testing.T) {
	s, address := transferNode(t, "0A", nil)
	lines := strings.SplitAfter(someLines(loadLines+2000), "\n")
	lines = lines[:len(lines)-1]
	mended := strings.Join(lines, "")
	bad := append([]string{}, lines...)
	bad[loadLines+1500] = "{\"id\":" + strings.Repeat(" ", len(lines[0])-7) + "\n" // as long as the line was
	path := writeFile(t, "in.ndjson", strings.Join(bad, ""))
	code, _, errs := run(t, "load", "--node", address, path)
	if code != exitFailed || !strings.Contains(errs, fmt.Sprintf("line %d, ", loadLines+1501)) {
		t.Fatalf("a bad line: %d %s", code, errs)
	}
	had := s.Stats().Objects
	if had < loadLines || had > loadLines+1500 {
		t.Errorf("%d objects are there", had)
	}
	if err := os.WriteFile(path, []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs = run(t, "load", "--node", address, path)
	if code != exitOK || !strings.Contains(errs, "going on after line") || s.Stats().Objects != int64(len(lines)) {
		t.Errorf("after mending: %d %s, %d objects", code, errs, s.Stats().Objects)
	}
	revision := s.Revision().String()
	if code, _, _ = run(t, "load", "--node", address, path); code != exitOK || s.Revision().String() != revision {
		t.Errorf("loading it again: %d, at %s after %s", code, s.Revision(), revision)
	}
}

func TestLoadAndDumpSayWhatIsMissing(t *testing.T) {
	for _, args := range [][]string{
		{"load"}, {"load", "--node", "http://localhost:1"}, {"load", "file"}, {"load", "--node", "nowhere", "file"},
		{"dump"}, {"dump", "--node", "http://localhost:1"}, {"dump", "--out", "x"},
	} {
		if code, _, errs := run(t, args...); code != exitUsage {
			t.Errorf("%q: %d %s", args, code, errs)
		}
	}
	path := writeFile(t, "in.ndjson", "{}\n")
	if err := os.WriteFile(path+".loading", []byte(`{"node":"http://other","mode":"replace","size":3,"lines":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, address := transferNode(t, "0A", nil)
	if code, _, errs := run(t, "load", "--node", address, path); code != exitFailed || !strings.Contains(errs, "--anew") {
		t.Errorf("the state of another load: %d %s", code, errs)
	}
}

// TestProgressIsABarOnATerminalAndLinesElsewhere.
func TestProgressIsABarOnATerminalAndLinesElsewhere(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "objects")
	p.part = func(done int64) float64 { return float64(done) / 10 }
	p.draw(5)
	p.terminal = true
	p.draw(10)
	p.end(10)
	got := b.String()
	if !strings.HasPrefix(got, "["+strings.Repeat("=", 15)+strings.Repeat(" ", 15)+"]  50 %  5 objects") || !strings.Contains(got, clearsLine+"["+strings.Repeat("=", 30)+"] 100 %") {
		t.Errorf("got %q", got)
	}
}
