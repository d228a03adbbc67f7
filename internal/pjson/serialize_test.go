package pjson

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/statement"
)

// statementsOf parses the statements that a test is about.
func statementsOf(t testing.TB, text string) []statement.Statement {
	t.Helper()
	doc, err := Parse([]byte(text), Options{IDs: Counter()})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return doc.statements()
}

func writer(t testing.TB, f Format) *Writer {
	t.Helper()
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestObjectsAreWrittenAsTheSpecificationSays(t *testing.T) {
	tests := []struct {
		name   string
		format Format
		in     string
		want   string
	}{
		{"the id comes first, then properties by name", Format{}, `{"z":1,"id":"a","b":2}`, `[{"id":"@a","b":2,"z":1}]`},
		{"objects come by id", Format{}, `[{"id":"b","p":1},{"id":"a","p":1}]`, `[{"id":"@a","p":1},{"id":"@b","p":1}]`},
		{"bare ids", Format{BareIDs: true}, `{"id":"a","p":"@b"}`, `[{"id":"a","p":"@b"}]`},
		{"ids that look like references", Format{BareIDs: true}, `{"id":"::@a","p":1}`, `[{"id":"::@a","p":1}]`},
		{"ids that no reference fits", Format{}, `{"id":"a b","p":1}`, `[{"id":"a b","p":1}]`},
		{"ids that start with the escape", Format{}, `{"id":"::::a","p":1}`, `[{"id":"::::a","p":1}]`},
		{"reserved names", Format{}, `{"id":"a","::id":1,"::context":2,"::::x":3}`, `[{"id":"@a","::::x":3,"::context":2,"::id":1}]`},
		{"numbers as they were", Format{}, `{"id":"a","p":[1,1.0,-0.0,1e300,12345678901234567890]}`,
			`[{"id":"@a","p":[1,1.0,-0.0,1e+300,12345678901234567890]}]`},
		{"true, false and null", Format{}, `{"id":"a","p":[true,false,null]}`, `[{"id":"@a","p":[true,false,null]}]`},
		{"only the escapes that JSON demands", Format{}, `{"id":"a","p":"<\u00e9&\u2028>\"\\\n\u0001"}`, "[{\"id\":\"@a\",\"p\":\"<é&\u2028>\\\"\\\\\\n\\u0001\"}]"},
		{"strings that look like references", Format{}, `{"id":"a","p":{"datatype":"json","value":"@b"}}`,
			`[{"id":"@a","p":{"datatype":"json","value":"@b"}}]`},
		{"references that do not look like one", Format{}, `{"id":"a","p":{"$ref":"b c"},"q":{"$ref":"::@d"}}`,
			`[{"id":"@a","p":{"$ref":"b c"},"q":{"$ref":"::@d"}}]`},
		{"explicit references", Format{ExplicitRefs: true}, `{"id":"a","p":"@b"}`, `[{"id":"@a","p":{"$ref":"b"}}]`},
		{"another pattern", Format{RefPattern: "<(URIREF)>"}, `{"id":"a","p":"@b","q":"<b>","r":{"$ref":"c d"}}`,
			`[{"id":"<a>","p":"<b>","q":{"datatype":"json","value":"<b>"},"r":{"$ref":"c d"}}]`},
		{"no pattern fits everything", Format{RefPattern: "ref:(\\d+)"}, `{"id":"a","p":"@1","q":"@b"}`,
			`[{"id":"a","p":"ref:1","q":{"$ref":"b"}}]`},
		{"datatypes", Format{}, `{"id":"a","p":{"datatype":"date","value":"x"},"q":{"datatype":"lang:en","value":"@y"},"r":{"datatype":"a:b","value":""}}`,
			`[{"id":"@a","p":{"datatype":"date","value":"x"},"q":{"datatype":"lang:en","value":"@y"},"r":{"datatype":"a:b","value":""}}]`},
		{"numeric datatypes as numbers", Format{}, `{"id":"a","p":{"datatype":"http://www.w3.org/2001/XMLSchema#decimal","value":"1.50"}}`,
			`[{"id":"@a","p":1.5}]`},
		{"or as they are", Format{PreserveTypes: true}, `{"id":"a","p":{"datatype":"http://www.w3.org/2001/XMLSchema#decimal","value":"1.50"}}`,
			`[{"id":"@a","p":{"datatype":"http://www.w3.org/2001/XMLSchema#decimal","value":"1.50"}}]`},
		{"lists", Format{}, `{"id":"a","p":["y","x","y"],"q":[1],"r":[],"s":[[]],"t":[[1,[2]],[1,1]]}`,
			`[{"id":"@a","p":["y","x","y"],"q":[1],"r":[],"s":[[]],"t":[[1,[2]],[1,1]]}]`},
		{"embedded objects", Format{}, `{"id":"a","o":{"k":{"l":1}},"e":{}}`,
			`[{"id":"@a","e":{"id":"@_:j:e:object:a:3"},"o":{"id":"@_:j:e:object:a:1","k":{"id":"@_:j:e:object:a:2","l":1}}}]`},
		{"embedded objects without ids", Format{OmitEmbeddedIDs: true}, `{"id":"a","o":[{"k":1},{"k":1}],"e":{}}`,
			`[{"id":"@a","e":{},"o":[{"k":1},{"k":1}]}]`},
		{"objects without hidden ids", Format{OmitHiddenIDs: true}, `[{"p":{"k":1}},{"id":"_:seen","p":1}]`,
			`[{"p":{"k":1}},{"id":"@_:seen","p":1}]`},
		{"other objects are referred to", Format{}, `{"id":"a","p":{"id":"b","k":1}}`, `[{"id":"@a","p":"@b"},{"id":"@b","k":1}]`},
		{"or nested, if referred to once", Format{Nest: NestAll}, `[{"id":"a","p":{"id":"b","k":1},"q":"@c","r":"@c"},{"id":"c","k":1}]`,
			`[{"id":"@a","p":{"id":"@b","k":1},"q":"@c","r":"@c"},{"id":"@c","k":1}]`},
		{"or nested, if anonymous", Format{Nest: NestAnonymous}, `[{"id":"a","p":{"id":"b","k":1},"q":{"id":"_:c","k":1}}]`,
			`[{"id":"@a","p":"@b","q":{"id":"@_:c","k":1}},{"id":"@b","k":1}]`},
		{"nothing is nested in itself", Format{Nest: NestAll}, `{"id":"a","p":"@a"}`, `[{"id":"@a","p":"@a"}]`},
		{"circles end", Format{Nest: NestAll}, `[{"id":"a","p":{"id":"b","q":"@a"}}]`, `[{"id":"@a","p":{"id":"@b","q":"@a"}}]`},
		{"embedded circles end", Format{}, `{"id":"a","o":{"id":"_:j:e:object:a:1","k":"@_:j:e:object:a:1"}}`,
			`[{"id":"@a","o":{"id":"@_:j:e:object:a:1","k":"@_:j:e:object:a:1"}}]`},
		{"what is embedded is written once", Format{}, `{"id":"a","o":[{"id":"_:j:e:object:a:1","k":1},"@_:j:e:object:a:1"]}`,
			`[{"id":"@a","o":[{"id":"@_:j:e:object:a:1","k":1},"@_:j:e:object:a:1"]}]`},
		{"what is embedded and not referred to stands alone", Format{}, `{"id":"_:j:e:object:a:1","k":1}`,
			`[{"id":"@_:j:e:object:a:1","k":1}]`},
		{"the context of most statements", Format{}, `{"id":"a","context":"c","p":1,"q":2,"r":{"datatype":"json","value":"x","context":""}}`,
			`[{"id":"@a","context":"c","p":1,"q":2,"r":{"datatype":"json","value":"x","context":""}}]`},
		{"contexts of references and typed values", Format{}, `{"id":"a","p":[{"$ref":"b","context":"c"},{"datatype":"d","value":"x","context":"c"},1,2,3]}`,
			`[{"id":"@a","p":[{"$ref":"b","context":"c"},{"datatype":"d","value":"x","context":"c"},1,2,3]}]`},
		{"what is embedded does not inherit", Format{}, `{"id":"a","context":"c","o":{"context":"","k":1}}`,
			`[{"id":"@a","context":"c","o":{"id":"@_:j:e:object:a:1","context":"","k":1}}]`},
		{"the context of what is embedded decides", Format{}, `[{"id":"a","p":{"datatype":"json","value":1,"context":"c"},"q":{"datatype":"json","value":1,"context":"c"},"o":{"k":1}}]`,
			`[{"id":"@a","o":{"id":"@_:j:e:object:a:1","k":1},"p":{"datatype":"json","value":1,"context":"c"},"q":{"datatype":"json","value":1,"context":"c"}}]`},
		{"a reference with a context is not replaced", Format{Nest: NestAll}, `[{"id":"a","p":{"$ref":"b","context":"c"},"q":1,"r":2},{"id":"b","k":1}]`,
			`[{"id":"@a","p":{"$ref":"b","context":"c"},"q":1,"r":2},{"id":"@b","k":1}]`},
		{"the context that is taken for granted", Format{Scope: "c"}, `[{"id":"a","context":"c","p":1},{"id":"b","p":1}]`,
			`[{"id":"@a","p":1},{"id":"@b","context":"","p":1}]`},
		{"no contexts", Format{OmitScopes: true}, `{"id":"a","context":"c","p":1,"q":{"datatype":"json","value":1,"context":"d"},"r":{"$ref":"b","context":"d"}}`,
			`[{"id":"@a","p":1,"q":1,"r":"@b"}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(AppendJSON(nil, writer(t, tt.format).Objects(statementsOf(t, tt.in))))
			if got != tt.want {
				t.Errorf("wrote %s\nwant  %s", got, tt.want)
			}
		})
	}
}

func TestOneObjectIsWrittenWithWhatIsEmbedded(t *testing.T) {
	w := writer(t, Format{OmitEmbeddedIDs: true})
	list := statementsOf(t, `{"id":"a","o":{"k":1},"p":"@b"}`)
	if got, want := string(AppendJSON(nil, w.Object("a", list))), `{"id":"@a","o":{"k":1},"p":"@b"}`; got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
	if got, want := string(AppendJSON(nil, w.Object("none", nil))), `{"id":"@none"}`; got != want {
		t.Errorf("an object without statements: %s, want %s", got, want)
	}
}

func TestValuesWithoutPositionsAreListsInTheirOrder(t *testing.T) {
	list := append(statementsOf(t, `{"id":"a","p":2}`), statementsOf(t, `{"id":"a","p":10}`)...)
	if got, want := string(AppendJSON(nil, writer(t, Format{}).Object("a", list))), `{"id":"@a","p":[10,2]}`; got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestAListThatLostItsItemsIsEmpty(t *testing.T) {
	list := slices.DeleteFunc(statementsOf(t, `{"id":"a","p":[["x"]]}`), func(s statement.Statement) bool {
		return s.Predicate == statement.ListItem
	})
	if got, want := string(AppendJSON(nil, writer(t, Format{}).Object("a", list))), `{"id":"@a","p":[[]]}`; got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestADocumentSaysHowItIsToBeRead(t *testing.T) {
	for pattern, want := range map[string]string{
		"":             `{"pjson":"0.9","namemap":{"refpattern":"@((::)?URIREF)"},"data":[{"id":"@a","p":"@b"}]}`,
		"ref:(URIREF)": `{"pjson":"0.9","namemap":{"refpattern":"ref:(URIREF)"},"data":[{"id":"ref:a","p":"ref:b"}]}`,
	} {
		list := statementsOf(t, `{"id":"a","p":"@b"}`)
		text := AppendJSON(nil, writer(t, Format{RefPattern: pattern}).Document(list))
		if string(text) != want {
			t.Errorf("wrote %s\nwant  %s", text, want)
		}
		if diff := cmp.Diff(list, statementsOf(t, string(text))); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	}
	if _, err := NewWriter(Format{RefPattern: "@(("}); err == nil {
		t.Error("a broken pattern was accepted")
	}
}

func TestAMapKeepsItsOrder(t *testing.T) {
	m := Map{{"b", 1}, {"a", nil}}
	m.Set("c", []any{true, json.Number("1.0")})
	m.Set("b", Map{{"x", "y"}})
	text, err := json.Marshal(m)
	if want := `{"b":{"x":"y"},"a":null,"c":[true,1.0]}`; err != nil || string(text) != want {
		t.Errorf("wrote %s, %v; want %s", text, err, want)
	}
	if v, ok := m.Get("a"); v != nil || !ok {
		t.Errorf("Get(a) = %v, %v", v, ok)
	}
	if _, ok := m.Get("z"); ok {
		t.Error("Get found what is not there")
	}
	if got := string(AppendJSON(nil, Map{{"x", struct{}{}}, {"\xff", "\xfe"}})); !json.Valid([]byte(got)) {
		t.Errorf("broken JSON: %s", got)
	}
}

func TestReferencesAreToldFromOtherStrings(t *testing.T) {
	for text, want := range map[string]string{"@a": "a", "@::a": "a", "@http://x/?y#z": "http://x/?y#z", "@$1": "$1"} {
		if id, ok := ParseReference("", text); !ok || id != want {
			t.Errorf("ParseReference(%q) = %q, %v; want %q", text, id, ok, want)
		}
	}
	for _, text := range []string{"", "a", "@", "@@a", "@ a", "::@a", "@a b", "@{a}", `@a\b`, "@é", "@a\n"} {
		if id, ok := ParseReference("", text); ok {
			t.Errorf("ParseReference(%q) = %q, want none", text, id)
		}
	}
	if id, ok := ParseReference("(URIREF)", "a"); !ok || id != "a" {
		t.Errorf("with a pattern of its own: %q, %v", id, ok)
	}
	if _, ok := ParseReference("((", "a"); ok {
		t.Error("a broken pattern matched")
	}
}

// anyDocument draws JSON text of all that pJSON has.
func anyDocument() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		d := drawer{t}
		var objects []string
		for i := range rapid.IntRange(1, 4).Draw(t, "objects") {
			objects = append(objects, d.object(3, []string{"a", "b b", "@c", "::d", "e:f"}[i]))
		}
		return "[" + strings.Join(objects, ",") + "]"
	})
}

type drawer struct{ t *rapid.T }

func (d *drawer) quoted(text string) string { return string(AppendJSON(nil, text)) }

func (d *drawer) object(depth int, id string) string {
	var parts []string
	if id != "" {
		parts = append(parts, `"id":`+d.quoted("::"+id))
	}
	if context := rapid.SampledFrom([]string{"", "", "", "c1", "c2"}).Draw(d.t, "context"); context != "" {
		parts = append(parts, `"context":`+d.quoted(context))
	}
	keys := []string{"p", "q", "::id", "::::x", "::value", "::datatype", "http://x/#p", "rdf:type", "é €"}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 4, rapid.ID[string]).Draw(d.t, "keys") {
		parts = append(parts, d.quoted(key)+":"+d.value(depth))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (d *drawer) value(depth int) string {
	kinds := []string{"string", "ref", "number", "word", "typed", "context", "$ref"}
	if depth > 0 {
		kinds = append(kinds, "object", "list", "list")
	}
	switch kind := rapid.SampledFrom(kinds).Draw(d.t, "kind"); kind {
	case "ref":
		return d.quoted("@" + rapid.SampledFrom([]string{"a", "x", "http://a/b"}).Draw(d.t, "ref"))
	case "number":
		return rapid.SampledFrom([]string{"0", "-1", "1.0", "1.5e300", "123456789012345678901234567890"}).Draw(d.t, "number")
	case "word":
		return rapid.SampledFrom([]string{"true", "false", "null", "[]"}).Draw(d.t, "word")
	case "typed":
		return `{"datatype":` + d.quoted(rapid.SampledFrom([]string{"date", "lang:en", "x:y"}).Draw(d.t, "type")) + `,"value":"v"}`
	case "context":
		return `{"datatype":"json","value":1,"context":"c3"}`
	case "$ref":
		return `{"$ref":"::x y"}`
	case "object":
		return d.object(depth-1, "")
	case "list":
		var items []string
		for range rapid.IntRange(1, 4).Draw(d.t, "items") {
			items = append(items, d.value(depth-1))
		}
		return "[" + strings.Join(items, ",") + "]"
	default:
		text := rapid.OneOf(rapid.SampledFrom([]string{"@a", "", "::x", "x"}), rapid.String()).Draw(d.t, "string")
		return `{"datatype":"json","value":` + d.quoted(strings.ReplaceAll(text, "\x00", "")) + `}`
	}
}

func TestWhatIsWrittenReadsBackTheSame(t *testing.T) {
	formats := []Format{{}, {BareIDs: true}, {ExplicitRefs: true}, {RefPattern: "<(URIREF)>"}, {PreserveTypes: true}, {Nest: NestAll}}
	rapid.Check(t, func(t *rapid.T) {
		text := anyDocument().Draw(t, "document")
		doc, err := Parse([]byte(text), Options{IDs: Counter()})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		f := rapid.SampledFrom(formats).Draw(t, "format")
		w, err := NewWriter(f)
		if err != nil {
			t.Fatal(err)
		}
		written := AppendJSON(nil, w.Document(doc.statements()))
		back, err := Parse(written, Options{IDs: Counter()})
		if err != nil {
			t.Fatalf("%s\nwas written as %s: %v", text, written, err)
		}
		if diff := cmp.Diff(comparableLines(doc), comparableLines(back)); diff != "" {
			t.Fatalf("%s\nwas written as %s\n(-first +second):\n%s", text, written, diff)
		}
	})
}

var listNumber = regexp.MustCompile(`(_:j:e:list:.*?):\d+`)

// comparableLines are the statements without the numbers of lists, which are
// given anew.
func comparableLines(d Document) []string {
	var out []string
	for _, line := range linesOf(statement.Set(d.statements())) {
		out = append(out, listNumber.ReplaceAllString(line, "$1"))
	}
	slices.Sort(out)
	return out
}

func TestEveryFormOfReferenceToANestedListIsWrittenOnce(t *testing.T) {
	// A list inside a list has an id; nothing keeps a document from naming it.
	list := statementsOf(t, `[{"id":"a","l":[["x"]],"again":"@_:j:e:list:a:1"}]`)
	got := string(AppendJSON(nil, writer(t, Format{}).Objects(list)))
	if want := `[{"id":"@a","again":["x"],"l":["@_:j:e:list:a:1"]}]`; got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestAListInsideAListInAnotherContextIsReferredTo(t *testing.T) {
	list := statementsOf(t, `{"id":"a","l":[["x"]]}`)
	for i := range list {
		if list[i].Subject == "a" {
			list[i].Scope = "c"
		}
	}
	w := writer(t, Format{})
	// The list is embedded, so its reference decides the context of the object.
	if got, want := string(AppendJSON(nil, w.Object("a", list))),
		`{"id":"@a","context":"c","l":[[{"datatype":"json","value":"x","context":""}]]}`; got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestAListWithPropertiesOfAnObjectStandsAlone(t *testing.T) {
	list := append(statementsOf(t, `{"id":"a","l":[["x"]]}`),
		statement.Statement{Subject: "_:j:e:list:a:1", Predicate: "z", Term: statement.Literal("y")})
	got := string(AppendJSON(nil, writer(t, Format{}).Objects(list)))
	want := `[{"id":"@a","l":["@_:j:e:list:a:1"]},{"id":"@_:j:e:list:a:1","http://www.w3.org/2000/01/rdf-schema#member":["x"],"z":"y"}]`
	if got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
}

func TestObjectsNestedDeeperThanADocumentCanBeStayReferences(t *testing.T) {
	var objects []string
	for i := range maxNesting + 5 {
		objects = append(objects, `{"id":"n`+strconv.Itoa(1000+i)+`","p":"@n`+strconv.Itoa(1001+i)+`"}`)
	}
	list := statementsOf(t, "["+strings.Join(objects, ",")+"]")
	text := AppendJSON(nil, writer(t, Format{Nest: NestAll}).Objects(list))
	var rows []any
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Errorf("%d objects on top, want 2: the rest of the chain starts anew", len(rows))
	}
	if got := strings.Count(string(text), `"id":`); got != len(objects) {
		t.Errorf("%d objects were written, want %d", got, len(objects))
	}
}

func TestKeysAreEscapedWhereTheirNameMeansSomethingElse(t *testing.T) {
	w := writer(t, Format{})
	for name, want := range map[string]string{"p": "p", "id": "::id", "$ref": "::$ref", "::x": "::::x", "value": "value"} {
		if got := w.Key(name); got != want {
			t.Errorf("Key(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestNothingIsLostWhateverTheStatementsAre(t *testing.T) {
	ids := []string{"a", "b", "_:j:e:object:a:1", "_:j:e:object:a:2", "_:j:e:object:a:3", "_:j:e:object:b:1", "_:c"}
	anyOfFew := rapid.Custom(func(t *rapid.T) statement.Statement {
		s := statement.Statement{
			Subject:   rapid.SampledFrom(ids).Draw(t, "subject"),
			Predicate: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "predicate"),
			Scope:     rapid.SampledFrom([]string{"", "", "c", "d"}).Draw(t, "scope"),
		}
		s.Term = rapid.OneOf(
			rapid.Map(rapid.SampledFrom(ids), statement.Reference),
			rapid.Map(rapid.SampledFrom([]string{"x", "@y"}), statement.Literal)).Draw(t, "term")
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		list := statement.Set(rapid.SliceOfN(anyOfFew, 1, 20).Draw(t, "statements"))
		w, err := NewWriter(Format{Nest: rapid.SampledFrom([]Nesting{NestEmbedded, NestAnonymous, NestAll}).Draw(t, "nest")})
		if err != nil {
			t.Fatal(err)
		}
		text := AppendJSON(nil, w.Objects(list))
		back, err := Parse(text, Options{IDs: Counter()})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(factsOf(list), factsOf(back.statements())); diff != "" {
			t.Fatalf("%s\n(-want +got):\n%s", text, diff)
		}
	})
}

// factsOf leaves out positions, since values that were no list become one.
func factsOf(list []statement.Statement) []statement.Fact {
	var out []statement.Fact
	for _, s := range statement.Set(list) {
		out = append(out, s.Fact())
	}
	return out
}
