package pjson

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/statement"
)

// shortTypes make statements readable in tests.
var shortTypes = map[string]string{
	statement.XSDInteger: "int", statement.XSDDouble: "double", statement.XSDBoolean: "bool", statement.TypeNull: "null",
	statement.TypeRef: "R", statement.TypeLiteral: "L",
}

// lineOf writes a statement as "subject predicate text type {scope} positions".
func lineOf(s statement.Statement) string {
	kind := s.Type
	if short, ok := shortTypes[kind]; ok {
		kind = short
	}
	text := strings.ReplaceAll(s.Text, statement.Nil, "nil")
	out := fmt.Sprintf("%s %s %s %s", s.Subject, strings.ReplaceAll(s.Predicate, statement.ListItem, "item"), text, kind)
	if s.Scope != "" {
		out += " {" + s.Scope + "}"
	}
	if len(s.Positions) > 0 {
		out += " " + fmt.Sprint(s.Positions)
	}
	return out
}

func linesOf(list []statement.Statement) []string {
	var out []string
	for _, s := range list {
		out = append(out, lineOf(s))
	}
	return out
}

// documents are what the specification says about parsing, one by one.
var documents = []struct{ name, text, want string }{
	// 2.1 the document
	{"a list of objects", `[{"id":"a","p":"x"},{"id":"b","p":"y"}]`, "a p x L\nb p y L"},
	{"one object", `{"id":"a","p":"x"}`, "a p x L"},
	{"an empty list", `[]`, ""},
	{"a header with a list", `{"pjson":"0.9","data":[{"id":"a","p":"x"}]}`, "a p x L"},
	{"a header with one object", `{"pjson":"0.9","data":{"id":"a","p":"x"}}`, "a p x L"},
	{"the value of pjson is not looked at", `{"pjson":null,"other":[1],"data":{"id":"a","p":"x"}}`, "a p x L"},
	{"a header in a list is for what follows",
		`[{"id":"a","p":"@x"},{"pjson":"0.9","namemap":{"refpattern":"!(URIREF)"}},{"id":"b","p":"@x","q":"!x"}]`,
		"a p x R\nb p @x L\nb q x R"},
	{"an object with an id only says nothing", `{"id":"a"}`, ""},
	{"the same object twice", `[{"id":"a","p":1},{"p":1,"id":"a"}]`, "a p 1 int"},
	{"an id again without anything else", `[{"id":"a","p":1},{"id":"a"},{"id":"b","r":{"id":"a"}}]`, "a p 1 int\nb r a R"},

	// 1.2 scalars
	{"a string", `{"id":"a","p":"text"}`, "a p text L"},
	{"integers of any size", `{"id":"a","p":12345678901234567890123,"q":-1}`, "a p 12345678901234567890123 int\na q -1 int"},
	{"doubles", `{"id":"a","p":1.0,"q":1e2,"r":0.30000000000000004}`,
		"a p 1.0 double\na q 100.0 double\na r 0.30000000000000004 double"},
	{"booleans", `{"id":"a","p":true,"q":false}`, "a p true bool\na q false bool"},
	{"null", `{"id":"a","p":null}`, "a p null null"},
	{"1, 1.0 and \"1\" are three values", `{"id":"a","p":[1,1.0,"1"]}`, "a p 1 int [0]\na p 1.0 double [1]\na p 1 L [2]"},

	// 1.3 ids
	{"a number as an id", `[{"id":1,"p":1},{"id":1.50,"p":1}]`, "1 p 1 int\n1.5 p 1 int"},
	{"no id", `{"p":1}`, "_:j:t:object:1 p 1 int"},
	{"a nested object without id", `{"id":"a","o":{"k":"v"}}`, "a o _:j:e:object:a:1 R\n_:j:e:object:a:1 k v L"},
	{"a nested object without id in another", `{"id":"a","o":{"i":{"k":1}}}`,
		"a o _:j:e:object:a:1 R\n_:j:e:object:a:1 i _:j:e:object:a:2 R\n_:j:e:object:a:2 k 1 int"},
	{"the owner is the closest object that is not embedded", `{"id":"a","o":{"i":{"id":"b","k":{}}}}`,
		"a o _:j:e:object:a:1 R\n_:j:e:object:a:1 i b R\nb k _:j:e:object:b:2 R"},
	{"an empty nested object", `{"id":"a","o":{}}`, "a o _:j:e:object:a:1 R"},
	{"embedded in an anonymous object", `{"o":{"k":1}}`,
		"_:j:t:object:1 o _:j:e:object:_:j:t:object:1:2 R\n_:j:e:object:_:j:t:object:1:2 k 1 int"},
	{"a nested object with an id", `{"id":"a","o":{"id":"b","k":1}}`, "a o b R\nb k 1 int"},
	{"an embedded id that is given", `{"id":"a","o":{"id":"_:j:e:object:a:9","k":1}}`,
		"a o _:j:e:object:a:9 R\n_:j:e:object:a:9 k 1 int"},

	// 1.4 lists
	{"a list", `{"id":"a","p":["x","y"]}`, "a p x L [0]\na p y L [1]"},
	{"a list of one is no scalar", `{"id":"a","p":["x"]}`, "a p x L [0]"},
	{"a value twice in a list", `{"id":"a","p":[1,2,1,1]}`, "a p 1 int [0 2 3]\na p 2 int [1]"},
	{"the empty list", `{"id":"a","p":[]}`, "a p nil R"},
	{"the empty list in a list", `{"id":"a","p":[[]]}`, "a p nil R [0]"},
	{"lists in lists", `{"id":"a","p":[["x",["y"]],["z","z"]]}`, `a p _:j:e:list:a:1 R [0]
_:j:e:list:a:1 item x L [0]
_:j:e:list:a:1 item _:j:e:list:a:2 R [1]
_:j:e:list:a:2 item y L [0]
a p _:j:e:list:a:3 R [1]
_:j:e:list:a:3 item z L [0 1]`},
	{"objects in lists", `{"id":"a","p":[{"k":1},{"id":"b"},{"$ref":"c"}]}`,
		"a p _:j:e:object:a:1 R [0]\n_:j:e:object:a:1 k 1 int\na p b R [1]\na p c R [2]"},

	// 2.2 reserved names
	{"names with a meaning of their own are no properties",
		`[{"id":"a","datatype":"x","$ref":1,"namemap":{},"context":"","p":{"id":"b","namemap":{},"pjson":1,"context":"","datatype":"y","k":1}}]`,
		"a p b R\nb k 1 int"},
	{"unless escaped", `{"id":"a","::id":1,"::context":2,"::$ref":3,"::datatype":4,"::pjson":5,"::namemap":6}`,
		"a id 1 int\na context 2 int\na $ref 3 int\na datatype 4 int\na pjson 5 int\na namemap 6 int"},

	// 2.3 values
	{"references", `{"id":"a","p":"@b","q":"@http://x/y","r":"@bnode:1","s":"@user:1"}`,
		"a p b R\na q http://x/y R\na r bnode:1 R\na s user:1 R"},
	{"strings that are almost references", `{"id":"a","p":["@","@ x","@{x}","@@b","@.x"," @b","x@b"]}`,
		"a p @ L [0]\na p @ x L [1]\na p @{x} L [2]\na p @@b L [3]\na p @.x L [4]\na p  @b L [5]\na p x@b L [6]"},
	{"$ref", `{"id":"a","p":{"$ref":"@b"},"q":{"$ref":"c d"},"r":{"$ref":"::@e"}}`, "a p b R\na q c d R\na r @e R"},
	{"datatype json", `{"id":"a","p":{"datatype":"json","value":"@b"},"q":{"datatype":"json","value":1},"r":{"value":null,"datatype":"json"}}`,
		"a p @b L\na q 1 int\na r null null"},
	{"datatypes", `{"id":"a","p":{"datatype":"date","value":"2010-04-01"},"q":{"datatype":"lang:en-US","value":"color"},"r":{"datatype":"x:y","value":""}}`,
		"a p 2010-04-01 pjson:date\na q color en-US\na r  x:y"},
	{"a datatype object with more is an object", `{"id":"a","p":{"datatype":"date","value":"x","more":1}}`,
		"a p _:j:e:object:a:1 R\n_:j:e:object:a:1 value x L\n_:j:e:object:a:1 more 1 int"},
	{"a datatype alone is an object without properties", `{"id":"a","p":{"datatype":"json"}}`, "a p _:j:e:object:a:1 R"},
	{"ids are parsed like references", `[{"id":"@foo","p":1},{"id":"@::bar","p":1},{"id":"::@baz","p":1}]`,
		"foo p 1 int\nbar p 1 int\n@baz p 1 int"},

	// 2.4 escapes
	{"one escape is removed", `{"id":"::::a","::p":1,"::::q":2}`, "::a p 1 int\n::a ::q 2 int"},
	{"values are not escaped", `{"id":"a","p":"::x"}`, "a p ::x L"},

	// 2.5 namemaps
	{"renamed keys", `{"pjson":"0.9","namemap":{"id":"key","$ref":"ref","context":"scope","datatype":"type"},
		"data":[{"key":"a","id":"x","p":{"ref":"b"},"scope":"c","q":{"type":"json","value":"@d"},"$ref":1}]}`,
		"a id x L {c}\na p b R {c}\na q @d L {c}\na $ref 1 int {c}"},
	{"$ref renamed to the name of the id", `{"namemap":{"$ref":"id"},"id":"a","p":{"id":"b"},"q":{"id":"c","k":1},"r":{"id":"d","context":"s"}}`,
		"a p b R\na q c R\nc k 1 int\na r d R {s}"},
	{"a namemap is for the object and what is in it", `[{"id":"a","namemap":{"refpattern":""},"p":"@x","o":{"id":"b","q":"@x"}},{"id":"c","p":"@x"}]`,
		"a p @x L\na o b R\nb q @x L\nc p x R"},
	{"exclude", `{"id":"a","namemap":{"exclude":["p","q"]},"p":1,"q":2,"r":3}`, "a r 3 int"},
	{"a pattern with a replacement", `{"id":"a","namemap":{"refpattern":{"rdf:":"http://rdf#","(x\\w+)":"http://x/@@/end"}},"p":"rdf:type","q":"xyz","r":"@y"}`,
		"a p http://rdf#type R\na q http://x/xyz/end R\na r @y L"},
	{"a pattern with a suffix", `{"id":"a","namemap":{"refpattern":"<(URIREF)>"},"p":"<b>","q":"<b"}`, "a p b R\na q <b L"},

	// 2.7 contexts
	{"a context is for the object and what is in it", `{"id":"a","context":"c","p":1,"o":{"k":["x"]},"l":[["y"]]}`,
		"a p 1 int {c}\na o _:j:e:object:a:1 R {c}\n_:j:e:object:a:1 k x L {c} [0]\na l _:j:e:list:a:2 R {c} [0]\n_:j:e:list:a:2 item y L {c} [0]"},
	{"a nested context", `{"id":"a","context":"c","o":{"context":"d","k":1},"p":{"context":"","id":"b","k":2}}`,
		"a o _:j:e:object:a:1 R {c}\n_:j:e:object:a:1 k 1 int {d}\na p b R {c}\nb k 2 int"},
	{"the context of one value", `{"id":"a","context":"c","p":{"$ref":"b","context":""},"q":{"datatype":"json","value":1,"context":"d"}}`,
		"a p b R\na q 1 int {d}"},
	{"the context of a document", `{"pjson":"0.9","context":"c","data":[{"id":"a","p":1},{"id":"b","context":"","p":1}]}`,
		"a p 1 int {c}\nb p 1 int"},
	{"one fact in two contexts", `{"id":"a","p":[1,{"datatype":"json","value":1,"context":"c"}]}`, "a p 1 int [0]\na p 1 int {c} [1]"},
}

