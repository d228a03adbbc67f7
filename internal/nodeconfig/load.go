package nodeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
	"vesperdb.io/vesper/internal/branch"
)

// maxFileBytes bounds the file before it is parsed: YAML aliases can make
// little text expensive, and no honest configuration comes near.
const maxFileBytes = 1 << 20

// Load reads and checks the file at path. What is wrong with its content comes
// as one *Error that lists every problem with its line; the Config is then zero.
func Load(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration %s: %w", path, err)
	}
	return Parse(path, data)
}

// Parse does what Load does with the text of a file; name is for its errors.
func Parse(name string, data []byte) (Config, error) {
	r := reader{config: Default(), lines: map[string]int{}}
	if len(data) > maxFileBytes {
		r.problems.add(0, "", "the file is longer than %d bytes", maxFileBytes)
		return Config{}, r.problems.err(name)
	}
	root, ok := r.document(data)
	if ok {
		readSection(&r, &r.config, root, "", fileKeys)
		r.finish()
	}
	if err := r.problems.err(name); err != nil {
		return Config{}, err
	}
	return r.config, nil
}

// reader fills a Config from YAML nodes and collects what is wrong.
type reader struct {
	config   Config
	problems problems
	// lines holds the line of every key seen, by its path.
	lines map[string]int
	// unread holds the keys whose value could not be read; what Validate says
	// of their default would only confuse.
	unread []string
}

// document returns the root mapping of the only document of the file.
func (r *reader) document(data []byte) (*yaml.Node, bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.MappingNode}, true
	case err != nil:
		r.problems.add(0, "", "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil, false
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		r.problems.add(0, "", "the file holds more than one YAML document: a node has one configuration")
		return nil, false
	}
	return doc.Content[0], true
}

// readSection reads a mapping whose keys are known into target.
func readSection[T any](r *reader, target *T, n *yaml.Node, path string, known []key[T]) {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.problems.add(n.Line, path, "want keys and values, got %s", describe(n))
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		k, ok := find(known, name)
		if !ok {
			r.problems.add(name.Line, "", "%s", unknownKey(path, name, known))
			continue
		}
		if first, twice := seen[k.name]; twice {
			r.problems.add(name.Line, join(path, k.name), "%s", givenTwice(first, name))
			continue
		}
		seen[k.name] = name
		readEntry(r, target, value, join(path, k.name), name.Line, k)
	}
}

func readEntry[T any](r *reader, target *T, value *yaml.Node, path string, line int, k key[T]) {
	r.lines[path] = line
	if k.section != nil {
		if k.enter != nil {
			k.enter(target)
		}
		readSection(r, target, value, path, k.section)
		return
	}
	switch into := k.value(target).(type) {
	case *[]Link:
		readList(r, value, path, line, into, DefaultLink, linkKeys)
		return
	case *[]Index:
		readList(r, value, path, line, into, func() Index { return Index{} }, indexKeys)
		return
	case *[]Token:
		readList(r, value, path, line, into, func() Token { return Token{} }, tokenKeys)
		return
	}
	if err := read(resolve(value), k.value(target)); err != nil {
		r.problems.add(line, path, "%s", err)
		r.unread = append(r.unread, path)
	}
}

// readList reads a list of sections, each with defaults of its own.
func readList[T any](r *reader, n *yaml.Node, path string, line int, into *[]T, plain func() T, known []key[T]) {
	n = resolve(n)
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return
	case n.Kind != yaml.SequenceNode:
		r.problems.add(line, path, "want a list of %s, got %s", path[strings.LastIndex(path, ".")+1:], describe(n))
		r.unread = append(r.unread, path)
		return
	}
	for i, item := range n.Content {
		l := plain()
		at := fmt.Sprintf("%s[%d]", path, i+1)
		r.lines[at] = item.Line
		readSection(r, &l, item, at, known)
		*into = append(*into, l)
	}
}

// linkPath is how problems call a link, counted from 1 as a person does.
func linkPath(i int) string { return fmt.Sprintf("links[%d]", i+1) }

// finish fills in what follows from other keys and checks the whole.
func (r *reader) finish() {
	c := &r.config
	if c.TrunkID == "" && r.lines["trunkId"] == 0 {
		if id, err := branch.ParseID(string(c.BranchID)); err == nil {
			c.TrunkID = branch.First(id.Width())
		}
	}
	var invalid *Error
	if !errors.As(c.Validate(), &invalid) {
		return
	}
	for _, p := range invalid.Problems {
		if r.concernsUnread(p.Key) {
			continue
		}
		p.Line = r.line(p.Key)
		r.problems.found = append(r.problems.found, p)
	}
}

// line is where a key stands, or, when it is not there, the section that lacks it.
func (r *reader) line(path string) int {
	for {
		if n := r.lines[path]; n > 0 {
			return n
		}
		at := strings.LastIndex(path, ".")
		if at < 0 {
			return 0
		}
		path = path[:at]
	}
}

func (r *reader) concernsUnread(path string) bool {
	for _, u := range r.unread {
		if u == path || path == "trunkId" && u == "branchId" {
			return true
		}
	}
	return false
}

func find[T any](known []key[T], name *yaml.Node) (key[T], bool) {
	for _, k := range known {
		if name.Value == k.name || k.alias != "" && name.Value == k.alias {
			return k, true
		}
	}
	return key[T]{}, false
}

func givenTwice(first, second *yaml.Node) string {
	if first.Value == second.Value {
		return fmt.Sprintf("given twice, first in line %d: remove one", first.Line)
	}
	return fmt.Sprintf("given twice, as %s in line %d and as %s, which mean the same: remove one",
		first.Value, first.Line, second.Value)
}

func unknownKey[T any](path string, name *yaml.Node, known []key[T]) string {
	full := join(path, name.Value)
	if len(full) > 100 {
		full = full[:100] + "…"
	}
	if remedy, ok := remedies[full]; ok {
		return fmt.Sprintf("unknown key %q: %s", full, remedy)
	}
	if remedy := remedies[name.Value]; strings.HasPrefix(path, "links[") && strings.Contains(remedy, "broker.") {
		return fmt.Sprintf("unknown key %q: %s", full, strings.ReplaceAll(remedy, "broker.", path+"."))
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = k.name
	}
	if hint := nearest(name.Value, names); hint != "" {
		return fmt.Sprintf("unknown key %q: did you mean %q?", full, join(path, hint))
	}
	if elsewhere := sectionOf(name.Value, "", fileKeys); elsewhere != "" && !strings.HasPrefix(path, "links[") {
		return fmt.Sprintf("unknown key %q: did you mean %q?", full, elsewhere)
	}
	return fmt.Sprintf("unknown key %q: known here are %s", full, strings.Join(names, ", "))
}

// sectionOf returns the path of a key of that very name anywhere in the file
// format: a right name in the wrong place, mostly a matter of indentation.
func sectionOf[T any](name, path string, known []key[T]) string {
	for _, k := range known {
		if k.name == name {
			return join(path, name)
		}
		if found := sectionOf(name, join(path, k.name), k.section); found != "" {
			return found
		}
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// resolve follows a YAML alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
