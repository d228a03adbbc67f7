package controllers

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the stories in testdata/stories as they now are")

// wantStory compares what happened with testdata/stories/NAME.txt.
func (s *stage) wantStory(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("testdata", "stories", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(s.tale()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), s.tale()); diff != "" {
		t.Errorf("the story of %s (-want +got); go test ./controllers -run %s -update writes it anew:\n%s", path, t.Name(), diff)
	}
}
