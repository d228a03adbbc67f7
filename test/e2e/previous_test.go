package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vesperdb.io/vesper/hack/devcluster"
)

// previousCommit is the commit of the previous release, v0.1.0.
const previousCommit = "690bb12b322ac05f7b1ab0ec8e7e35b1d760c907"

// release is a release of the project: its chart, and what its images are built from.
type release struct {
	chart   string
	version devcluster.Version
}

// previousRelease takes the previous release from the history of this tree. Where
// there is none, such as in a shallow clone, it is this tree's under another version:
// then images and versions differ, and the rest is the same.
func previousRelease(t *testing.T) release {
	t.Helper()
	version := devcluster.Version{Tag: "previous", Programs: []string{"node", "manager"}}
	root := strings.TrimSpace(git(t, "rev-parse", "--show-toplevel"))
	if root == "" || git(t, "cat-file", "-t", previousCommit) != "commit\n" {
		t.Logf("the history of this tree does not reach back to %s: upgrading from this tree's own chart, with images of another version", previousCommit)
		return release{version: version}
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "previous.tar")
	git(t, "-C", root, "archive", "--output", archive, previousCommit)
	version.Tree = filepath.Join(dir, "tree")
	for _, command := range [][]string{{"mkdir", version.Tree}, {"tar", "-xf", archive, "-C", version.Tree}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("unpacking the previous release: %v: %s", err, out)
		}
	}
	t.Logf("upgrading from commit %s", previousCommit)
	return release{chart: filepath.Join(version.Tree, "charts", "vesper-operator"), version: version}
}

// git returns what it prints, "" when it fails.
func git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", args...).Output()
	if err != nil {
		t.Logf("git %s: %v", strings.Join(args, " "), err)
		return ""
	}
	return string(out)
}
