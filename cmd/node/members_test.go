package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/branch"
)

func TestMembersAreReadAnewEachTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members")
	m := membersOf(path)
	if _, err := m.Members(); err == nil {
		t.Error("a file that does not exist names no members without an error")
	}
	for text, want := range map[string][]branch.ID{
		"":                                   nil,
		"0A\n0B\n":                           {"0A", "0B"},
		"# of shop\n\n 0A # core-0\r\n0C":    {"0A", "0C"},
		"0A\n\n\n# nothing more\n#\n   \n\t": {"0A"},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Members(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestLineThatIsNoBranchMakesTheWholeListUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members")
	if err := os.WriteFile(path, []byte("0A\ncore-1\n0B\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := membersOf(path).Members(); got != nil || err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWithoutAFileNobodyKnowsTheMembers(t *testing.T) {
	if m := membersOf(""); m != nil {
		t.Errorf("%v", m)
	}
}
