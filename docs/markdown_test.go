package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the top of the tree, seen from this directory.
const root = ".."

// fence is one fenced block of a document. Its info string says what it is:
//
//	sh                    commands; those in ran are run, in order, from an empty state
//	json, text            what the last command of the block before answers
//	yaml                  manifests, parsed strictly into the API's types
//	yaml VesperCluster    a part of the spec of one
//	yaml NAME.yaml        a node's configuration file, written where commands find it
//	text (elsewhere)      anything for the eye
type fence struct {
	doc        string
	kind, name string
	line       int // of the opening fence, from 1
	body       string
}

func (f fence) place() string { return fmt.Sprintf("%s:%d", f.doc, f.line) }

// documents are all texts for users, relative to the root of the tree.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "charts/*/README.md"} {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(matches) == 0 {
			t.Fatalf("looking for %s: found %d files, %v", pattern, len(matches), err)
		}
		for _, m := range matches {
			name, err := filepath.Rel(root, m)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, filepath.ToSlash(name))
		}
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fences returns the fenced blocks of a text, and an error for one that does not end.
func fences(doc, text string) ([]fence, error) {
	var all []fence
	var open *fence
	for i, line := range strings.Split(text, "\n") {
		info, marks := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case marks && open == nil:
			kind, name, _ := strings.Cut(strings.TrimSpace(info), " ")
			open = &fence{doc: doc, kind: kind, name: name, line: i + 1}
		case marks && info == "":
			all, open = append(all, *open), nil
		case open != nil:
			open.body += line + "\n"
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s: the block is never closed", open.place())
	}
	return all, nil
}

func fencesOf(t *testing.T, doc string) []fence {
	t.Helper()
	all, err := fences(doc, read(t, doc))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryBlockSaysWhatItIs(t *testing.T) {
	for _, doc := range documents(t) {
		for _, f := range fencesOf(t, doc) {
			if !slices.Contains([]string{"sh", "json", "text", "yaml"}, f.kind) {
				t.Errorf("%s: the block's kind is %q: write sh, json, text or yaml after the backquotes", f.place(), f.kind)
			}
		}
	}
}

func TestABlockThatNeverEndsIsAnError(t *testing.T) {
	if _, err := fences("x.md", "a\n```sh\ncurl x\n"); err == nil || !strings.Contains(err.Error(), "x.md:2") {
		t.Errorf("got %v, want an error that names x.md:2", err)
	}
}

var (
	linkRE    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingRE = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	// pathRE finds a file of the tree named in running text.
	pathRE = regexp.MustCompile("`((?:api|charts|cmd|config|controllers|docs|hack|internal|test)/[A-Za-z0-9_./-]*)`")
	dropRE = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// withoutFences blanks the fenced blocks of a text.
func withoutFences(text string) string {
	var b strings.Builder
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
		} else if !inside {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// anchors are the names by which links reach a document's headings.
func anchors(text string) []string {
	var names []string
	for _, m := range headingRE.FindAllStringSubmatch(withoutFences(text), -1) {
		name := dropRE.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// brokenLinks returns what in a document points nowhere.
func brokenLinks(dir, doc, text string) []string {
	var broken []string
	prose := withoutFences(text)
	for _, m := range linkRE.FindAllStringSubmatch(prose, -1) {
		file, anchor, _ := strings.Cut(m[1], "#")
		if strings.Contains(file, "://") {
			continue
		}
		target := filepath.Join(dir, filepath.Dir(doc), filepath.FromSlash(file))
		content := text
		if file != "" {
			info, err := os.Stat(target)
			if err != nil {
				broken = append(broken, m[1])
				continue
			}
			if info.IsDir() {
				continue
			}
			raw, _ := os.ReadFile(target) // it is there; what cannot be read has no anchors
			content = string(raw)
		}
		if anchor != "" && !slices.Contains(anchors(content), anchor) {
			broken = append(broken, m[1])
		}
	}
	for _, m := range pathRE.FindAllStringSubmatch(prose, -1) {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(m[1]))); err != nil {
			broken = append(broken, m[1])
		}
	}
	return broken
}

func TestLinksAndPathsOfTheTreeResolve(t *testing.T) {
	for _, doc := range documents(t) {
		for _, b := range brokenLinks(root, doc, read(t, doc)) {
			t.Errorf("%s: %s is not there", doc, b)
		}
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.md"), []byte("# One thing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "# Here\n[x](a.md) [x](a.md#one-thing) [x](#here) [x](https://example.org)\n```\n[x](in-a-fence.md)\n```\n" +
		"[x](b.md) [x](a.md#two) [x](#there) `internal/nothing`\n"
	got := brokenLinks(dir, "c.md", text)
	if want := []string{"b.md", "a.md#two", "#there", "internal/nothing"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
