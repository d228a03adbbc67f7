package statement

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestIDsSayWhatTheyAre(t *testing.T) {
	tests := []struct {
		id, root                          string
		anonymous, hidden, embedded, list bool
	}{
		{id: "user:1", root: "user:1"},
		{id: "http://example.com/a#b", root: "http://example.com/a#b"},
		{id: "", root: ""},
		{id: "bnode:x", root: "bnode:x", anonymous: true},
		{id: "_:1", root: "_:1", anonymous: true},
		{id: "bnode:j:t:object:x0af1", root: "bnode:j:t:object:x0af1", anonymous: true, hidden: true},
		{id: "bnode:j:e:object:user:1:x0af1", root: "user:1", anonymous: true, hidden: true, embedded: true},
		{id: "_:j:e:object:hello:1", root: "hello", anonymous: true, hidden: true, embedded: true},
		{id: "bnode:j:e:list:hello:x1", root: "hello", anonymous: true, hidden: true, embedded: true, list: true},
		{id: "_:j:e:list:http://a/b:7", root: "http://a/b", anonymous: true, hidden: true, embedded: true, list: true},
		// The owner may be anonymous itself.
		{id: "bnode:j:e:object:bnode:j:t:object:x1:x2", root: "bnode:j:t:object:x1",
			anonymous: true, hidden: true, embedded: true},
		// What is embedded in something embedded belongs to the outermost.
		{id: "_:j:e:object:_:j:e:list:a:1:2", root: "a", anonymous: true, hidden: true, embedded: true},
		// Not of the form: these are objects of their own.
		{id: "bnode:j:e:object:x1", root: "bnode:j:e:object:x1", anonymous: true, hidden: true},
		{id: "bnode:j:e:object::x1", root: "bnode:j:e:object::x1", anonymous: true, hidden: true},
		{id: "bnode:j:e:object:a:", root: "bnode:j:e:object:a:", anonymous: true, hidden: true},
		{id: "bnode:j:e:other:a:x1", root: "bnode:j:e:other:a:x1", anonymous: true, hidden: true},
		{id: "j:e:object:a:x1", root: "j:e:object:a:x1"},
		{id: "xbnode:j:e:object:a:x1", root: "xbnode:j:e:object:a:x1"},
	}
	for _, tt := range tests {
		if got := Root(tt.id); got != tt.root {
			t.Errorf("Root(%q) = %q, want %q", tt.id, got, tt.root)
		}
		got := [4]bool{IsAnonymous(tt.id), IsHidden(tt.id), IsEmbedded(tt.id), IsList(tt.id)}
		if want := [4]bool{tt.anonymous, tt.hidden, tt.embedded, tt.list}; got != want {
			t.Errorf("%q: anonymous, hidden, embedded, list = %v, want %v", tt.id, got, want)
		}
	}
}

func TestARootIsItsOwnRoot(t *testing.T) {
	piece := rapid.SampledFrom([]string{"bnode:", "_:", "j:e:object:", "j:e:list:", "j:t:object:", "a", ":", "x1"})
	rapid.Check(t, func(t *rapid.T) {
		id := strings.Join(rapid.SliceOfN(piece, 0, 10).Draw(t, "pieces"), "")
		root := Root(id)
		if Root(root) != root || IsEmbedded(root) {
			t.Fatalf("Root(%q) = %q, which is embedded in %q", id, root, Root(root))
		}
		if IsEmbedded(id) == (root == id) {
			t.Fatalf("%q: embedded %v, root %q", id, IsEmbedded(id), root)
		}
	})
}
