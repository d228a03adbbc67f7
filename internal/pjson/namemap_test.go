package pjson

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vesperdb.io/vesper/internal/statement"
)

// namemaps are the rules of sections 2.4 to 2.6 of the specification: an object
// under a namemap, and what it means.
var namemaps = []struct{ name, namemap, object, want string }{
	{"shared patterns hold for properties and ids", `"sharedpatterns":{"s:":"http://s/"}`,
		`{"id":"s:a","s:p":"@s:b"}`, "http://s/a http://s/p http://s/b R"},
	{"id patterns hold for ids and references only", `"idpatterns":{"i:":"http://i/"}`,
		`{"id":"i:a","i:p":"@i:b"}`, "http://i/a i:p http://i/b R"},
	{"property patterns hold for properties only", `"propertypatterns":{"p:":"http://p/"}`,
		`{"id":"p:a","p:p":"@p:b"}`, "p:a http://p/p p:b R"},
	{"shared patterns come before own ones", `"sharedpatterns":{"x:":"http://s/"},"propertypatterns":{"x:":"http://p/"}`,
		`{"id":"a","x:p":"v"}`, "a http://s/p v L"},
	{"a literal prefix comes before an expression, and that before everything",
		`"propertypatterns":{"":"http://all/","(x\\d)":"http://expression/","x1":"http://prefix/"}`,
		`{"id":"a","x10":"v","x2":"v","y":"v"}`, "a http://all/y v L\na http://expression/x2 v L\na http://prefix/0 v L"},
	{"a literal suffix is no match of everything", `"propertypatterns":{"":"http://all/","(.*)!":"http://loud/"}`,
		`{"id":"a","p!":"v"}`, "a http://loud/p v L"},
	{"an empty expression captures nothing", `"propertypatterns":{"a()":"http://type"}`,
		`{"id":"a","a":"v","ab":"v"}`, "a ab v L\na http://type v L"},
	{"the captured text stands where @@ is", `"propertypatterns":{"p:":"http://x/@@#end"}`,
		`{"id":"a","p:q":"v"}`, "a http://x/q#end v L"},
	{"a pattern matches the whole string", `"propertypatterns":{"(b+)":"http://x/"}`,
		`{"id":"a","abb":"v","bb":"v","bbc":"v"}`, "a abb v L\na bbc v L\na http://x/bb v L"},
	{"the escape keeps patterns off names, ids and references", `"sharedpatterns":{"":"http://x/"}`,
		`{"id":"::a","::p":"@::b","::::q":"v"}`, "a ::q v L\na p b R"},
	{"URIREF and ABSURI in an expression", `"refpattern":{"<(ABSURI)>":"","[(URIREF)]":"ref:"}`,
		`{"id":"a","p":["<http://b/c>","<b>","[b]","[ b]"]}`,
		"a p <b> L [1]\na p [ b] L [3]\na p http://b/c R [0]\na p ref:b R [2]"},
	{"ABSURI takes the ids of anonymous objects", `"refpattern":"<(ABSURI)>"`, `{"id":"a","p":"<_:b>"}`, "a p _:b R"},
	{"a reference whose pattern gives the whole id goes through no id pattern",
		`"refpattern":{"rdf:":"http://rdf/"},"idpatterns":{"":"http://i/"}`,
		`{"id":"a","p":"rdf:b"}`, "http://i/a p http://rdf/b R"},
	{"no reference pattern", `"refpattern":""`, `{"id":"@a","p":"@b"}`, "@a p @b L"},
	{"a string of a datatype", `"datatypepatterns":{"date":"(\\d{4}-\\d\\d)"}`,
		`{"id":"a","p":["2010-04","2010"]}`, "a p 2010 L [1]\na p 2010-04 pjson:date [0]"},
	{"several patterns of one datatype", `"datatypepatterns":{"date":["(\\d{4})",{"(\\d{4}-\\d\\d)":"@@-01"}]}`,
		`{"id":"a","p":["2010-04","2010"]}`, "a p 2010 pjson:date [1]\na p 2010-04-01 pjson:date [0]"},
	{"a datatype that is a language", `"datatypepatterns":{"lang:en":"(.*)@en"}`, `{"id":"a","p":"hi@en"}`, "a p hi en"},
	{"a reference comes before a datatype", `"datatypepatterns":{"handle":"@(\\w+)"}`, `{"id":"a","p":"@b"}`, "a p b R"},
	{"datatype json keeps patterns off a value", `"datatypepatterns":{"date":"(\\d{4})"}`,
		`{"id":"a","p":{"datatype":"json","value":"2010"}}`, "a p 2010 L"},
	{"excluded properties are not read, as they are written", `"exclude":["x:p"],"propertypatterns":{"x:":"http://x/"}`,
		`{"id":"a","x:p":"no","::x:p":"yes","x:q":"yes"}`, "a http://x/q yes L\na x:p yes L"},
	{"renames free the old names", `"id":"key","$ref":"to","datatype":"type","context":"in"`,
		`{"key":"a","in":"c","id":"x","$ref":"y","datatype":"z","context":"w","p":{"to":"b"},"q":{"type":"date","value":"v"}}`,
		"a $ref y L {c}\na context w L {c}\na datatype z L {c}\na id x L {c}\na p b R {c}\na q v pjson:date {c}"},
	{"$ref under the name of id", `"$ref":"id"`, `{"id":"a","p":{"id":"b"},"q":{"id":"c","r":"v"}}`,
		"a p b R\na q c R\nc r v L"},
	{"Python's way to write the end, and repetitions from none", `"propertypatterns":{"(b{,2}\\Z)":"http://x/"}`,
		`{"id":"a","bb":"v","bbb":"v"}`, "a bbb v L\na http://x/bb v L"},
	{"brackets and braces in a class are characters", `"propertypatterns":{"([]{,$1]+)":"http://x/"}`,
		`{"id":"a","]{,$1":"v"}`, "a http://x/]{,$1 v L"},
}

