package jsonql

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func wordsOf(l *lexer) string {
	names := map[tokenKind]string{
		tokenName: "name", tokenProp: "prop", tokenKeyword: "key", tokenLabel: "label", tokenBind: "bind",
		tokenRef: "ref", tokenString: "str", tokenInt: "int", tokenFloat: "float", tokenSymbol: "sym",
	}
	var out []string
	for _, t := range l.tokens {
		if t.kind != tokenEnd {
			out = append(out, fmt.Sprintf("%s(%s)", names[t.kind], t.text))
		}
	}
	return strings.Join(out, " ")
}

func TestQueriesAreSplitIntoWordsAsTheSpecificationSays(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", " \t\r\n\f\v", ""},
		{"keywords in any case", "TRUE False nUll Where ORDER by ID", "key(true) key(false) key(null) key(where) key(order) key(by) key(id)"},
		{"names keep their case", "Foo _x $y a1$", "name(Foo) name(_x) name($y) name(a1$)"},
		{"no hyphen in names", "a-b", "name(a) sym(-) name(b)"},
		{"any property name", "<a b> , <id> , <where>", "prop(a b) sym(,) prop(id) sym(,) prop(where)"},
		{"escapes in property names", `<a\>\n\u00e9>`, "prop(a>\né)"},
		{"no property over two lines", "<a\nb>", "sym(<) name(a) name(b) sym(>)"},
		{"labels and bind variables", "?tag :v ?1", "label(tag) bind(v) label(1)"},
		{"a colon and a blank", "foo : bar", "name(foo) sym(:) name(bar)"},
		{"references", "@a @user:1 @http://x/y#z @::b", "ref(a) ref(user:1) ref(http://x/y#z) ref(b)"},
		{"references end at brackets and commas", "@a}@b)@c,@d]", "ref(a) sym(}) ref(b) sym()) ref(c) sym(,) ref(d) sym(])"},
		{"references with any text", "@<{a ref}>", "ref({a ref})"},
		{"strings", `'a' "b" 'it"s' "it's"`, `str(a) str(b) str(it"s) str(it's)`},
		{"escapes", `'\n\t\x0a\u000a\'\"\\\/'`, "str(\n\t\n\n'\"\\/)"},
		{"a wide escape", `'\U0001f600'`, "str(😀)"},
		{"numbers", "1 007 1.5 1e3 1.5E-7", "int(1) int(007) float(1.5) float(1e3) float(1.5E-7)"},
		{"negative numbers", "[-1, -1.5, -1e+2]", "sym([) int(-1) sym(,) float(-1.5) sym(,) float(-1e+2) sym(])"},
		{"minus after an operand subtracts", "1-1 a-1 )-1 id-1", "int(1) sym(-) int(1) name(a) sym(-) int(1) sym()) sym(-) int(1) key(id) sym(-) int(1)"},
		{"minus after an operator is a sign", "1 - -1", "int(1) sym(-) int(-1)"},
		{"less after an operand compares", "v<2 and w>0", "name(v) sym(<) int(2) key(and) name(w) sym(>) int(0)"},
		{"less after a label compares", "(?x < 5 and y > 2)", "sym(() label(x) sym(<) int(5) key(and) name(y) sym(>) int(2) sym())"},
		{"a property after a label that opens", "{?x <p>}", "sym({) label(x) prop(p) sym(})"},
		{"a property after an operator", "2 * <p> , not <q>", "int(2) sym(*) prop(p) sym(,) key(not) prop(q)"},
		{"operators", "= == != > >= 1 < 2 <= + * / %", "sym(=) sym(==) sym(!=) sym(>) sym(>=) int(1) sym(<) int(2) sym(<=) sym(+) sym(*) sym(/) sym(%)"},
		{"comments", "a // b\n# c\n/* d\n*/ e # f", "name(a) name(e)"},
		{"comment signs in strings", "'//' '#'", "str(//) str(#)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := lex(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := wordsOf(l); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if len(l.skipped) > 0 {
				t.Errorf("skipped: %q", l.skipped)
			}
		})
	}
}

func TestTextThatCannotBeSplitIsRefusedWithItsPlace(t *testing.T) {
	tests := []struct {
		name, text string
		line, col  int
		want       string
	}{
		{"an open comment", "{*}\n /* x", 2, 2, "this comment does not end: close it with */"},
		{"an open string", "{'a", 1, 2, "this string does not end: close it with '"},
		{"a string over two lines", "{\n\"a\n\"}", 2, 1, `write a line break as \n`},
		{"an unknown escape", `{'ab\q'}`, 1, 5, `unknown escape \q`},
		{"an escape that is not hex", `{'\x0g'}`, 1, 3, "is not a character"},
		{"an escape that is cut off", `{'\u00'}`, 1, 3, `unknown escape \u`},
		{"half a surrogate pair", `{'\ud83d'}`, 1, 3, "is not a character"},
		{"NUL", `{'\x00'}`, 1, 3, "is not a character"},
		{"a number with letters", "{a = 1x}", 1, 6, "this is not a number"},
		{"an empty reference", "{a = @}", 1, 6, "a reference without an id"},
		{"an empty property name", "{<>}", 1, 2, "empty name"},
		{"very many characters without meaning", "{" + strings.Repeat("~", 30) + "}", 1, 22, "more than 20 illegal characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := lex(tt.text)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("error %v, want a *SyntaxError", err)
			}
			if syntax.Line != tt.line || syntax.Col != tt.col || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want line %d, column %d and %q", err, tt.line, tt.col, tt.want)
			}
		})
	}
}

func TestCharactersWithoutMeaningAreSkippedAndReported(t *testing.T) {
	l, err := lex("{ a ~ , € b\n ; }")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := wordsOf(l), "sym({) name(a) sym(,) name(b) sym(})"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []string{
		"line 1, column 5: illegal character '~' skipped",
		"line 1, column 9: illegal character '€' skipped",
		"line 2, column 2: illegal character ';' skipped",
	}
	if fmt.Sprint(l.skipped) != fmt.Sprint(want) {
		t.Errorf("skipped %q, want %q", l.skipped, want)
	}
}
