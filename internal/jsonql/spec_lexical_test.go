package jsonql_test

import (
	"slices"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql"
)

const words = `[
	{"id":"a","v":1,"w":2,"Name":"capital","name":"small","$x_1":"odd","first name":"blank","x<y":"angle","z":null},
	{"id":"b c","v":3,"w":-1,"::id":"property","where":"keyword"},
	{"id":"d","v":-2.5,"to":{"$ref":"b c"},"line":"1\n2"}
]`

func TestKeywordsAreReadInAnyCase(t *testing.T) {
	src := specSource(t, words)
	for _, query := range []string{
		`{ID, v WHERE v = 1 AND NOT q}`, `{ID WHERE v = 7 OR v IN (3)}`, `{ID WHERE v NOT IN (3)}`, `(ID ORDER BY v ASC)`,
		`(ID ORDER BY v DESC LIMIT 2 OFFSET 1)`, `[OMITNULL z, v WHERE v = 1]`, `{ID, MAYBE to}`, `{to DEPTH 1}`, `{ID : v MERGEALL}`,
		`{v, 'n' : count(*) GROUP BY v}`, `('x' WHERE TRUE)`, `[TRUE, FALSE, NULL]`, `{<v> WHERE w NAMEMAP = {'refpattern' : '!(uriref)'}}`,
	} {
		upper, _, err := specRun(t, src, query, nil)
		lower, _, other := specRun(t, src, strings.ToLower(query), nil)
		if err != nil || other != nil || upper != lower || upper == "[]" {
			t.Errorf("%s: %s, %v\nin small letters %s, %v", query, upper, err, lower, other)
		}
	}
}

func TestNamesOfPropertiesLabelsAndFunctionsKeepTheirCase(t *testing.T) {
	tells(t, words, []told{
		{name: "a capital", query: `{Name}`, want: `[{"Name":"capital"}]`},
		{name: "none", query: `{name}`, want: `[{"name":"small"}]`},
		{name: "no other", query: `{NAME}`, want: `[]`},
		{name: "two labels", query: `{?l v, 'other' : ?L.v where ?l.v = 1 and ?L.v = 3}`, want: `[{"v":1,"other":3}]`},
	})
	refuses(t, words, []fault{{`(Upper(v))`, "1:2", `unknown function "Upper"`}})
}

func TestWordsOfTheLanguage(t *testing.T) {
	tells(t, words, []told{
		{name: "names have dollars, underscores and digits", query: `($x_1)`, want: `["odd"]`},
		{name: "no hyphens", query: `{'k' : v-w where w = 2}`, want: `[{"k":-1.0}]`},
		{name: "any name in angle brackets", query: `(<first name>)`, want: `["blank"]`},
		{name: "also that of a keyword", query: `(<where>)`, want: `["keyword"]`},
		{name: "and id, which is a property then", query: `[id, <id>]`, want: `[["b c","property"]]`},
		{name: "escapes in a name", query: `[<x\<y>, <\x76>]`, want: `[["angle",1]]`},
		{name: "a bind variable", query: `(w where v = :v)`, want: `[-1]`, bind: jsonql.Bindings{"v": 3}},
		{name: "a colon with a blank", query: `{v : w where v = 3}`, want: `[{"3":-1}]`},
		{name: "a reference ends before a brace", query: `{'r' : @x}`, want: `[{"r":"@x"}]`},
		{name: "before a comma and a bracket", query: `[@x,@y]`, want: `[["@x","@y"]]`},
		{name: "before a parenthesis and a blank", query: `(@x )`, want: `["@x"]`},
		{name: "has any other character", query: `(@http://e.org/?a=b&c#d;e'f"g)`, want: `["@http://e.org/?a=b&c#d;e'f\"g"]`},
		{name: "a reference to any id", query: `(id where to = @<b c>)`, want: `["@d"]`},
		{name: "strings have either quote", query: `['a"b', "a'b"]`, want: `[["a\"b","a'b"]]`},
		{name: "escapes of lines", query: `(id where line in ("1\n2") and line = '1\x0a2' and line = '1\u000a2')`, want: `["@d"]`},
		{name: "other escapes", query: `('\t\\\"\'\/\b\f\r')`, want: `["\t\\\"'/\b\f\r"]`},
		{name: "escapes of characters beyond the first 65536", query: `('\U0001f600')`, want: `["😀"]`},
		{name: "zeros before an integer", query: `[007, 0, -0]`, want: `[[7,0,0]]`},
		{name: "a sign belongs to a number", query: `[-1, -2.5, -1e2]`, want: `[[-1,-2.5,-100.0]]`},
		{name: "a negative number is a constant", query: `(id where v = -2.5)`, want: `["@d"]`},
		{name: "minus after a value subtracts", query: `[1-1, 1 - 1, v-1 where v = 3]`, want: `[[0.0,0.0,2.0]]`},
		{name: "less than, not a property", query: `(id where v<2 and v>0)`, want: `["@a"]`},
		{name: "less than a property", query: `(id where v<<w>)`, want: `["@a"]`},
		{name: "comments", query: "{ /* one\n two */ v // three } \n where # four }\n v = 3}", want: `[{"v":3}]`},
		{name: "a comment may end the text", query: "(v where v = 3) # end", want: `[3]`},
		{name: "signs of comments in strings", query: `['/*', '//', '#']`, want: `[["/*","//","#"]]`},
	})
}

func TestTextThatIsNoWordIsRefused(t *testing.T) {
	refuses(t, words, []fault{
		{`{v:w}`, "1:3", "put a blank after the colon"},
		{"{'a\nb' : 1}", "1:2", "string does not end"},
		{`{'a}`, "1:2", "string does not end"},
		{`{<a <b> c>}`, "1:2", "<"},
		{"{<a\nb>}", "1:2", "<"},
		{`{v where v = 1x}`, "1:14", "not a number"},
		{`{v where v = @}`, "1:14", "reference without an id"},
		{`{v /* where}`, "1:4", "comment does not end"},
		{`{'\q' : 1}`, "1:3", `unknown escape \q`},
		{`{'\u12' : 1}`, "1:3", `unknown escape \u`},
		{`{'a\u0000' : 1}`, "1:4", `escape \u0000 is not a character`},
		{`{<a\x00>}`, "1:4", `escape \x00 is not a character`},
		{`{'\ud83d' : 1}`, "1:3", `escape \ud83d is not a character`},
		{`{'\ud83d\ude00' : 1}`, "1:3", `escape \ud83d is not a character: write \U0001f600`},
		{`{'k' : @<\udc00>}`, "1:10", `escape \udc00 is not a character`},
		{`{'\U00110000' : 1}`, "1:3", `escape \U00110000 is not a character`},
	})
}

func TestIllegalCharactersAreSkippedAndToldBesideTheRows(t *testing.T) {
	got, result, err := specRun(t, specSource(t, words), "{v ^ where\n v = ; 3}", nil)
	if err != nil || got != `[{"v":3}]` {
		t.Fatalf("got %s, %v", got, err)
	}
	want := []string{"line 1, column 4: illegal character '^' skipped", "line 2, column 6: illegal character ';' skipped"}
	if !slices.Equal(result.Errors, want) {
		t.Errorf("faults %q, want %q", result.Errors, want)
	}
}
