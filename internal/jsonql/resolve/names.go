package resolve

import (
	"encoding/json"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// names turns the names and references of a query into those meant, by the
// prefixes that a namemap declares.
type names struct {
	text             string // of the namemap
	props, refs, all []prefix
}

// prefix maps the start of names as they are written to that of the names meant.
type prefix struct{ short, full string }

// with returns the names under a namemap.
func (n names) with(text string) (names, error) {
	var m struct {
		Shared map[string]any `json:"sharedpatterns"`
		Props  map[string]any `json:"propertypatterns"`
		IDs    map[string]any `json:"idpatterns"`
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return n, err
	}
	n.text = text
	n.all = prefixes(m.Shared)
	n.props, n.refs = slices.Concat(n.all, prefixes(m.Props)), slices.Concat(n.all, prefixes(m.IDs))
	return n, nil
}

// prefixes returns the patterns that are plain prefixes, the longest first.
func prefixes(table map[string]any) []prefix {
	var out []prefix
	for short, full := range table {
		if text, ok := full.(string); ok && !strings.ContainsAny(short, "()") {
			out = append(out, prefix{short, strings.TrimSuffix(text, "@@")})
		}
	}
	slices.SortFunc(out, func(a, b prefix) int {
		if len(a.short) != len(b.short) {
			return len(b.short) - len(a.short)
		}
		return strings.Compare(a.short, b.short)
	})
	return out
}

func expand(list []prefix, name string) string {
	for _, p := range list {
		if rest, ok := strings.CutPrefix(name, p.short); ok && !strings.HasPrefix(name, "::") {
			return p.full + rest
		}
	}
	return name
}

func (n names) property(name string) string { return expand(n.props, name) }

func (n names) properties(path []string) []string {
	out := slices.Clone(path)
	for i := range out {
		out[i] = n.property(out[i])
	}
	return out
}

func (n names) term(t statement.Term) statement.Term {
	if t.IsRef() {
		t.Text = expand(n.refs, t.Text)
	}
	return t
}
