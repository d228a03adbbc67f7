package pjson

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// slowObject is Object without the short way for flat objects.
func (w *Writer) slowObject(id string, statements []statement.Statement) Map {
	return w.graph(statements).object(id, w.format.Scope)
}

func TestFlatObjectsAreWrittenAsAllOthersAre(t *testing.T) {
	formats := []Format{
		{}, {BareIDs: true}, {ExplicitRefs: true}, {RefPattern: "<(URIREF)>"}, {PreserveTypes: true}, {Nest: NestAll}, {Nest: NestAnonymous},
		{OmitScopes: true}, {Scope: "c1"}, {OmitHiddenIDs: true}, {OmitEmbeddedIDs: true, BareIDs: true, PreserveTypes: true},
		{Namemap: Map{{Key: "idpatterns", Value: Map{{Key: "ex:", Value: "http://a/"}}}, {Key: "datatypepatterns", Value: Map{{Key: "date", Value: "(v)"}}}}},
	}
	flat, all := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		doc, err := Parse([]byte(anyDocument().Draw(rt, "document")), Options{IDs: Counter()})
		if err != nil {
			rt.Skip("no document")
		}
		bySubject := map[string][]statement.Statement{}
		for _, s := range doc.statements() {
			bySubject[s.Subject] = append(bySubject[s.Subject], s)
		}
		w := writer(t, rapid.SampledFrom(formats).Draw(rt, "format"))
		for _, id := range slices.Sorted(maps.Keys(bySubject)) {
			list := bySubject[id]
			if rapid.Bool().Draw(rt, "in order") {
				list = statement.Set(list)
			}
			if all++; w.isFlat(id, list) {
				flat++
			}
			want := string(AppendJSON(nil, w.slowObject(id, list)))
			if got := string(AppendJSON(nil, w.Object(id, list))); got != want {
				rt.Fatalf("the object is %s, want %s", got, want)
			}
			if got := string(w.AppendObject([]byte("x"), id, list)); got != "x"+want {
				rt.Fatalf("the text is %s, want %s", got, want)
			}
		}
	})
	if flat == 0 || flat == all {
		t.Errorf("%d of %d objects were flat: this has compared nothing", flat, all)
	}
}

func TestAnObjectWithoutStatementsHasItsIDAlone(t *testing.T) {
	w := writer(t, Format{})
	if got, want := string(w.AppendObject(nil, "a", nil)), `{"id":"@a"}`; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
}

// sameAsPattern compares what is told of a text in the short way with what the
// regular expression and the search for a spelling say.
func sameAsPattern(fail func(string, ...any), text string) {
	n := defaultNames()
	p := n.refs[0]
	if got, want := p.matches(text), p.inner.MatchString(text); got != want {
		fail("%q matches: %t, want %t", text, got, want)
	}
	slow := *n
	plain := *p
	plain.uriref = false
	slow.refs = patterns{&plain}
	if slow.usual() {
		fail("the long way was not taken")
	}
	got, gotOK := n.writeReference(text)
	if want, ok := slow.writeReference(text); got != want || gotOK != ok {
		fail("the reference to %q is %q, %t, want %q, %t", text, got, gotOK, want, ok)
	}
	if got, want := n.writeID(text), slow.writeID(text); got != want {
		fail("the id %q is written as %q, want %q", text, got, want)
	}
	term, err := slow.stringTerm(text)
	if want := err == nil && term == statement.Literal(text); n.isPlainText(text) && !want {
		fail("%q is taken for a plain text", text)
	}
	back, isRef := n.reference(text)
	if want, ok := slow.reference(text); back != want || isRef != ok {
		fail("%q refers to %q, %t, want %q, %t", text, back, isRef, want, ok)
	}
}

// oddTexts are near what the expression of references matches.
var oddTexts = []string{
	"", "a", "@a", "::a", "@::a", "::::a", "@@a", "@", "::", ":", ":a", "a b", "a\tb", "a\nb", "a\vb", "a\fb", "a\rb", "a{b", "a}b", `a\b`, "a\x00b",
	"-", "$", "_:x", "é", "aé", "a\xffb", "\xffa", "a\u00a0b", "a\u0085b", "a\u2028b", "http://a/b#c", "a\n", "@a\n", " a", "a ", "Z9", "~a", "`a", "[a", "@<a b>",
	strings.Repeat("a", maxMatchBytes-1), strings.Repeat("a", maxMatchBytes), strings.Repeat("a", maxMatchBytes+1),
}

func TestReferencesAreRecognizedAsTheirExpressionDoes(t *testing.T) {
	for _, text := range oddTexts {
		sameAsPattern(t.Errorf, text)
		sameAsPattern(t.Errorf, "@"+text)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(@|::|@::)?[a-z$_-]?[ \x00-\x7f]{0,4}`)).Draw(t, "text")
		sameAsPattern(t.Fatalf, text)
	})
}

// FuzzReference is the same for all texts.
func FuzzReference(f *testing.F) {
	for _, text := range oddTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { sameAsPattern(t.Fatalf, text) })
}

// TestAValueIsGivenUpSoonAfterItIsTooLong: at the string in which it becomes so,
// however much is behind it; and what fits is written as ever.
func TestAValueIsGivenUpSoonAfterItIsTooLong(t *testing.T) {
	many := make([]any, 1000)
	for i := range many {
		many[i] = Map{{Key: "text", Value: strings.Repeat("w", 100)}, {Key: "list", Value: []any{1, nil}}}
	}
	for _, v := range []any{many, Map{{Key: "a", Value: many}, {Key: "b", Value: many}}} {
		whole := AppendJSON([]byte("before"), v)
		if got, fits := AppendJSONWithin([]byte("before"), v, len(whole)); !fits || string(got) != string(whole) {
			t.Errorf("what fits was cut: %t, %d of %d bytes", fits, len(got), len(whole))
		}
		if got, fits := AppendJSONWithin([]byte("before"), v, len(whole)-1); fits || len(got) > len(whole) {
			t.Errorf("a byte more than fits is taken: %t", fits)
		}
		if got, fits := AppendJSONWithin(nil, v, 500); fits || len(got) > 700 {
			t.Errorf("%d bytes were written of at most 500 (%t)", len(got), fits)
		}
	}
}
