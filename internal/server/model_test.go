package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// model is what the interface promises, without store, history or index: the
// objects by id, and what each was at every revision.
type model struct {
	*rapid.T
	n       *node
	prefix  string
	objects map[string]map[string]any
	tags    map[string]string
	past    []moment
}

// moment is all objects at a revision.
type moment struct {
	revision string
	objects  map[string]map[string]any
}

// values are those a property may have; JSON as the interface gives it back.
var values = []string{`1`, `"text"`, `true`, `0.5`, `null`, `[]`, `["a","b","a"]`, `[2,1]`, `{"in":1}`, `{"in":{"deep":"x"},"k":[1]}`, `"@ref"`}

func (m *model) id() string {
	return m.prefix + rapid.SampledFrom([]string{"a", "b/c", "d"}).Draw(m.T, "id")
}

// object draws an object with at least one property.
func (m *model) object() map[string]any {
	out := map[string]any{}
	for range rapid.IntRange(1, 3).Draw(m.T, "properties") {
		name := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(m.T, "name")
		var v any
		if err := json.Unmarshal([]byte(rapid.SampledFrom(values).Draw(m.T, "value")), &v); err != nil {
			m.Fatal(err)
		}
		out[name] = v
	}
	return out
}

func (m *model) text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		m.Fatal(err)
	}
	return string(b)
}

func path(id string) string { return "/v1/objects/" + escapeAll(id) }

func (m *model) put(id string) {
	body := m.object()
	want := 200
	if m.objects[id] == nil {
		want = 201
	}
	m.write("PUT", id, m.text(body), want, body)
}

// patch sets and removes properties; nested objects are covered by the table of
// TestPatchIsAMergePatch, so that here a patch is a set of whole properties.
func (m *model) patch(id string) {
	patch := m.object()
	after := maps.Clone(m.objects[id])
	if after == nil {
		after = map[string]any{}
	}
	for name, v := range patch {
		if _, nested := v.(map[string]any); nested {
			v = "flat"
			patch[name] = v
		}
		if after[name] = v; v == nil {
			delete(after, name)
		}
	}
	want := 200
	switch {
	case len(after) == 0:
		after = nil
	case m.objects[id] == nil:
		want = 201
	}
	m.write("PATCH", id, m.text(patch), want, after)
}

func (m *model) remove(id string) {
	want := 200
	if m.objects[id] == nil {
		want = 404
	}
	m.write("DELETE", id, "", want, nil)
}

// write sends a write, now and then under a condition that holds or does not,
// and notes what the object must be afterwards.
func (m *model) write(method, id, body string, want int, after map[string]any) {
	var headers []string
	tag := m.tags[id]
	switch rapid.IntRange(0, 3).Draw(m.T, "condition") {
	case 0:
		if tag != "" {
			headers = []string{"If-Match: " + tag}
		}
	case 1:
		headers = []string{`If-Match: "0A99999"`}
		want = 412
	}
	r := m.n.do(method, path(id), body, headers...)
	if r.status != want {
		m.Fatalf("%s %s %s: got %d, want %d: %s", method, id, body, r.status, want, r.body)
	}
	if want >= 400 {
		return
	}
	m.objects[id] = after
	if after == nil {
		delete(m.objects, id)
	}
	m.tags[id] = r.header.Get("ETag")
	m.past = append(m.past, moment{r.header.Get("Vesper-Revision"), maps.Clone(m.objects)})
}

// check compares an object with the model.
func (m *model) check(id, at string, want map[string]any) {
	address := path(id)
	if at != "" {
		address += "?at=" + at
	}
	r := m.n.get(address)
	if want == nil {
		if r.status != 404 {
			m.Fatalf("%s is there: %s", address, r.body)
		}
		return
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
		m.Fatalf("%s: %d %s", address, r.status, r.body)
	}
	if at == "" && r.header.Get("ETag") != m.tags[id] {
		m.Fatalf("%s has the tag %s, and its last write said %s", id, r.header.Get("ETag"), m.tags[id])
	}
	if delete(got, "id"); !cmp.Equal(got, want) {
		m.Fatalf("%s: unexpected object (-want +got):\n%s", address, cmp.Diff(want, got))
	}
}

// TestObjectsFollowAModel runs random writes, and compares what the interface
// shows, now and at every revision there was, with a map.
func TestObjectsFollowAModel(t *testing.T) {
	n := newNode(t)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := &model{T: rt, n: n, prefix: fmt.Sprintf("%d-", runs), objects: map[string]map[string]any{}, tags: map[string]string{}}
		steps := []func(string){m.put, m.put, m.patch, m.remove}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			id := m.id()
			rapid.SampledFrom(steps).Draw(rt, "step")(id)
			m.check(id, "", m.objects[id])
		}
		for _, then := range m.past {
			for _, id := range []string{"a", "b/c", "d"} {
				m.check(m.prefix+id, then.revision, then.objects[m.prefix+id])
			}
		}
		for _, id := range []string{"a", "b/c", "d"} {
			n.do("DELETE", path(m.prefix+id), "")
		}
	})
	if ids, _ := n.list("/v1/objects"); len(ids) > 0 {
		t.Errorf("deleted objects are listed: %q", ids)
	}
}