func TestNamemapsMeanWhatTheSpecificationSays(t *testing.T) {
	for _, tt := range namemaps {
		t.Run(tt.name, func(t *testing.T) {
			text := fmt.Sprintf(`{"pjson":"0.9","namemap":{%s},"data":[%s]}`, tt.namemap, tt.object)
			list := statementsOf(t, text)
			got := linesOf(list)
			slices.Sort(got)
			want := strings.Split(tt.want, "\n")
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", text, diff)
			}
			writtenBack(t, "{"+tt.namemap+"}", list)
		})
	}
}

// writtenBack proves that statements survive being written under a namemap.
func writtenBack(t *testing.T, namemap string, list []statement.Statement) {
	t.Helper()
	root, err := scan([]byte(namemap))
	if err != nil {
		t.Fatal(err)
	}
	m := mapOf(root).(Map)
	for _, f := range []Format{{Namemap: m}, {Namemap: m, BareIDs: true}, {Namemap: m, ExplicitRefs: true}, {Namemap: m, Nest: NestAll}} {
		w := writer(t, f)
		for _, written := range []string{
			string(AppendJSON(nil, w.Document(list))), string(AppendJSON(nil, w.List(list))),
		} {
			if diff := cmp.Diff(statement.Set(list), statement.Set(statementsOf(t, written))); diff != "" {
				t.Errorf("written as %s (-first +second):\n%s", written, diff)
			}
		}
	}
}