func TestDocumentsMeanWhatTheSpecificationSays(t *testing.T) {
	for _, tt := range documents {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse([]byte(tt.text), Options{IDs: Counter()})
			if err != nil {
				t.Fatal(err)
			}
			got, want := linesOf(doc.statements()), strings.Split(tt.want, "\n")
			if tt.want == "" {
				want = nil
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("statements (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParsingTheDocumentWithItsIDsGivesTheSameStatements(t *testing.T) {
	for _, tt := range documents {
		t.Run(tt.name, func(t *testing.T) {
			first, err := Parse([]byte(tt.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			second, err := Parse(first.WithIDs(), Options{IDs: refuseIDs{t}})
			if err != nil {
				t.Fatalf("%s: %v", first.WithIDs(), err)
			}
			if diff := cmp.Diff(withoutLists(first), withoutLists(second)); diff != "" {
				t.Errorf("%s\n(-first +second):\n%s", first.WithIDs(), diff)
			}
		})
	}
}

// refuseIDs fails the test when an object still has no id.
type refuseIDs struct{ t *testing.T }

func (r refuseIDs) Anonymous() string { r.t.Error("an object without id is left"); return "_:x" }

func (r refuseIDs) Embedded(string) string {
	r.t.Error("an embedded object without id is left")
	return "_:x"
}

func (r refuseIDs) List(owner string) string { return "_:j:e:list:" + owner + ":1" }

// withoutLists leaves out what depends on the ids of lists, which cannot be given.
func withoutLists(d Document) []string {
	return slices.DeleteFunc(linesOf(d.statements()), func(line string) bool { return strings.Contains(line, "j:e:list:") })
}

func TestWhatCannotBeStoredAsItWasSentIsRefused(t *testing.T) {
	refusals{
		{"a document that is a string", `"x"`, 1, 1, "JSON must be an object or a list of objects, and this is a string"},
		{"a document that is a number", ` 5`, 1, 2, "and this is a number"},
		{"a number in the list", `[{},5]`, 1, 5, "item 2 of the list must be an object, and is a number"},
		{"a string in the list", `["@a"]`, 1, 2, "item 1 of the list must be an object, and is a string"},
		{"a header without data", `{"pjson":"0.9"}`, 1, 1, `must have "data"`},
		{"data that is neither", `{"pjson":"0.9","data":"x"}`, 1, 23, "must be an object or a list of objects"},
		{"data in a header inside a list", `[{"pjson":"0.9","data":[]}]`, 1, 2, "put the objects after it in the list"},
		{"an id that is null", `{"id":null}`, 1, 7, "leave it out to have one generated"},
		{"an id that is a list", `{"id":["a"]}`, 1, 7, "an id must be a string or a number, and this is a list"},
		{"an id that is true", `{"id":true}`, 1, 7, "and this is true or false"},
		{"an empty id", `{"id":""}`, 1, 7, "id is empty"},
		{"an id that is too long", `{"id":"` + strings.Repeat("k", 2049) + `"}`, 1, 7,
			`id "` + strings.Repeat("k", 40) + `"... is too long: 2049 bytes, and the limit is 2048`},
		{"an owner that is too long for what is embedded",
			`{"id":"a","p":{"id":"_:j:e:object:` + strings.Repeat("k", 2200) + `:1"}}`, 1, 21, "and the limit is 2176"},
		{"an empty property name", `{"id":"a","":1}`, 1, 14, "property name is empty"},
		{"a property name that is too long", `{"id":"a","` + strings.Repeat("p", 2049) + `":1}`, 1, 2063, "is too long: 2049 bytes"},
		{"one property in two spellings", `{"id":"a","p":1,"::p":2}`, 1, 17, `property "p" is given twice`},
		{"one id with two contents", "[{\"id\":\"a\",\"p\":1},\n {\"id\":\"a\",\"p\":2}]", 2, 2, "duplicate id encountered: a, first at line 1, column 2"},
		{"one id with two contents, nested", `[{"id":"a","p":1},{"id":"b","o":{"id":"@a","q":2}}]`, 1, 33, "duplicate id encountered: a"},
		{"one id with one content in two contexts", `[{"id":"a","p":1},{"id":"a","p":1,"context":"c"}]`, 1, 19, "duplicate id"},
		{"one embedded id twice", `{"id":"a","o":{"id":"_:j:e:object:a:1","k":1},"p":{"id":"_:j:e:object:a:1","k":2}}`, 1, 51, "duplicate id"},
		{"a context that is no string", `{"id":"a","context":1}`, 1, 21, "a context must be a string, and this is a number"},
		{"a $ref that is no string", `{"id":"a","p":{"$ref":1}}`, 1, 23, "a reference must be a string, and this is a number"},
		{"an empty $ref", `{"id":"a","p":{"$ref":""}}`, 1, 23, "id is empty"},
		{"a $ref with properties", `{"id":"a","p":{"$ref":"b","k":1}}`, 1, 27, `is a reference and cannot have "k"`},
		{"a datatype that is no string", `{"id":"a","p":{"datatype":1,"value":"x"}}`, 1, 27, "a datatype must be a string"},
		{"an empty datatype", `{"id":"a","p":{"datatype":"","value":"x"}}`, 1, 27, "does not name a type"},
		{"a language that is none", `{"id":"a","p":{"datatype":"lang:R","value":"x"}}`, 1, 27, "does not name a language"},
		{"a typed value that is no string", `{"id":"a","p":{"datatype":"date","value":5}}`, 1, 42, "write the value in double quotes"},
		{"a list of datatype json", `{"id":"a","p":{"datatype":"json","value":[1]}}`, 1, 42, "leave out the datatype"},
		{"a namemap that is no object", `{"id":"a","namemap":[]}`, 1, 21, "a namemap must be an object, and this is a list"},
		{"an unknown key in a namemap", `{"id":"a","namemap":{"refpatern":"x"}}`, 1, 22, `unknown key "refpatern" in a namemap`},
		{"patterns that are a number", `{"id":"a","namemap":{"idpatterns":5}}`, 1, 35, "\"idpatterns\" must be a string or an object, and this is a number"},
		{"a rename to nothing", `{"namemap":{"id":""}}`, 1, 18, `the new name of "id"`},
		{"a rename to a number", `{"namemap":{"id":1}}`, 1, 18, `the new name of "id" is a number`},
		{"a refpattern that is a number", `{"namemap":{"refpattern":1}}`, 1, 26, "must be a string or an object"},
		{"a refpattern that is no pattern", `{"namemap":{"refpattern":"@(["}}`, 1, 26, "does not close it"},
		{"a refpattern that is no expression", `{"namemap":{"refpattern":"@([)"}}`, 1, 26, "regular expression"},
		{"a refpattern that is too long", `{"namemap":{"refpattern":"@` + strings.Repeat("x", 1025) + `"}}`, 1, 26, "longer than 1024 bytes"},
		{"a replacement that is no string", `{"namemap":{"refpattern":{"a":1}}}`, 1, 31, "must be a string"},
		{"a table with a bad pattern", `{"namemap":{"refpattern":{"a([)":"x"}}}`, 1, 27, "regular expression"},
		{"exclude that is no list", `{"namemap":{"exclude":"p"}}`, 1, 23, "must be a list of property names"},
		{"exclude with a number", `{"namemap":{"exclude":[1]}}`, 1, 24, "a property name must be a string"},
	}.run(t, Options{IDs: Counter()})
}

func TestObjectsComeInDocumentOrderWithWhatIsEmbedded(t *testing.T) {
	doc, err := Parse([]byte(`[
 {"id":"b","p":{"id":"c","k":1},"o":{"k":2}},
 {"q":1},
 {"id":"a"},
 {"id":"_:j:e:object:b:7","k":3}
]`), Options{IDs: Counter()})
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		id                string
		generated, nested bool
		statements, line  int
	}
	var got []seen
	for _, o := range doc.Objects {
		got = append(got, seen{o.ID, o.Generated, o.Nested, len(o.Statements), o.Position.Line})
	}
	want := []seen{
		{"b", false, false, 3, 2}, {"c", false, true, 1, 2}, {"_:j:t:object:2", true, false, 1, 3},
		{"a", false, false, 0, 4}, {"_:j:e:object:b:7", false, false, 1, 5},
	}
	if !slices.Equal(got, want) {
		t.Errorf("objects = %v\nwant      %v", got, want)
	}
	if doc.Single {
		t.Error("a list was taken for a single object")
	}
}

func TestAnObjectInTheListIsNotNestedWhereverElseItIs(t *testing.T) {
	for _, text := range []string{
		`[{"id":"a","o":{"id":"b","k":1}},{"id":"b"}]`,
		`[{"id":"b"},{"id":"a","o":{"id":"b","k":1}}]`,
		`[{"id":"a","o":{"id":"b","k":1}},{"id":"b","k":1}]`,
		`[{"id":"b","k":1},{"id":"a","o":{"id":"b","k":1}}]`,
	} {
		doc, err := Parse([]byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(doc.Objects) != 2 {
			t.Errorf("%s: %d objects, want 2", text, len(doc.Objects))
		}
		for _, o := range doc.Objects {
			if o.Nested {
				t.Errorf("%s: %s is nested", text, o.ID)
			}
		}
	}
}

func TestThePropertiesThatAreNamedAreListed(t *testing.T) {
	doc, err := Parse([]byte(`{"id":"a","z":1,"::id":[],"n":null,"l":[null],"o":{"k":null,"m":[["x"]]},
		"r":{"id":"b","q":null}, "context":"c"}`), Options{IDs: Counter()})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]Prop{{
		{"a", "z", false}, {"a", "id", false}, {"a", "n", true}, {"a", "l", false}, {"a", "o", false},
		{"_:j:e:object:a:1", "k", true}, {"_:j:e:object:a:1", "m", false}, {"a", "r", false},
	}, {{"b", "q", true}}}
	var got [][]Prop
	for _, o := range doc.Objects {
		got = append(got, o.Props)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("props (-want +got):\n%s", diff)
	}
	if !doc.Single {
		t.Error("a single object was taken for a list")
	}
}

func TestDuplicatesAreMergedWhereAllowed(t *testing.T) {
	doc, err := Parse([]byte(`[{"id":"a","p":[1,2]},{"id":"a","p":[3],"q":1}]`), Options{AllowDuplicateIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a p 1 int [0]", "a p 2 int [1]", "a p 3 int [0]", "a q 1 int"}
	if got := linesOf(doc.statements()); !slices.Equal(got, want) || len(doc.Objects) != 1 || len(doc.Objects[0].Props) != 2 {
		t.Errorf("objects = %+v", doc.Objects)
	}
}

func TestWhatOneObjectHasDoesNotHinderTheNext(t *testing.T) {
	// Large and small ones, so that both ways to forget are taken.
	var large []string
	for i := range 2 * maxKnown {
		large = append(large, fmt.Sprint(i))
	}
	for _, items := range []string{"1,1", strings.Join(large, ",") + ",0"} {
		text := `[{"id":"a","p":[` + items + `]},{"id":"b","p":[` + items + `],"o":{"id":"c","p":1}},{"id":"d","p":"@a","q":{"id":"a"}}]`
		doc, err := Parse([]byte(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(doc.Objects) != 4 {
			t.Fatalf("%d objects, want 4", len(doc.Objects))
		}
		for i, o := range doc.Objects[:2] {
			first := o.Statements[0]
			if first.Subject != string(rune('a'+i)) || len(first.Positions) != 2 || first.Positions[1] != strings.Count(items, ",") {
				t.Errorf("%s: the value that is there twice is at %v", o.ID, first.Positions)
			}
		}
	}
	if _, err := Parse([]byte(`[{"id":"a","p":1},{"id":"b"},{"id":"a","p":2}]`), Options{}); err == nil {
		t.Error("two contents of one id were accepted")
	}
}

func TestWholeObjectsAreNamedWhereAllowed(t *testing.T) {
	doc, err := Parse([]byte(`["@a","b","::@c",{"id":"d","p":null}]`), Options{AllowReferences: true})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "@c"}; !slices.Equal(doc.References, want) || len(doc.Objects) != 1 {
		t.Errorf("references = %q, want %q; objects %+v", doc.References, want, doc.Objects)
	}
	if _, err := Parse([]byte(`["@a",""]`), Options{AllowReferences: true}); err == nil {
		t.Error("an empty reference was accepted")
	}
}

func TestOptionsHoldUntilTheDocumentSaysOtherwise(t *testing.T) {
	opts := Options{RefPattern: "(URIREF)", Scope: "s"}
	doc, err := Parse([]byte(`[{"id":"a","p":"b","q":"b c"},{"id":"d","context":"","namemap":{"refpattern":""},"p":"b"}]`), opts)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a p b R {s}", "a q b c L {s}", "d p b L"}
	if got := linesOf(doc.statements()); !slices.Equal(got, want) {
		t.Errorf("statements = %q, want %q", got, want)
	}
	if _, err := Parse([]byte(`{}`), Options{RefPattern: "("}); err == nil {
		t.Error("a broken pattern was accepted")
	}
}

func TestGeneratedIDsAreNewAndSayWhatTheyAre(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		ids := Random()
		for range 3 {
			for _, id := range []string{ids.Anonymous(), ids.Embedded("a:b"), ids.List("a:b")} {
				if seen[id] || !statement.IsHidden(id) {
					t.Errorf("%s was generated before, or is not hidden", id)
				}
				seen[id] = true
			}
		}
		top, object, list := ids.Anonymous(), ids.Embedded("a:b"), ids.List("a:b")
		if statement.IsEmbedded(top) || statement.Root(object) != "a:b" || statement.IsList(object) || !statement.IsList(list) {
			t.Errorf("ids do not say what they are: %s, %s, %s", top, object, list)
		}
		if len(object) > len("a:b")+statement.MaxEmbeddedIDBytes-statement.MaxIDBytes {
			t.Errorf("%s does not leave room for the longest owner", object)
		}
	}
}

func TestTheIDOfTheLongestOwnerFitsWhatIsEmbeddedInIt(t *testing.T) {
	owner := strings.Repeat("k", statement.MaxIDBytes)
	if _, err := Parse([]byte(`{"id":"`+owner+`","o":{"k":[[1]]}}`), Options{}); err != nil {
		t.Error(err)
	}
}

// ending is a context that ends after it was asked so often.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestPatternsEndWithTheirContext: a document whose patterns have much to match is
// given up at the next match, and nothing of it is returned.
func TestPatternsEndWithTheirContext(t *testing.T) {
	text := `{"pjson":"0.9","namemap":{"refpattern":"<((a|b|ab)*)>"},"data":[{"id":"x","v":[` +
		strings.Repeat(`"<abababababababababababab!>",`, 5000) + `1]}]}`
	ctx := &ending{context.Background(), 100}
	doc, err := ParseContext(ctx, []byte(text), Options{})
	if err == nil || len(doc.Objects) > 0 {
		t.Fatalf("it is parsed all the same: %v", err)
	}
	if ctx.left > -1 {
		t.Errorf("the context was not asked at each match: %d are left", ctx.left)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the client is gone"))
	if _, err := ParseContext(gone, []byte(text), Options{}); err == nil || !strings.Contains(err.Error(), "the client is gone") {
		t.Errorf("the cause is not told: %v", err)
	}
	if _, err := ParseContext(t.Context(), []byte(text), Options{}); err != nil {
		t.Errorf("with time enough: %v", err)
	}
}
