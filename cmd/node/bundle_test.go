package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/store"
)

// storeWith makes a store with one object and closes it.
func storeWith(t *testing.T, id branch.ID, object string) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Branch: id, Trunk: "0A"})
	if err != nil {
		t.Fatal(err)
	}
	if object != "" {
		doc, err := pjson.Parse([]byte(object), pjson.Options{})
		if err == nil {
			_, err = s.Update(t.Context(), store.WriteOptions{}, func(tx *store.Tx) error { return tx.Add(doc.Objects) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs a command line and returns its exit code and what it wrote.
func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := execute(t.Context(), args, &out, &out)
	return code, out.String()
}

func TestBundleOfAStoppedNodeIsImportedIntoAnotherAndMayBeRepeated(t *testing.T) {
	a, b := storeWith(t, "0A", `{"id":"x","v":1}`), storeWith(t, "0B", `{"id":"y","v":2}`)
	file := filepath.Join(t.TempDir(), "a.bundle")
	if code, text := command(t, "export", "--data", a, "--all", "--out", file); code != 0 || !strings.Contains(text, file) {
		t.Fatalf("export: %d %s", code, text)
	}
	if code, text := command(t, "import", "--data", b, "--from", file); code != 0 || !strings.Contains(text, "1 applied") || !strings.Contains(text, "0A00001,0B00001") {
		t.Fatalf("import: %d %s", code, text)
	}
	if code, text := command(t, "import", "--data", b, "--from", file); code != 0 || !strings.Contains(text, "1 were here") {
		t.Errorf("again: %d %s", code, text)
	}
	back := filepath.Join(t.TempDir(), "b.bundle")
	if code, text := command(t, "export", "--data", b, "--since", "0A00001", "--out", back); code != 0 {
		t.Fatalf("export back: %d %s", code, text)
	}
	if code, text := command(t, "import", "--data", a, "--from", back); code != 0 || !strings.Contains(text, "1 changesets: 1 applied") {
		t.Errorf("import back: %d %s", code, text)
	}
}

func TestBundleThatIsNotTakenLeavesTheStoreAsItIs(t *testing.T) {
	a, b, foreign := storeWith(t, "0A", `{"id":"x","v":1}`), storeWith(t, "0B", ""), storeWith(t, "0A", `{"id":"x","v":"other"}`)
	dir := t.TempDir()
	good, other, cut := filepath.Join(dir, "good"), filepath.Join(dir, "other"), filepath.Join(dir, "cut")
	command(t, "export", "--data", a, "--all", "--out", good)
	command(t, "export", "--data", foreign, "--all", "--out", other)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, text[:len(text)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, says := command(t, "import", "--data", b, "--from", cut); code != 1 || !strings.Contains(says, "ends too early") {
		t.Errorf("cut off: %d %s", code, says)
	}
	if code, says := command(t, "import", "--data", b, "--from", good); code != 0 {
		t.Errorf("the whole one: %d %s", code, says)
	}
	if code, says := command(t, "import", "--data", b, "--from", other); code != 1 || !strings.Contains(says, "another system") {
		t.Errorf("foreign: %d %s", code, says)
	}
	if code, says := command(t, "export", "--data", a, "--all", "--out", good); code != 1 || !strings.Contains(says, "is there already") {
		t.Errorf("over a file: %d %s", code, says)
	}
}

func TestWrongCommandLinesOfBundlesExitWith2(t *testing.T) {
	for _, args := range [][]string{
		{"export", "--all", "--out", "f"}, {"export", "--data", "d", "--node", "http://n", "--all", "--out", "f"},
		{"export", "--data", "d", "--out", "f"}, {"export", "--data", "d", "--all", "--since", "0A00001", "--out", "f"},
		{"export", "--data", "d", "--all"}, {"export", "--data", "d", "--since", "x", "--out", "f"}, {"export", "--node", "n:8000", "--all", "--out", "f"},
		{"import", "--from", "f"}, {"import", "--data", "d"},
	} {
		if code, text := command(t, args...); code != 2 {
			t.Errorf("%v: %d %s", args, code, text)
		}
	}
	if code, text := command(t, "import", "--data", t.TempDir(), "--from", "none"); code != 1 {
		t.Errorf("a bundle that is not there: %d %s", code, text)
	}
}
