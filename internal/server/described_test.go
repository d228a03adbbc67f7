package server

import (
	"slices"
	"strings"
	"testing"
)

// TestEveryParameterIsDescribedAndNoOther: an unknown one is refused with the
// names of those that there are, which must be those of the OpenAPI document.
func TestEveryParameterIsDescribedAndNoOther(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"x":1}`)
	doc, _ := theDocument(t)
	open := []string{"/v1/objects GET", "/api/query GET", "/healthz GET", "/readyz GET", "/metrics GET"} // filters, a form, and probes
	seen := map[string]bool{}
	for _, c := range apiCalls("") {
		key := c.template + " " + c.method
		if seen[key] || slices.Contains(open, key) || strings.HasPrefix(c.template, "/api/") {
			continue
		}
		seen[key] = true
		path, _, _ := strings.Cut(c.path, "?")
		r := n.do(c.method, path+"?unheard=1", c.body, c.headers...).want(400)
		_, list, found := strings.Cut(r.body, "known here are ")
		if !found {
			t.Errorf("%s takes a parameter that nobody knows: %s", key, r.body)
			continue
		}
		list, _, _ = strings.Cut(list, `"`)
		var described []string
		for _, p := range doc.Paths[c.template][strings.ToLower(c.method)].Parameters {
			if p.In == "query" {
				described = append(described, p.Name)
			}
		}
		known := strings.Split(list, ", ")
		if list == "none" {
			known = nil
		}
		slices.Sort(known)
		slices.Sort(described)
		if !slices.Equal(known, described) {
			t.Errorf("%s takes %q, and %q are described", key, known, described)
		}
	}
}
