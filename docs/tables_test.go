package docs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
	"vesperdb.io/vesper/internal/access"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/replication"
	"vesperdb.io/vesper/internal/server"
	"vesperdb.io/vesper/internal/store"
)

var codeRE = regexp.MustCompile("`([^`]+)`")

// rows returns the cells of the tables under a heading, the heads left out.
func rows(t *testing.T, doc, heading string) [][]string {
	t.Helper()
	_, section, found := strings.Cut("\n"+withoutFences(read(t, doc)), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", doc, heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var out [][]string
	table := strings.Split(section, "\n")
	for i, line := range table {
		isHead := i+1 < len(table) && strings.HasPrefix(table[i+1], "|---")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || isHead {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		out = append(out, cells)
	}
	if len(out) == 0 {
		t.Fatalf("%s has no table under %q", doc, heading)
	}
	return out
}

// code is the text between the first backquotes of a cell.
func code(cell string) string {
	if m := codeRE.FindStringSubmatch(cell); m != nil {
		return m[1]
	}
	return ""
}

// table returns the second given cell of each row by the code in its first.
func table(t *testing.T, doc, heading string, column int) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, cells := range rows(t, doc, heading) {
		for _, m := range codeRE.FindAllStringSubmatch(cells[0], -1) {
			out[m[1]] = cells[column]
		}
	}
	return out
}

func sameKeys[A, B any](t *testing.T, what string, documented map[string]A, actual map[string]B) {
	t.Helper()
	for k := range actual {
		if _, ok := documented[k]; !ok {
			t.Errorf("%s %s is not documented", what, k)
		}
	}
	for k := range documented {
		if _, ok := actual[k]; !ok {
			t.Errorf("%s %s is documented, and there is no such thing", what, k)
		}
	}
}

// everyKey is a configuration in which every key differs from its default, but
// for wire and links, which others do not go with.
func everyKey() nodeconfig.Config {
	c := nodeconfig.Default()
	c.BranchID, c.TrunkID, c.StoragePath, c.Listen = "0B", "0A", "./data", ":1"
	c.ReplicationHosts, c.ReplicationChannel, c.SendSTOMPAck, c.ModelURI = []string{"mq:1"}, "X", false, "m:"
	c.Broker = nodeconfig.Broker{Flavor: nodeconfig.FlavorGeneric, UsernameFile: "u", PasswordFile: "p", HeartBeat: time.Second,
		TLS: &nodeconfig.TLS{CAFile: "c", CertFile: "d", KeyFile: "k", ServerName: "s"}}
	c.Beacon = nodeconfig.Beacon{Interval: time.Second, Window: 5 * time.Second}
	c.Limits = nodeconfig.Limits{RequestBytes: 1 << 20, QueryRows: 1, QueryTime: time.Second, Connections: 8}
	c.ShutdownGrace, c.Log = time.Second, nodeconfig.Log{Level: "debug", Format: "text"}
	c.Broker.MaxMessage, c.Broker.VirtualHost = 1<<20, "v"
	c.Access = nodeconfig.Access{Anonymous: "read", OpenMetrics: true, Tokens: []nodeconfig.Token{{Name: "a", Role: "read", File: "f"}}}
	c.TLS, c.Audit = &nodeconfig.ServerTLS{CertFile: "c", KeyFile: "k", ClientCAFile: "a"}, nodeconfig.Audit{To: "/a", MaxBytes: 1 << 20, Keep: 1}
	c.ConflictPolicy, c.VolumeIdentity = nodeconfig.ConflictEarliest, nodeconfig.VolumeNone
	c.Retention, c.MembersFile = nodeconfig.Retention(time.Hour), "m"
	c.Indexes = []nodeconfig.Index{{Property: "p"}}
	c.Compaction = nodeconfig.Compaction{Threshold: 0.1, MinFree: 1, Rate: 1 << 20}
	return c
}

// everyLinkKey is a configuration with a link in which every key differs from its default.
func everyLinkKey() nodeconfig.Config {
	c := everyKey()
	l := nodeconfig.Link{Name: "x", Hosts: c.ReplicationHosts, Channel: "X", Wire: nodeconfig.WireVesper, Broker: c.Broker}
	c = nodeconfig.Default()
	c.BranchID, c.TrunkID, c.StoragePath, c.Links = "0B", "0A", "./data", []nodeconfig.Link{l}
	return c
}

func flatten(path string, n map[string]any, into map[string]bool) {
	for k, v := range n {
		full := strings.TrimPrefix(path+"."+k, ".")
		if section, ok := v.(map[string]any); ok {
			flatten(full, section, into)
		} else {
			into[full] = true
		}
	}
}

func TestTheTableOfKeysIsTheFileFormat(t *testing.T) {
	text, err := nodeconfig.Render(everyKey())
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{"links": true, "wire": true}
	flatten("", tree, keys)
	sameKeys(t, "the key", table(t, "docs/node.md", "## Configuration", 2), keys)
}

func TestTheTableOfKeysOfALinkIsTheFileFormat(t *testing.T) {
	text, err := nodeconfig.Render(everyLinkKey())
	if err != nil {
		t.Fatal(err)
	}
	var tree struct{ Links []map[string]any }
	if err := yaml.Unmarshal(text, &tree); err != nil || len(tree.Links) != 1 {
		t.Fatalf("%d links, %v", len(tree.Links), err)
	}
	keys := map[string]bool{}
	flatten("", tree.Links[0], keys)
	documented := table(t, "docs/node.md", "### Several links", 1)
	sameKeys(t, "the key of a link", documented, keys)
	plain := nodeconfig.Config{Links: []nodeconfig.Link{nodeconfig.DefaultLink()}}
	plain.Links[0].Name, plain.Links[0].Hosts, plain.Links[0].Channel = "a", []string{"b:1"}, "C"
	for key, cell := range documented {
		if value := code(cell); value != "" {
			text := "branchId: 0A\nstorage_path: d\nlinks: [{name: a, hosts: [b:1], channel: C, " + key + ": " + value + "}]\n"
			if got, err := nodeconfig.Parse(key, []byte(text)); err != nil || fmt.Sprintf("%+v", got.Links) != fmt.Sprintf("%+v", plain.Links) {
				t.Errorf("%s: the documented default %s: %v makes %+v", key, value, err, got.Links)
			}
		}
	}
}

// withKey writes a small configuration that also says one key, by its path.
func withKey(key, value string) string {
	sections, name := "", key
	for {
		section, rest, nested := strings.Cut(name, ".")
		if !nested {
			return "branchId: 0A\nstorage_path: ./data\n" + sections + name + ": " + value + strings.Repeat("}", strings.Count(sections, "{")) + "\n"
		}
		sections, name = sections+section+": {", rest
	}
}

func TestDocumentedDefaultsAreTheDefaults(t *testing.T) {
	plain, err := nodeconfig.Parse("plain", []byte("branchId: 0A\nstorage_path: ./data\n"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for key, cell := range table(t, "docs/node.md", "## Configuration", 2) {
		value := code(cell)
		if value == "" {
			if !slices.Contains([]string{"required", "none", "the first of the width"}, cell) {
				t.Errorf("%s: %q is no default: write it in backquotes, or required, or none", key, cell)
			}
			continue
		}
		tried++
		got, err := nodeconfig.Parse(key, []byte(withKey(key, value)))
		if err != nil {
			t.Errorf("%s: the documented default %s: %v", key, value, err)
		} else if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", plain) {
			t.Errorf("%s: the documented default %s makes %+v of %+v", key, value, got, plain)
		}
	}
	if tried < 10 {
		t.Errorf("tried %d defaults, expected at least 10", tried)
	}
}

var descRE = regexp.MustCompile(`fqName: "(vesper_\w+)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

// metrics returns the labels of every metric of a node, by name.
func metrics(t *testing.T) map[string]string {
	t.Helper()
	c := nodeconfig.Default()
	c.BranchID, c.TrunkID, c.StoragePath = "0A", "0A", t.TempDir()
	s, err := store.Open(context.Background(), store.Options{Dir: c.StoragePath, Branch: c.BranchID, Trunk: c.TrunkID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	registry := prometheus.NewRegistry()
	if _, err := replication.New(s, nil, replication.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	guard, err := access.NewGuard(c.Access, nil, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(guard.Collectors()...)
	if _, err := server.New(server.Deps{Store: s, Config: c, Registry: registry}); err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc, 1000)
	registry.Describe(descs)
	close(descs)
	out := map[string]string{}
	for d := range descs {
		if m := descRE.FindStringSubmatch(d.String()); m != nil {
			out[m[1]] = labels(m[2] + "," + m[3])
		}
	}
	return out
}

// labels sorts a list of label names, with or without values.
func labels(text string) string {
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(part), "="); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func TestTheTableOfMetricsIsWhatANodeHas(t *testing.T) {
	documented, actual := table(t, "docs/node.md", "## Metrics", 1), metrics(t)
	sameKeys(t, "the metric", documented, actual)
	for name, want := range actual {
		if got := labels(documented[name]); got != want {
			t.Errorf("the metric %s has the labels %q, documented are %q", name, want, got)
		}
	}
}

func TestTheTableOfProblemsIsWhatTheServerAnswers(t *testing.T) {
	statuses := map[string]int{}
	for code := 400; code < 600; code++ {
		statuses["Status"+strings.ReplaceAll(http.StatusText(code), " ", "")] = code
	}
	actual := map[string]int{}
	for _, m := range regexp.MustCompile(`kind\{"([a-z-]+)", "[^"]+", http\.(Status\w+)\}`).FindAllStringSubmatch(read(t, "internal/server/problem.go"), -1) {
		actual[m[1]] = cmp.Or(statuses[m[2]], -1)
	}
	m := regexp.MustCompile(`urn:vesper:problem:([a-z-]+)",.*"status":(\d+)`).FindStringSubmatch(read(t, "internal/access/limit.go")) // told before there is a server
	actual[m[1]], _ = strconv.Atoi(m[2])
	documented := table(t, "docs/http-api.md", "## Errors", 1)
	sameKeys(t, "the problem", documented, actual)
	for name, status := range actual {
		if documented[name] != strconv.Itoa(status) {
			t.Errorf("the problem %s has the status %d, documented is %s", name, status, documented[name])
		}
	}
}

func TestTheTableOfReasonsIsWhatNodesSay(t *testing.T) {
	actual := map[string]bool{}
	for _, m := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllStringSubmatch(read(t, "internal/nodestatus/status.go"), -1) {
		actual[m[1]] = true
	}
	sameKeys(t, "the reason", table(t, "docs/node.md", "## Status", 1), actual)
}

func TestTheTableOfPathsIsWhatTheServerHas(t *testing.T) {
	actual := map[string]bool{}
	for _, m := range regexp.MustCompile(`\{"(/[^"]+)", methods`).FindAllStringSubmatch(read(t, "internal/server/routes.go"), -1) {
		actual[strings.ReplaceAll(m[1], "...", "")] = true
	}
	sameKeys(t, "the path", table(t, "docs/http-api.md", "# The HTTP API", 1), actual)
}

func TestTheTableOfMethodsIsWhatJSONRPCHas(t *testing.T) {
	found := regexp.MustCompile(`"(\w+)": +\{(?:true|false), \(\*batch\)`).FindAllStringSubmatch(read(t, "internal/server/rpc_methods.go"), -1)
	if len(found) < 5 {
		t.Fatalf("found %d methods in the source", len(found))
	}
	for _, m := range found {
		if !strings.Contains(read(t, "docs/http-api.md"), `"method": "`+m[1]+`"`) {
			t.Errorf("the method %s has no example", m[1])
		}
	}
}

func TestEveryMakeTargetNamedInTheDocumentsExists(t *testing.T) {
	makefile, seen := read(t, "Makefile"), 0
	for _, doc := range documents(t) {
		for _, m := range regexp.MustCompile("(?m)(?:`|^)make ([a-z][a-z0-9-]*)").FindAllStringSubmatch(read(t, doc), -1) {
			if seen++; !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: make %s: there is no such target", doc, m[1])
			}
		}
	}
	if seen < 5 {
		t.Errorf("found %d targets in the documents, expected at least 5", seen)
	}
}

func TestTheTableOfFlagsIsThatOfDev(t *testing.T) {
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command(filepath.Join(bin, "vesper-node"), "dev", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, help)
	}
	actual := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[\w-]+)(.*)$`).FindAllStringSubmatch(string(help), -1) {
		actual[m[1]] = m[2]
	}
	delete(actual, "--help")
	documented := table(t, "docs/node.md", "## Trying it out", 1)
	sameKeys(t, "the flag", documented, actual)
	for flag, value := range documented {
		if value != "" && !strings.Contains(strings.ReplaceAll(actual[flag], `"`, ""), "(default "+value+")") {
			t.Errorf("the flag %s: documented default %s, help says %s", flag, value, actual[flag])
		}
	}
}

func TestTheTableOfDocumentsLinksEveryDocument(t *testing.T) {
	_, list, found := strings.Cut(read(t, "README.md"), "\n## Where to read on\n")
	if !found {
		t.Fatal("README.md has no list of documents")
	}
	files, err := filepath.Glob("*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	for _, name := range files {
		if !strings.Contains(list, "| [docs/"+name+"](docs/"+name+") |") {
			t.Errorf("docs/%s has no row in README.md", name)
		}
	}
}
