package resolve

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"vesperdb.io/vesper/internal/pjson"
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

// with returns the names under a namemap: what it does not say is as it was.
func (n names) with(text string) (names, error) {
	merged := map[string]any{}
	for _, one := range []string{n.text, text} {
		if one == "" {
			continue
		}
		if err := json.Unmarshal([]byte(one), &merged); err != nil {
			return n, err
		}
	}
	if _, err := pjson.NewWriter(pjson.Format{OmitScopes: true, Namemap: mapOf(merged)}); err != nil {
		return n, err
	}
	whole, err := json.Marshal(merged)
	if err != nil {
		return n, err
	}
	n.text = string(whole)
	table := func(key string) map[string]any {
		m, _ := merged[key].(map[string]any)
		return m
	}
	n.all = prefixes(table("sharedpatterns"))
	n.props, n.refs = slices.Concat(n.all, prefixes(table("propertypatterns"))), slices.Concat(n.all, prefixes(table("idpatterns")))
	return n, nil
}

// NamemapOf returns the namemap that rows are written with, as package pjson
// knows it; nil for none.
func (b *Block) NamemapOf() pjson.Map {
	if b.Namemap == "" {
		return nil
	}
	var raw map[string]any
	_ = json.Unmarshal([]byte(b.Namemap), &raw) // which Resolve has written
	return mapOf(raw)
}

func mapOf(raw map[string]any) pjson.Map {
	out := pjson.Map{}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		v := raw[key]
		if inner, ok := v.(map[string]any); ok {
			v = mapOf(inner)
		}
		out.Set(key, v)
	}
	return out
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
