// Package docs holds what users read. Its tests run every command that the
// documents show, compare the answers that they show, and load every manifest
// and configuration file in them.
package docs

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the answers of now into the documents where they differ")

// The commands of the documents by how they begin. What is in neither list
// fails the test, so that nothing is left out silently.
var (
	ran = []string{
		"curl ", "tag=$(curl ", "vesper-node ", "go run ./cmd/node ", "kill ", "wait ", "printf ",
	}
	// notRan need a Kubernetes, or build the whole; test/e2e and make demo are their tests.
	notRan = []string{"kubectl ", "helm ", "make ", "docker ", "git "}
)

// devCommands start development nodes and stay in the foreground.
var devCommands = []string{"vesper-node dev", "go run ./cmd/node dev"}

// portForward makes a node of a cluster reachable. Development nodes take its
// place, so that what follows it is run as well.
const portForward = "kubectl port-forward "

// mustRun are the documents that show commands for everyone: to run none of
// them would be a fault of this test.
var mustRun = map[string]int{"README.md": 5, "docs/http-api.md": 40, "docs/node.md": 8, "docs/conflicts.md": 30, "docs/storage.md": 8, "docs/access.md": 9}

func hasPrefix(command string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(command+" ", p) })
}

// commands splits a block into commands: a line each, unless it ends with a
// backslash or within quotes. Comments and blank lines are none.
func commands(block string) []string {
	var out []string
	var current string
	for line := range strings.SplitSeq(block, "\n") {
		if current == "" && (strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#")) {
			continue
		}
		current += line
		if strings.HasSuffix(line, `\`) || inQuotes(current) {
			current += "\n"
			continue
		}
		out, current = append(out, strings.TrimSpace(current)), ""
	}
	if current != "" {
		out = append(out, strings.TrimSpace(current))
	}
	return out
}

func inQuotes(text string) bool {
	var quote rune
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case r == quote:
			quote = 0
		}
	}
	return quote != 0
}

// expectedRE finds, in a comment after a command, the error status it is to show.
var expectedRE = regexp.MustCompile(`#.*\b([45]\d\d)\b`)

// exitRE finds, in a comment after a command, the exit status it is to show.
var exitRE = regexp.MustCompile(`# exits with (\d+)`)

// player runs one document.
type player struct {
	*session
	fences           []fence
	ran, shown, left int
	// lastIsDev says that the last job in the background is the development nodes.
	lastIsDev bool
	// answers are what the blocks of answers say now, by index.
	answers map[int]string
}

func TestCommandsDoWhatTheDocumentsSay(t *testing.T) {
	for _, doc := range documents(t) {
		all := fencesOf(t, doc)
		if !slices.ContainsFunc(all, func(f fence) bool { return f.kind == "sh" }) {
			continue
		}
		t.Run(strings.ReplaceAll(doc, "/", "_"), func(t *testing.T) {
			t.Parallel()
			p := &player{fences: all, answers: map[int]string{}}
			p.play(t)
			t.Logf("%s: ran %d commands, compared %d answers, left %d commands to the tests of a cluster", doc, p.ran, p.shown, p.left)
			if p.ran < mustRun[doc] {
				t.Errorf("ran %d commands of %s, expected at least %d", p.ran, doc, mustRun[doc])
			}
			if *update {
				rewrite(t, doc, all, p.answers)
			}
		})
	}
}

func (p *player) play(t *testing.T) {
	for i, f := range p.fences {
		switch {
		case f.kind == "yaml" && strings.HasSuffix(f.name, ".yaml"):
			p.open(t)
			if err := os.WriteFile(filepath.Join(p.dir, f.name), []byte(p.moved(f.body)), 0o600); err != nil {
				t.Fatal(err)
			}
		case f.kind == "sh":
			p.block(t, i)
		}
	}
}

// open starts the shell when the first command needs it.
func (p *player) open(t *testing.T) {
	if p.session == nil {
		p.session = newSession(t)
	}
}

func (p *player) block(t *testing.T, at int) {
	t.Helper()
	f := p.fences[at]
	list := commands(f.body)
	for i, command := range list {
		switch {
		case strings.HasPrefix(command, portForward):
			p.left++
			p.open(t)
			p.startDev("vesper-node dev --nodes 1")
		case hasPrefix(command, notRan):
			p.left++
		case hasPrefix(command, ran):
			p.open(t)
			p.command(t, f, command, i == len(list)-1, at+1)
		default:
			t.Errorf("%s: %q begins like no command that is known here: add it to ran or notRan", f.place(), command)
		}
	}
}

// command runs one command. The answer block after the last of a block is compared.
func (p *player) command(t *testing.T, f fence, command string, last bool, next int) {
	t.Helper()
	p.ran++
	text := p.moved(strings.Replace(command, "go run ./cmd/node", "vesper-node", 1))
	if hasPrefix(command, devCommands) {
		p.startDev(strings.TrimSuffix(text, " &"))
		p.lastIsDev = true
		return
	}
	switch {
	case strings.HasSuffix(command, " &"):
		p.lastIsDev = false
	case p.lastIsDev && strings.HasPrefix(command, "kill "):
		p.nodes = 0 // they need not settle any more
	}
	out := p.run(text)
	if p.nodes > 0 {
		p.settle()
	}
	wantExit := 0
	if m := exitRE.FindStringSubmatch(command); m != nil {
		wantExit, _ = strconv.Atoi(m[1]) // digits
	}
	if out.exit != wantExit {
		t.Errorf("%s: %s\nended with status %d, expected %d: %s", f.place(), command, out.exit, wantExit, out.stderr)
	}
	shown := last && next < len(p.fences) && (p.fences[next].kind == "json" || p.fences[next].kind == "text")
	checkStatuses(t, f, command, out)
	if shown {
		p.compare(t, p.fences[next], next, command, out)
	} else if strings.Contains(out.stdout, `"jsonrpc"`) && strings.Contains(out.stdout, `"error":`) {
		t.Errorf("%s: %s\nanswered an error that the document does not show: %s", f.place(), command, out.stdout)
	}
}

// checkStatuses demands that HTTP answers are good ones, or the error that the
// comment after the command announces.
func checkStatuses(t *testing.T, f fence, command string, out outcome) {
	t.Helper()
	want := 0
	if m := expectedRE.FindStringSubmatch(command); m != nil {
		want, _ = strconv.Atoi(m[1]) // digits
	}
	if strings.HasPrefix(command, "curl ") && len(out.statuses) == 0 {
		t.Errorf("%s: %s\ngot no answer", f.place(), command)
	}
	for _, got := range out.statuses {
		if want != 0 && got != want || want == 0 && got >= 400 {
			t.Errorf("%s: %s\nwas answered with status %d: %s", f.place(), command, got, out.stdout)
		}
	}
}

func (p *player) compare(t *testing.T, shown fence, at int, command string, out outcome) {
	t.Helper()
	p.shown++
	match := matchText
	if shown.kind == "json" {
		match = matchJSON
	}
	if out.exit != 0 {
		out.stdout += out.stderr // what went wrong is what the document shows
	}
	got := p.back(out.stdout)
	err := match(shown.body, got)
	switch {
	case err != nil && *update:
		p.answers[at] = got
	case err != nil:
		t.Errorf("%s: the answer to %s\n%v\nanswered was:\n%s", shown.place(), command, err, got)
	}
}

// rewrite puts answers into a document; blocks are replaced from the last to
// the first, so that lines keep their numbers.
func rewrite(t *testing.T, doc string, all []fence, answers map[int]string) {
	t.Helper()
	text := strings.Split(read(t, doc), "\n")
	for i, f := range slices.Backward(all) {
		answer, ok := answers[i]
		if !ok {
			continue
		}
		old := strings.Count(f.body, "\n")
		if f.kind == "json" {
			answer = layOut(json.RawMessage(answer), 0)
		}
		text = slices.Replace(text, f.line, f.line+old, lines(answer)...)
	}
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(doc)), []byte(strings.Join(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCommandsAreSplitAsTheShellWould(t *testing.T) {
	got := commands("# a comment\n\ncurl a \\\n  b\ncurl 'x\n  \"y' z\ncurl \"a 'b\" # it's fine'\nlast")
	want := []string{"curl a \\\n  b", "curl 'x\n  \"y' z", "curl \"a 'b\" # it's fine'", "last"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestStatusesAreTakenOutOfStandardError(t *testing.T) {
	rest, got := takeStatuses("oh\n" + statusMark + "404\n\n" + statusMark + "200\n")
	if rest != "oh" || !slices.Equal(got, []int{404, 200}) {
		t.Errorf("got %q and %v", rest, got)
	}
}