func TestANamemapInsideHoldsForWhatIsInsideAndReplacesWholeTables(t *testing.T) {
	text := `{"id":"a","namemap":{"propertypatterns":{"x:":"http://x/"},"namemap":"nm","refpattern":"<(URIREF)>"},
	 "x:p":{"id":"b","x:q":"<c>","r":{"id":"d","nm":{"propertypatterns":{"y:":"http://y/"},"refpattern":""},"x:s":"<e>","y:s":"v"}}}`
	got := linesOf(statementsOf(t, text))
	slices.Sort(got)
	want := []string{"a http://x/p b R", "b http://x/q c R", "b r d R", "d http://y/s v L", "d x:s <e> L"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAHeaderInTheListHoldsForWhatFollows(t *testing.T) {
	got := linesOf(statementsOf(t, `[{"id":"a","p":"<x>"},{"pjson":"0.9","namemap":{"refpattern":"<(URIREF)>"},"context":"c"},{"id":"b","p":"<x>"}]`))
	if diff := cmp.Diff([]string{"a p <x> L", "b p x R {c}"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnObjectRepeatedWithItsNamemapIsNoDuplicate(t *testing.T) {
	object := `{"id":"a","namemap":{"propertypatterns":{"x:":"http://x/"}},"x:p":1}`
	if got := linesOf(statementsOf(t, "["+object+","+object+"]")); len(got) != 1 {
		t.Errorf("read as %q", got)
	}
}

func TestPatternsThatCannotBeMatchedSafelyAreRefused(t *testing.T) {
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf(`"p%d:":"x"`, i)
	}
	steps := make([]string, 9)
	for i := range steps {
		steps[i] = fmt.Sprintf(`"%d(a{900})":"x"`, i)
	}
	with := func(table string) string { return `{"namemap":{"idpatterns":{` + table + `}}}` }
	refusals{
		{"a reference back inside", with(`"((a)\\1)":"x"`), 1, 27, `refers back with "\\1"`},
		{"a reference back in the original's spelling", with(`"((a)$1)":"x"`), 1, 27, `refers back with "$1"`},
		{"a look ahead", with(`"(a(?=b))":"x"`), 1, 27, `looks ahead or behind with "(?="`},
		{"a look behind", with(`"((?<!b)a)":"x"`), 1, 27, `looks ahead or behind with "(?<!"`},
		{"an expression that is none", with(`"([)":"x"`), 1, 27, "not a regular expression"},
		{"a parenthesis that does not end", with(`"(":"x"`), 1, 27, "opens a parenthesis and does not close it"},
		{"too many repetitions", with(`"((a{30}){30}{30})":"x"`), 1, 27, "regular expression"},
		{"too many steps", with(`"(a{999}b{999})":"x"`), 1, 27, "and the limit is 1000"},
		{"too many steps together", with(strings.Join(steps, ",")), 1, 91, "too large together"},
		{"too many patterns", with(strings.Join(many, ",")), 1, 2989, "too large together"},
		{"too long a pattern", with(`"` + strings.Repeat("p", 1025) + `":"x"`), 1, 27, "longer than 1024 bytes"},
		{"a replacement that is no string", with(`"p:":1`), 1, 32, "must be a string, and this is a number"},
		{"datatypes that are no object", `{"namemap":{"datatypepatterns":"x"}}`, 1, 32, "must be an object, and this is a string"},
		{"a datatype that names none", `{"namemap":{"datatypepatterns":{"json":"(x)"}}}`, 1, 33, "does not name a type"},
		{"exclude that is no list", `{"namemap":{"exclude":"x"}}`, 1, 23, "must be a list of property names"},
	}.run(t, Options{})
}

func TestTooManyNamemapsAreRefused(t *testing.T) {
	objects := make([]string, maxNamemaps+1)
	for i := range objects {
		objects[i] = fmt.Sprintf(`{"namemap":{"exclude":["x%d"]},"p":1}`, i)
	}
	_, err := Parse([]byte("["+strings.Join(objects, ",")+"]"), Options{})
	if err == nil || !strings.Contains(err.Error(), "more than 1024 different namemaps") {
		t.Errorf("Parse = %v", err)
	}
}

func TestTextsLongerThanAnyNameMatchNoPattern(t *testing.T) {
	long := strings.Repeat("a", maxMatchBytes)
	list := statementsOf(t, `{"id":"a","p":"@`+long+`"}`)
	if len(list) != 1 || list[0].IsRef() {
		t.Errorf("read as %v", linesOf(list))
	}
}

func TestAWriterRefusesANamemapThatIsNone(t *testing.T) {
	if _, err := NewWriter(Format{Namemap: Map{{"idpatterns", "(("}}}); err == nil {
		t.Error("a namemap with a broken pattern was accepted")
	}
}

func TestObjectsKeepTheOrderOfTheirStatements(t *testing.T) {
	list := statementsOf(t, `[{"id":"b","p":1},{"id":"a","p":1}]`)
	got := string(AppendJSON(nil, writer(t, Format{KeepOrder: true}).Objects(list)))
	if want := `[{"id":"@b","p":1},{"id":"@a","p":1}]`; got != want {
		t.Errorf("written as %s, want %s", got, want)
	}
}
