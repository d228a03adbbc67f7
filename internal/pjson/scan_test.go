package pjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// refusals are texts that must be refused, where, and in what words.
type refusals []struct {
	name, text string
	line, col  int
	want       string
}

func (list refusals) run(t *testing.T, opts Options) {
	t.Helper()
	for _, tt := range list {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse([]byte(tt.text), opts)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("Parse = %+v, %v; want a *SyntaxError", doc.Objects, err)
			}
			if syntax.Line != tt.line || syntax.Column != tt.col {
				t.Errorf("at %v, want line %d, column %d: %v", syntax.Position, tt.line, tt.col, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not contain %q", err, tt.want)
			}
			if doc.Objects != nil {
				t.Error("a refused document has objects")
			}
		})
	}
}

func TestTextThatIsNotStrictJSONIsRefusedWithItsPlace(t *testing.T) {
	refusals{
		{"nothing", ``, 1, 1, "there is no text"},
		{"only blanks", " \n ", 1, 1, "there is no text"},
		{"a word", `hello`, 1, 1, `unexpected 'h' where a value should be`},
		{"a comment", "// x\n{}", 1, 1, "where a value should be"},
		{"single quotes", `{'a':1}`, 1, 2, "property names stand in double quotes"},
		{"a bare name", `{a:1}`, 1, 2, "property names stand in double quotes"},
		{"a trailing comma in an object", `{"a":1,}`, 1, 8, "no comma follows the last one"},
		{"a trailing comma in a list", `[1,]`, 1, 4, "unexpected ']'"},
		{"no colon", `{"a" 1}`, 1, 6, "where the ':' after property \"a\" should be"},
		{"no comma", `{"a":1 "b":2}`, 1, 8, "where ',' or the end '}' of the object should be"},
		{"no comma in a list", "[{}\n{}]", 2, 1, "where ',' or the end ']' of the list should be"},
		{"an open object", `{"a":1`, 1, 7, "unexpected end of text"},
		{"an open list", `[`, 1, 2, "the text may have been cut off"},
		{"the wrong bracket", `{"a":[1}`, 1, 8, "unexpected '}'"},
		{"two documents", `{} {}`, 1, 4, "put several objects into one list"},
		{"a leading zero", `{"a":01}`, 1, 6, "this is not a JSON number"},
		{"a bare minus", `{"a":-}`, 1, 6, "this is not a JSON number"},
		{"a point without digits", `{"a":1.}`, 1, 6, "at least one digit after the point"},
		{"an exponent without digits", `{"a":1e+}`, 1, 6, "at least one digit after the e"},
		{"a number out of range", `{"a":1e999}`, 1, 6, "beyond the range of a double"},
		{"NaN", `{"a":NaN}`, 1, 6, "where a value should be"},
		{"a property twice", "{\"a\":1,\n \"a\":2}", 2, 2, `property "a" is given twice in one object: make the values one list`},
		{"an open string", `{"a":"bc`, 1, 6, "this string does not end"},
		{"a string that ends in a backslash", `{"a":"bc\`, 1, 9, "this string does not end"},
		{"a line break in a string", "{\"a\":\"b\nc\"}", 1, 8, "control character 0x0a in a string"},
		{"an unknown escape", `{"a":"\x41"}`, 1, 7, `unknown escape "\\x"`},
		{"half an escape", `{"a":"\u12"}`, 1, 7, `escape`},
		{"an escape that is not hex", `{"a":"\u12g4"}`, 1, 7, `unknown escape`},
		{"a high surrogate alone", `{"a":"\ud83dx"}`, 1, 7, `\ud83d is half of a surrogate pair and stands alone`},
		{"a high surrogate before another escape", `{"a":"\ud83d\u0041"}`, 1, 7, "half of a surrogate pair"},
		{"a low surrogate alone", `{"a":"x\ude00"}`, 1, 8, "half of a surrogate pair"},
		{"NUL", `{"a":"x\u0000"}`, 1, 8, "NUL character in a string: remove it"},
		{"NUL in a name", `{"\u0000":1}`, 1, 3, "NUL character in a string"},
		{"a byte that is not UTF-8", "{\"a\":\"\xff\"}", 1, 7, "byte 0xff is not valid UTF-8"},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\xbd\"}", 1, 7, "is not valid UTF-8"},
		{"an overlong NUL", "{\"a\":\"\xc0\x80\"}", 1, 7, "is not valid UTF-8"},
		{"columns count characters", `{"äöü€😀":x}`, 1, 10, "where a value should be"},
	}.run(t, Options{})
}

func TestErrorsDoNotRepeatLongTexts(t *testing.T) {
	long := strings.Repeat("k", 100_000)
	for _, text := range []string{
		`{"` + long + `":1,"` + long + `":2}`, `{"` + long + `" 1}`, `{"id":"` + long + `"}`, `{"` + long + `":1}`,
		`{"id":"a","p":{"datatype":"` + long + `","value":1}}`, `{"id":"a","p":{"$ref":"b","` + long + `":1}}`,
		`{"namemap":{"` + long + `":1}}`, `{"namemap":{"refpattern":"` + long + `("}}`,
	} {
		_, err := Parse([]byte(text), Options{})
		if err == nil || len(err.Error()) > 500 {
			t.Errorf("%.40s...: error %.600v", text, err)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := func(n int) string {
		return `{"id":"a","p":` + strings.Repeat("[", n) + "1" + strings.Repeat("]", n) + "}"
	}
	if _, err := Parse([]byte(deep(maxDepth-1)), Options{}); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	_, err := Parse([]byte(deep(maxDepth)), Options{})
	if err == nil || !strings.Contains(err.Error(), "nested more than 100 deep") {
		t.Errorf("%d levels: %v", maxDepth+1, err)
	}
	// Far too deep must not cost a stack.
	if _, err := Parse([]byte(strings.Repeat("[", 10_000_000)), Options{}); err == nil {
		t.Error("ten million levels were accepted")
	}
}

func TestAPropertyTwiceIsFoundInObjectsOfAnySize(t *testing.T) {
	for _, size := range []int{1, shortObject - 1, shortObject, shortObject + 1, 100} {
		var members []string
		for i := range size {
			members = append(members, fmt.Sprintf(`"k%d":%d`, i, i))
		}
		text := func(extra string) []byte { return []byte("{" + strings.Join(append(members, extra), ",") + "}") }
		if _, err := scan(text(`"other":1`)); err != nil {
			t.Errorf("%d members: %v", size, err)
		}
		for _, again := range []int{0, size / 2, size - 1} {
			if _, err := scan(text(fmt.Sprintf(`"k%d":1`, again))); err == nil {
				t.Errorf("%d members: k%d was accepted twice", size, again)
			}
		}
	}
}

func TestEveryEscapeIsRead(t *testing.T) {
	tests := map[string]string{
		`"\"\\\/\b\f\n\r\t"`:      "\"\\/\b\f\n\r\t",
		`"\u0041\u00e9\u20AC"`:    "Aé€",
		`"\ud83d\ude00"`:          "😀",
		`"\uD834\udd1e."`:         "𝄞.",
		"\"ä😀\"":                  "ä😀",
		`"plain"`:                 "plain",
		`""`:                      "",
		"\"\u2028\x7f\ufffd\"":    "\u2028\x7f\ufffd",
		`"mixed \n and é \u0031"`: "mixed \n and é 1",
	}
	for text, want := range tests {
		n, err := scan([]byte(" " + text + "\n"))
		if err != nil || n.kind != kindString || n.text != want {
			t.Errorf("scan(%s) = %+v, %v; want %q", text, n, err, want)
		}
	}
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	if n, err := scan([]byte("\xef\xbb\xbf{}")); err != nil || n.kind != kindObject {
		t.Errorf("scan = %+v, %v", n, err)
	}
}

func TestWhatGoWritesAsJSONIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "") }).Draw(t, "text")
		text, err := json.Marshal(want)
		if err != nil {
			t.Skip("not JSON")
		}
		n, err := scan(text)
		if err != nil || n.text != want {
			t.Fatalf("scan(%s) = %+v, %v", text, n, err)
		}
		var back string
		if err := json.Unmarshal(AppendJSON(nil, want), &back); err != nil || back != want {
			t.Fatalf("AppendJSON(%q) = %s, which Go reads as %q, %v", want, AppendJSON(nil, want), back, err)
		}
	})
}

func TestPositionsAreFoundInAnyOrder(t *testing.T) {
	text := []byte("ab\ncä\n\n😀x")
	l := newLocator(text)
	for _, tt := range []struct{ at, line, col int }{
		{0, 1, 1}, {1, 1, 2}, {3, 2, 1}, {4, 2, 2}, {6, 2, 3}, {7, 3, 1}, {8, 4, 1}, {12, 4, 2}, {3, 2, 1}, {0, 1, 1}, {99, 4, 3},
	} {
		if got := l.position(tt.at); got != (Position{tt.line, tt.col}) {
			t.Errorf("position(%d) = %v, want line %d, column %d", tt.at, got, tt.line, tt.col)
		}
	}
}
