package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// filled makes a stopped node's store with one object.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Branch: "0C"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := pjson.Parse([]byte(`{"id":"lamp","on":true}`), pjson.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(d.Objects) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = execute(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// TestSnapshotIsTakenAndRestored from one directory to another.
func TestSnapshotIsTakenAndRestored(t *testing.T) {
	dir, target := filled(t), filepath.Join(t.TempDir(), "new")
	file := filepath.Join(t.TempDir(), "backup")
	code, out, errs := run(t, "snapshot", "--data", dir, "--out", file)
	if code != exitOK || out != file+" holds revision 0C00001, 1 objects, 1 changesets\n" {
		t.Errorf("snapshot: %d, %s%s", code, out, errs)
	}
	code, out, errs = run(t, "restore", "--data", target, "--branch", "0D", "--from", file)
	if code != exitOK || out != filepath.Join(target, "vesper.db")+" is restored: branch 0D, revision 0C00001, 1 objects, 1 changesets\n" {
		t.Errorf("restore: %d, %s%s", code, out, errs)
	}
	if code, out, errs = run(t, "check", "--data", target); code != exitOK || !strings.Contains(out, "is sound: branch 0D, revision 0C00001, 1 objects") {
		t.Errorf("check: %d, %s%s", code, out, errs)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestSnapshotCommandsRefuseWhatWouldDestroyAndSayWhy(t *testing.T) {
	dir, file := filled(t), filepath.Join(t.TempDir(), "backup")
	if code, _, errs := run(t, "snapshot", "--data", dir, "--out", file); code != exitOK {
		t.Fatal(errs)
	}
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, []byte("dear aunt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"is there already":   {"snapshot", "--data", dir, "--out", file},
		"there is a store":   {"restore", "--data", dir, "--branch", "0C", "--from", file},
		"cannot be used":     {"restore", "--data", t.TempDir(), "--branch", "0C", "--from", junk},
		"no such file":       {"snapshot", "--data", t.TempDir(), "--out", filepath.Join(t.TempDir(), "x")},
		"give --data DIR":    {"restore", "--data", dir},
		"give --node URL":    {"snapshot"},
		"give --out FILE":    {"snapshot", "--data", dir},
		"write it like http": {"snapshot", "--node", "n:8000", "--out", filepath.Join(t.TempDir(), "x")},
		"branch":             {"restore", "--data", t.TempDir(), "--branch", "a/b", "--from", file},
	} {
		if code, _, errs := run(t, args...); code == exitOK || !strings.Contains(errs, says) {
			t.Errorf("%v: %d, %s, want %q", args, code, errs, says)
		}
	}
}

func TestSnapshotOfARunningNodeIsCheckedBeforeItHasItsName(t *testing.T) {
	dir := filled(t)
	file := filepath.Join(t.TempDir(), "backup")
	if code, _, errs := run(t, "snapshot", "--data", dir, "--out", file); code != exitOK {
		t.Fatal(errs)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for says, answer := range map[string]struct {
		status int
		body   []byte
	}{
		"holds revision 0C00001": {200, whole},
		"cut off":                {200, whole[:len(whole)-10]},
		"cannot be used":         {200, []byte("<html>a proxy's login page</html>")},
		"disk is full":           {507, []byte(`{"title": "The disk is full"}`)},
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/snapshot" {
				t.Errorf("it asked for %s", r.URL)
			}
			w.WriteHeader(answer.status)
			_, _ = w.Write(answer.body)
		}))
		out := filepath.Join(t.TempDir(), "over")
		code, text, errs := run(t, "snapshot", "--node", web.URL+"/", "--out", out)
		web.Close()
		left, err := os.ReadDir(filepath.Dir(out))
		good := strings.HasPrefix(says, "holds")
		if err != nil || (code == exitOK) != good || !strings.Contains(text+errs, says) || (len(left) == 1) != good {
			t.Errorf("%s: %d, %s%s, left %v, %v", says, code, text, errs, left, err)
		}
	}
}
